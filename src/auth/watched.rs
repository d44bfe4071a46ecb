//! Files that are read again when they change.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::vocab::Monotonic;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of a file whose content may be wrong as `E` says.
pub(super) struct Watched<E> {
    looked: Mutex<Looked<E>>,
}

/// What was seen when the file was last looked at.
struct Looked<E> {
    at: Option<Monotonic>,
    /// None where it could not be read: that may pass without the file changing, and what it takes away has to be seen.
    version: Option<Version>,
    /// Why it could not be read the last time: it is told once.
    told: Option<FileError<E>>,
}

/// What tells one version of a file from the next, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    bytes: u64,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileError<E> {
    #[error("it cannot be read: {0}")]
    Read(std::io::ErrorKind),
    #[error(transparent)]
    Content(E),
}

impl<E> Default for Watched<E> {
    fn default() -> Self {
        let looked = Looked {
            at: None,
            version: None,
            told: None,
        };
        Self {
            looked: Mutex::new(looked),
        }
    }
}

impl<E: Clone + PartialEq> Watched<E> {
    /// What `read` makes of the text in the file, of which it gets up to `bytes_max` and one byte more; nothing where the file has
    /// not changed since it was last looked at, was looked at within a second, or cannot be read for the reason already told. Blocks.
    pub(super) fn look<T>(
        &self,
        path: &Path,
        now: Monotonic,
        bytes_max: u64,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Result<T, FileError<E>>> {
        let mut looked = self.looked.lock();
        if looked.at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return None;
        }
        looked.at = Some(now);
        let text = version(path).and_then(|version| {
            let known = looked.version.replace(version);
            if known == Some(version) {
                return Ok(None);
            }
            text(path, bytes_max).map(Some)
        });
        let found = match text {
            Ok(None) => return None,
            Ok(Some(text)) => read(&text).map_err(FileError::Content),
            Err(kind) => {
                looked.version = None;
                Err(FileError::Read(kind))
            }
        };
        let told = std::mem::replace(&mut looked.told, found.as_ref().err().cloned());
        match &found {
            Err(error @ FileError::Read(_)) if told.as_ref() == Some(error) => None,
            _ => Some(found),
        }
    }
}

fn version(path: &Path) -> Result<Version, std::io::ErrorKind> {
    let meta = std::fs::metadata(path).map_err(|error| error.kind())?;
    let modified = meta.modified().map_err(|error| error.kind())?;
    Ok(Version {
        modified,
        bytes: meta.len(),
    })
}

fn text(path: &Path, bytes_max: u64) -> Result<String, std::io::ErrorKind> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
        .map_err(|error| error.kind())?;
    Ok(text)
}
