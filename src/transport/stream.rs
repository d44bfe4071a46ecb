//! A socket while HTTP is spoken over it: a [`Socket`] with a place in the [`super::lobby`], that keeps back the answer 101.
//!
//! The answer and a WebSocket's first frame leave together, in one write: a write is about a fifth of what a handshake costs, and
//! the client can do nothing with the one before it has the other. For salvo and hyper the answer is sent.
//!
//! What to keep back is told by the handler that answers 101, with [`ConnCtrl::relax_timeouts`], salvo's word for a connection that
//! HTTP ends on: the text alone could stand in any body, and pieces of one come here too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use salvo::conn::ConnCtrl;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::transport::lobby::Place;
use crate::transport::wire::Socket;

/// A socket with HTTP on it.
pub struct HttpStream {
    socket: Socket,
    place: Place,
    connection: ConnCtrl,
    /// The answer 101, once it is given, behind what may be left of the answer before it.
    answer: Vec<u8>,
}

impl HttpStream {
    pub(super) const fn new(socket: Socket, place: Place, connection: ConnCtrl) -> Self {
        Self {
            socket,
            place,
            connection,
            answer: Vec::new(),
        }
    }

    /// The socket, and the answer that has to be written to it first.
    pub(super) fn into_parts(self) -> (Socket, Bytes) {
        (self.socket, self.answer.into())
    }

    /// The socket.
    #[cfg(test)]
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(context, buffer),
            Socket::Unix(socket) => Pin::new(socket).poll_read(context, buffer),
            secured @ Socket::Tls(_) => {
                let was_handshaking = secured.is_handshaking();
                let read = ready!(secured.poll_read(context, buffer.initialize_unfilled()));
                if was_handshaking && let Err(error) = &read {
                    self.place.no_keys(error);
                }
                buffer.advance(read?);
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Without vectored writes: hyper then gathers an answer in one buffer, and an answer 101 comes here whole.
impl AsyncWrite for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_relaxed() {
            self.answer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            Socket::Unix(socket) => Pin::new(socket).poll_write(context, bytes),
            secured @ Socket::Tls(_) => secured.poll_write(context, bytes),
        };
        if written.is_ready() {
            self.place.renew(Instant::now());
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_end(context)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::sync::Arc;

    use salvo::conn::ConnCtrl;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::HttpStream;
    use crate::telemetry::{MetricNames, Metrics};
    use crate::transport::lobby::Lobby;
    use crate::transport::wire::Socket;

    async fn streams(connection: &ConnCtrl) -> Result<(HttpStream, TcpStream), Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (socket, _) = listener.accept().await?;
        let lobby = Lobby::new(1, &[], Arc::new(Metrics::new(&MetricNames::default())));
        let place = lobby.enter(connection, [127, 0, 0, 1].into()).await;
        let place = place.ok_or("it is empty")?;
        let socket = Socket::Tcp(socket);
        Ok((HttpStream::new(socket, place, connection.clone()), client))
    }

    #[tokio::test]
    async fn what_looks_like_an_upgrade_is_written() -> Result<(), Box<dyn Error>> {
        let (mut stream, mut client) = streams(&ConnCtrl::new()).await?;
        // Pieces of a body, as they are left after writes that the socket took a part of.
        let pieces: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 101 ",
            b"is how it begins",
        ];
        for piece in pieces {
            stream.write_all(piece).await?;
        }
        drop(stream);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await?;
        assert_eq!(read, pieces.concat());
        Ok(())
    }

    #[tokio::test]
    async fn the_answer_of_an_upgrade_is_kept() -> Result<(), Box<dyn Error>> {
        let connection = ConnCtrl::new();
        let (mut stream, mut client) = streams(&connection).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        connection.relax_timeouts();
        let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        stream.write_all(answer).await?;
        let (socket, kept) = stream.into_parts();
        assert_eq!(&kept[..], answer);
        drop(socket);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await?;
        assert_eq!(read, b"HTTP/1.1 200 OK\r\n\r\n");
        Ok(())
    }
}
