//! Join tokens: what the application signs to let one user into one room. Such a token is no login, and no login is one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::jwt::check_times;
use crate::auth::keys::{Keychain, TokenType};
use crate::auth::{AuthError, Authenticator};
use crate::plan::{Lifetime, MayJoin, RoomKind};
use crate::vocab::{Clock, Timestamp, UserId};

/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// A token names audiences of one kind of rooms.
const AUDIENCES_MAX: usize = 64;

/// What a join token says beside whom it lets in where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGrant {
    /// When it ends, leeway included.
    pub expires_at: Option<Timestamp>,
    /// The room's audiences that the user is of; none: the room's rules say.
    pub audiences: Option<Vec<Box<str>>>,
}

/// Checks the join tokens of all kinds of rooms.
#[derive(Debug, Default)]
pub(super) struct JoinTokens {
    /// By the kind's index; with the key that the file has the keys under.
    keychains: Vec<Option<(Box<str>, Arc<Keychain>)>>,
}

impl JoinTokens {
    /// For `rooms`, in the order of their indexes.
    pub(super) fn new(rooms: &[Arc<RoomKind>]) -> Self {
        let keychain = |kind: &Arc<RoomKind>| match &kind.may_join {
            MayJoin::Token { keys, label } => {
                Some((label.name.clone(), Arc::new(Keychain::new(keys))))
            }
            MayJoin::Rule(_) | MayJoin::Http { .. } => None,
        };
        let mut keychains: Vec<_> = rooms
            .iter()
            .map(|kind| (kind.index, keychain(kind)))
            .collect();
        keychains.sort_by_key(|(index, _)| *index);
        Self {
            keychains: keychains.into_iter().map(|(_, keys)| keys).collect(),
        }
    }

    /// Their keys, each with what it is called.
    pub(super) fn keychains(&self) -> impl Iterator<Item = (&str, &Arc<Keychain>)> {
        let all = self.keychains.iter().flatten();
        all.map(|(name, keys)| (&**name, keys))
    }

    fn of(&self, kind: &RoomKind) -> Result<&Keychain, AuthError> {
        let keys = self.keychains.get(kind.index).and_then(Option::as_ref);
        keys.map(|(_, keys)| &**keys).ok_or(AuthError::NoTokens)
    }

    /// What `token` grants `user` in the room `room` of `kind`.
    pub(super) async fn open(
        &self,
        kind: &RoomKind,
        token: &str,
        user: &UserId,
        room: &str,
        clock: &dyn Clock,
    ) -> Result<JoinGrant, AuthError> {
        let keys = self.of(kind)?;
        let claims = keys.open(token, TokenType::Join, clock).await?;
        grant(&claims, user, room, clock.now())
    }
}

impl Authenticator {
    /// Makes ready for the join tokens of `rooms`, a Plan's [`rooms`](crate::plan::Plan::rooms), too.
    #[must_use]
    pub fn with_join_tokens(self, rooms: &[Arc<RoomKind>]) -> Self {
        Self {
            join_tokens: JoinTokens::new(rooms),
            ..self
        }
    }

    /// What the join token `token` grants `user` in the room `room`, which is of `kind`.
    ///
    /// # Errors
    /// The token is not good, or is for another user or room, or the kind takes none.
    pub async fn open_join_token(
        &self,
        kind: &RoomKind,
        token: &str,
        user: &UserId,
        room: &str,
    ) -> Result<JoinGrant, AuthError> {
        let tokens = &self.join_tokens;
        tokens.open(kind, token, user, room, &*self.clock).await
    }

    /// As [`Authenticator::open_join_token`], at once; none where keys that may open it have to be fetched first.
    ///
    /// # Errors
    /// As [`Authenticator::open_join_token`].
    pub fn open_join_token_now(
        &self,
        kind: &RoomKind,
        token: &str,
        user: &UserId,
        room: &str,
    ) -> Option<Result<JoinGrant, AuthError>> {
        let keys = match self.join_tokens.of(kind) {
            Ok(keys) => keys,
            Err(error) => return Some(Err(error)),
        };
        match keys.open_now(token, TokenType::Join) {
            Err(AuthError::KeysUnavailable | AuthError::KeyUnknown) if keys.is_fetched() => None,
            Err(error) => Some(Err(error)),
            Ok(claims) => Some(grant(&claims, user, room, self.clock.now())),
        }
    }
}

/// What the claims of a token whose signature is good grant.
pub(super) fn grant(
    claims: &Map<String, Value>,
    user: &UserId,
    room: &str,
    now: Timestamp,
) -> Result<JoinGrant, AuthError> {
    let expires_at = check_times(claims, Lifetime::Ends, LEEWAY, now)?;
    let subject = match claims.get("sub") {
        None | Some(Value::Null) => return Err(AuthError::ClaimMissing("sub".into())),
        Some(Value::Number(number)) => number.to_string(),
        Some(subject) => subject.as_str().unwrap_or_default().to_owned(),
    };
    if subject != user.as_str() {
        return Err(AuthError::JoinUser);
    }
    match claims.get("room").and_then(Value::as_str) {
        None => return Err(AuthError::ClaimMissing("room".into())),
        Some(named) if named != room => return Err(AuthError::JoinRoom),
        Some(_) => {}
    }
    let audiences = match claims.get("audiences") {
        None | Some(Value::Null) => None,
        Some(Value::Array(names)) if names.len() <= AUDIENCES_MAX => {
            let names: Option<Vec<Box<str>>> = names
                .iter()
                .map(|name| name.as_str().map(Into::into))
                .collect();
            Some(names.ok_or_else(not_names)?)
        }
        Some(_) => return Err(not_names()),
    };
    Ok(JoinGrant {
        expires_at,
        audiences,
    })
}

fn not_names() -> AuthError {
    AuthError::ClaimUnusable {
        claim: "audiences".into(),
        expected: "a list of names of audiences",
    }
}
