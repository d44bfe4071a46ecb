//! A TCP socket with TLS on it, written to by whoever has something to say and read by its own task.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::engine::Link;
use crate::transport::tls::record::{RECORD_BYTES, Records};
use crate::transport::wire::Wire;

/// So much is read at a time, behind what a record came in part with.
const READ_BYTES: usize = 32 * 1024;

/// What a client hears that speaks HTTP without TLS; it would wait for an answer, or show nonsense.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 64\r\nConnection: close\r\n\r\n\
    The plain HTTP request was sent to a TLS port: use https or wss\n";

thread_local! {
    static CIPHERTEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A TCP socket with TLS on it.
pub struct TlsSocket {
    socket: TcpStream,
    state: Mutex<State>,
}

struct State {
    records: Records,
    /// The task to wake where something waits to be sent that no one else will send.
    task: Option<Waker>,
}

impl TlsSocket {
    pub(super) fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            socket,
            state: Mutex::new(State {
                records: Records::new(config)?,
                task: None,
            }),
        })
    }

    /// Whether the two have not agreed on keys yet.
    pub(in crate::transport) fn is_handshaking(&self) -> bool {
        self.state.lock().records.is_handshaking()
    }

    /// Asks the socket without the runtime first: as for plain TCP, that is known only where it says no.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let socket = socket2::SockRef::from(&self.socket);
        match socket.send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self
                .socket
                .try_io(Interest::WRITABLE, || socket.send(bytes)),
            sent => sent,
        }
    }

    /// Reads once from the socket, into `bytes` behind the first `begin`; zero at its end.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut came = None;
        let read = self.socket.try_io(Interest::READABLE, || {
            let len = (&*socket2::SockRef::from(&self.socket)).read(bytes)?;
            came = Some(len);
            if len > 0 && len < bytes.len() {
                // There is no more: saying so spares the call that would find nothing.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match (came, read) {
            (Some(len), _) => Ok(len),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads and decrypts once. `WouldBlock` where that made no plaintext.
    fn receive(&self, records: &mut Records, out: &mut [u8]) -> io::Result<usize> {
        CIPHERTEXT.with_borrow_mut(|scratch| {
            let kept = records.take_incoming();
            // Not more than the reader has room for, so that little has to be kept; a reader of large parts is given them.
            let wanted = out.len().clamp(RECORD_BYTES / 4, READ_BYTES);
            if scratch.len() < kept.len() + wanted {
                scratch.resize(kept.len() + wanted, 0);
            }
            let (bytes, begin) = (&mut scratch[..kept.len() + wanted], kept.len());
            bytes[..begin].copy_from_slice(&kept);
            let len = match self.fill(&mut bytes[begin..]) {
                Ok(len) => len,
                Err(error) => {
                    records.keep_incoming(kept);
                    return Err(error);
                }
            };
            if len == 0 {
                return Ok(0);
            }
            if records.is_untouched() && begin == 0 && bytes[0].is_ascii_uppercase() {
                let _ = self.send(PLAIN_HTTP);
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a plain HTTP request was sent to a TLS port",
                ));
            }
            let received = records.receive(&mut bytes[..begin + len], out);
            let _ = records.flush(|bytes| self.send(bytes));
            match received? {
                0 if records.is_at_end() => Ok(0),
                0 => Err(io::ErrorKind::WouldBlock.into()),
                len => Ok(len),
            }
        })
    }
}

impl Link for TlsSocket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        let written = state.records.write(slices, |bytes| self.send(bytes));
        if state.records.is_waiting()
            && let Some(task) = &state.task
        {
            task.wake_by_ref();
        }
        written
    }
}

impl Wire for TlsSocket {
    const SAYS_END: bool = true;

    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let records = &self.state.lock().records;
        if records.has_plaintext() || records.is_at_end() {
            return Poll::Ready(Ok(()));
        }
        self.socket.poll_read_ready(context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(context)
    }

    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        let records = &mut self.state.lock().records;
        if records.has_plaintext() {
            return Ok(records.read(out));
        }
        if records.is_at_end() {
            return Ok(0);
        }
        self.receive(records, out)
    }

    fn register(&self, waker: &Waker) {
        let task = &mut self.state.lock().task;
        match task {
            Some(task) => task.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    fn is_waiting(&self) -> bool {
        self.state.lock().records.is_waiting()
    }

    fn flush(&self) -> io::Result<bool> {
        self.state.lock().records.flush(|bytes| self.send(bytes))
    }

    fn end(&self) -> bool {
        let mut state = self.state.lock();
        state.records.say_end();
        let is_sent = state.records.flush(|bytes| self.send(bytes));
        if matches!(is_sent, Ok(false)) {
            return false;
        }
        let _ = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
        true
    }
}
