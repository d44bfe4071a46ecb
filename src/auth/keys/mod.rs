//! Keys that tokens are verified with, and where they come from: the file itself, a set in another file, an issuer.
//!
//! A [`Keychain`] belongs to one list of algorithms. It opens tokens: form, header, signature. The keys come from the Plan and
//! from where the Plan says; a token's header is never asked for a key (RFC 8725 §3.1), only which of ours it is signed with.

mod file;
mod header;
mod private;
mod ring;
#[cfg(test)]
mod tests;

pub use private::{PrivateKey, PrivateKeyError};

pub(super) use header::TokenType;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::plan::key::JwtAlgorithm;
use crate::plan::{KeySource, TokenKeys};
use crate::vocab::{Clock, Monotonic};

use file::SetFile;
use header::Parts;
use ring::Ring;

/// Opens the tokens that are signed with one list of algorithms and one source of keys.
pub(super) struct Keychain {
    algorithms: Vec<JwtAlgorithm>,
    /// None until they have come for the first time.
    ring: RwLock<Option<Arc<Ring>>>,
    source: Source,
}

/// What may bring other keys.
enum Source {
    Fixed,
    File(SetFile),
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keychain({:?})", self.algorithms)
    }
}

impl Keychain {
    /// The keys of `keys`, as far as they are known without asking anybody.
    pub(super) fn new(keys: &TokenKeys) -> Self {
        let (known, source) = match &keys.source {
            KeySource::Fixed(known) => (known, Source::Fixed),
            KeySource::File { path, keys } => (keys, Source::File(SetFile::new(path.clone()))),
        };
        Self {
            algorithms: keys.algorithms.clone(),
            ring: RwLock::new(Some(Arc::new(Ring::new(known)))),
            source,
        }
    }

    /// The claims of a token of the type `wanted`, whose header and signature are good by the keys that are here.
    ///
    /// # Errors
    /// The token is not good, or there are no keys yet.
    pub(super) fn open_now(
        &self,
        token: &str,
        wanted: TokenType,
    ) -> Result<Map<String, Value>, AuthError> {
        let parts = Parts::split(token)?;
        let header = parts.header(&self.algorithms, wanted)?;
        let ring = self.ring.read().clone();
        let ring = ring.ok_or(AuthError::KeysUnavailable)?;
        ring.check(&header, &parts)?;
        parts.claims()
    }

    /// As [`open_now`](Self::open_now).
    ///
    /// # Errors
    /// As [`open_now`](Self::open_now).
    pub(super) async fn open(
        &self,
        token: &str,
        wanted: TokenType,
        _clock: &dyn Clock,
    ) -> Result<Map<String, Value>, AuthError> {
        self.open_now(token, wanted)
    }

    /// Looks at the file of keys, where they are in one, and takes those of a new version. Blocks.
    pub(super) fn refresh_file(&self, now: Monotonic) {
        if let Source::File(file) = &self.source
            && let Some(keys) = file.refresh(now)
        {
            *self.ring.write() = Some(Arc::new(Ring::new(&keys)));
        }
    }

    /// Whether its keys are in a file that may change.
    pub(super) const fn is_watched(&self) -> bool {
        matches!(self.source, Source::File(_))
    }
}
