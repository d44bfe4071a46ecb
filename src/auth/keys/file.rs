//! `jwks_file`: a set of keys that is read again when it changes.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::plan::key::{Key, Origin, SET_BYTES_MAX, SetError, read_set};
use crate::vocab::Monotonic;

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct SetFile {
    path: PathBuf,
    looked: Mutex<Looked>,
}

/// What was seen when the file was last looked at.
#[derive(Default)]
struct Looked {
    at: Option<Monotonic>,
    /// None where it could not be read: that may pass without the file changing, and what it takes away has to be seen.
    version: Option<Version>,
    /// Why it could not be read the last time, as the log has it: it is told once.
    told: Option<FileError>,
}

/// What tells one version of a file from the next, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    bytes: u64,
}

/// Why a file of keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum FileError {
    #[error("it cannot be read: {0}")]
    Read(std::io::ErrorKind),
    #[error(transparent)]
    Content(#[from] SetError),
}

impl SetFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            looked: Mutex::default(),
        }
    }

    /// The keys, where the file has changed since it was last looked at, a second ago or longer. Blocks.
    pub(super) fn refresh(&self, now: Monotonic) -> Option<Vec<Key>> {
        let mut looked = self.looked.lock();
        if looked.at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return None;
        }
        looked.at = Some(now);
        let version = version(&self.path);
        if version.is_ok() && looked.version == version.ok() {
            return None;
        }
        looked.version = version.ok();
        let file = self.path.display();
        match version.and_then(|_| read(&self.path)) {
            Ok(keys) => {
                looked.told = None;
                tracing::info!(%file, keys = keys.len(), "keys read");
                Some(keys)
            }
            Err(error) => {
                if matches!(error, FileError::Read(_)) {
                    looked.version = None;
                    if looked.told == Some(error) {
                        return None;
                    }
                }
                looked.told = Some(error);
                tracing::warn!(%file, %error, "the file of keys cannot be used: those from before are kept");
                None
            }
        }
    }
}

fn version(path: &Path) -> Result<Version, FileError> {
    let meta = std::fs::metadata(path).map_err(|error| FileError::Read(error.kind()))?;
    let modified = meta
        .modified()
        .map_err(|error| FileError::Read(error.kind()))?;
    Ok(Version {
        modified,
        bytes: meta.len(),
    })
}

fn read(path: &Path) -> Result<Vec<Key>, FileError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| {
            file.take(SET_BYTES_MAX as u64 + 1)
                .read_to_string(&mut text)
        })
        .map_err(|error| FileError::Read(error.kind()))?;
    let set = read_set(&text, Origin::File)?;
    for skipped in &set.skipped {
        let (number, error) = (skipped.number, &skipped.error);
        tracing::warn!(file = %path.display(), number, %error, "a key is left out");
    }
    Ok(set.keys)
}

#[cfg(test)]
mod tests {
    use super::SetFile;
    use crate::vocab::Monotonic;
    use std::time::Duration;

    #[test]
    fn what_could_not_be_read_is_tried_again_though_nothing_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let file = SetFile::new(path.clone());
        let look = |seconds| {
            let keys = file.refresh(Monotonic::default().after(Duration::from_secs(seconds)));
            keys.map(|keys| keys.len())
        };
        let write = |text: &[u8]| {
            std::fs::write(&path, text).expect("writes");
            let written = std::fs::File::options().write(true).open(&path);
            let written = written.expect("it is there");
            written
                .set_modified(std::time::UNIX_EPOCH)
                .expect("it is ours");
        };
        // What is no UTF-8 stands for a disk or a limit that fails a moment.
        write(b"{\"keys\":\xff[]}");
        assert_eq!(look(0), None);
        write(b"{\"keys\": []}");
        assert_eq!(look(0), None, "too soon");
        assert_eq!(look(1), Some(0));
        assert_eq!(look(2), None, "as before");
    }
}
