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

    /// Reads an id as it is written.
    ///
    /// # Errors
    /// The text is not 32 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, HexIdError> {
        match hexadecimal(text, 32) {
            Some(bits) => Ok(Self(bits)),
            None => Err(HexIdError { digits: 32 }),
        }
    }
}

/// Why a text is no id of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("such an id has {digits} hexadecimal digits")]
pub struct HexIdError {
    digits: usize,
}

/// The number that exactly `digits` hexadecimal digits write.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok())?
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

/// The id of a token, its claim `jti` (RFC 7519 §4.1.7): 1–256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenId(Box<str>);

/// Why a text is no id of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a token has 1 to 256 bytes")]
pub struct TokenIdError;

impl TokenId {
    /// Reads the id of a token.
    ///
    /// # Errors
    /// The text is empty or longer than 256 bytes.
    pub fn parse(text: &str) -> Result<Self, TokenIdError> {
        match text.len() {
            1..=256 => Ok(Self(text.into())),
            _ => Err(TokenIdError),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for TokenId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The id of a block: 64 random bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u64);

impl BlockId {
    /// The id made of these random bits.
    pub const fn from_random(bits: u64) -> Self {
        Self(bits)
    }

    /// Reads an id as it is written.
    ///
    /// # Errors
    /// The text is not 16 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, HexIdError> {
        match hexadecimal(text, 16).and_then(|bits| u64::try_from(bits).ok()) {
            Some(bits) => Ok(Self(bits)),
            None => Err(HexIdError { digits: 16 }),
        }
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockId, ConnectionId, MessageId, TokenId};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn message_ids_have_24_digits(node in any::<u32>(), count in any::<u64>()) {
            let expected = format!("{node:08x}{count:016x}");
            prop_assert_eq!(MessageId::new(node, count).to_string(), expected);
        }

        #[test]
        fn ids_are_read_as_they_are_written(connection in any::<u128>(), block in any::<u64>()) {
            let (connection, block) = (ConnectionId::from_random(connection), BlockId::from_random(block));
            prop_assert_eq!(ConnectionId::parse(&connection.to_string()), Ok(connection));
            prop_assert_eq!(BlockId::parse(&block.to_string()), Ok(block));
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        let long = "0".repeat(33);
        for text in ["", "0", "+0000000000000ff", "000000000000000g", &long] {
            assert!(BlockId::parse(text).is_err(), "{text}");
            assert!(ConnectionId::parse(text).is_err(), "{text}");
        }
        assert!(TokenId::parse("").is_err());
        assert!(TokenId::parse(&"x".repeat(257)).is_err());
        assert!(TokenId::parse(&"x".repeat(256)).is_ok());
    }
}
