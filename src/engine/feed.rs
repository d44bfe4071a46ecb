//! Fan-out: what one room's readers still have to get, and the flush that writes it.
//!
//! Publishers append to the room's [`Feed`] under the room's lock and go on. The first of a scheduler turn spawns the flush; by the
//! time that it runs, it finds what all of them appended, and writes each reader's share with one vectored write. One flush of a
//! room runs at a time, so a room has one order; a reader whose socket would block is left to its own task.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use crate::engine::changeover::Changeover;
use crate::engine::conflation::Conflation;
use crate::engine::connection::Connection;
use crate::engine::reader::{Change, Passage, Reader, Reading, STAYS, Writing};
use crate::engine::waiting::Keep;
use crate::protocol::Frame;
use crate::vocab::{AudienceSet, Monotonic, Seq};

/// So many frames may wait for a room's flush before publishers and newcomers are refused.
const WAITING_FRAMES_MAX: usize = 16_384;
/// So many bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a room's readers still have to get.
#[derive(Debug, Default)]
pub struct Feed {
    pub(super) readers: Vec<Reader>,
    entering: Vec<Reader>,
    /// By the serial of a leaving connection, the number of frames that it still gets: once for each stay that ends.
    leaving: HashMap<u64, Vec<usize>>,
    says: Vec<Say>,
    says_bytes: usize,
    /// Frames for one connection each.
    answers: Vec<Answer>,
    /// Readers whose audiences change, while any do.
    changes: Option<Box<Changes>>,
    /// What is thinned, while anything is.
    conflation: Option<Box<Conflation>>,
    pub(super) flushing: bool,
}

/// Changes of readers: seldom any, so that a room has but a pointer for them.
#[derive(Debug, Default)]
struct Changes(Vec<Change>);

/// A frame for one reader.
#[derive(Debug)]
pub(super) struct Answer {
    /// The connection's.
    pub(super) serial: u64,
    /// How many stays of that connection have ended before within the batch.
    pub(super) stay: usize,
    /// The number of frames for all that go before.
    pub(super) before: usize,
    pub(super) frame: Frame,
}

/// One frame for the readers of an audience.
#[derive(Debug)]
pub(super) struct Say {
    pub(super) audience: Audience,
    /// The room's audience that it is for; empty: all.
    pub(super) of: AudienceSet,
    pub(super) frame: Frame,
    /// The message type's number, for counting.
    pub(super) message: Option<usize>,
    pub(super) seq: Option<Seq>,
    pub(super) keep: Keep,
}

/// Which readers get a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// All.
    Everyone,
    /// Those of other users than the one of this number.
    NotUser(u64),
    /// All but the connection of this number.
    NotConnection(u64),
}

impl Audience {
    pub(super) fn includes(self, connection: &Connection) -> bool {
        match self {
            Self::Everyone => true,
            Self::NotUser(user) => connection.user_serial != user,
            Self::NotConnection(serial) => connection.serial != serial,
        }
    }
}

impl crate::broker::memory::Feed for Feed {
    fn is_idle(&self) -> bool {
        !self.flushing && self.readers.is_empty() && !self.has_work()
    }
}

impl Feed {
    pub(super) fn has_work(&self) -> bool {
        !(self.says.is_empty()
            && self.answers.is_empty()
            && self.changes.is_none()
            && self.entering.is_empty()
            && self.leaving.is_empty())
    }

    /// Whether so much waits that publishers and newcomers have to be refused.
    pub fn is_full(&self) -> bool {
        let kept_back = self.conflation.as_ref();
        let kept_back = kept_back.map_or(0, |conflation| conflation.bytes());
        self.says.len() + self.entering.len() >= WAITING_FRAMES_MAX
            || self.says_bytes + kept_back >= WAITING_BYTES_MAX
    }

    /// `connection` reads from here on, the opening first.
    pub fn enter(&mut self, connection: Arc<Connection>, reading: Reading) {
        let from = self.says.len();
        self.entering.push(Reader {
            connection,
            written: reading.receipt.unwrap_or_default(),
            writing: match reading.receipt {
                Some(_) => Writing::Receives,
                None => Writing::Plain,
            },
            audiences: reading.audiences,
            passage: Some(Box::new(Passage {
                opening: reading.opening,
                from,
                until: STAYS,
                stay: 0,
                changes: Vec::new(),
            })),
        });
    }

    /// The connection of this number reads up to here.
    pub fn leave(&mut self, serial: u64) {
        let until = self.says.len();
        self.leaving.entry(serial).or_default().push(until);
    }

    /// The connection of this number reads what is for `audiences` from here on; `over` is told when it does.
    pub(super) fn change(&mut self, serial: u64, audiences: AudienceSet, over: Arc<Changeover>) {
        self.changes.get_or_insert_default().0.push(Change {
            serial,
            stay: self.leaving.get(&serial).map_or(0, Vec::len),
            from: self.says.len(),
            audiences,
            over,
        });
    }

    /// A frame for one reader, in its place among those for all.
    pub fn answer(&mut self, serial: u64, frame: Frame) {
        let answer = Answer {
            serial,
            stay: self.leaving.get(&serial).map_or(0, Vec::len),
            before: self.says.len(),
            frame,
        };
        self.answers.push(answer);
    }

    /// A frame that is no message: an announcement.
    pub fn say(&mut self, audience: Audience, frame: Frame) {
        self.push(Say {
            audience,
            of: AudienceSet::NONE,
            frame,
            message: None,
            seq: None,
            keep: Keep::Always,
        });
    }

    /// A message.
    pub(super) fn publish(&mut self, say: Say) {
        self.push(say);
    }

    /// Whether a thinned message of `subject` has a place: rooms tell so many apart at a time.
    pub(super) fn has_place(&self, subject: u64) -> bool {
        let conflation = self.conflation.as_ref();
        conflation.is_none_or(|conflation| conflation.has_place(subject))
    }

    /// A message of a type that is thinned: said now, or later unless a newer one takes its place. Returns when the room has to be
    /// looked at again, where that is not known already.
    pub(super) fn publish_thinned(
        &mut self,
        say: Say,
        subject: u64,
        every: Duration,
        now: Monotonic,
    ) -> Option<Monotonic> {
        let conflation = self.conflation.get_or_insert_default();
        let said = conflation.offer(say, subject, every, now);
        let alarm = conflation.alarm();
        if let Some(say) = said {
            self.push(say);
        }
        alarm
    }

    /// Says what was kept back until now. Returns when the room has to be looked at again.
    pub(super) fn say_due(&mut self, now: Monotonic) -> Option<Monotonic> {
        let mut conflation = self.conflation.take()?;
        for say in conflation.due(now) {
            self.push(say);
        }
        let alarm = conflation.alarm();
        self.conflation = Some(conflation).filter(|conflation| !conflation.is_empty());
        alarm
    }

    fn push(&mut self, say: Say) {
        self.says_bytes += say.frame.bytes().len();
        self.says.push(say);
    }

    /// Whether a flush has to be spawned for what was appended; then it counts as spawned.
    pub fn needs_flush(&mut self) -> bool {
        let needs = !self.flushing && self.has_work();
        self.flushing |= needs;
        needs
    }

    pub(super) fn take(&mut self) -> Batch {
        self.says_bytes = 0;
        Batch {
            entering: std::mem::take(&mut self.entering),
            leaving: std::mem::take(&mut self.leaving),
            says: std::mem::take(&mut self.says),
            changes: self
                .changes
                .take()
                .map_or_else(Vec::new, |changes| changes.0),
            answers: {
                let mut answers = std::mem::take(&mut self.answers);
                answers.sort_by_key(|answer| answer.serial);
                answers
            },
        }
    }
}

/// What one round of a flush writes.
pub(super) struct Batch {
    pub(super) entering: Vec<Reader>,
    pub(super) leaving: HashMap<u64, Vec<usize>>,
    pub(super) says: Vec<Say>,
    pub(super) changes: Vec<Change>,
    /// By the connection's number, each connection's in their order.
    pub(super) answers: Vec<Answer>,
}

impl Batch {
    /// Whether any reader comes, goes or changes within it.
    pub(super) fn moves(&self) -> bool {
        !(self.entering.is_empty() && self.leaving.is_empty() && self.changes.is_empty())
    }

    /// The answers for the connection of this number.
    pub(super) fn answers(&self, serial: u64) -> &[Answer] {
        if self.answers.is_empty() {
            return &[];
        }
        let start = self
            .answers
            .partition_point(|answer| answer.serial < serial);
        let answers = &self.answers[start..];
        &answers[..answers.partition_point(|answer| answer.serial == serial)]
    }
}
