//! `jwks_file`: a set of keys that is read again when it changes.

use std::path::{Path, PathBuf};

use crate::auth::watched::Watched;
use crate::plan::key::{Key, Origin, SET_BYTES_MAX, SetError, read_set};
use crate::vocab::Monotonic;

pub(super) struct SetFile {
    path: PathBuf,
    watched: Watched<SetError>,
}

impl SetFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            watched: Watched::default(),
        }
    }

    /// The keys, where the file has changed since it was last looked at, a second ago or longer. Blocks.
    pub(super) fn refresh(&self, now: Monotonic) -> Option<Vec<Key>> {
        let file = self.path.display();
        let read = |text: &str| read(&self.path, text);
        match self
            .watched
            .look(&self.path, now, SET_BYTES_MAX as u64, read)?
        {
            Ok(keys) => {
                tracing::info!(%file, keys = keys.len(), "keys read");
                Some(keys)
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the file of keys cannot be used: those from before are kept");
                None
            }
        }
    }
}

fn read(path: &Path, text: &str) -> Result<Vec<Key>, SetError> {
    let set = read_set(text, Origin::File)?;
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
