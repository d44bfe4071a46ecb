//! A connection from both sides: the task that the server would run for it, and the peer that reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use trunkline::engine::{Attached, Connection, Engine, Phase};
use trunkline::protocol::websocket::{Decoder, Limits, Role};

use crate::simulation::expect::{Expect, RoomIndex};
use crate::simulation::house::{Door, Of, ROOMS};
use crate::simulation::room::Place;
use crate::simulation::socket::{Bell, Socket};

/// The place of the connection's own frames among its queues, behind those of the rooms.
pub(super) const OWN: usize = ROOMS.len();
/// The place of the acks of tokens.
pub(super) const TURNS: usize = OWN + 1;

pub(super) struct Client {
    pub(super) user: usize,
    /// What its token says that it is of.
    pub(super) of: Of,
    pub(super) door: &'static Door,
    pub(super) attached: Option<Attached>,
    pub(super) socket: Arc<Socket>,
    pub(super) decoder: Decoder,
    bell: Arc<Bell>,
    waits_to_write: bool,
    ending: bool,
    /// What it has to get, in the order of each room and in its own.
    pub(super) queues: Vec<VecDeque<Expect>>,
    /// Frames that it has to get, without replays.
    outstanding: usize,
    /// As many as waited at most, or more.
    pub(super) peak: usize,
    /// It asked for a replay while another one waited: only one at a time may go beyond the bounds.
    is_greedy: bool,
    pub(super) seats: Vec<RoomIndex>,
    pub(super) places: BTreeMap<RoomIndex, Place>,
    /// What it got of the last group.
    pub(super) of_group: (usize, Vec<usize>),
    /// Frames and bytes of replays since nothing waited the last time: so much may wait beyond the bounds.
    pub(super) excused: (usize, usize),
    /// When the engine last heard of it, as exactly as the engine knows.
    pub(super) heard: u64,
    /// The longest time for which nothing was heard of it.
    pub(super) silence_max: u64,
    pub(super) is_deaf: bool,
    pub(super) is_polite: bool,
    pub(super) is_replaced: bool,
    pub(super) says_goodbye: bool,
    peer_closed: bool,
    /// Frames of every kind that it read.
    pub(super) frames: u64,
    /// The close code that it read.
    pub(super) closed: Option<u16>,
}

impl Client {
    pub(super) fn new(
        (user, of): (usize, Of),
        door: &'static Door,
        attached: Attached,
        socket: Arc<Socket>,
    ) -> Self {
        let bell = Arc::new(Bell::default());
        attached.connection.register(&bell.waker());
        let limits = Limits {
            message_bytes_max: 1 << 20,
            fragments_max: 1,
        };
        Self {
            user,
            of,
            door,
            attached: Some(attached),
            socket,
            decoder: Decoder::new(Role::Client, limits),
            bell,
            // The first poll of a task needs no waking.
            waits_to_write: true,
            ending: false,
            queues: vec![VecDeque::new(); TURNS + 1],
            outstanding: 0,
            peak: 0,
            is_greedy: false,
            seats: Vec::new(),
            places: BTreeMap::new(),
            of_group: (0, Vec::new()),
            excused: (0, 0),
            heard: 0,
            silence_max: 0,
            is_deaf: false,
            is_polite: true,
            is_replaced: false,
            says_goodbye: false,
            peer_closed: false,
            frames: 0,
            closed: None,
        }
    }

    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        self.attached.as_ref().map(|attached| &attached.connection)
    }

    /// Whether frames may still come and go.
    pub(super) fn is_open(&self) -> bool {
        let open = |connection: &Arc<Connection>| connection.phase() == Phase::Open;
        self.connection().is_some_and(open) && !self.socket.is_broken()
    }

    pub(super) fn expect(&mut self, queue: usize, expect: Expect) {
        self.outstanding += expect.weight();
        self.peak = self.peak.max(self.outstanding);
        self.queues[queue].push_back(expect);
    }

    /// `expect` came, or was done without.
    pub(super) const fn settle(&mut self, expect: &Expect) {
        self.outstanding -= expect.weight();
    }

    /// A replay comes next.
    pub(super) fn begin_replay(&mut self) {
        let mut waiting = self.queues.iter().flatten();
        self.is_greedy |= waiting.any(|expect| expect.opening);
    }

    /// The connection is closed, but not for being slow: what waits of its own frames still comes.
    pub(super) fn end_in_peace(&mut self) {
        if self.is_open() {
            self.queues[OWN]
                .iter_mut()
                .for_each(|expect| expect.is_last_wish = true);
        }
    }

    /// The longest time for which nothing was heard of it; what it is asked then may reach it later.
    pub(super) fn silence(&self, now: u64) -> u64 {
        self.silence_max.max(now.saturating_sub(self.heard))
    }

    /// Whether frames that may be dropped can have been: its queue was full.
    pub(super) fn was_full(&self, now: u64) -> bool {
        // The server's own questions wait too, as a ping of the WebSocket and as a message.
        let questions = if self.silence(now) < self.door.idle {
            0
        } else {
            2
        };
        let by_bytes = self.door.queue_bytes < 1 << 20;
        self.socket.was_slow()
            && (by_bytes || self.is_greedy || self.peak + questions > self.door.queue_frames)
    }

    /// Whether the runtime would poll its task now.
    pub(super) fn has_to_run(&self) -> bool {
        let rung = self.bell.was_rung();
        rung || (self.waits_to_write && self.socket.is_writable())
    }

    /// The peer has closed its side.
    pub(super) const fn hang_up(&mut self) {
        self.peer_closed = true;
    }

    /// What the connection's task does when it is polled, see `transport/socket.rs`. Says whether the connection goes on.
    pub(super) fn run(&mut self, engine: &Arc<Engine>) -> bool {
        let Some(attached) = &self.attached else {
            return false;
        };
        let connection = attached.connection.clone();
        connection.register(&self.bell.waker());
        engine.open_mail(&connection);
        self.waits_to_write = false;
        loop {
            if self.is_over(engine, &connection) {
                return false;
            }
            if !connection.is_blocked() {
                return true;
            }
            if !self.socket.is_writable() {
                self.waits_to_write = true;
                return true;
            }
            connection.drain();
        }
    }

    fn is_over(&mut self, engine: &Engine, connection: &Arc<Connection>) -> bool {
        match connection.phase() {
            Phase::Open => return false,
            Phase::Closed => return true,
            Phase::Closing => {}
        }
        if !self.ending {
            self.ending = true;
            engine.abandon_later(connection);
        }
        connection.is_over() && (self.peer_closed || connection.is_abandoned())
    }
}
