//! Many connections on one epoll and one thread.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use crate::loadgen::connection::{Conduct, Connection, Depth, Desk, State};
use crate::loadgen::handshake::Handshake;
use crate::loadgen::mask::Masks;
use crate::loadgen::order::{Dialect, Order};
use crate::loadgen::process::descriptors_max;
use crate::loadgen::target::{Target, without_secrets};
use crate::loadgen::template::{Place, Template};
use crate::loadgen::{BenchError, Ended};
use crate::protocol::websocket::{CloseCode, Opcode};

/// What is read at once, in bytes: a burst of frames of many readers' worth.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How many connections are looked at in one turn.
const EVENTS: usize = 4096;
/// How many handshakes are under way at once while everyone comes: below any server's listen queue.
const HANDSHAKES: usize = 100;
/// Descriptors beside the connections: epoll, the waker, standard streams, /proc.
const DESCRIPTORS_BESIDE: usize = 16;
/// The token of the waker, beyond every connection's.
const WAKER: Token = Token(usize::MAX);

/// Where a connection goes, and as whom.
#[derive(Clone, Copy)]
pub(super) struct Seat<'o> {
    pub(super) target: &'o Target,
    pub(super) address: SocketAddr,
    pub(super) place: Place,
    pub(super) conduct: Conduct,
}

/// What befell a connection in a turn.
pub(super) enum Happening {
    Ready(usize),
    Ended(usize, Ended),
}

/// All connections of a run, by number.
pub(super) struct Crowd<'o> {
    poll: Poll,
    waker: Arc<Waker>,
    events: Events,
    scratch: Vec<u8>,
    dialect: &'o Dialect,
    handshake: Handshake,
    pub(super) masks: Masks,
    connections: Vec<Option<Connection>>,
    /// Scratch for one frame that is sent.
    frame: Vec<u8>,
    payload: Vec<u8>,
    begun: Instant,
}

impl<'o> Crowd<'o> {
    /// Nobody yet, with room for as many as the order needs.
    ///
    /// # Errors
    /// The process may not have so many descriptors, or epoll is refused.
    pub(super) fn new(order: &'o Order) -> Result<Self, BenchError> {
        let connections = order.connections();
        let needed = connections + DESCRIPTORS_BESIDE;
        if let Some(limit) = descriptors_max().filter(|limit| *limit < needed) {
            return Err(BenchError::Descriptors { needed, limit });
        }
        let mut masks = Masks::new(order.seed);
        let (high, low) = (masks.next().to_be_bytes(), masks.next().to_be_bytes());
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&high);
        nonce[8..].copy_from_slice(&low);
        let poll = Poll::new().map_err(|source| system("use epoll", source))?;
        let waker =
            Waker::new(poll.registry(), WAKER).map_err(|source| system("make a waker", source))?;
        Ok(Self {
            poll,
            waker: Arc::new(waker),
            events: Events::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH_BYTES],
            dialect: &order.dialect,
            handshake: Handshake::new(&order.dialect, nonce),
            masks,
            connections: std::iter::repeat_with(|| None).take(connections).collect(),
            frame: Vec::new(),
            payload: Vec::new(),
            begun: Instant::now(),
        })
    }

    /// Microseconds since the crowd was made: the time in markers.
    pub(super) fn now(&self) -> u64 {
        self.micros_at(Instant::now())
    }

    pub(super) fn micros_at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.begun);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// What interrupts a turn from another thread.
    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Begins to connect.
    ///
    /// # Errors
    /// The kernel refuses, mostly for want of descriptors or ports.
    pub(super) fn dial(&mut self, number: usize, seat: &Seat<'o>) -> Result<(), Ended> {
        let resource = seat.target.resource(seat.place);
        let request = self.handshake.request(seat.target.authority(), &resource);
        let mut hellos = Vec::new();
        for hello in &self.dialect.hellos {
            let text = hello.expand(seat.place);
            self.masks.frame(Opcode::Text, text.as_bytes(), &mut hellos);
        }
        let mut connection = Connection::dial(seat.address, number, seat.conduct, request, hellos)
            .map_err(Ended::Unreachable)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut connection.stream, Token(number), interest)
            .map_err(Ended::Io)?;
        self.connections[number] = Some(connection);
        Ok(())
    }

    /// Connects all, from the number `first` on, and waits until each is ready.
    ///
    /// # Errors
    /// One was refused or ended, or nothing happened any more.
    pub(super) fn gather(
        &mut self,
        first: usize,
        seats: &[Seat<'o>],
        patience: Duration,
        mut watch: impl FnMut(usize),
    ) -> Result<(), BenchError> {
        let failed = |number: usize, ended| BenchError::NotConnected {
            number,
            url: url_of(&seats[number - first]),
            ended,
        };
        let (mut dialled, mut ready) = (0, 0);
        let mut happenings = Vec::new();
        let mut last = Instant::now();
        while ready < seats.len() {
            while dialled < seats.len() && dialled - ready < HANDSHAKES {
                let number = first + dialled;
                self.dial(number, &seats[dialled])
                    .map_err(|ended| failed(number, ended))?;
                dialled += 1;
            }
            self.turn(Duration::from_millis(100), &mut happenings, |_, _, _| {})?;
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Ready(_) => (ready, last) = (ready + 1, Instant::now()),
                    Happening::Ended(number, ended) => return Err(failed(number, ended)),
                }
            }
            watch(ready);
            if last.elapsed() > patience {
                return Err(BenchError::NotReady {
                    ready,
                    wanted: seats.len(),
                    seconds: patience.as_secs(),
                    hint: self.hint_of_greeting(),
                });
            }
        }
        Ok(())
    }

    fn hint_of_greeting(&self) -> String {
        let greeted = self.connections.iter().flatten();
        let open = greeted
            .filter(|connection| connection.state == State::Open)
            .count();
        match &self.dialect.ready {
            Some(ready) if open > 0 => format!(
                "; {open} are open and wait for a frame with `{ready}`: is --ready right, or does the server want --raw?"
            ),
            _ => String::new(),
        }
    }

    /// Waits until something happens, at most so long. `take` gets each message with the number of its connection and the time.
    ///
    /// # Errors
    /// epoll fails.
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        happenings: &mut Vec<Happening>,
        mut take: impl FnMut(usize, &[u8], u64),
    ) -> Result<(), BenchError> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(system("wait for sockets", error));
            }
            _ => {}
        }
        for event in &self.events {
            let number = event.token().0;
            let Some(slot) = self.connections.get_mut(number) else {
                continue;
            };
            let Some(connection) = slot else { continue };
            let before = connection.state;
            let mut outcome = Ok(());
            if event.is_writable() {
                outcome = connection.on_writable();
            }
            if outcome.is_ok() && event.is_readable() {
                let mut desk = Desk {
                    scratch: &mut self.scratch,
                    dialect: self.dialect,
                    handshake: &self.handshake,
                    masks: &mut self.masks,
                };
                let depth = if event.is_read_closed() {
                    Depth::End
                } else {
                    Depth::Data
                };
                let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                outcome =
                    connection.on_readable(depth, &mut desk, |message| take(number, message, now));
            }
            if before < State::Ready && connection.state == State::Ready {
                happenings.push(Happening::Ready(number));
            }
            if let Err(ended) = outcome {
                *slot = None;
                happenings.push(Happening::Ended(number, ended));
            }
        }
        Ok(())
    }

    /// Sends one text message, made of a template.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn send(
        &mut self,
        number: usize,
        message: &Template,
        place: Place,
        marker: impl FnMut(&mut Vec<u8>),
    ) -> Result<(), Ended> {
        self.payload.clear();
        message.render(place, &mut self.payload, marker);
        self.frame.clear();
        self.masks
            .frame(Opcode::Text, &self.payload, &mut self.frame);
        match &mut self.connections[number] {
            Some(connection) => connection.send(&self.frame),
            None => Err(Ended::Cut),
        }
    }

    /// Asks the server to close a connection (RFC 6455 §7.1.2).
    pub(super) fn close(&mut self, number: usize) -> Result<(), Ended> {
        let code = CloseCode::NORMAL.get().to_be_bytes();
        self.frame.clear();
        self.masks.frame(Opcode::Close, &code, &mut self.frame);
        match &mut self.connections[number] {
            Some(connection) => connection.send(&self.frame),
            None => Err(Ended::Cut),
        }
    }

    /// Leaves without a word: the socket is reset.
    pub(super) fn abandon(&mut self, number: usize) {
        self.connections[number] = None;
    }

    pub(super) fn connection(&self, number: usize) -> Option<&Connection> {
        self.connections[number].as_ref()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.connections.iter().flatten().count()
    }

    /// Reads what a stalled reader has left lying, and forgets it.
    pub(super) fn forget_unread(&mut self, number: usize) -> Result<(), Ended> {
        match &mut self.connections[number] {
            Some(connection) => connection.forget_unread(&mut self.scratch),
            None => Err(Ended::Cut),
        }
    }
}

fn url_of(seat: &Seat<'_>) -> String {
    let (authority, resource) = (seat.target.authority(), seat.target.resource(seat.place));
    without_secrets(&format!("ws://{authority}{resource}"))
}

fn system(act: &'static str, source: std::io::Error) -> BenchError {
    BenchError::System { act, source }
}
