//! The sockets that a connection may have: TCP, a Unix socket, or TCP with TLS. All are read and written without waiting, by
//! readiness.
//!
//! A WebSocket's task is made for one of them ([`Wire`] as a type), so that a plain one pays nothing for the others; while HTTP is
//! spoken, and for the few connections that end before they are one, it is an enum ([`Socket`]).

use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::engine::Link;
use crate::transport::tls::TlsSocket;

/// A socket by its readiness.
pub(super) trait Wire: Link + Sized {
    /// Whether it has a word of its own for its end, so that [`Wire::end`] is due even where the peer has closed.
    const SAYS_END: bool = false;

    /// Ready when reading is worth a try.
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when writing is worth a try.
    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads once; zero at the end.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come; anything else ends the connection.
    fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Whom to wake where [`Wire::is_waiting`] becomes true.
    fn register(&self, _: &Waker) {}

    /// Whether something that was written has still to be sent, with [`Wire::flush`] as soon as the socket takes it.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Sends what waits, as much as the socket takes; whether that was all.
    ///
    /// # Errors
    /// The socket is gone.
    fn flush(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Nothing more will be written; false where something waits that has to be sent first: then once more.
    fn end(&self) -> bool;
}

/// What TCP and Unix sockets have in common, under the same names but without a common trait.
macro_rules! plain {
    ($socket:ty) => {
        impl Link for $socket {
            fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                // `send` takes the shortest way through the kernel where there is one buffer, as mostly there is.
                let socket = socket2::SockRef::from(self);
                let send = || match slices {
                    [slice] => socket.send(slice),
                    _ => socket.send_vectored(slices),
                };
                match send() {
                    // Once more in the way that makes the runtime wait for the socket: that looks at memory which is not needed otherwise.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.try_io(Interest::WRITABLE, send)
                    }
                    written => written,
                }
            }
        }

        impl Wire for $socket {
            fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                <$socket>::poll_read_ready(self, context)
            }

            fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                <$socket>::poll_write_ready(self, context)
            }

            fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
                let mut taken = None;
                let read = self.try_io(Interest::READABLE, || {
                    let len = (&*socket2::SockRef::from(self)).read(bytes)?;
                    taken = Some(len);
                    if len > 0 && len < bytes.len() {
                        // There is no more: saying so spares the call that would find nothing.
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    Ok(())
                });
                match (taken, read) {
                    (Some(len), _) => Ok(len),
                    (None, Err(error)) => Err(error),
                    (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
                }
            }

            fn end(&self) -> bool {
                let _ = socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write);
                true
            }
        }
    };
}

plain!(TcpStream);
plain!(UnixStream);

/// Any of them.
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TCP with TLS.
    Tls(Box<TlsSocket>),
}

/// The socket within, whichever it is.
macro_rules! each {
    ($self:expr, $socket:ident => $act:expr) => {
        match $self {
            Self::Tcp($socket) => $act,
            Self::Unix($socket) => $act,
            Self::Tls($socket) => {
                let $socket = &**$socket;
                $act
            }
        }
    };
}

impl Socket {
    /// Reads once, when something has come; zero at the end.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            // What TLS itself has to say may be what the peer waits for.
            let _ = self.poll_flush(context)?;
            ready!(each!(self, socket => Wire::poll_read_ready(socket, context)))?;
            match each!(self, socket => Wire::try_read(socket, bytes)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Writes as much as is taken, when something is.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(each!(self, socket => Wire::poll_write_ready(socket, context)))?;
            match each!(self, socket => Link::try_write(socket, &[IoSlice::new(bytes)])) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Ready when all that was written is with the kernel.
    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => {
            while socket.is_waiting() && !socket.flush()? {
                ready!(Wire::poll_write_ready(socket, context))?;
            }
        });
        Poll::Ready(Ok(()))
    }

    /// Ready when the peer has been told that nothing follows.
    pub(super) fn poll_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => {
            while !Wire::end(socket) {
                ready!(Wire::poll_write_ready(socket, context))?;
            }
        });
        Poll::Ready(Ok(()))
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, bytes)).await
    }

    /// Writes all.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|context| self.poll_write(context, bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Tells the peer that nothing follows.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn end(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_end(context)).await
    }

    /// Whether TLS has not been agreed on yet.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(socket) => socket.is_handshaking(),
        }
    }
}
