//! A room's readers: which part of what is said each of them gets, while it comes, goes or changes too.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::changeover::Changeover;
use crate::engine::connection::Connection;
use crate::protocol::Frame;
use crate::vocab::{AudienceSet, Seq};

/// A connection that reads a room.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Arc<Connection>,
    /// While it comes or goes.
    pub(super) passage: Option<Box<Passage>>,
    /// The last message of the inbox that it was written.
    pub(super) written: Seq,
    /// What writing a message to it does.
    pub(super) writing: Writing,
    /// The room's audiences that it is of.
    pub(super) audiences: AudienceSet,
}

/// What writing a message to a reader does beside that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// Nothing.
    Plain,
    /// It takes the message out of the inbox.
    Receives,
}

/// How somebody reads a room.
#[derive(Debug, Default)]
pub struct Reading {
    /// What comes before anything else.
    pub opening: Vec<Frame>,
    /// Where writing a message takes it out of the inbox: the last number that the opening has.
    pub receipt: Option<Seq>,
    /// The room's audiences that the reader is of.
    pub audiences: AudienceSet,
}

/// A reader's audiences change, from some place among what is said on.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) serial: u64,
    pub(super) stay: usize,
    pub(super) from: usize,
    pub(super) audiences: AudienceSet,
    /// Told when everything before has been written.
    pub(super) over: Arc<Changeover>,
}

/// Which part of a batch a reader gets that comes or goes within it.
#[derive(Debug)]
pub(super) struct Passage {
    /// What it gets before anything else.
    pub(super) opening: Vec<Frame>,
    pub(super) from: usize,
    pub(super) until: usize,
    /// Which of the connection's stays within the batch it is.
    pub(super) stay: usize,
    /// The audiences that it is of from some say on, in their order.
    pub(super) changes: Vec<(usize, AudienceSet)>,
}

pub(super) const STAYS: usize = usize::MAX;

impl Reader {
    pub(super) fn stays(&self) -> bool {
        self.passage
            .as_ref()
            .is_none_or(|passage| passage.until == STAYS)
    }

    pub(super) fn stay(&self) -> usize {
        self.passage.as_ref().map_or(0, |passage| passage.stay)
    }

    /// What it gets before anything else.
    pub(super) fn take_opening(&mut self) -> Vec<Frame> {
        self.passage
            .as_mut()
            .map(|passage| std::mem::take(&mut passage.opening))
            .unwrap_or_default()
    }

    pub(super) fn see_out(&mut self, stay: usize, until: usize) {
        let passage = self.passage();
        (passage.stay, passage.until) = (stay, until);
    }

    /// It is of other audiences from the say of this number on.
    pub(super) fn turn(&mut self, from: usize, audiences: AudienceSet) {
        self.passage().changes.push((from, audiences));
    }

    fn passage(&mut self) -> &mut Passage {
        self.passage.get_or_insert_with(|| {
            Box::new(Passage {
                opening: Vec::new(),
                from: 0,
                until: STAYS,
                stay: 0,
                changes: Vec::new(),
            })
        })
    }

    /// The batch is over: it goes on with what it is of now.
    pub(super) fn settle(&mut self) {
        let passage = self.passage.take();
        let last = passage.and_then(|passage| passage.changes.last().copied());
        self.audiences = last.map_or(self.audiences, |(_, audiences)| audiences);
    }

    /// All audiences that it is of within the batch.
    pub(super) fn all_audiences(&self) -> AudienceSet {
        let changes = self.passage.iter().flat_map(|passage| &passage.changes);
        changes.fold(self.audiences, |all, (_, audiences)| all.or(*audiences))
    }

    /// Whether its audiences change within the batch.
    pub(super) fn changes(&self) -> bool {
        let passage = self.passage.as_ref();
        passage.is_some_and(|passage| !passage.changes.is_empty())
    }

    /// Whether it reads the say of this number, which is for `audience`.
    pub(super) fn reads_at(&self, say: usize, audience: AudienceSet) -> bool {
        let changes = self.passage.iter().flat_map(|passage| &passage.changes);
        let last = changes.take_while(|(from, _)| *from <= say).last();
        last.map_or(self.audiences, |(_, audiences)| *audiences)
            .has(audience)
    }

    /// The part of `frames` frames that it gets.
    pub(super) fn share(&self, frames: usize) -> Range<usize> {
        let (from, until) = self
            .passage
            .as_ref()
            .map_or((0, STAYS), |passage| (passage.from, passage.until));
        let start = from.min(frames);
        start..until.clamp(start, frames)
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    /// Each member of each room is one.
    #[test]
    fn a_reader_is_small() {
        assert_eq!(size_of::<Reader>(), 32);
    }
}
