//! Tokens for development: what `trunkline token` prints.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::auth::jwt::Verifier;
use crate::plan::{AuthMethod, AuthMode};
use crate::vocab::Timestamp;

/// What a token shall say.
#[derive(Clone, Debug, PartialEq)]
pub struct Mint<'a> {
    /// The user's id.
    pub user_id: &'a str,
    /// The name to show.
    pub username: Option<&'a str>,
    /// Further claims; they replace what is derived from the others.
    pub claims: Map<String, Value>,
    /// How long the token is good.
    pub expires: Duration,
}

/// Why no token was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The mode is not `jwt`.
    #[error("the auth mode `{0}` does not take tokens: only `jwt` modes do")]
    NotJwt(Box<str>),
    /// The mode names no claim for the name.
    #[error("the auth mode `{0}` has no `username`: no claim is read as the name to show")]
    NoUsername(Box<str>),
    /// The server would refuse the token.
    #[error("the server would refuse this token: {error}{}", detail(error))]
    Refused {
        /// Why.
        error: AuthError,
    },
    /// The key cannot sign.
    #[error("the token cannot be signed")]
    Sign,
}

fn detail(error: &AuthError) -> String {
    error
        .cause()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default()
}

/// A token that `mode` accepts from `now` on.
///
/// # Errors
/// The mode takes no tokens, or would refuse this one.
pub fn mint(mode: &AuthMode, mint: &Mint<'_>, now: Timestamp) -> Result<String, MintError> {
    let AuthMethod::Jwt(jwt) = &mode.method else {
        return Err(MintError::NotJwt((*mode.name).into()));
    };
    let issued = now.as_seconds();
    let seconds = i64::try_from(mint.expires.as_secs()).unwrap_or(i64::MAX);
    let mut claims = Map::new();
    claims.insert(jwt.user_id.to_string(), mint.user_id.into());
    if let Some(username) = mint.username {
        let claim = jwt
            .username
            .as_deref()
            .ok_or_else(|| MintError::NoUsername((*mode.name).into()))?;
        claims.insert(claim.to_owned(), username.into());
    }
    for (claim, value) in [("iss", &jwt.issuer), ("aud", &jwt.audience)] {
        if let Some(value) = value {
            claims.insert(claim.to_owned(), (**value).into());
        }
    }
    claims.insert("iat".to_owned(), issued.into());
    claims.insert("exp".to_owned(), issued.saturating_add(seconds).into());
    claims.extend(mint.claims.clone());
    let key = EncodingKey::from_secret(jwt.secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|_| MintError::Sign)?;
    Verifier::new(jwt)
        .verify(jwt, &token, now)
        .map_err(|error| MintError::Refused { error })?;
    Ok(token)
}
