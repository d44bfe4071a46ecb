//! Sessions from a file.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::auth::AuthError;
use crate::auth::watched::Watched;
use crate::config::session_file::{SessionFileError, read_session_file};
use crate::vocab::{Identity, Monotonic, Timestamp};

const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

type Sessions = Arc<HashMap<String, Identity>>;

/// The sessions of one auth mode; the last good version of the file.
#[derive(Default)]
pub(super) struct SessionFile {
    sessions: RwLock<Option<Sessions>>,
    watched: Watched<ContentError>,
}

/// Why what a file holds cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ContentError {
    #[error("it is larger than 16 MiB")]
    TooLarge,
    #[error(transparent)]
    Content(#[from] SessionFileError),
}

impl fmt::Debug for SessionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionFile(…)")
    }
}

impl SessionFile {
    /// The session of a cookie's value, at the moment `now`.
    pub(super) fn find(&self, cookie: &str, now: Timestamp) -> Result<Identity, AuthError> {
        let sessions = self.sessions.read().clone();
        let sessions = sessions.ok_or(AuthError::SessionsUnavailable)?;
        let session = sessions.get(cookie).ok_or(AuthError::SessionUnknown)?;
        if session.expires_at.is_some_and(|ends| now >= ends) {
            return Err(AuthError::SessionExpired);
        }
        Ok(session.clone())
    }

    /// Reads the file where it has changed since it was last looked at, a second ago or longer. Blocks.
    pub(super) fn refresh(&self, path: &Path, now: Monotonic) {
        match self.watched.look(path, now, FILE_BYTES_MAX, read) {
            None => {}
            Some(Ok(sessions)) => {
                let count = sessions.len();
                *self.sessions.write() = Some(Arc::new(sessions));
                tracing::info!(file = %path.display(), sessions = count, "sessions read");
            }
            Some(Err(error)) => {
                let kept = self.sessions.read().is_some();
                tracing::warn!(file = %path.display(), %error, kept, "the file of sessions cannot be used");
            }
        }
    }
}

fn read(text: &str) -> Result<HashMap<String, Identity>, ContentError> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ContentError::TooLarge);
    }
    Ok(read_session_file(text)?)
}

#[cfg(test)]
mod tests {
    use super::SessionFile;
    use crate::auth::AuthError;
    use crate::vocab::{Monotonic, Timestamp};
    use std::time::Duration;

    #[test]
    fn what_could_not_be_read_is_tried_again_though_nothing_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sessions.yaml");
        let file = SessionFile::default();
        let noon = Timestamp::parse("2026-11-22T12:00:00Z").expect("a moment");
        let look = |seconds| {
            file.refresh(
                &path,
                Monotonic::default().after(Duration::from_secs(seconds)),
            );
        };
        let write = |text: &[u8]| {
            std::fs::write(&path, text).expect("writes");
            let written = std::fs::File::options().write(true).open(&path);
            let written = written.expect("it is there");
            written
                .set_modified(std::time::UNIX_EPOCH)
                .expect("it is ours");
        };
        write(b"annes: {user_id: ann}");
        look(0);
        assert!(file.find("annes", noon).is_ok());
        // What is no UTF-8 stands for a disk or a limit that fails a moment: in no way can the version tell the two.
        write(b"\xff\xff\xff\xff\xff: {user_id: ben}\n");
        look(1);
        assert!(file.find("annes", noon).is_ok());
        write(b"benny: {user_id: ben}\n");
        look(1);
        assert!(file.find("annes", noon).is_ok(), "too soon");
        look(2);
        assert_eq!(file.find("annes", noon), Err(AuthError::SessionUnknown));
        assert!(file.find("benny", noon).is_ok());
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sessions.yaml");
        let file = SessionFile::default();
        let noon = Timestamp::parse("2026-11-22T12:00:00Z").expect("a moment");
        let user = |cookie| {
            let found = file.find(cookie, noon);
            found.map(|identity| identity.user.id.to_string())
        };
        let mut clock = Monotonic::default();
        let mut look = |seconds| {
            clock = clock.after(Duration::from_secs(seconds));
            file.refresh(&path, clock);
        };
        let write = |text| std::fs::write(&path, text).expect("writes");

        look(0);
        assert_eq!(user("a"), Err(AuthError::SessionsUnavailable));
        write("a: {user_id: ann}");
        look(0);
        assert_eq!(user("a"), Err(AuthError::SessionsUnavailable), "too soon");
        look(1);
        assert_eq!(user("a"), Ok("ann".into()));
        assert_eq!(user("b"), Err(AuthError::SessionUnknown));
        write("broken: [");
        look(1);
        assert_eq!(user("a"), Ok("ann".into()));
        write(
            "b: {user_id: ben, expires_at: 2026-11-22T12:00:00Z}\nc: {user_id: eve, expires_at: 2026-11-22T12:00:01Z}",
        );
        look(1);
        assert_eq!(user("a"), Err(AuthError::SessionUnknown));
        assert_eq!(user("b"), Err(AuthError::SessionExpired));
        assert_eq!(user("c"), Ok("eve".into()));
        std::fs::remove_file(&path).expect("removes");
        look(1);
        assert_eq!(user("c"), Ok("eve".into()));
    }
}
