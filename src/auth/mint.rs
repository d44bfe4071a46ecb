//! Tokens for development: what `trunkline token` prints.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::auth::join::grant;
use crate::auth::jwt::identity;
use crate::auth::keys::{JOIN_TYPE, Keychain, PrivateKey, TokenType};
use crate::plan::key::{JwtAlgorithm, Key, KeyKind};
use crate::plan::{AuthMethod, AuthMode, Jwt, KeySource, MayJoin, RoomKind, TokenKeys};
use crate::vocab::{Timestamp, UserId};

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
    /// The mode verifies with public keys, so that it has none that signs.
    #[error(
        "the auth mode `{0}` only verifies: sign with the issuer's private key, `--key FILE.pem`"
    )]
    NoPrivateKey(Box<str>),
    /// The key can do none of the mode's algorithms.
    #[error("the auth mode `{mode}` takes {algorithms}, and {kind} can do none of them")]
    Algorithm {
        /// The mode.
        mode: Box<str>,
        /// Its algorithms.
        algorithms: String,
        /// What the key is.
        kind: KeyKind,
    },
    /// The key of this name verifies join tokens with public keys.
    #[error("`{0}` only verifies: sign with the application's private key, `--key FILE.pem`")]
    NoJoinKey(Box<str>),
    /// The rooms of this pattern take no join tokens.
    #[error(
        "rooms of the pattern `{0}` are not joined by a token: only `may_join: {{token: …}}` takes them"
    )]
    NoJoinTokens(Box<str>),
    /// The rooms have no such audience.
    #[error("the server would refuse this token: {0}")]
    NoAudience(String),
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

/// A token that `mode` accepts from `now` on, signed with the mode's own secret.
///
/// # Errors
/// The mode takes no tokens, has no secret, or would refuse this token.
pub fn mint(mode: &AuthMode, mint: &Mint<'_>, now: Timestamp) -> Result<String, MintError> {
    let jwt = jwt_of(mode)?;
    let keys: &[Key] = match &jwt.keys.source {
        KeySource::Fixed(keys) | KeySource::File { keys, .. } => keys,
        KeySource::Issuer(_) => &[],
    };
    let does = |key: &PrivateKey| doable(&jwt.keys, key).is_some();
    let key = keys.iter().filter_map(PrivateKey::of_secret).find(does);
    let key = key.ok_or_else(|| MintError::NoPrivateKey((*mode.name).into()))?;
    mint_with(mode, mint, &key, now)
}

/// A token that `mode` accepts from `now` on, signed with `key`. Where the mode's keys are elsewhere, whether `key` belongs to them
/// is not known, and only the claims are checked.
///
/// # Errors
/// The mode takes no tokens, none of the key's algorithms, or would refuse this token.
pub fn mint_with(
    mode: &AuthMode,
    mint: &Mint<'_>,
    key: &PrivateKey,
    now: Timestamp,
) -> Result<String, MintError> {
    let jwt = jwt_of(mode)?;
    let algorithm = doable(&jwt.keys, key).ok_or_else(|| {
        let names = jwt.keys.algorithms.iter();
        let names: Vec<&str> = names.map(|algorithm| algorithm.as_str()).collect();
        MintError::Algorithm {
            mode: (*mode.name).into(),
            algorithms: names.join(", "),
            kind: key.kind(),
        }
    })?;
    let claims = claims(mode, jwt, mint, now)?;
    let token = key.sign(algorithm, "JWT", &claims);
    let token = token.ok_or(MintError::Sign)?;
    let seen = match Keychain::new(&jwt.keys).open_now(&token, TokenType::Login) {
        Err(AuthError::KeysUnavailable) => Ok(claims),
        opened => opened,
    };
    seen.and_then(|claims| identity(claims, jwt, now))
        .map_err(|error| MintError::Refused { error })?;
    Ok(token)
}

/// What a join token shall say.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinMint<'a> {
    /// Whom it lets in.
    pub user_id: &'a str,
    /// Where: the room's exact name.
    pub room: &'a str,
    /// Further claims, such as `audiences`.
    pub claims: Map<String, Value>,
    /// How long the token is good.
    pub expires: Duration,
}

/// A join token for a room of `kind`, signed with `key` or, where that is none, with the secret of the kind's `may_join`.
///
/// # Errors
/// Its rooms take no join tokens, the key cannot sign them, or the server would refuse this one.
pub fn mint_join(
    kind: &RoomKind,
    mint: &JoinMint<'_>,
    key: Option<&PrivateKey>,
    now: Timestamp,
) -> Result<String, MintError> {
    let MayJoin::Token { keys, label } = &kind.may_join else {
        return Err(MintError::NoJoinTokens(kind.pattern.as_str().into()));
    };
    let known: &[Key] = match &keys.source {
        KeySource::Fixed(known) | KeySource::File { keys: known, .. } => known,
        KeySource::Issuer(_) => &[],
    };
    let does = |key: &PrivateKey| doable(keys, key).is_some();
    let secret = known.iter().filter_map(PrivateKey::of_secret).find(does);
    let key = key.or(secret.as_ref());
    let key = key.ok_or_else(|| MintError::NoJoinKey(label.name.clone()))?;
    let algorithm = doable(keys, key).ok_or(MintError::Sign)?;
    let issued = now.as_seconds();
    let seconds = i64::try_from(mint.expires.as_secs()).unwrap_or(i64::MAX);
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), mint.user_id.into());
    claims.insert("room".to_owned(), mint.room.into());
    claims.insert("iat".to_owned(), issued.into());
    claims.insert("exp".to_owned(), issued.saturating_add(seconds).into());
    claims.extend(mint.claims.clone());
    let token = key.sign(algorithm, JOIN_TYPE, &claims);
    let token = token.ok_or(MintError::Sign)?;
    let seen = match Keychain::new(keys).open_now(&token, TokenType::Join) {
        Err(AuthError::KeysUnavailable) => Ok(claims),
        opened => opened,
    };
    let user = UserId::parse(mint.user_id).map_err(|_| AuthError::JoinUser);
    let granted = seen.and_then(|claims| grant(&claims, &user?, mint.room, now));
    let granted = granted.map_err(|error| MintError::Refused { error })?;
    let names = granted.audiences.iter().flatten();
    kind.audiences_named(names.map(|name| &**name))
        .map_err(MintError::NoAudience)?;
    Ok(token)
}

fn jwt_of(mode: &AuthMode) -> Result<&Jwt, MintError> {
    match &mode.method {
        AuthMethod::Jwt(jwt) => Ok(jwt),
        _ => Err(MintError::NotJwt((*mode.name).into())),
    }
}

/// The first of the algorithms that `key` can do.
fn doable(keys: &TokenKeys, key: &PrivateKey) -> Option<JwtAlgorithm> {
    let mut algorithms = keys.algorithms.iter().copied();
    algorithms.find(|algorithm| key.does(*algorithm))
}

fn claims(
    mode: &AuthMode,
    jwt: &Jwt,
    mint: &Mint<'_>,
    now: Timestamp,
) -> Result<Map<String, Value>, MintError> {
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
    for (claim, value) in [("iss", jwt.issuer.as_ref()), ("aud", jwt.audiences.first())] {
        if let Some(value) = value {
            claims.insert(claim.to_owned(), (**value).into());
        }
    }
    claims.insert("iat".to_owned(), issued.into());
    claims.insert("exp".to_owned(), issued.saturating_add(seconds).into());
    claims.extend(mint.claims.clone());
    Ok(claims)
}
