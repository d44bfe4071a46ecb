//! Who is on the other side of a connection.

use std::sync::Arc;

use serde_json::Value;

use crate::vocab::{Timestamp, UserId};

/// An identity, possibly behind several connections.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Unique among users; anonymous ones begin with `anon:`.
    pub id: UserId,
    /// The name to show; the id where the credential has none.
    pub username: Arc<str>,
    /// Whether a credential was verified.
    pub authenticated: bool,
    /// What the credential says of the user; an empty object for anonymous users.
    pub claims: Arc<Value>,
}

/// What a verified credential yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Whose credential it was.
    pub user: Arc<User>,
    /// When the connection has to end, leeway included.
    pub expires_at: Option<Timestamp>,
}

/// Whether `text` can be a [`User::username`]: 1–256 bytes without control characters, since it goes into frames and lines.
pub fn is_username(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}
