//! One room as plain data: who is in it, what was said, what was said twice.
//!
//! No IO, no clock, no connections: whoever owns a [`Room`] passes the time in and does what the answers say. Frames stand here as
//! the bytes that readers get.

mod keys;
mod log;
mod logs;
mod members;
mod receipts;

use crate::plan::RoomKind;
use crate::protocol::Frame;
use crate::vocab::{AudienceSet, Epoch, MessageId, Position, Seq, Timestamp, UserId};

pub use keys::{Keys, Outcome, Seen};
pub use log::{Entry, Log, Page};
pub use logs::Logs;
pub use members::{Arrival, Departure, Grace, Member, Members};
pub use receipts::{DEVICES_MAX, Receipts};

/// A room.
#[derive(Debug)]
pub struct Room {
    epoch: Epoch,
    /// Who is here.
    pub members: Members,
    /// What was sent twice.
    pub keys: Keys,
    stored: Option<Box<Stored>>,
}

/// What a room costs beside the messages that it keeps, roughly.
const ROOM_BYTES: usize = 1024;

/// What a room with history or an inbox keeps.
#[derive(Debug)]
struct Stored {
    log: Logs,
    receipts: Option<Receipts>,
    replay_on_join: usize,
}

/// What a newcomer gets of what was said before.
#[derive(Debug, Default)]
pub struct Replay {
    /// Whether messages are missing between the position that was asked for and these.
    pub gap: bool,
    /// The messages, oldest first.
    pub frames: Vec<Frame>,
}

impl Room {
    /// An empty room of `kind` that numbers in `epoch`, on from `reached`.
    pub fn new(kind: &RoomKind, epoch: Epoch, reached: Seq) -> Self {
        let history = kind.history.as_ref();
        let inbox = kind.inbox.as_ref();
        let bounds = match (history, inbox) {
            (None, None) => None,
            (Some(history), None) => Some((history.messages_max, history.age)),
            (None, Some(inbox)) => Some((inbox.messages_max, inbox.age)),
            (Some(history), Some(inbox)) => Some((
                history.messages_max.max(inbox.messages_max),
                history.age.max(inbox.age),
            )),
        };
        let stored = bounds.map(|(messages_max, age)| {
            Box::new(Stored {
                log: Logs::new(messages_max, age, reached, kind.audiences.len()),
                receipts: inbox
                    .map(|inbox| Receipts::new(inbox.receipt, history.is_some(), reached)),
                replay_on_join: history.map_or(0, |history| history.replay_on_join),
            })
        });
        Self {
            epoch,
            members: Members::default(),
            keys: Keys::new(kind.idempotency_window, kind.idempotency_keys_max),
            stored,
        }
    }

    /// Where its log stands now, where it keeps one.
    pub fn position(&self) -> Option<Position> {
        self.stored.as_ref().map(|stored| Position {
            epoch: self.epoch,
            seq: stored.log.last(),
        })
    }

    /// What it keeps of its messages, in bytes.
    pub fn stored_bytes(&self) -> usize {
        let kept = self.stored.as_ref().filter(|stored| !stored.log.is_empty());
        kept.map_or(0, |stored| stored.log.bytes() + ROOM_BYTES)
    }

    /// The number that the next stored message gets, where the room keeps messages.
    pub fn next_seq(&self) -> Option<Seq> {
        self.stored.as_ref().map(|stored| stored.log.last().next())
    }

    /// Keeps a message for the readers of `audience`, for everyone where it is empty, under the number that [`Room::next_seq`] gave.
    pub fn store(
        &mut self,
        at: Timestamp,
        message_id: MessageId,
        audience: AudienceSet,
        frame: Frame,
    ) {
        if let Some(stored) = &mut self.stored {
            stored.log.append(at, message_id, audience, frame);
        }
    }

    /// What somebody of `audiences` gets who joins: what came since a position, the pending part of an inbox, or the newest
    /// messages.
    pub fn replay(
        &mut self,
        now: Timestamp,
        since: Option<Position>,
        device: Option<&str>,
        audiences: AudienceSet,
    ) -> Replay {
        let epoch = self.epoch;
        let Some(stored) = &mut self.stored else {
            // Nothing is kept here, so nobody can say what was missed.
            return Replay {
                gap: since.is_some(),
                frames: Vec::new(),
            };
        };
        stored.log.trim(now);
        let dealt_with = stored
            .receipts
            .as_mut()
            .map(|receipts| receipts.through(device, now));
        let same_epoch = since.is_none_or(|since| since.epoch == epoch);
        let after = match (since.filter(|_| same_epoch), dealt_with) {
            (Some(since), Some(dealt_with)) => Some(since.seq.max(dealt_with)),
            (Some(since), None) => Some(since.seq),
            (None, dealt_with) => dealt_with,
        };
        match after {
            Some(after) => {
                // An inbox gives everything that was not received, whatever numbering the reader remembers.
                let is_inbox = dealt_with.is_some();
                let from_the_future = same_epoch && after > stored.log.last();
                let lost = stored.log.lost(audiences);
                let gap = after < lost || (!is_inbox && (!same_epoch || from_the_future));
                Replay {
                    gap,
                    frames: frames(&stored.log.after(after, audiences)),
                }
            }
            None => {
                let newest = stored.log.newest(stored.replay_on_join, audiences);
                Replay {
                    gap: !same_epoch,
                    frames: frames(&newest),
                }
            }
        }
    }

    /// A page of what a reader of `audiences` may read, newest messages first to be found, in their order.
    pub fn page(
        &mut self,
        now: Timestamp,
        before: Option<Seq>,
        limit: usize,
        audiences: AudienceSet,
    ) -> Option<Page> {
        let stored = self.stored.as_mut()?;
        stored.log.trim(now);
        Some(stored.log.page(before, limit, audiences))
    }

    /// The inbox up to `seq` has been dealt with; false where the room has no inbox.
    pub fn received(&mut self, now: Timestamp, seq: Seq, device: Option<&str>) -> bool {
        let Some(stored) = &mut self.stored else {
            return false;
        };
        let Some(receipts) = &mut stored.receipts else {
            return false;
        };
        let done = receipts.receive(seq.min(stored.log.last()), device, now);
        stored.log.forget_through(done);
        true
    }

    /// The inbox up to `seq` was written to a connection of its owner.
    pub fn written(&mut self, seq: Seq) {
        self.received(Timestamp::from_millis(0), seq, None);
    }

    /// How many messages wait in the inbox; none where the room has no inbox.
    pub fn unread(&mut self, now: Timestamp, device: Option<&str>) -> Option<usize> {
        let stored = self.stored.as_mut()?;
        let through = stored.receipts.as_mut()?.through(device, now);
        Some(stored.log.after(through, AudienceSet::NONE).len())
    }

    /// Drops what is too old; returns when the rest will be, where there is any.
    pub fn trim(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.keys.trim(now);
        let log_empty_at = self.stored.as_mut().and_then(|stored| {
            stored.log.trim(now);
            stored.log.empty_at()
        });
        self.keys.empty_at().max(log_empty_at)
    }

    /// Drops the older half of what it keeps, to make room.
    pub fn halve(&mut self) {
        if let Some(stored) = &mut self.stored {
            stored.log.halve();
        }
    }

    /// Whether nothing remains to be remembered: nobody is here, and nothing is kept.
    pub fn is_forgettable(&self) -> bool {
        let nothing_kept = self
            .stored
            .as_ref()
            .is_none_or(|stored| stored.log.is_empty());
        self.members.is_empty() && nothing_kept && self.keys.is_empty()
    }

    /// Whether `user` is in the room.
    pub fn has(&self, user: &UserId) -> bool {
        self.members.has(user)
    }
}

fn frames(entries: &[&Entry]) -> Vec<Frame> {
    entries.iter().map(|entry| entry.frame.clone()).collect()
}

#[cfg(test)]
mod tests;
