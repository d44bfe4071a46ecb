//! The interface of a store: tables of bytes in the order of their keys.

use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use crate::store::{Done, StoreError, Write};

/// The tables. What their keys and values are is said where they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The store itself: its format, its epoch, its secret, numbers that were reached.
    Meta,
    /// What a room is, beside its messages.
    Rooms,
    /// Messages of rooms.
    Messages,
    /// Idempotency keys.
    Keys,
    /// Up to where inboxes have been dealt with.
    Receipts,
    /// Who is kept out.
    Blocks,
    /// When users were last seen.
    Users,
    /// Presence state that outlives its member.
    States,
    /// Events that the application has to be told.
    Events,
    /// Events that it could not be told.
    DeadLetters,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Rooms,
        Self::Messages,
        Self::Keys,
        Self::Receipts,
        Self::Blocks,
        Self::Users,
        Self::States,
        Self::Events,
        Self::DeadLetters,
    ];

    /// The next in their order.
    pub(super) fn after(self) -> Option<Self> {
        let at = Self::ALL.iter().position(|table| *table == self)?;
        Self::ALL.get(at + 1).copied()
    }

    /// Its name in files and in what `trunkline store` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Rooms => "rooms",
            Self::Messages => "messages",
            Self::Keys => "keys",
            Self::Receipts => "receipts",
            Self::Blocks => "blocks",
            Self::Users => "users",
            Self::States => "states",
            Self::Events => "events",
            Self::DeadLetters => "dead_letters",
        }
    }
}

/// From which key to which, in the order of bytes.
pub type Range = (Bound<Bytes>, Bound<Bytes>);

/// A key and its value.
pub type Entry = (Bytes, Bytes);

/// From which end a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The smallest key first.
    Forward,
    /// The greatest key first.
    Backward,
}

/// How much is read at once; reading ends behind the entry that reaches either.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Entries.
    pub entries: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// Ordered tables of bytes. Reads see what is committed, and nothing else.
pub trait Store: fmt::Debug + Send + Sync {
    /// Queues `write` behind all that was submitted before; writes become durable in this order, many at a time, and `done` is
    /// told in the same order.
    ///
    /// # Errors
    /// [`StoreError::Full`] where too much waits already, and what keeps the store from writing at all; then nothing was queued
    /// and `done` is not called.
    fn submit(&self, write: Write, done: Done) -> Result<(), StoreError>;

    /// The value of `key`.
    ///
    /// # Errors
    /// What kept it from being read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// The entries of `range`, from the end that `direction` says.
    ///
    /// # Errors
    /// What kept them from being read.
    fn scan(
        &self,
        table: Table,
        range: Range,
        direction: Direction,
        most: Most,
    ) -> Result<Vec<Entry>, StoreError>;

    /// What it takes, in bytes: on the disk, or in memory.
    fn bytes(&self) -> u64;

    /// Whether it takes writes, for readiness.
    ///
    /// # Errors
    /// Why it does not.
    fn health(&self) -> Result<(), StoreError>;
}
