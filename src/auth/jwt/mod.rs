//! JSON Web Tokens as logins (RFC 7519, RFC 8725): who a token says that its bearer is.
//!
//! [`Verifier::verify`] takes the steps in their order: [`Keychain`] checks form, algorithm and signature, then times, issuer,
//! audience and the mode's schema are compared, and the claims become a user.

mod claims;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

pub(super) use claims::check_times;

use crate::auth::AuthError;
use crate::auth::keys::{Keychain, TokenType};
use crate::plan::Jwt;
use crate::vocab::{Clock, Identity, Timestamp};

/// Checks the tokens of one auth mode.
pub(super) struct Verifier {
    keys: Arc<Keychain>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl Verifier {
    pub(super) fn new(keys: Arc<Keychain>) -> Self {
        Self { keys }
    }

    pub(super) const fn keys(&self) -> &Arc<Keychain> {
        &self.keys
    }

    /// Whose token it is, if it is good now. Waits only for keys that are not there: see [`Keychain::open`].
    pub(super) async fn verify(
        &self,
        jwt: &Jwt,
        token: &str,
        clock: &dyn Clock,
    ) -> Result<Identity, AuthError> {
        let claims = self.keys.open(token, TokenType::Login, clock).await?;
        identity(claims, jwt, clock.now())
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
