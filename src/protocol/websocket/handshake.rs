//! The values of the opening handshake's headers (RFC 6455 §4): pure functions over them, for whoever speaks HTTP.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The only version there is (RFC 6455 §4.1, Sec-WebSocket-Version).
pub const VERSION: &str = "13";

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A value of Sec-WebSocket-Key: 16 bytes in base64 (RFC 6455 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientKey([u8; 24]);

impl ClientKey {
    /// The key, if it is 16 bytes in base64 (RFC 6455 §4.2.1).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = value.trim_ascii().try_into().ok()?;
        let mut nonce = [0; 18];
        let len = STANDARD.decode_slice(text, &mut nonce).ok()?;
        (len == 16).then_some(Self(text))
    }

    /// A client's key from 16 random bytes (RFC 6455 §4.1).
    #[must_use]
    pub fn new(nonce: [u8; 16]) -> Self {
        let mut text = [0; 24];
        // 16 bytes are always 24 of base64.
        let _ = STANDARD.encode_slice(nonce, &mut text);
        Self(text)
    }

    /// The value of Sec-WebSocket-Key (RFC 6455 §4.1).
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.0
    }

    /// The value of Sec-WebSocket-Accept that answers this key (RFC 6455 §4.2.2).
    #[must_use]
    pub fn accept(&self) -> String {
        let mut hash =
            aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(&self.0);
        hash.update(GUID);
        STANDARD.encode(hash.finish())
    }
}

/// What a client asked for in Sec-WebSocket-Version (RFC 6455 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionOffer {
    /// The one that is spoken here.
    Supported,
    /// Another: the answer names [`VERSION`].
    Unsupported,
}

impl VersionOffer {
    /// Reads the header's values; there has to be exactly one (RFC 6455 §4.2.1, §11.3.5).
    #[must_use]
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(version), None) if version.trim_ascii() == VERSION.as_bytes() => Self::Supported,
            _ => Self::Unsupported,
        }
    }
}

/// The comma-separated tokens of a header's values, in order: Connection, Upgrade, Sec-WebSocket-Protocol (RFC 6455 §4.1,
/// RFC 9110 §5.6.1). What is not visible ASCII is left out.
pub fn tokens<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a str> {
    values
        .into_iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty() && token.iter().all(u8::is_ascii_graphic))
        .filter_map(|token| std::str::from_utf8(token).ok())
}

/// Whether one of the header's tokens is `token`, in whatever case (RFC 6455 §4.2.1).
pub fn has_token<'a>(values: impl IntoIterator<Item = &'a [u8]>, token: &str) -> bool {
    tokens(values).any(|candidate| candidate.eq_ignore_ascii_case(token))
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientKey, VersionOffer, has_token, tokens};

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6455 §1.3.
        let accept = ClientKey::parse(b"dGhlIHNhbXBsZSBub25jZQ==").map(|key| key.accept());
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(
            ClientKey::new(*b"the sample nonce").to_string(),
            "dGhlIHNhbXBsZSBub25jZQ=="
        );
    }

    #[test]
    fn keys() {
        let table: &[(&[u8], bool)] = &[
            (b"dGhlIHNhbXBsZSBub25jZQ==", true),
            (b" dGhlIHNhbXBsZSBub25jZQ== ", true),
            (b"", false),
            (b"dGhlIHNhbXBsZSBub25jZQ", false),
            (b"dGhlIHNhbXBsZSBub25jZVgh", false),
            (b"dGhlIHNhbXBsZSBub25jZ===", false),
            (b"dGhlIHNhbXBsZSBub25j\xff\xff==", false),
        ];
        for (value, valid) in table {
            assert_eq!(
                ClientKey::parse(value).is_some(),
                *valid,
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn versions() {
        let table: &[(&[&[u8]], VersionOffer)] = &[
            (&[b"13"], VersionOffer::Supported),
            (&[], VersionOffer::Unsupported),
            (&[b"8"], VersionOffer::Unsupported),
            (&[b"13", b"13"], VersionOffer::Unsupported),
        ];
        for (values, expected) in table {
            assert_eq!(VersionOffer::parse(values.iter().copied()), *expected);
        }
    }

    #[test]
    fn token_lists() {
        let table: &[(&[&[u8]], &str, bool)] = &[
            (&[b"Upgrade"], "upgrade", true),
            (&[b"keep-alive, Upgrade"], "upgrade", true),
            (&[b"keep-alive", b"UPGRADE"], "upgrade", true),
            (&[b"upgraded"], "upgrade", false),
            (&[], "upgrade", false),
        ];
        for (values, token, expected) in table {
            assert_eq!(has_token(values.iter().copied(), token), *expected);
        }
        let offered = [&b"trunkline.v1.json, bearer.a-b_c"[..], b",, other"];
        assert!(tokens(offered).eq(["trunkline.v1.json", "bearer.a-b_c", "other"]));
    }
}
