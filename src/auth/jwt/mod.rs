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
use crate::auth::keys::{Coming, Keychain, Opened, TokenType};
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
    coming: Coming,
    token: Box<str>,
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
        let opened = self
            .keys
            .open_or_seek(token, TokenType::Login, clock.monotonic());
        match opened {
            Opened::Decided(opened) => {
                let identity = |claims| identity(claims, jwt_of(mode)?, clock.now());
                Verified::Decided(opened.and_then(identity))
            }
            Opened::Awaited(coming) => Verified::Awaited(AwaitedKeys {
                mode: mode.clone(),
                keys: self.keys.clone(),
                coming,
                token: token.into(),
            }),
        }
    }
}

impl AwaitedKeys {
    /// Whose token it is, once the keys have come; no later than a handshake may take.
    pub(super) async fn verify(self, clock: &dyn Clock) -> Result<Identity, AuthError> {
        let opened = self
            .keys
            .open_then(self.coming, &self.token, TokenType::Login);
        identity(opened.await?, jwt_of(&self.mode)?, clock.now())
    }
}

impl fmt::Debug for AwaitedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitedKeys({})", self.mode.name)
    }
}

fn jwt_of(mode: &AuthMode) -> Result<&Jwt, AuthError> {
    match &mode.method {
        AuthMethod::Jwt(jwt) => Ok(jwt),
        _ => Err(AuthError::NoTokens),
    }
}

/// Whom the claims of a token are about whose signature is good, if they are good at the moment `now`.
pub(super) fn identity(
    claims: Map<String, Value>,
    jwt: &Jwt,
    now: Timestamp,
) -> Result<Identity, AuthError> {
    let expires_at = check_times(&claims, jwt.lifetime, jwt.leeway, now)?;
    claims::check_issuer(&claims, jwt.issuer.as_deref())?;
    claims::check_audience(&claims, &jwt.audiences)?;
    let claims = Value::Object(claims);
    claims::check_schema(&claims, jwt)?;
    Ok(Identity {
        user: Arc::new(claims::user(claims, jwt)?),
        expires_at,
    })
}
