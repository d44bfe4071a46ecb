//! The newest messages of a room, bounded by number and age.

use std::collections::VecDeque;
use std::time::Duration;

use crate::protocol::Frame;
use crate::vocab::{MessageId, Seq, Timestamp};

/// A stored message.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in the room.
    pub seq: Seq,
    /// When it was stored.
    pub at: Timestamp,
    /// Its id.
    pub message_id: MessageId,
    /// What readers get.
    pub frame: Frame,
}

/// The messages, oldest first.
#[derive(Debug)]
pub struct Log {
    entries: VecDeque<Entry>,
    last: Seq,
    lost: Seq,
    bytes: usize,
    messages_max: usize,
    age: Duration,
}

/// A page of messages.
#[derive(Debug)]
pub struct Page {
    /// In their order.
    pub entries: Vec<Entry>,
    /// Whether there are older ones.
    pub more: bool,
}

/// What an entry costs beside its frame's bytes, roughly.
const ENTRY_BYTES: usize = size_of::<Entry>() + 32;

impl Log {
    /// An empty log that keeps at most `messages_max` messages for at most `age`, and numbers on from `reached`.
    pub const fn new(messages_max: usize, age: Duration, reached: Seq) -> Self {
        Self {
            entries: VecDeque::new(),
            last: reached,
            lost: reached,
            bytes: 0,
            messages_max,
            age,
        }
    }

    /// The number of the newest message that was ever stored; 0 before the first.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// The number of the newest message that a bound drove out; readers before it have missed something.
    pub const fn lost(&self) -> Seq {
        self.lost
    }

    /// What it takes, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Stores a message under the number `seq`, which is above all before.
    pub fn append(&mut self, seq: Seq, at: Timestamp, message_id: MessageId, frame: Frame) {
        self.last = seq;
        self.bytes += frame.bytes().len() + ENTRY_BYTES;
        self.entries.push_back(Entry {
            seq,
            at,
            message_id,
            frame,
        });
        while self.entries.len() > self.messages_max {
            self.lose_oldest();
        }
        self.trim(at);
    }

    /// The messages behind `seq`.
    pub fn after(&self, seq: Seq) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.seq <= seq);
        self.entries.range(start..)
    }

    /// The newest `count` messages.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &Entry> {
        self.entries
            .range(self.entries.len().saturating_sub(count)..)
    }

    /// At most `limit` messages before `before`, or the newest, and whether there are older ones.
    pub fn page(
        &self,
        before: Option<Seq>,
        limit: usize,
    ) -> (impl Iterator<Item = &Entry> + use<'_>, bool) {
        let end = before.map_or(self.entries.len(), |before| {
            self.entries.partition_point(|entry| entry.seq < before)
        });
        let start = end.saturating_sub(limit);
        (self.entries.range(start..end), start > 0)
    }

    /// Drops what is older than the age.
    pub fn trim(&mut self, now: Timestamp) {
        while self
            .entries
            .front()
            .is_some_and(|entry| now >= entry.at.after(self.age))
        {
            self.lose_oldest();
        }
    }

    /// When the newest message will be too old, where there is one.
    pub fn empty_at(&self) -> Option<Timestamp> {
        self.entries.back().map(|entry| entry.at.after(self.age))
    }

    /// Drops the older half.
    pub fn halve(&mut self) {
        for _ in 0..self.entries.len().div_ceil(2) {
            self.lose_oldest();
        }
    }

    /// Drops what has been dealt with, which loses nothing.
    pub fn forget_through(&mut self, seq: Seq) {
        while self.entries.front().is_some_and(|entry| entry.seq <= seq) {
            self.drop_oldest();
        }
    }

    fn lose_oldest(&mut self) {
        if let Some(seq) = self.drop_oldest() {
            self.lost = seq;
        }
    }

    fn drop_oldest(&mut self) -> Option<Seq> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.frame.bytes().len() + ENTRY_BYTES;
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(entry.seq)
    }
}
