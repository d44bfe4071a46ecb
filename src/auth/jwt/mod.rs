//! JSON Web Tokens as logins (RFC 7519, RFC 8725): who a token says that its bearer is.
//!
//! A [`Verifier`] takes the steps in their order: its [`Keychain`] checks form, algorithm and signature, then times, issuer, audience
//! and the mode's schema are compared, and the claims become a user. It decides at once, unless the token's keys have to be fetched.

mod claims;

pub(super) use claims::check_times;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::auth::keys::{Coming, Keychain, TokenType};
use crate::plan::{AuthMethod, AuthMode, Jwt};
use crate::vocab::{Clock, Identity, Timestamp};

/// Checks the tokens of one auth mode.
pub(super) struct Verifier {
    keys: Arc<Keychain>,
}

/// What is known of a token at once.
pub(super) enum Verified {
    /// All.
    Decided(Result<Identity, AuthError>),
    /// Its keys are coming.
    Awaited(AwaitedKeys),
}

/// A token whose keys are being fetched.
pub(super) struct AwaitedKeys {
    mode: Arc<AuthMode>,
    keys: Arc<Keychain>,
    token: Box<str>,
    /// What it comes to without them.
    error: AuthError,
    coming: Coming,
}

impl Verifier {
    pub(super) const fn new(keys: Arc<Keychain>) -> Self {
        Self { keys }
    }

    pub(super) const fn keys(&self) -> &Arc<Keychain> {
        &self.keys
    }

    /// Whose token it is, if it is good now.
    pub(super) fn verify(&self, mode: &Arc<AuthMode>, token: &str, clock: &dyn Clock) -> Verified {
        let opened = verify(mode, &self.keys, token, clock);
        let error = match opened {
            Err(error) => error,
            good => return Verified::Decided(good),
        };
        match self.keys.seek(&error, clock.monotonic()) {
            Some(coming) => Verified::Awaited(AwaitedKeys {
                mode: mode.clone(),
                keys: self.keys.clone(),
                token: token.into(),
                error,
                coming,
            }),
            None => Verified::Decided(Err(error)),
        }
    }
}

impl AwaitedKeys {
    /// Whose token it is, once the keys have come; no later than a handshake may take.
    pub(super) async fn verify(self, clock: &dyn Clock) -> Result<Identity, AuthError> {
        if self.coming.arrive().await {
            verify(&self.mode, &self.keys, &self.token, clock)
        } else {
            Err(self.error)
        }
    }
}

impl fmt::Debug for AwaitedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitedKeys({})", self.mode.name)
    }
}

fn verify(
    mode: &AuthMode,
    keys: &Keychain,
    token: &str,
    clock: &dyn Clock,
) -> Result<Identity, AuthError> {
    let AuthMethod::Jwt(jwt) = &mode.method else {
        return Err(AuthError::NoTokens);
    };
    identity(keys.open_now(token, TokenType::Login)?, jwt, clock.now())
}

/// Whom the claims of a token are about whose signature is good, if they are good at the moment `now`.
pub(super) fn identity(
    claims: Map<String, Value>,
    jwt: &Jwt,
    now: Timestamp,
) -> Result<Identity, AuthError> {
    let expires_at = claims::check_times(&claims, jwt.lifetime, jwt.leeway, now)?;
    claims::check_issuer(&claims, jwt.issuer.as_deref())?;
    claims::check_audience(&claims, &jwt.audiences)?;
    let claims = Value::Object(claims);
    claims::check_schema(&claims, jwt)?;
    Ok(Identity {
        user: Arc::new(claims::user(claims, jwt)?),
        expires_at,
    })
}
