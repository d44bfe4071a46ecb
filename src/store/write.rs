//! What is committed together.

use std::fmt;

use bytes::Bytes;

use crate::store::{StoreError, Table};

/// Told when a commit is durable, or why it is not. It is called from a thread of the store, or within [`submit`] itself: it hands the
/// news on, and neither blocks nor takes a lock that its submitter holds.
///
/// [`submit`]: crate::store::Store::submit
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One change of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The entry `key` has this value from now on.
    Put(Table, Bytes, Bytes),
    /// There is no entry `key`.
    Delete(Table, Bytes),
}

/// Changes that are committed together: after a crash either all of them are there or none.
#[derive(Clone, Default)]
pub struct Write {
    changes: Vec<Change>,
    bytes: usize,
}

impl Write {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: `key` has `value`.
    pub fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.add(Change::Put(table, key.into(), value.into()));
    }

    /// Adds: there is no `key`.
    pub fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        self.add(Change::Delete(table, key.into()));
    }

    fn add(&mut self, change: Change) {
        self.bytes += match &change {
            Change::Put(_, key, value) => key.len() + value.len(),
            Change::Delete(_, key) => key.len(),
        };
        self.changes.push(change);
    }

    /// The bytes of its keys and values.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, in the order in which they were added: of two for one key the later counts.
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("changes", &self.changes.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}
