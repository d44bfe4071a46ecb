//! Compressing messages (RFC 7692 §7.2.1): once, for all that read them.

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::frame::{Fragment, Header, Masking, Opcode, Reserved};

/// Longer messages leave as they are: compressing one would hold its thread for milliseconds, and a hundred newcomers with a long history
/// may come at once.
pub const DEFLATED_MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Three times as fast as the usual 6, for JSON that comes out a sixth longer.
const LEVEL: u32 = 2;

/// What a flushed stream ends with and a message leaves out (RFC 7692 §7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// So much room for what comes out is kept between two messages.
const ROOM_BYTES_KEPT: usize = 64 * 1024;

/// A compressor, for one thread: it takes nothing from one message to the next, so any number of connections can share it.
///
/// It takes no memory until the first message.
#[derive(Default)]
pub struct Deflater {
    state: Option<Compress>,
    room: Vec<u8>,
}

impl Deflater {
    /// A compressor that has not been used.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: None,
            room: Vec::new(),
        }
    }

    /// The same message as `frame`, a server's unfragmented one, compressed. None where that would not be smaller, where it is
    /// longer than [`DEFLATED_MESSAGE_BYTES_MAX`], and for control frames (RFC 7692 §6.1).
    #[must_use]
    pub fn deflate(&mut self, frame: &[u8]) -> Option<Bytes> {
        let (header, start) = Header::parse(frame).ok()??;
        let is_plain = matches!(header.opcode, Opcode::Text | Opcode::Binary)
            && header.fragment == Fragment::Last
            && header.masking == Masking::Plain
            && header.reserved == Reserved::NONE;
        let payload = &frame[start..];
        if !is_plain || payload.len() > DEFLATED_MESSAGE_BYTES_MAX {
            return None;
        }
        let deflated = self.compress(payload).map(|compressed| {
            let header = Header {
                reserved: Reserved::RSV1,
                ..Header::whole(header.opcode, compressed.len() as u64, Masking::Plain)
            };
            Bytes::from([&header.encode()[..], compressed].concat())
        });
        self.room.truncate(ROOM_BYTES_KEPT);
        self.room.shrink_to(ROOM_BYTES_KEPT);
        deflated
    }

    /// The payload of a compressed message, if it is shorter than `payload` (RFC 7692 §7.2.1).
    pub(super) fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let state = self
            .state
            .get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        state.reset();
        // A stream that fills the room has not ended, and would not be shorter.
        let room_bytes = payload.len() + TAIL.len();
        if self.room.len() < room_bytes {
            self.room.resize(room_bytes, 0);
        }
        let room = &mut self.room[..room_bytes];
        let status = state.compress(payload, room, FlushCompress::Sync).ok()?;
        let written = usize::try_from(state.total_out()).ok()?;
        if status != Status::Ok || written == room_bytes {
            return None;
        }
        room[..written].strip_suffix(&TAIL)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("is_used", &self.state.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{DEFLATED_MESSAGE_BYTES_MAX, Deflater};
    use crate::protocol::websocket::{
        CloseCode, ControlPayload, Decoder, Event, Input, Limits, Masking, Role, encode_binary,
        encode_close, encode_ping, encode_text,
    };

    const LIMITS: Limits = Limits {
        message_bytes_max: 2 << 20,
        fragments_max: 1,
    };

    /// What a client makes of a frame.
    fn read(frame: &[u8]) -> Option<(&'static str, Vec<u8>)> {
        let mut decoder = Decoder::new(Role::Client, LIMITS).with_deflate();
        let mut scratch = frame.to_vec();
        let mut input = Input::new(&mut scratch);
        match decoder.next(&mut input) {
            Ok(Some(Event::Text(text))) => Some(("text", text.as_bytes().to_vec())),
            Ok(Some(Event::Binary(bytes))) => Some(("binary", bytes.to_vec())),
            _ => None,
        }
    }

    #[test]
    fn as_the_example_of_the_rfc() {
        // RFC 7692 §7.2.3.1: RSV1 in the header, one fixed block. `Hello` alone would not become shorter.
        let mut deflater = Deflater::new();
        let hello = encode_text("Hello", Masking::Plain);
        assert_eq!(deflater.deflate(&hello), None);
        let four = encode_text("HelloHelloHelloHello", Masking::Plain);
        let deflated = deflater.deflate(&four).unwrap_or_default();
        assert_eq!(deflated[..7], *b"\xc1\x0a\xf2\x48\xcd\xc9\xc9");
        assert_eq!(deflated.len(), 2 + 10);
        assert!(!deflated.ends_with(&super::TAIL));
    }

    #[test]
    fn a_message_is_compressed_whatever_came_before() {
        let mut deflater = Deflater::new();
        let long = encode_text(&"the same ".repeat(1000), Masking::Plain);
        let short = encode_text(&"the same ".repeat(5), Masking::Plain);
        let first = deflater.deflate(&short);
        assert!(first.is_some());
        assert!(deflater.deflate(&long).is_some());
        assert_eq!(deflater.deflate(&short), first);
        assert_eq!(Deflater::new().deflate(&short), first);
    }

    #[test]
    fn what_leaves_as_it_is() {
        let ping = ControlPayload::new(&[b'a'; 125]).unwrap_or_default();
        let reason = "a".repeat(120);
        let table = [
            encode_text("", Masking::Plain),
            encode_text("abcdefgh", Masking::Plain),
            encode_ping(ping, Masking::Plain),
            encode_close(CloseCode::NORMAL, &reason, Masking::Plain),
            encode_text(&"a".repeat(1000), Masking::Key([1, 2, 3, 4])),
            encode_binary(&vec![0; DEFLATED_MESSAGE_BYTES_MAX + 1], Masking::Plain),
        ];
        let mut deflater = Deflater::new();
        for frame in table {
            let start = &frame[..frame.len().min(12)];
            assert_eq!(deflater.deflate(&frame), None, "{}", start.escape_ascii());
        }
    }

    #[test]
    fn little_room_is_kept() {
        let mut deflater = Deflater::new();
        let zeros = vec![0; DEFLATED_MESSAGE_BYTES_MAX];
        let (mut noise, mut state) = (zeros.clone(), 1_u64);
        for byte in &mut noise {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        for (payload, becomes_smaller) in [(zeros, true), (noise, false)] {
            let frame = encode_binary(&payload, Masking::Plain);
            assert_eq!(deflater.deflate(&frame).is_some(), becomes_smaller);
            assert!(deflater.room.capacity() <= super::ROOM_BYTES_KEPT);
        }
    }

    proptest! {
        #[test]
        fn a_client_reads_what_was_sent(text in "([a-e]{0,9}|€𝄞){0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..4), times in 1_usize..2000) {
            let bytes = bytes.repeat(times);
            let mut deflater = Deflater::new();
            for (frame, expected) in [
                (encode_text(&text, Masking::Plain), ("text", text.as_bytes())),
                (encode_binary(&bytes, Masking::Plain), ("binary", &bytes[..])),
            ] {
                if let Some(deflated) = deflater.deflate(&frame) {
                    prop_assert!(deflated.len() < frame.len());
                    let (kind, payload) = expected;
                    prop_assert_eq!(read(&deflated), Some((kind, payload.to_vec())));
                }
            }
        }
    }
}
