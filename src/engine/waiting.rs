//! The frames that one slow or waiting socket still has to get, and which of them may go when there are too many.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use smallvec::SmallVec;

/// Buffers that one write takes: more than that makes it no cheaper by the frame.
const SLICES_MAX: usize = 64;
/// The slices of one write.
pub(super) type Slices<'a> = SmallVec<[IoSlice<'a>; SLICES_MAX]>;

/// Emptied queues that a thread keeps for the next that needs one.
const SPARE_MAX: usize = 16;
/// Frames that a spare queue may have room for.
const SPARE_FRAMES_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes move from connection to connection as they are")]
    static SPARE: RefCell<Vec<Box<Waiting>>> = const { RefCell::new(Vec::new()) };
}

/// A frame on its way to a socket.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) bytes: Bytes,
    pub(super) keep: Keep,
}

/// What may become of a frame whose reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is written, or the connection ends.
    Always,
    /// It goes when there is no room for it.
    IfRoom,
    /// It goes when a newer one of the same subject comes, or when there is no room for it.
    Newest(u64),
}

impl Parcel {
    /// A frame that may not be dropped.
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            keep: Keep::Always,
        }
    }
}

/// Frames for a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'p> {
    /// In their order.
    pub(super) parcels: &'p [Parcel],
    /// The bytes of all of them in one piece, where many readers get the same: the kernel copies one piece faster than many.
    pub(super) joined: Option<&'p Bytes>,
}

impl<'p> Sent<'p> {
    /// Frames in pieces of their own.
    pub(super) const fn pieces(parcels: &'p [Parcel]) -> Self {
        Self {
            parcels,
            joined: None,
        }
    }
}

/// Bounds of what waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Bytes that wait.
    pub(super) bytes: usize,
    /// Frames that wait.
    pub(super) frames: usize,
}

/// What waits, in its order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    parcels: VecDeque<Parcel>,
    /// How much of the first has been written.
    written_of_first: usize,
    bytes: usize,
    /// How many of them may go.
    droppable: usize,
    /// What may wait beyond the bounds: replays, whose bytes the rooms' logs keep anyway.
    pub(super) excused: Bounds,
}

impl Waiting {
    /// An empty queue: one that this thread emptied before, where there is one.
    pub(super) fn take_spare() -> Box<Self> {
        SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| Box::new(Self::default()))
    }

    /// An emptied queue, for the next that needs one.
    pub(super) fn give_back(mut self: Box<Self>) {
        if self.parcels.capacity() > SPARE_FRAMES_MAX {
            return;
        }
        self.parcels.clear();
        (self.written_of_first, self.bytes, self.droppable) = (0, 0, 0);
        self.excused = Bounds::default();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn frames(&self) -> usize {
        self.parcels.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Puts a frame before all others, of which nothing has been written.
    pub(super) fn push_first(&mut self, parcel: Parcel) {
        self.bytes += parcel.bytes.len();
        self.parcels.push_front(parcel);
    }

    /// Puts `parcel` behind what waits; of its subject nothing older remains.
    /// Returns how many frames went.
    pub(super) fn push(&mut self, parcel: Parcel) -> usize {
        let mut dropped = 0;
        match parcel.keep {
            Keep::Always => {}
            Keep::IfRoom => self.droppable += 1,
            Keep::Newest(_) => {
                dropped = self.drop_older(parcel.keep);
                self.droppable += 1;
            }
        }
        self.bytes += parcel.bytes.len();
        self.parcels.push_back(parcel);
        dropped
    }

    /// Puts `parcels` behind what waits. Where nothing waits they are what a write left, `written` bytes of the first being out.
    /// Returns how many frames went.
    pub(super) fn push_rest(&mut self, parcels: &[Parcel], written: usize) -> usize {
        let was_empty = self.parcels.is_empty();
        let mut dropped = 0;
        for (index, parcel) in parcels.iter().enumerate() {
            dropped += self.push(parcel.clone());
            if index == 0 && was_empty {
                self.written_of_first = written;
                self.bytes -= written;
            }
        }
        dropped
    }

    fn drop_older(&mut self, subject: Keep) -> usize {
        if self.droppable == 0 {
            return 0;
        }
        let begun = usize::from(self.written_of_first > 0);
        let older = self.parcels.iter().skip(begun);
        let Some(at) = older.rev().position(|parcel| parcel.keep == subject) else {
            return 0;
        };
        let at = self.parcels.len() - 1 - at;
        if let Some(older) = self.parcels.remove(at) {
            self.bytes -= older.bytes.len();
            self.droppable -= 1;
        }
        1
    }

    /// Whether more waits than may. One frame always may, however large: it was accepted, and leaves before the next.
    pub(super) fn exceeds(&self, bounds: Bounds) -> bool {
        let last = self.parcels.back().map_or(0, |parcel| parcel.bytes.len());
        self.bytes.saturating_sub(last) > bounds.bytes + self.excused.bytes
            || self.parcels.len() > bounds.frames + self.excused.frames
    }

    /// Drops the oldest of those that may go until a quarter of the bounds is free again, so that it is not done for every frame.
    /// Returns how many went.
    pub(super) fn thin(&mut self, bounds: Bounds) -> usize {
        if self.droppable == 0 {
            return 0;
        }
        let bytes_wanted = bounds.bytes / 4 * 3 + self.excused.bytes;
        let frames_wanted = bounds.frames / 4 * 3 + self.excused.frames;
        let before = self.parcels.len();
        let (mut bytes, mut frames) = (self.bytes, before);
        let mut begun = self.written_of_first > 0;
        self.parcels.retain(|parcel| {
            let is_begun = std::mem::take(&mut begun);
            let goes = parcel.keep != Keep::Always
                && !is_begun
                && (bytes > bytes_wanted || frames > frames_wanted);
            if goes {
                bytes -= parcel.bytes.len();
                frames -= 1;
            }
            !goes
        });
        self.bytes = bytes;
        self.droppable -= before - frames;
        before - frames
    }

    /// The beginning of what waits, for one write.
    pub(super) fn slices(&self) -> Slices<'_> {
        let mut slices: Slices<'_> = self
            .parcels
            .iter()
            .take(SLICES_MAX)
            .map(|parcel| IoSlice::new(&parcel.bytes))
            .collect();
        if let Some(first) = slices.first_mut() {
            first.advance(self.written_of_first);
        }
        slices
    }

    /// So many bytes were written.
    pub(super) fn forget(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.parcels.front() {
            let left = first.bytes.len() - self.written_of_first;
            if written < left {
                self.written_of_first += written;
                return;
            }
            written -= left;
            self.written_of_first = 0;
            if first.keep != Keep::Always {
                self.droppable -= 1;
            }
            self.parcels.pop_front();
        }
    }

    /// Drops everything but a frame that has been begun.
    pub(super) fn drop_unbegun(&mut self) {
        let begun = usize::from(self.written_of_first > 0);
        self.parcels.truncate(begun);
        let begun = self.parcels.front();
        self.bytes = begun.map_or(0, |parcel| parcel.bytes.len() - self.written_of_first);
        self.droppable = usize::from(begun.is_some_and(|parcel| parcel.keep != Keep::Always));
    }
}

/// The beginning of `parcels`, for one write.
pub(super) fn slices_of(parcels: &[Parcel]) -> Slices<'_> {
    let first = parcels.iter().take(SLICES_MAX);
    first.map(|parcel| IoSlice::new(&parcel.bytes)).collect()
}

/// What is left of `parcels` when `written` bytes of them were: the rest, and how much of its first.
pub(super) fn rest_of(parcels: &[Parcel], mut written: usize) -> (&[Parcel], usize) {
    let mut rest = parcels;
    while let Some((first, others)) = rest.split_first() {
        if written < first.bytes.len() {
            break;
        }
        written -= first.bytes.len();
        rest = others;
    }
    (rest, written)
}
