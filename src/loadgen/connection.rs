//! One WebSocket connection, as a client sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use memchr::memmem;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use crate::loadgen::Ended;
use crate::loadgen::handshake::{ANSWER_BYTES_MAX, Answer, Handshake, refusal};
use crate::loadgen::mask::Masks;
use crate::loadgen::order::Dialect;
use crate::protocol::websocket::{Decoder, Event, Input, Limits, Opcode, Role};

/// What one connection may have waiting to be written, in bytes: beyond it a publisher is behind, and sends no more for now.
const UNSENT_MAX: usize = 1 << 20;
/// A frame larger than this ends its connection: a load of such frames would measure memory.
const LIMITS: Limits = Limits {
    message_bytes_max: 16 << 20,
    fragments_max: 1024,
};
/// What the kernel may keep of what a stalled reader does not read, in bytes: little, so that the server feels it soon.
const STALLED_BUFFER: usize = 4096;
/// Connections from one loopback address: the kernel's search for a free port takes long where most of them are in use.
const PORTS_PER_ADDRESS: usize = 10_000;

/// Whether a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Reads,
    /// Until it is ready; from then on nothing.
    Stalls,
}

/// How far to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Until a read gives less than there was room for: what comes later makes an event of its own.
    Data,
    /// Until the end of the stream, of which there will be no other event.
    End,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum State {
    Connecting,
    Upgrading,
    /// The handshake is done.
    Open,
    /// What was waited for has come.
    Ready,
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) state: State,
    pub(super) conduct: Conduct,
    decoder: Decoder,
    /// What the socket did not take; first of all the request.
    unsent: Vec<u8>,
    /// What has come of the handshake's answer.
    answer: Vec<u8>,
    /// Frames for after the handshake, as the wire has them.
    hellos: Vec<u8>,
}

/// What connections share while they read.
pub(super) struct Desk<'a> {
    pub(super) scratch: &'a mut [u8],
    pub(super) dialect: &'a Dialect,
    pub(super) handshake: &'a Handshake,
    pub(super) masks: &'a mut Masks,
}

impl Connection {
    /// Begins to connect; `number` spreads many connections to this machine over its addresses.
    pub(super) fn dial(
        address: SocketAddr,
        number: usize,
        conduct: Conduct,
        request: Vec<u8>,
        hellos: Vec<u8>,
    ) -> std::io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // Who leaves resets: the ports are wanted again.
        socket.set_linger(Some(Duration::ZERO))?;
        if conduct == Conduct::Stalls {
            socket.set_recv_buffer_size(STALLED_BUFFER)?;
        }
        if let Some(source) = source(address, number) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            state: State::Connecting,
            conduct,
            decoder: Decoder::new(Role::Client, LIMITS),
            unsent: request,
            answer: Vec::new(),
            hellos,
        })
    }

    /// Whether more waits to be written than one connection should have waiting.
    pub(super) fn is_behind(&self) -> bool {
        self.unsent.len() > UNSENT_MAX
    }

    /// Whether what comes is left lying.
    pub(super) fn is_stalled(&self) -> bool {
        self.conduct == Conduct::Stalls && self.state == State::Ready
    }

    /// The socket can be written: first the request, later what it did not take before.
    pub(super) fn on_writable(&mut self) -> Result<(), Ended> {
        if self.state == State::Connecting {
            if let Ok(Some(error)) = self.stream.take_error() {
                return Err(Ended::Unreachable(error));
            }
            if self.stream.peer_addr().is_err() {
                return Ok(());
            }
            self.state = State::Upgrading;
        }
        let waiting = std::mem::take(&mut self.unsent);
        if waiting.is_empty() {
            Ok(())
        } else {
            self.send(&waiting)
        }
    }

    /// Writes a frame, or keeps what the socket does not take.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Ended> {
        if self.state == State::Connecting || !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                    return Ok(());
                }
                Err(error) => return Err(Ended::Io(error)),
            }
        }
        Ok(())
    }

    /// Reads all there is; `take` gets every message after the one that made the connection ready.
    pub(super) fn on_readable(
        &mut self,
        depth: Depth,
        desk: &mut Desk<'_>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Ended> {
        while !self.is_stalled() {
            let read = match self.stream.read(desk.scratch) {
                Ok(0) => return Err(self.cut()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(Ended::Io(error)),
            };
            if self.state >= State::Open {
                self.take_frames(read, desk, &mut take)?;
            } else {
                self.take_answer(read, desk, &mut take)?;
            }
            if depth == Depth::Data && read < desk.scratch.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads and forgets what a stalled reader has left lying; how it ended, where it did.
    pub(super) fn forget_unread(&mut self, scratch: &mut [u8]) -> Result<(), Ended> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(Ended::Cut),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(Ended::Io(error)),
            }
        }
    }

    /// The end of the stream, which also ends a refusal's body.
    fn cut(&self) -> Ended {
        if self.state == State::Upgrading && !self.answer.is_empty() {
            let body = memmem::find(&self.answer, b"\r\n\r\n")
                .map_or(&[][..], |at| &self.answer[at + 4..]);
            return refusal(&self.answer, body);
        }
        Ended::Cut
    }

    fn take_answer(
        &mut self,
        read: usize,
        desk: &mut Desk<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), Ended> {
        self.answer.extend_from_slice(&desk.scratch[..read]);
        let Answer::Open(end) = desk.handshake.read(&self.answer)? else {
            return if self.answer.len() > ANSWER_BYTES_MAX {
                Err(Ended::Handshake("it does not end"))
            } else {
                Ok(())
            };
        };
        let answer = std::mem::take(&mut self.answer);
        self.state = match desk.dialect.ready {
            None => State::Ready,
            Some(_) => State::Open,
        };
        let hellos = std::mem::take(&mut self.hellos);
        self.send(&hellos)?;
        let frames = &answer[end..];
        desk.scratch[..frames.len()].copy_from_slice(frames);
        self.take_frames(frames.len(), desk, take)
    }

    /// Takes the frames in the first `read` bytes of the scratch.
    fn take_frames(
        &mut self,
        read: usize,
        desk: &mut Desk<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(), Ended> {
        let mut answers = Vec::new();
        let mut input = Input::new(&mut desk.scratch[..read]);
        while let Some(event) = self.decoder.next(&mut input)? {
            let message = match event {
                Event::Text(text) => text.as_bytes(),
                Event::Binary(bytes) => bytes,
                Event::Ping(payload) => {
                    desk.masks.frame(Opcode::Pong, &payload, &mut answers);
                    continue;
                }
                Event::Pong(_) => continue,
                Event::Close(frame) => {
                    return Err(Ended::Closed(match frame {
                        Some(frame) if frame.reason.is_empty() => format!(" with {}", frame.code),
                        Some(frame) => format!(" with {}: {}", frame.code, frame.reason),
                        None => String::new(),
                    }));
                }
            };
            if self.state == State::Ready {
                // A delivery is longer than whatever keeps a connection alive.
                match desk.dialect.answer_to(message) {
                    None => take(message),
                    Some(answer) => desk
                        .masks
                        .frame(Opcode::Text, answer.as_bytes(), &mut answers),
                }
            } else if let Some(answer) = desk.dialect.answer_to(message) {
                desk.masks
                    .frame(Opcode::Text, answer.as_bytes(), &mut answers);
            } else if desk.dialect.is_ready(message) {
                self.state = State::Ready;
            }
        }
        if answers.is_empty() {
            Ok(())
        } else {
            self.send(&answers)
        }
    }
}

fn is_not_yet(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}

/// The address to connect from, where the target is on this machine and there are too many connections for one.
fn source(target: SocketAddr, number: usize) -> Option<IpAddr> {
    let turn = u8::try_from(number / PORTS_PER_ADDRESS).unwrap_or(u8::MAX);
    match target.ip() {
        IpAddr::V4(address) if address.is_loopback() && turn > 0 => {
            Some(Ipv4Addr::new(127, 0, turn, 1).into())
        }
        _ => None,
    }
}
