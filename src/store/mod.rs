//! What is kept: ordered tables with commits that are all or nothing.
//!
//! A [`Store`] knows keys and values, no rooms and no messages: who owns a noun (a room's log, an event that waits for the
//! application) says how it is written. [`MemoryStore`] is the other half of `store: memory`: there the logs stand in their rooms,
//! and what they take in all is counted against the Plan's bound.

mod error;
mod table;
mod volatile;
mod write;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::vocab::ByteSize;

pub use error::StoreError;
pub use table::{Direction, Entry, Most, Range, Store, Table};
pub use volatile::VolatileStore;
pub use write::{Change, Done, Write};

/// What all logs in memory take together.
#[derive(Debug)]
pub struct MemoryStore {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl MemoryStore {
    /// A store that may keep `bytes_max` in all.
    pub const fn new(bytes_max: ByteSize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max: bytes_max.len(),
        }
    }

    /// What is kept, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// One log grew or shrank.
    pub fn changed(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Whether more is kept than may be, so that logs have to be shortened.
    pub fn is_full(&self) -> bool {
        self.bytes() > self.bytes_max
    }
}
