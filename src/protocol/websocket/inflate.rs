//! Reading compressed messages (RFC 7692 §7.2.2), never past the size that a message may have.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::deflate::TAIL;
use super::violation::Violation;

/// A last, empty block: behind [`TAIL`] it has to end the stream, or the message was cut off.
const END: [u8; 2] = [0x03, 0x00];

/// The largest window there is (RFC 7692 §7.1.2), in bytes.
const WINDOW_BYTES: usize = 32 * 1024;

/// So many blocks of a message may say that they are the last (RFC 7692 §7.2.3.4): each begins a new stream over the same window,
/// and costs as much as copying that, for the price of two bytes. RFC 7692's own example needs one.
const FINAL_BLOCKS_MAX: usize = 8;

/// So much room for what comes out there is at first, and is kept between two messages.
const ROOM_BYTES_KEPT: usize = 32 * 1024;

/// A decompressor, for one thread: it takes nothing from one message to the next, so any number of connections can share it.
///
/// It takes no memory until the first message.
#[derive(Default)]
pub struct Inflater {
    state: Option<Decompress>,
    room: Vec<u8>,
}

/// How far a message has come.
struct Progress {
    written: usize,
    streams_ended: usize,
    at_end: bool,
}

impl Inflater {
    /// A decompressor that has not been used.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: None,
            room: Vec::new(),
        }
    }

    /// The message whose compressed payload this is (RFC 7692 §7.2.2).
    ///
    /// # Errors
    /// It is longer than `bytes_max`, found out without making it; or it is not what a compressor makes.
    pub(super) fn inflate(&mut self, payload: &[u8], bytes_max: u32) -> Result<&[u8], Violation> {
        let mut progress = Progress {
            written: 0,
            streams_ended: 0,
            at_end: false,
        };
        match &mut self.state {
            Some(state) => state.reset(false),
            state => *state = Some(Decompress::new(false)),
        }
        self.feed(payload, bytes_max, &mut progress)?;
        // A stream that ended with the payload needs no tail, and would not understand it.
        if !progress.at_end {
            self.feed(&TAIL, bytes_max, &mut progress)?;
            let streams_ended = progress.streams_ended;
            self.feed(&END, bytes_max, &mut progress)?;
            if !progress.at_end || progress.streams_ended != streams_ended + 1 {
                return Err(Violation::DeflateCorrupt);
            }
        }
        Ok(&self.room[..progress.written])
    }

    /// Frees what a long message has left.
    pub(super) fn release(&mut self) {
        if self.room.len() > ROOM_BYTES_KEPT {
            self.room.truncate(ROOM_BYTES_KEPT);
            self.room.shrink_to_fit();
        }
    }

    fn feed(
        &mut self,
        mut input: &[u8],
        bytes_max: u32,
        progress: &mut Progress,
    ) -> Result<(), Violation> {
        let Some(state) = &mut self.state else {
            return Err(Violation::DeflateCorrupt);
        };
        // What fills the room may go on without more input.
        while !input.is_empty() || progress.written == self.room.len() {
            if progress.at_end {
                if input.is_empty() {
                    break;
                }
                progress.begin_stream(state, &self.room)?;
            }
            if progress.written == self.room.len() {
                grow(&mut self.room, bytes_max)?;
            }
            let (read, written) = (state.total_in(), state.total_out());
            let status = state
                .decompress(
                    input,
                    &mut self.room[progress.written..],
                    FlushDecompress::None,
                )
                .map_err(|_| Violation::DeflateCorrupt)?;
            let read = (state.total_in() - read) as usize;
            let written = (state.total_out() - written) as usize;
            input = &input[read..];
            progress.written += written;
            if progress.written > bytes_max as usize {
                return Err(too_large(bytes_max));
            }
            if status == Status::StreamEnd {
                progress.at_end = true;
                progress.streams_ended += 1;
            } else if read == 0 && written == 0 {
                // Nothing more comes of it, whatever room there is.
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(Violation::DeflateCorrupt)
                };
            }
        }
        Ok(())
    }
}

impl Progress {
    /// Goes on after a block that was called the last: the window stays (RFC 7692 §7.2.1 ends the stream, not the message).
    fn begin_stream(&mut self, state: &mut Decompress, room: &[u8]) -> Result<(), Violation> {
        if self.streams_ended > FINAL_BLOCKS_MAX {
            return Err(Violation::DeflateCorrupt);
        }
        state.reset(false);
        let window = &room[self.written.saturating_sub(WINDOW_BYTES)..self.written];
        if !window.is_empty() {
            state
                .set_dictionary(window)
                .map_err(|_| Violation::DeflateCorrupt)?;
        }
        self.at_end = false;
        Ok(())
    }
}

/// Twice the room, and never more than shows that a message is too long.
fn grow(room: &mut Vec<u8>, bytes_max: u32) -> Result<(), Violation> {
    let room_max = bytes_max as usize + 1;
    if room.len() >= room_max {
        return Err(too_large(bytes_max));
    }
    let wanted = (room.len() * 2).max(ROOM_BYTES_KEPT).min(room_max);
    room.reserve_exact(wanted - room.len());
    room.resize(wanted, 0);
    Ok(())
}

fn too_large(bytes_max: u32) -> Violation {
    Violation::MessageTooLarge {
        bytes: u64::from(bytes_max) + 1,
        bytes_max,
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the room: a user's message is in it.
        f.debug_struct("Inflater")
            .field("is_used", &self.state.is_some())
            .field("room_bytes", &self.room.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{FINAL_BLOCKS_MAX, Inflater, ROOM_BYTES_KEPT, TAIL};
    use crate::protocol::websocket::frame::Reserved;
    use crate::protocol::websocket::{
        Decoder, Event, Fragment, Header, Input, Limits, Masking, Opcode, Role, Violation, unmask,
    };

    const LIMITS: Limits = Limits {
        message_bytes_max: 4000,
        fragments_max: 40,
    };
    const KEY: [u8; 4] = [0xA5, 0x01, 0x80, 0xFF];

    fn frame(opcode: Opcode, fragment: Fragment, reserved: Reserved, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            fragment,
            reserved,
            ..Header::whole(opcode, payload.len() as u64, Masking::Key(KEY))
        };
        let mut bytes = header.encode().to_vec();
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], KEY, 0);
        bytes
    }

    fn deflated(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        frame(opcode, Fragment::Last, Reserved::RSV1, payload)
    }

    /// A message in fragments that end at `cuts`.
    fn fragments(opcode: Opcode, payload: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
        ends.extend([0, payload.len()]);
        ends.sort_unstable();
        let mut bytes = Vec::new();
        for (index, range) in ends.windows(2).enumerate() {
            let (opcode, reserved) = match index {
                0 => (opcode, Reserved::RSV1),
                _ => (Opcode::Continuation, Reserved::NONE),
            };
            let fragment = match index + 2 == ends.len() {
                true => Fragment::Last,
                false => Fragment::More,
            };
            bytes.extend(frame(
                opcode,
                fragment,
                reserved,
                &payload[range[0]..range[1]],
            ));
        }
        bytes
    }

    /// Everything that comes out of `decoder`, in pieces of the given lengths and then the rest.
    fn decode(
        mut decoder: Decoder,
        bytes: &[u8],
        pieces: &[usize],
    ) -> (Vec<(Opcode, Vec<u8>)>, Option<Violation>) {
        let mut inflater = Inflater::new();
        let mut events = Vec::new();
        let mut rest = bytes;
        for len in pieces.iter().copied().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let mut scratch = piece.to_vec();
            let mut input = Input::with_inflater(&mut scratch, &mut inflater);
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(Event::Text(text))) => {
                        events.push((Opcode::Text, text.as_bytes().to_vec()));
                    }
                    Ok(Some(Event::Binary(bytes))) => events.push((Opcode::Binary, bytes.to_vec())),
                    Ok(Some(Event::Ping(bytes))) => events.push((Opcode::Ping, bytes.to_vec())),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(violation) => return (events, Some(violation)),
                }
            }
        }
        assert_eq!(decoder.buffered_bytes(), 0);
        (events, None)
    }

    fn server() -> Decoder {
        Decoder::new(Role::Server, LIMITS).with_deflate()
    }

    /// A compressed text, whole and byte by byte.
    fn check(payload: &[u8], expected: Result<&str, Violation>) {
        let bytes = deflated(Opcode::Text, payload);
        let expected = match expected {
            Ok(text) => (vec![(Opcode::Text, text.as_bytes().to_vec())], None),
            Err(violation) => (vec![], Some(violation)),
        };
        let shown = payload.escape_ascii();
        assert_eq!(decode(server(), &bytes, &[]), expected, "{shown}");
        let pieces = vec![1; bytes.len()];
        assert_eq!(
            decode(server(), &bytes, &pieces),
            expected,
            "{shown}, byte by byte"
        );
        let bytes = fragments(Opcode::Text, payload, &[1, 2, 5]);
        assert_eq!(
            decode(server(), &bytes, &[]),
            expected,
            "{shown}, in fragments"
        );
    }

    /// As `zlib` compresses with this level, over and over.
    fn compress(payload: &[u8], level: u32) -> Vec<u8> {
        let mut state = Compress::new(Compression::new(level), false);
        let mut bytes = vec![0; payload.len() + payload.len() / 100 + 100];
        state
            .compress(payload, &mut bytes, FlushCompress::Sync)
            .expect("there is room");
        bytes.truncate(state.total_out() as usize - 4);
        bytes
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7692 §7.2.3.1: one fixed block, whole and in two fragments.
        check(b"\xf2\x48\xcd\xc9\xc9\x07\x00", Ok("Hello"));
        let plain = Decoder::new(Role::Client, LIMITS).with_deflate();
        let whole = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
        let hello = (vec![(Opcode::Text, b"Hello".to_vec())], None);
        assert_eq!(decode(plain, whole, &[]), hello);
        let plain = Decoder::new(Role::Client, LIMITS).with_deflate();
        let fragments = b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00";
        assert_eq!(decode(plain, fragments, &[]), hello);
        // §7.2.3.2: the second refers into the first, which only a context that is taken over allows.
        check(b"\xf2\x00\x11\x00\x00", Err(Violation::DeflateCorrupt));
        // §7.2.3.3: a block that is not compressed.
        check(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", Ok("Hello"));
        // §7.2.3.4: a block that is called the last.
        check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", Ok("Hello"));
        // §7.2.3.5: two blocks.
        check(
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            Ok("Hello"),
        );
        // §7.2.3.6: nothing.
        check(b"\x00", Ok(""));
    }

    #[test]
    fn blocks_that_are_called_the_last() {
        let hello = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
        check(hello, Ok("Hello"));
        check(&[&hello[..], b"\x00"].concat(), Ok("Hello"));
        check(
            &[&hello[..], &hello[..], b"\x00"].concat(),
            Ok("HelloHello"),
        );
        // The window stays: RFC 7692 §7.2.3.2's second message refers into the first.
        check(
            &[&hello[..], b"\xf2\x00\x11\x00\x00"].concat(),
            Ok("HelloHello"),
        );
        let many = |blocks| [b"\x03\x00".repeat(blocks), b"\x00".to_vec()].concat();
        check(&many(FINAL_BLOCKS_MAX), Ok(""));
        check(&many(FINAL_BLOCKS_MAX + 1), Err(Violation::DeflateCorrupt));
        // Few enough that a small frame does not buy much work.
        check(&many(16), Err(Violation::DeflateCorrupt));
    }

    #[test]
    fn what_no_compressor_makes() {
        let table: &[&[u8]] = &[
            b"",
            b"\xff",
            b"\xf2",
            // Cut off within a block, and before its end.
            b"\xf2\x48\xcd\xc9",
            b"\xf2\x48\xcd\xc9\xc9",
            // A length that its complement denies; a stored block that ends too early.
            b"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00",
            b"\x00\x05\x00\xfa\xff\x48\x65",
            // Back beyond the beginning.
            b"\x02\x00\x11\x00\x00",
            // The fourth kind of block, which does not exist.
            b"\x06\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff",
        ];
        for payload in table {
            check(payload, Err(Violation::DeflateCorrupt));
        }
    }

    #[test]
    fn text_has_to_be_text_when_it_is_whole() {
        check(&compress(b"a\xff", 0), Err(Violation::InvalidUtf8));
        check(&compress(b"\xe2\x82", 6), Err(Violation::InvalidUtf8));
        check(&compress("€𝄞".as_bytes(), 6), Ok("€𝄞"));
    }

    #[test]
    fn rsv1_belongs_to_the_first_frame_of_a_message() {
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        let first = frame(Opcode::Text, Fragment::More, Reserved::RSV1, &hello[..3]);
        let plain = frame(Opcode::Text, Fragment::More, Reserved::NONE, b"He");
        let more = frame(
            Opcode::Continuation,
            Fragment::Last,
            Reserved::RSV1,
            &hello[3..],
        );
        let ping = frame(Opcode::Ping, Fragment::Last, Reserved::RSV1, b"");
        let close = frame(Opcode::Close, Fragment::Last, Reserved::RSV1, b"");
        let refused = Some(Violation::ReservedBits);
        for bytes in [
            [&first[..], &more].concat(),
            [&plain[..], &more].concat(),
            ping,
            close,
        ] {
            assert_eq!(decode(server(), &bytes, &[]).1, refused);
        }
        let without = Decoder::new(Role::Server, LIMITS);
        let bytes = deflated(Opcode::Text, hello);
        assert_eq!(decode(without, &bytes, &[]).1, refused);
        for bit in [0x20, 0x10, 0x60] {
            let mut bytes = deflated(Opcode::Text, hello);
            bytes[0] = bytes[0] & !0x70 | bit;
            assert_eq!(decode(server(), &bytes, &[]).1, refused);
        }
    }

    #[test]
    fn control_frames_come_between_compressed_fragments() {
        let bytes = [
            frame(
                Opcode::Text,
                Fragment::More,
                Reserved::RSV1,
                b"\xf2\x48\xcd",
            ),
            frame(Opcode::Ping, Fragment::Last, Reserved::NONE, b"p"),
            frame(
                Opcode::Continuation,
                Fragment::Last,
                Reserved::NONE,
                b"\xc9\xc9\x07\x00",
            ),
            frame(Opcode::Text, Fragment::Last, Reserved::NONE, b"plain"),
        ]
        .concat();
        let expected = [
            (Opcode::Ping, b"p".to_vec()),
            (Opcode::Text, b"Hello".to_vec()),
            (Opcode::Text, b"plain".to_vec()),
        ];
        assert_eq!(decode(server(), &bytes, &[]), (expected.to_vec(), None));
    }

    #[test]
    fn the_limit_is_that_of_what_comes_out() {
        let too_large = Some(Violation::MessageTooLarge {
            bytes: 4001,
            bytes_max: 4000,
        });
        for level in [0, 1, 6] {
            let longest = deflated(Opcode::Binary, &compress(&[7; 4000], level));
            assert_eq!(
                decode(server(), &longest, &[]).0,
                [(Opcode::Binary, vec![7; 4000])]
            );
            let longer = deflated(Opcode::Binary, &compress(&[7; 4001], level));
            assert_eq!(decode(server(), &longer, &[]).1, too_large);
        }
        // What waits for its end is bounded too: by its first header, and by the fragment that passes the bound.
        let announced = frame(Opcode::Binary, Fragment::More, Reserved::RSV1, &[0; 5000]);
        assert!(matches!(
            decode(server(), &announced[..10], &[]).1,
            Some(Violation::MessageTooLarge { bytes: 5000, .. })
        ));
        let bytes = fragments(Opcode::Binary, &[0; 5000], &[3000]);
        assert!(matches!(
            decode(server(), &bytes, &[]).1,
            Some(Violation::MessageTooLarge { bytes: 5000, .. })
        ));
    }

    #[test]
    fn a_bomb_is_refused_for_the_price_of_its_limit() {
        let limits = Limits {
            message_bytes_max: 2 << 20,
            fragments_max: 1,
        };
        // A gigabyte of zeros: a megabyte, flushed a thousand times.
        let megabyte = [&compress(&vec![0; 1 << 20], 9)[..], &TAIL].concat();
        let bomb = megabyte.repeat(1024);
        assert!(bomb.len() <= 2 << 20, "{}", bomb.len());
        let mut inflater = Inflater::new();
        let mut decoder = Decoder::new(Role::Server, limits).with_deflate();
        let mut bytes = deflated(Opcode::Binary, &bomb);
        let mut input = Input::with_inflater(&mut bytes, &mut inflater);
        let refused = Violation::MessageTooLarge {
            bytes: (2 << 20) + 1,
            bytes_max: 2 << 20,
        };
        assert_eq!(decoder.next(&mut input), Err(refused));
        assert_eq!(decoder.next(&mut input), Ok(None));
        assert!(inflater.room.capacity() <= ROOM_BYTES_KEPT);
    }

    #[test]
    fn the_room_never_exceeds_the_limit_and_is_given_back() {
        let mut inflater = Inflater::new();
        let bomb = compress(&vec![0; 1 << 20], 9);
        for bytes_max in [1, 1000, 40_000, 100_000] {
            assert!(inflater.inflate(&bomb, bytes_max).is_err());
            let most = ROOM_BYTES_KEPT.max(bytes_max as usize + 1);
            assert!(inflater.room.capacity() <= most, "{bytes_max}");
        }
        inflater.release();
        assert!(inflater.room.capacity() <= ROOM_BYTES_KEPT);
    }

    proptest! {
        #[test]
        fn however_it_was_compressed_cut_and_read_it_comes_out(
            text in "([a-e]{0,9}|€𝄞){0,200}",
            level in 0_u32..10,
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
            pieces in proptest::collection::vec(0_usize..40, 0..60),
        ) {
            let payload = compress(text.as_bytes(), level);
            let bytes = fragments(Opcode::Text, &payload, &cuts);
            let twice = [&bytes[..], &bytes].concat();
            let (events, violation) = decode(server(), &twice, &pieces);
            if text.len() <= LIMITS.message_bytes_max as usize {
                let message = (Opcode::Text, text.into_bytes());
                prop_assert_eq!((events, violation), (vec![message.clone(), message], None));
            } else {
                prop_assert!(events.is_empty() && violation.is_some());
            }
        }

        #[test]
        fn noise_is_bounded_and_does_not_depend_on_the_split(
            payload: Vec<u8>,
            bytes_max in 0_u32..5000,
            pieces in proptest::collection::vec(0_usize..20, 0..30),
        ) {
            let mut inflater = Inflater::new();
            if let Ok(message) = inflater.inflate(&payload, bytes_max) {
                prop_assert!(message.len() <= bytes_max as usize);
            }
            let bytes = deflated(Opcode::Binary, &payload);
            prop_assert_eq!(decode(server(), &bytes, &pieces), decode(server(), &bytes, &[]));
        }
    }
}
