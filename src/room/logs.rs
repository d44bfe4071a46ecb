//! What a room keeps: a log of what everyone may read, and one for each of its audiences.
//!
//! All are numbered together, so that there is one order. Each has the bounds to itself: what an audience is told drives out nothing
//! that others read, who could otherwise tell by it.

use std::time::Duration;

use crate::protocol::Frame;
use crate::room::log::{Entry, Log, Page};
use crate::vocab::{AudienceSet, MessageId, Seq, Timestamp};

/// The logs of one room.
#[derive(Debug)]
pub struct Logs {
    open: Log,
    /// By the audience's number.
    hidden: Box<[Log]>,
}

impl Logs {
    /// Empty logs, for everyone and for so many audiences; each keeps at most `messages_max` messages for at most `age`, and
    /// numbers on from `reached`.
    pub fn new(messages_max: usize, age: Duration, reached: Seq, audiences: usize) -> Self {
        let log = || Log::new(messages_max, age, reached);
        Self {
            open: log(),
            hidden: (0..audiences).map(|_| log()).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Log> {
        std::iter::once(&self.open).chain(&self.hidden)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Log> {
        std::iter::once(&mut self.open).chain(&mut self.hidden)
    }

    /// Those that a reader of `audiences` reads.
    fn read_by(&self, audiences: AudienceSet) -> impl Iterator<Item = &Log> {
        let hidden = audiences
            .numbers()
            .filter_map(|number| self.hidden.get(number));
        std::iter::once(&self.open).chain(hidden)
    }

    /// The number of the newest message that was ever stored, whoever reads it.
    pub fn last(&self) -> Seq {
        self.all().map(Log::last).max().unwrap_or_default()
    }

    /// The number of the newest message that a bound drove out and a reader of `audiences` would read.
    pub fn lost(&self, audiences: AudienceSet) -> Seq {
        let lost = self.read_by(audiences).map(Log::lost);
        lost.max().unwrap_or_default()
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.all().map(Log::bytes).sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.all().all(Log::is_empty)
    }

    /// Stores a message for the readers of `audience`, for everyone where it is empty, as the next one.
    pub fn append(
        &mut self,
        at: Timestamp,
        message_id: MessageId,
        audience: AudienceSet,
        frame: Frame,
    ) {
        let seq = self.last().next();
        let hidden = audience.numbers().next();
        let log = match hidden.and_then(|number| self.hidden.get_mut(number)) {
            Some(log) => log,
            None if audience.is_empty() => &mut self.open,
            // A message of an audience that the room does not have has no reader.
            None => return,
        };
        log.append(seq, at, message_id, frame);
    }

    /// What a reader of `audiences` reads behind `seq`, oldest first.
    pub fn after(&self, seq: Seq, audiences: AudienceSet) -> Vec<&Entry> {
        let entries = self.read_by(audiences).flat_map(|log| log.after(seq));
        in_order(entries.collect())
    }

    /// The newest `count` messages that a reader of `audiences` reads, oldest first.
    pub fn newest(&self, count: usize, audiences: AudienceSet) -> Vec<&Entry> {
        let entries = self.read_by(audiences).flat_map(|log| log.newest(count));
        let mut entries = in_order(entries.collect());
        entries.split_off(entries.len().saturating_sub(count))
    }

    /// At most `limit` messages before `before`, or the newest, that a reader of `audiences` reads.
    pub fn page(&self, before: Option<Seq>, limit: usize, audiences: AudienceSet) -> Page {
        let mut is_cut = false;
        let mut entries = Vec::new();
        for log in self.read_by(audiences) {
            let (page, more) = log.page(before, limit);
            entries.extend(page);
            is_cut |= more;
        }
        let entries = in_order(entries);
        let first = entries.len().saturating_sub(limit);
        Page {
            entries: entries[first..].iter().copied().cloned().collect(),
            more: is_cut || first > 0,
        }
    }

    /// Drops what is older than the age.
    pub fn trim(&mut self, now: Timestamp) {
        self.all_mut().for_each(|log| log.trim(now));
    }

    /// When the newest message will be too old, where there is one.
    pub fn empty_at(&self) -> Option<Timestamp> {
        self.all().filter_map(Log::empty_at).max()
    }

    /// Drops the older half of each.
    pub fn halve(&mut self) {
        self.all_mut().for_each(Log::halve);
    }

    /// Drops what everyone may read and has been dealt with, which loses nothing.
    pub fn forget_through(&mut self, seq: Seq) {
        self.open.forget_through(seq);
    }
}

/// What several logs gave, each in its order, in the order of all.
fn in_order(mut entries: Vec<&Entry>) -> Vec<&Entry> {
    entries.sort_by_key(|entry| entry.seq);
    entries
}
