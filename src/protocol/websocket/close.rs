//! Close frames: status code and reason (RFC 6455 §5.5.1, §7.4).

use std::fmt;

use super::frame::CONTROL_BYTES_MAX;
use super::violation::Violation;

/// The longest reason that fits into a control frame after its status code, in bytes (RFC 6455 §5.5).
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// A status code that may be on the wire (RFC 6455 §7.4, and the IANA registry for 1012–1014).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: done (RFC 6455 §7.4.1).
    pub const NORMAL: Self = Self(1000);
    /// 1001: going away (RFC 6455 §7.4.1).
    pub const AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol (RFC 6455 §7.4.1).
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that is not taken here (RFC 6455 §7.4.1).
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: data that does not fit the message's kind, such as text that is not UTF-8 (RFC 6455 §7.4.1).
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: against the policy (RFC 6455 §7.4.1).
    pub const POLICY: Self = Self(1008);
    /// 1009: too large (RFC 6455 §7.4.1).
    pub const TOO_LARGE: Self = Self(1009);
    /// 1011: our fault (RFC 6455 §7.4.1).
    pub const INTERNAL: Self = Self(1011);
    /// 1012: restarting (IANA registry).
    pub const RESTART: Self = Self(1012);
    /// 1013: overloaded, try again later (IANA registry).
    pub const OVERLOADED: Self = Self(1013);

    /// The code, if RFC 6455 §7.4 allows it in a close frame: 1000–1003, 1007–1014, 3000–4999. The others are reserved, undefined,
    /// or (1005, 1006, 1015) made for interfaces and forbidden on the wire.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says (RFC 6455 §5.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// Why, for programs.
    pub code: CloseCode,
    /// Why, for people; often empty.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads the payload of a close frame; an empty one says nothing (RFC 6455 §5.5.1, §7.4).
    ///
    /// # Errors
    /// A lone byte, a code that must not be sent, or a reason that is not UTF-8.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(Violation::CloseTruncated),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(Violation::CloseCodeInvalid(code))?;
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
        Ok(Some(Self { code, reason }))
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseCode, CloseFrame};
    use crate::protocol::websocket::Violation;

    #[test]
    fn codes_on_the_wire() {
        let allowed = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
            4000, 4029, 4999,
        ];
        let refused = [
            0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ];
        for code in allowed {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
        }
        for code in refused {
            assert_eq!(CloseCode::new(code), None, "{code}");
        }
    }

    #[test]
    fn payloads() {
        let normal = |reason| {
            Ok(Some(CloseFrame {
                code: CloseCode::NORMAL,
                reason,
            }))
        };
        let table: &[(&[u8], _)] = &[
            (b"", Ok(None)),
            (b"\x03", Err(Violation::CloseTruncated)),
            (b"\x03\xe8", normal("")),
            (b"\x03\xe8bye", normal("bye")),
            (b"\x03\xe8\xc3\xa4", normal("ä")),
            (b"\x03\xe8\xc3", Err(Violation::InvalidUtf8)),
            (b"\x03\xed", Err(Violation::CloseCodeInvalid(1005))),
            (b"\x00\x00\xff", Err(Violation::CloseCodeInvalid(0))),
        ];
        for (payload, expected) in table {
            assert_eq!(CloseFrame::parse(payload), *expected, "{payload:x?}");
        }
    }
}
