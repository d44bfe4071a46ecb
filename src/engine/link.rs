//! What crosses between an outbox, its socket and who sends.

use std::io::{self, IoSlice};

/// The socket of a connection, as far as delivery needs it.
pub trait Link: Send + Sync + 'static {
    /// Writes as much as the socket takes without waiting, and says how much that was.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing now; anything else ends the connection.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// When what is sent leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    AtOnce,
    /// When more has gathered: whoever asked for the first of it lets it go with [`Outbox::let_go`].
    Gathered,
}

/// What a write came to, for counters and for who has to act on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// System calls.
    pub(super) calls: u64,
    /// Bytes that the socket took.
    pub(super) bytes: u64,
    /// Frames of which it took the last byte.
    pub(super) frames: u64,
    /// Frames that made room for others.
    pub(super) dropped: u64,
    /// The connection's own task has something to do: wait until the socket takes more, or end.
    pub(super) wake: bool,
    /// The bounds were exceeded, and the connection is closing.
    pub(super) overflowed: bool,
    /// Something began to gather.
    pub(super) gathers: bool,
}

impl Written {
    /// Counts another write too.
    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.frames += other.frames;
        self.dropped += other.dropped;
        self.wake |= other.wake;
        self.overflowed |= other.overflowed;
        self.gathers |= other.gathers;
    }
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Open,
    /// A close frame is the last that will be written.
    Closing,
    /// Nothing can be written any more.
    Closed,
}

/// What becomes of the frames that wait when a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    /// They are written first.
    Write,
    /// They are dropped: the reader is too slow for them.
    Drop,
}
