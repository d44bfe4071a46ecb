//! The sockets on one epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use floor::frame::{self, BINARY, CLOSE, PING, PONG, TEXT};
use floor::handshake;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::room::{Delivery, Rooms};

const LISTENER: Token = Token(usize::MAX);
const BACKLOG: i32 = 4096;
/// A reader for which more waits is closed: its socket's buffer in the kernel is full as well.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// Where a connection stands.
enum Place {
    /// Its request is not complete.
    Door,
    Room(usize),
    Echo,
}

struct Connection {
    stream: TcpStream,
    place: Place,
    /// What has been read of a frame that is not complete.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

/// All connections.
pub struct Crowd {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    rooms: Rooms,
    delivery: Delivery,
}

impl Crowd {
    /// Opens the port.
    pub fn listen(
        address: SocketAddr,
        delivery: Delivery,
        payload_bytes: usize,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = bind(address)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            rooms: Rooms::new(payload_bytes),
            delivery,
        })
    }

    /// Serves until the process is ended.
    pub fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; 64 * 1024];
        loop {
            match self.poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                let number = event.token().0;
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                if event.is_writable() {
                    self.drain(number);
                }
                if event.is_readable() && !self.read(number, &mut scratch) {
                    self.close(number);
                }
            }
            self.flush();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(number), interest)?;
            self.connections[number] = Some(Connection {
                stream,
                place: Place::Door,
                partial: Vec::new(),
                unsent: Vec::new(),
            });
        }
    }

    /// Reads all there is; false where the connection is over.
    fn read(&mut self, number: usize, scratch: &mut [u8]) -> bool {
        loop {
            let Some(connection) = &mut self.connections[number] else {
                return true;
            };
            let taken = match connection.stream.read(scratch) {
                Ok(0) => return false,
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            let complete = if connection.partial.is_empty() {
                self.take(number, &scratch[..taken])
            } else {
                let mut joined = std::mem::take(&mut connection.partial);
                joined.extend_from_slice(&scratch[..taken]);
                self.take(number, &joined)
            };
            // A short read has emptied the socket: the next bytes are the next event.
            match complete {
                Err(_) => return false,
                Ok(()) if taken < scratch.len() => return true,
                Ok(()) => {}
            }
        }
    }

    /// Takes the frames that are complete, and keeps the rest.
    fn take(&mut self, number: usize, bytes: &[u8]) -> Result<(), String> {
        let mut start = 0;
        let is_at_door = |connection: &Option<Connection>| {
            matches!(
                connection,
                Some(Connection {
                    place: Place::Door,
                    ..
                })
            )
        };
        if is_at_door(&self.connections[number]) {
            match handshake::answer(bytes)? {
                Some(handshake) => {
                    start = handshake.size;
                    self.send(number, &handshake.answer);
                    self.enter(number, &handshake.path);
                }
                None => return self.keep(number, bytes),
            }
        }
        while let Some(frame) = frame::parse(&bytes[start..]) {
            start += frame.size;
            match frame.opcode {
                TEXT | BINARY => self.message(number, &frame.payload),
                CLOSE => return Err("closed".to_owned()),
                PING => self.send(number, &frame::encode(PONG, &frame.payload)),
                _ => {}
            }
        }
        self.keep(number, &bytes[start..])
    }

    fn keep(&mut self, number: usize, rest: &[u8]) -> Result<(), String> {
        if let Some(connection) = &mut self.connections[number] {
            connection.partial.extend_from_slice(rest);
        }
        Ok(())
    }

    fn enter(&mut self, number: usize, path: &str) {
        let place = match path.strip_prefix("/ws/") {
            Some(room) => Place::Room(self.rooms.enter(room, number)),
            None => Place::Echo,
        };
        if let Some(connection) = &mut self.connections[number] {
            connection.place = place;
        }
    }

    fn message(&mut self, number: usize, payload: &[u8]) {
        match self.connections[number].as_ref().map(|known| &known.place) {
            Some(Place::Room(room)) => {
                self.rooms.publish(*room, payload);
                if self.delivery == Delivery::Single {
                    self.flush();
                }
            }
            Some(Place::Echo) => self.send(number, &frame::encode(TEXT, payload)),
            Some(Place::Door) | None => {}
        }
    }

    /// Writes what waits in the rooms.
    fn flush(&mut self) {
        while let Some(number) = self.rooms.busy.pop() {
            let room = &mut self.rooms.rooms[number];
            let waiting = std::mem::take(&mut room.waiting);
            let members = std::mem::take(&mut room.members);
            for member in &members {
                self.send(*member, &waiting);
            }
            let room = &mut self.rooms.rooms[number];
            room.members = members;
            room.waiting = waiting;
            room.waiting.clear();
        }
    }

    /// Writes `bytes`, or keeps them behind what waits already.
    fn send(&mut self, number: usize, bytes: &[u8]) {
        let Some(connection) = &mut self.connections[number] else {
            return;
        };
        if connection.unsent.is_empty() {
            let sent = write(&mut connection.stream, bytes);
            connection.unsent.extend_from_slice(&bytes[sent..]);
        } else if connection.unsent.len() + bytes.len() <= UNSENT_BYTES_MAX {
            connection.unsent.extend_from_slice(bytes);
        } else {
            // Its end is read like any other.
            let _ = connection.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The socket takes more.
    fn drain(&mut self, number: usize) {
        if let Some(connection) = &mut self.connections[number] {
            let sent = write(&mut connection.stream, &connection.unsent);
            connection.unsent.drain(..sent);
        }
    }

    fn close(&mut self, number: usize) {
        let Some(mut connection) = self.connections[number].take() else {
            return;
        };
        let _ = self.poll.registry().deregister(&mut connection.stream);
        if let Place::Room(room) = connection.place {
            self.rooms.leave(room, number);
        }
        self.free.push(number);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// How much the socket took. An error shows again when the socket is read.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(taken) => sent += taken,
            Err(_) => break,
        }
    }
    sent
}
