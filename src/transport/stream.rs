//! A socket while HTTP is spoken over it: a plain [`TcpStream`] with a place in the [`super::lobby`], that keeps back the answer 101.
//!
//! The answer and a WebSocket's first frame leave together, in one write: a write is about a fifth of what a handshake costs, and
//! the client can do nothing with the one before it has the other. For salvo and hyper the answer is sent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::transport::lobby::Place;

/// How the one answer begins that nothing of HTTP follows.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

/// A socket with HTTP on it.
pub struct HttpStream {
    socket: TcpStream,
    place: Place,
    /// The answer 101, once it is given.
    answer: Vec<u8>,
}

impl HttpStream {
    pub(super) const fn new(socket: TcpStream, place: Place) -> Self {
        Self {
            socket,
            place,
            answer: Vec::new(),
        }
    }

    /// The socket, and the answer that has to be written to it first.
    pub(super) fn into_parts(self) -> (TcpStream, Bytes) {
        (self.socket, self.answer.into())
    }

    /// The other end's address.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Whether it sends without waiting for more (TCP_NODELAY).
    ///
    /// # Errors
    /// The connection is gone.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.nodelay()
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

/// Without vectored writes: hyper then gathers an answer in one buffer, and an answer 101 comes here whole.
impl AsyncWrite for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.starts_with(SWITCHING) || !self.answer.is_empty() {
            self.answer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        if written.is_ready() {
            self.place.renew(Instant::now());
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TcpStream has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
