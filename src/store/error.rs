//! What a store says when it cannot.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Why something was not written or not read. Each is cheap to clone: one failed commit is told to all who waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// As much waits to be written, or is kept, as may be; later there may be room.
    Full,
    /// The disk has no space left.
    NoSpace,
    /// The folder or its file system cannot be written to.
    ReadOnly,
    /// What was acknowledged cannot be read back.
    Damaged {
        /// The file, or the folder.
        path: Arc<Path>,
        /// Where in it, and what was found.
        what: Arc<str>,
    },
    /// It was written by a newer version.
    Newer {
        /// The version of the format that was found.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Another process has it open.
    Locked,
    /// Anything else that the system said.
    Io(Arc<str>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the store is full"),
            Self::NoSpace => f.write_str("no space is left on the disk of the store"),
            Self::ReadOnly => f.write_str("the store cannot be written to"),
            Self::Damaged { path, what } => {
                write!(f, "the store is damaged at {}: {what}", path.display())
            }
            Self::Newer { found, known } => write!(
                f,
                "the store has format {found}; this program knows formats up to {known}"
            ),
            Self::Locked => f.write_str("another process has the store open"),
            Self::Io(what) => write!(f, "the store failed: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}
