//! One WebSocket connection, as a client sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

pub struct Connection {
    pub stream: TcpStream,
    pub state: State,
    request: Vec<u8>,
    /// What has been read of a frame that is not complete.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub enum State {
    Connecting,
    Upgrading,
    /// The handshake is done.
    Open,
    /// A first frame has come.
    Greeted,
}

impl Connection {
    pub fn dial(address: SocketAddr, path: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
        // The key is a constant: who measures need not be protected from caches.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        Ok(Self {
            stream,
            state: State::Connecting,
            request: request.into_bytes(),
            partial: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// The socket can be written: first the handshake, later what it did not take before.
    pub fn on_writable(&mut self) -> Result<(), String> {
        if self.state == State::Connecting {
            if let Ok(Some(error)) = self.stream.take_error() {
                return Err(format!("connect: {error}"));
            }
            if self.stream.peer_addr().is_err() {
                return Ok(());
            }
            self.stream
                .set_nodelay(true)
                .map_err(|error| format!("nodelay: {error}"))?;
            self.state = State::Upgrading;
            self.unsent = std::mem::take(&mut self.request);
        }
        let waiting = std::mem::take(&mut self.unsent);
        if waiting.is_empty() {
            Ok(())
        } else {
            self.send(&waiting)
        }
    }

    pub fn send(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                    return Ok(());
                }
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        Ok(())
    }

    /// Reads all there is, calling back with the payload of every text or binary frame and answering pings.
    pub fn on_readable(
        &mut self,
        scratch: &mut [u8],
        mut on_message: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        loop {
            let taken = match self.stream.read(scratch) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(format!("read: {error}")),
            };
            let read = &scratch[..taken];
            if self.partial.is_empty() {
                let used = self.take(read, &mut on_message)?;
                self.partial.extend_from_slice(&read[used..]);
            } else {
                let mut joined = std::mem::take(&mut self.partial);
                joined.extend_from_slice(read);
                let used = self.take(&joined, &mut on_message)?;
                joined.drain(..used);
                self.partial = joined;
            }
        }
    }

    /// How many of the bytes were complete.
    fn take(&mut self, bytes: &[u8], on_message: &mut impl FnMut(&[u8])) -> Result<usize, String> {
        let mut start = 0;
        if self.state < State::Open {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(format!(
                    "the handshake was refused: {}",
                    String::from_utf8_lossy(&bytes[..end])
                ));
            }
            self.state = State::Open;
            start = end + 4;
        }
        while let Some(frame) = Frame::parse(&bytes[start..]) {
            start += frame.size;
            match frame.opcode {
                1 | 2 => {
                    self.state = State::Greeted;
                    on_message(frame.payload);
                }
                8 => {
                    return Err(format!(
                        "the server closed: {}",
                        String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default())
                    ));
                }
                9 => self.send(&masked(0xA, frame.payload))?,
                _ => {}
            }
        }
        Ok(start)
    }
}

struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
    size: usize,
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (length, head) = match bytes.get(1)? & 0x7F {
            126 => (
                usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => (
                usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = bytes.get(head..head + length)?;
        Some(Self {
            opcode: bytes[0] & 0x0F,
            payload,
            size: head + length,
        })
    }
}

/// A client's frame. The mask is zero: lawful, and the payload stands as it is.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
