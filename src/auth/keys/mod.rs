//! Keys that tokens are verified with, and where they come from: the file itself, a set in another file, an issuer.
//!
//! A [`Keychain`] belongs to one list of algorithms. It opens tokens: form, header, signature. The keys come from the Plan and
//! from where the Plan says; a token's header is never asked for a key (RFC 8725 §3.1), only which of ours it is signed with.

mod fetch;
mod file;
mod header;
mod issuer;
mod private;
mod ring;
mod schedule;
#[cfg(test)]
mod tests;

pub use private::{PrivateKey, PrivateKeyError};

pub(super) use header::{JOIN_TYPE, TokenType};
pub(super) use issuer::{Coming, Fetching};

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::auth::AuthError;
use crate::plan::key::{JwtAlgorithm, Key};
use crate::plan::{KeySource, TokenKeys};
use crate::vocab::{Clock, Monotonic};

use file::SetFile;
use header::Parts;
use issuer::{Issuer, Latest, Want};
use ring::Ring;

/// Opens the tokens that are signed with one list of algorithms and one source of keys.
pub(super) struct Keychain {
    algorithms: Vec<JwtAlgorithm>,
    /// None until they have come for the first time.
    ring: watch::Sender<Option<Arc<Ring>>>,
    source: Source,
}

/// What is known of a token at once.
pub(super) enum Opened {
    /// All: its claims, or why it is not good.
    Decided(Result<Map<String, Value>, AuthError>),
    /// Its key may be coming.
    Awaited(Coming),
}

/// What may bring other keys.
enum Source {
    Fixed,
    File(SetFile),
    Issuer(Issuer),
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
            KeySource::Fixed(known) => (Some(known), Source::Fixed),
            KeySource::File { path, keys } => {
                (Some(keys), Source::File(SetFile::new(path.clone())))
            }
            KeySource::Issuer(keys) => (None, Source::Issuer(Issuer::new(keys.clone()))),
        };
        let ring = known.map(|known| Arc::new(Ring::new(known)));
        Self {
            algorithms: keys.algorithms.clone(),
            ring: watch::Sender::new(ring),
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
        let ring = self.ring.borrow().clone();
        let ring = ring.ok_or(AuthError::KeysUnavailable)?;
        ring.check(&header, &parts)?;
        parts.claims()
    }

    /// As [`open_now`](Self::open_now), unless the keys are an issuer's, who is being asked for what the token lacks. It is asked
    /// for a key that is not known every 30 seconds at most.
    ///
    /// A key that is not known may have been published since the issuer was asked: then the token cannot be judged yet.
    pub(super) fn open_or_seek(&self, token: &str, wanted: TokenType, now: Monotonic) -> Opened {
        let opened = self.open_now(token, wanted);
        let want = match &opened {
            Err(AuthError::KeysUnavailable) => Want::First,
            Err(AuthError::KeyUnknown) => Want::Other,
            _ => return Opened::Decided(opened),
        };
        let Source::Issuer(issuer) = &self.source else {
            return Opened::Decided(opened);
        };
        match issuer.seek(want, now) {
            Some(coming) => Opened::Awaited(coming),
            // They may have come between the two looks.
            None => Opened::Decided(self.open_now(token, wanted).map_err(not_known_yet)),
        }
    }

    /// As [`open_now`](Self::open_now), when what `coming` is has come; no later than a handshake may take.
    ///
    /// # Errors
    /// As [`open_now`](Self::open_now); of a key that is not known only if the issuer, asked since the token came, does not know it.
    pub(super) async fn open_then(
        &self,
        coming: Coming,
        token: &str,
        wanted: TokenType,
    ) -> Result<Map<String, Value>, AuthError> {
        let latest = coming.arrive().await;
        let opened = self.open_now(token, wanted);
        match latest {
            Latest::Yes => opened,
            Latest::Perhaps => opened.map_err(not_known_yet),
        }
    }

    /// As [`open_now`](Self::open_now), and waits for keys that are being fetched, no longer than a handshake may take.
    ///
    /// # Errors
    /// As [`open_then`](Self::open_then).
    pub(super) async fn open(
        &self,
        token: &str,
        wanted: TokenType,
        clock: &dyn Clock,
    ) -> Result<Map<String, Value>, AuthError> {
        match self.open_or_seek(token, wanted, clock.monotonic()) {
            Opened::Decided(opened) => opened,
            Opened::Awaited(coming) => self.open_then(coming, token, wanted).await,
        }
    }

    /// Fetches the keys of an issuer again and again; ends at once where they are elsewhere.
    pub(super) async fn fetch(&self, fetching: &Fetching) {
        if let Source::Issuer(issuer) = &self.source {
            issuer.run(fetching, |keys| self.take(keys)).await;
        }
    }

    /// Has the fetching look at the clock.
    pub(super) fn wake(&self) {
        if let Source::Issuer(issuer) = &self.source {
            issuer.wake();
        }
    }

    /// Waits until there are keys.
    pub(super) async fn arrive(&self) {
        // An error would say that the keychain is gone, which we hold.
        let _ = self.ring.subscribe().wait_for(Option::is_some).await;
    }

    /// Looks at the file of keys, where they are in one, and takes those of a new version. Blocks.
    pub(super) fn refresh_file(&self, now: Monotonic) {
        if let Source::File(file) = &self.source
            && let Some(keys) = file.refresh(now)
        {
            self.take(&keys);
        }
    }

    /// Whether its keys are in a file that may change.
    pub(super) const fn is_watched(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Whether its keys are fetched.
    pub(super) const fn is_fetched(&self) -> bool {
        matches!(self.source, Source::Issuer(_))
    }

    fn take(&self, keys: &[Key]) {
        self.ring.send_replace(Some(Arc::new(Ring::new(keys))));
    }
}

/// The issuer has not been asked since the token came: a refusal for good would be a guess.
fn not_known_yet(error: AuthError) -> AuthError {
    match error {
        AuthError::KeyUnknown => AuthError::KeysUnavailable,
        other => other,
    }
}
