//! Ids: of users, connections and messages.

use std::fmt;
use std::sync::Arc;

/// The id of a user: 1–128 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Why a text is no user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to 128 bytes and no control characters")]
pub struct UserIdError;

impl UserId {
    /// How the ids of users without a credential begin, and no others.
    pub const ANONYMOUS_PREFIX: &str = "anon:";

    /// Reads a user id.
    ///
    /// # Errors
    /// The text is empty, longer than 128 bytes or has a control character.
    pub fn parse(text: &str) -> Result<Self, UserIdError> {
        if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
            return Err(UserIdError);
        }
        Ok(Self(text.into()))
    }

    /// The id as shared text: a copy of it costs nothing.
    pub fn to_shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The id under which the application's API key `name` owns idempotency keys: no user can have it.
    pub fn of_application(name: &str) -> Self {
        Self(format!("\0api:{name}").into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the id of a user without a credential.
    pub fn is_anonymous(&self) -> bool {
        self.0.starts_with(Self::ANONYMOUS_PREFIX)
    }
}

impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one connection: 128 random bits, so that nobody can guess it; written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u128);

impl ConnectionId {
    /// The id made of these random bits.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A capability (SSE writes name it): logs get enough to tell connections apart.
        write!(f, "ConnectionId({:08x}…)", self.0 >> 96)
    }
}

/// The id of one message: unique across restarts and nodes; 24 hexadecimal digits (a node's random 32 bits, then a count).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    node: u32,
    count: u64,
}

impl MessageId {
    /// The `count`-th message of the process that drew `node` at its start.
    pub const fn new(node: u32, count: u64) -> Self {
        Self { node, count }
    }
}

/// Digit by digit: it stands in every message that goes out, and the formatter's own way takes ten times as long.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from(self.node) << 64 | u128::from(self.count);
        let mut digits = [0; 24];
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[(bits >> (4 * at) & 15) as usize];
        }
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::MessageId;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn message_ids_have_24_digits(node in any::<u32>(), count in any::<u64>()) {
            let expected = format!("{node:08x}{count:016x}");
            prop_assert_eq!(MessageId::new(node, count).to_string(), expected);
        }
    }
}
