//! Tokens whose keys have to be fetched first.

use std::fmt;
use std::sync::Arc;

use crate::auth::answer::Login;
use crate::auth::jwt::{AwaitedKeys, Verified};
use crate::auth::{AuthError, Authenticator, Outcome};
use crate::plan::AuthMode;
use crate::vocab::{Clock, Identity};

/// A handshake whose token cannot be verified yet.
pub struct AwaitedToken {
    pub(super) keys: AwaitedKeys,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) subprotocol: Option<&'static str>,
}

impl AwaitedToken {
    pub(super) async fn outcome(self) -> Outcome {
        match self.keys.verify(&*self.clock).await {
            Ok(identity) => Outcome::Identified {
                login: Login::from(identity),
                subprotocol: self.subprotocol,
            },
            Err(error) => Outcome::Refused(error),
        }
    }
}

impl fmt::Debug for AwaitedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}

impl Authenticator {
    /// As [`Authenticator::identify_token`], at once; none where the token's keys have to be fetched first.
    ///
    /// # Errors
    /// As [`Authenticator::identify_token`].
    pub fn identify_token_now(
        &self,
        mode: &Arc<AuthMode>,
        token: &str,
    ) -> Option<Result<Identity, AuthError>> {
        match self.verify(mode, token) {
            Ok(Verified::Decided(Err(AuthError::KeysUnavailable)) | Verified::Awaited(_)) => None,
            Ok(Verified::Decided(identity)) => Some(identity),
            Err(error) => Some(Err(error)),
        }
    }
}
