//! The frame header (RFC 6455 §5.2).
//!
//! ```text
//!  0               1               2 … or 4 or 10         … and 4 more if masked
//! +-+-+-+-+-------+-+-------------+----------------------+----------------+
//! |F|R|R|R| opcode|M| length      | extended length      | masking key    |
//! |I|S|S|S|       |A| 0–125       | 16 bits if it is 126 |                |
//! |N|V|V|V|       |S| 126, 127    | 64 bits if it is 127 |                |
//! | |1|2|3|       |K|             |                      |                |
//! +-+-+-+-+-------+-+-------------+----------------------+----------------+
//! ```

use std::ops::Deref;

use super::violation::Violation;

/// The longest header: two bytes, eight of length, four of masking key (RFC 6455 §5.2).
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that was connected to: takes masked frames, sends them plain (RFC 6455 §5.1).
    Server,
    /// The one that connected: takes plain frames, masks what it sends (RFC 6455 §5.1).
    Client,
}

/// What a frame is (RFC 6455 §5.2, §11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message (RFC 6455 §5.4).
    Continuation,
    /// Text in UTF-8, or its first fragment (RFC 6455 §5.6).
    Text,
    /// Bytes, or their first fragment (RFC 6455 §5.6).
    Binary,
    /// The last frame of its sender (RFC 6455 §5.5.1).
    Close,
    /// A question for a pong (RFC 6455 §5.5.2).
    Ping,
    /// The answer to a ping, or a sign of life (RFC 6455 §5.5.3).
    Pong,
}

impl Opcode {
    /// Whether this is a control frame: short, whole, and allowed between the fragments of a message (RFC 6455 §5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn parse(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// The three reserved bits, which only a negotiated extension gives a meaning (RFC 6455 §5.2, §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved(u8);

impl Reserved {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// RSV1: in permessage-deflate, "this message is compressed" (RFC 7692 §6).
    pub const RSV1: Self = Self(0x40);
    const BITS: u8 = 0x70;
}

/// Whether a frame is the last of its message (RFC 6455 §5.2, FIN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// FIN is set.
    Last,
    /// More will follow.
    More,
}

/// How a frame's payload is masked (RFC 6455 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// As a server sends.
    Plain,
    /// As a client sends, with a key that nobody can predict.
    Key([u8; 4]),
}

/// A frame's header (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether more fragments follow.
    pub fragment: Fragment,
    /// The bits for extensions.
    pub reserved: Reserved,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, if there is one.
    pub masking: Masking,
    /// How long the payload is.
    pub payload_bytes: u64,
}

impl Header {
    /// The header of an unfragmented frame (RFC 6455 §5.2).
    #[must_use]
    pub const fn whole(opcode: Opcode, payload_bytes: u64, masking: Masking) -> Self {
        Self {
            fragment: Fragment::Last,
            reserved: Reserved::NONE,
            opcode,
            masking,
            payload_bytes,
        }
    }

    /// Reads a header off the front of `bytes`: it and its length, or `None` if it has not all come (RFC 6455 §5.2).
    ///
    /// What can be refused is refused at the first byte that shows it, in the order of the bytes: the answer to a prefix is
    /// final, however the rest is split.
    ///
    /// # Errors
    /// A reserved opcode, a control frame that is fragmented or too long, or a length that is not minimal or overflows.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let opcode = Opcode::parse(first & 0x0F).ok_or(Violation::ReservedOpcode(first & 0x0F))?;
        let fragment = if first & 0x80 == 0 {
            Fragment::More
        } else {
            Fragment::Last
        };
        if opcode.is_control() && fragment == Fragment::More {
            return Err(Violation::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        if opcode.is_control() && usize::from(second & 0x7F) > CONTROL_BYTES_MAX {
            return Err(Violation::ControlTooLong);
        }
        let Some((payload_bytes, length_end)) = parse_length(bytes, second & 0x7F)? else {
            return Ok(None);
        };
        let (masking, end) = if second & 0x80 == 0 {
            (Masking::Plain, length_end)
        } else {
            let Some(key) = bytes.get(length_end..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            (Masking::Key(*key), length_end + 4)
        };
        let reserved = Reserved(first & Reserved::BITS);
        Ok(Some((
            Self {
                fragment,
                reserved,
                opcode,
                masking,
                payload_bytes,
            },
            end,
        )))
    }

    /// Writes the header into an array, with the length in its shortest form (RFC 6455 §5.2).
    #[must_use]
    pub fn encode(&self) -> EncodedHeader {
        let mut header = EncodedHeader {
            bytes: [0; HEADER_BYTES_MAX],
            len: 0,
        };
        let fin = if self.fragment == Fragment::Last {
            0x80
        } else {
            0
        };
        let masked = if self.masking == Masking::Plain {
            0
        } else {
            0x80
        };
        header.push(&[fin | self.reserved.0 | self.opcode.bits()]);
        if let Ok(length @ 0..=125) = u8::try_from(self.payload_bytes) {
            header.push(&[masked | length]);
        } else if let Ok(length) = u16::try_from(self.payload_bytes) {
            header.push(&[masked | 126]);
            header.push(&length.to_be_bytes());
        } else {
            header.push(&[masked | 127]);
            header.push(&self.payload_bytes.to_be_bytes());
        }
        if let Masking::Key(key) = self.masking {
            header.push(&key);
        }
        header
    }
}

/// The payload length and where it ends; `None` if it has not all come (RFC 6455 §5.2).
fn parse_length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Violation> {
    let extended = bytes.get(2..).unwrap_or_default();
    let (length, end, length_min) = match short {
        126 => match extended.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4, 126),
            None => return Ok(None),
        },
        127 => match extended.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10, 65_536),
            None => return Ok(None),
        },
        _ => (u64::from(short), 2, 0),
    };
    if length < length_min {
        return Err(Violation::LengthNotMinimal);
    }
    if length > u64::MAX / 2 {
        return Err(Violation::LengthOverflow);
    }
    Ok(Some((length, end)))
}

/// A header as it goes on the wire, on the stack: to be written beside a payload that is shared (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy)]
pub struct EncodedHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl EncodedHeader {
    fn push(&mut self, more: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + more.len()].copy_from_slice(more);
        self.len += more.len() as u8;
    }
}

impl Deref for EncodedHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What a ping or pong may carry: at most 125 bytes (RFC 6455 §5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlPayload<'a>(&'a [u8]);

impl<'a> ControlPayload<'a> {
    /// The payload, if it fits into a control frame (RFC 6455 §5.5).
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Option<Self> {
        if payload.len() <= CONTROL_BYTES_MAX {
            Some(Self(payload))
        } else {
            None
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn get(self) -> &'a [u8] {
        self.0
    }
}

impl Deref for ControlPayload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{Header, Masking, Opcode};
    use crate::protocol::websocket::Violation;

    fn plain(opcode: Opcode, payload_bytes: u64) -> Header {
        Header::whole(opcode, payload_bytes, Masking::Plain)
    }

    #[test]
    fn headers_that_are_refused() {
        let table: &[(&[u8], Violation)] = &[
            (b"\x83", Violation::ReservedOpcode(3)),
            (b"\x87", Violation::ReservedOpcode(7)),
            (b"\x8b", Violation::ReservedOpcode(0xB)),
            (b"\x0f", Violation::ReservedOpcode(0xF)),
            (b"\x08", Violation::FragmentedControl),
            (b"\x09\x00", Violation::FragmentedControl),
            (b"\x89\x7e", Violation::ControlTooLong),
            (b"\x88\xff", Violation::ControlTooLong),
            (b"\x81\x7e\x00\x7d", Violation::LengthNotMinimal),
            (
                b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
                Violation::LengthNotMinimal,
            ),
            (
                b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
                Violation::LengthOverflow,
            ),
        ];
        for (bytes, expected) in table {
            assert_eq!(Header::parse(bytes), Err(*expected), "{bytes:x?}");
        }
    }

    #[test]
    fn lengths_take_their_shortest_form() {
        let table = [
            (0, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (u64::MAX / 2, 10),
        ];
        for (payload_bytes, header_bytes) in table {
            let header = plain(Opcode::Binary, payload_bytes);
            assert_eq!(header.encode().len(), header_bytes, "{payload_bytes}");
            assert_eq!(
                Header::parse(&header.encode()),
                Ok(Some((header, header_bytes)))
            );
            let masked = Header {
                masking: Masking::Key(*b"mask"),
                ..header
            };
            assert_eq!(
                Header::parse(&masked.encode()),
                Ok(Some((masked, header_bytes + 4)))
            );
        }
    }

    proptest! {
        #[test]
        fn a_prefix_decides_for_all_that_starts_with_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..16)) {
            let whole = Header::parse(&bytes);
            let first_answer = (0..=bytes.len()).map(|end| Header::parse(&bytes[..end])).find(|answer| *answer != Ok(None));
            prop_assert_eq!(first_answer.unwrap_or(Ok(None)), whole);
        }

        #[test]
        fn what_parses_is_what_encodes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 14..15)) {
            if let Ok(Some((header, end))) = Header::parse(&bytes) {
                prop_assert_eq!(&*header.encode(), &bytes[..end]);
            }
        }
    }
}
