//! From bytes to messages (RFC 6455 §5.4, §6.2).

use std::fmt;
use std::ops::Range;

use super::close::CloseFrame;
use super::frame::{ControlPayload, Fragment, Header, Masking, Opcode, Reserved, Role};
use super::inflate::Inflater;
use super::input::{Event, Input, Limits, Packing};
use super::mask::unmask;
use super::partial::{Body, FrameSoFar, Partial};
use super::violation::Violation;

/// One connection's reading side.
///
/// It holds nothing on the heap unless a frame or a message has come in part; that is freed by the call to [`Decoder::next`]
/// after the one that completed it.
pub struct Decoder {
    partial: Option<Box<Partial>>,
    limits: Limits,
    role: Role,
    extension: Extension,
    state: State,
}

/// What gives reserved bits a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    None,
    /// RFC 7692.
    PermessageDeflate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// After a close frame or a violation: whatever comes is ignored (RFC 6455 §5.5.1, §7.1.7).
    Finished,
}

/// Where a complete message or control frame lies.
pub(super) enum Ready {
    /// Where it was read.
    Input(Opcode, Packing, Range<usize>),
    /// A control frame among the parts.
    Control(Opcode),
    /// A message among the parts.
    Message,
}

/// What became of a frame's payload.
pub(super) enum Payload {
    /// It completed something to hand out.
    Ready(Ready),
    /// It is a fragment, and is kept until the others have come.
    Fragment,
    /// It has not all come.
    Incomplete,
}

impl Decoder {
    /// A decoder for this end of a connection that has just been opened (RFC 6455 §4).
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            partial: None,
            limits,
            role,
            extension: Extension::None,
            state: State::Open,
        }
    }

    /// The same where permessage-deflate was agreed: what the peer marks as compressed is decompressed (RFC 7692 §6.2).
    #[must_use]
    pub const fn with_deflate(mut self) -> Self {
        self.extension = Extension::PermessageDeflate;
        self
    }

    /// The next message or control frame, or `None` when the input is used up and more has to be read.
    ///
    /// How the bytes were split into inputs makes no difference to what comes out (RFC 6455 §5.4: frame boundaries mean
    /// nothing, and TCP's even less).
    ///
    /// # Errors
    /// The first violation, as early as it shows. After it, as after a close frame, the rest is ignored.
    pub fn next<'e>(
        &'e mut self,
        input: &'e mut Input<'_>,
    ) -> Result<Option<Event<'e>>, Violation> {
        self.release();
        input.release();
        if self.state == State::Finished {
            input.at = input.bytes.len();
            return Ok(None);
        }
        let ready = match self.advance(input) {
            Ok(Some(ready)) => ready,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.state = State::Finished;
                self.partial = None;
                return Err(violation);
            }
        };
        let partial = self.partial.as_deref();
        let message_bytes_max = self.limits.message_bytes_max;
        let event = match ready {
            Ready::Input(opcode, Packing::Plain, range) => event(opcode, &input.bytes[range]),
            Ready::Input(opcode, Packing::Deflated, range) => {
                let payload = &input.bytes[range];
                let inflater = input.inflater.inflater();
                inflater
                    .inflate(payload, message_bytes_max)
                    .and_then(|payload| event(opcode, payload))
            }
            Ready::Control(opcode) => {
                event(opcode, partial.map_or(&[], |partial| &partial.control))
            }
            Ready::Message => assembled(partial, input.inflater.inflater(), message_bytes_max),
        };
        if matches!(event, Err(_) | Ok(Event::Close(_))) {
            self.state = State::Finished;
        }
        event.map(Some)
    }

    /// How many bytes of heap this connection's partial frame or message takes now.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.partial
            .as_ref()
            .map_or(0, |partial| partial.heap_bytes())
    }

    /// Frees what the last call handed out.
    fn release(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.release();
            if partial.is_empty() || self.state == State::Finished {
                self.partial = None;
            }
        }
    }

    /// Goes through the frames until a message or a control frame is complete, or the input is used up.
    fn advance(&mut self, input: &mut Input<'_>) -> Result<Option<Ready>, Violation> {
        loop {
            let frame = match self
                .partial
                .as_mut()
                .and_then(|partial| partial.frame.take())
            {
                Some(frame) => frame,
                None => {
                    let Some(header) = self.read_header(input)? else {
                        return Ok(None);
                    };
                    self.admit(&header)?;
                    FrameSoFar {
                        header,
                        received: 0,
                    }
                }
            };
            match self.read_payload(frame, input)? {
                Payload::Ready(ready) => return Ok(Some(ready)),
                Payload::Fragment => {}
                Payload::Incomplete => return Ok(None),
            }
        }
    }

    fn read_header(&mut self, input: &mut Input<'_>) -> Result<Option<Header>, Violation> {
        let parsed = match &mut self.partial {
            Some(partial) if partial.is_within_header() => {
                partial.read_header(input.remaining())?
            }
            _ => match Header::parse(input.remaining())? {
                None if !input.remaining().is_empty() => {
                    self.partial().read_header(input.remaining())?
                }
                parsed => parsed,
            },
        };
        let (header, len) = match parsed {
            Some((header, len)) => (Some(header), len),
            None => (None, input.remaining().len()),
        };
        input.take(len);
        Ok(header)
    }

    /// What a header may not say at this point of the connection, before anything of its payload is kept.
    fn admit(&self, header: &Header) -> Result<(), Violation> {
        if header.reserved != Reserved::NONE && !self.may_be_deflated(header) {
            return Err(Violation::ReservedBits);
        }
        match (self.role, header.masking) {
            (Role::Server, Masking::Plain) => return Err(Violation::Unmasked),
            (Role::Client, Masking::Key(_)) => return Err(Violation::Masked),
            (Role::Server, Masking::Key(_)) | (Role::Client, Masking::Plain) => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let message = self
            .partial
            .as_ref()
            .and_then(|partial| partial.message.as_ref());
        let (bytes_so_far, fragments_so_far) = match (header.opcode, message) {
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (Opcode::Continuation, Some(message)) => (message.body.len() as u64, message.fragments),
            (_, Some(_)) => return Err(Violation::MessageInsideMessage),
            (_, None) => (0, 0),
        };
        let bytes = bytes_so_far.saturating_add(header.payload_bytes);
        let Limits {
            message_bytes_max,
            fragments_max,
        } = self.limits;
        if bytes > self.limits.payload_bytes_max(self.packing(header)) {
            return Err(Violation::MessageTooLarge {
                bytes,
                bytes_max: message_bytes_max,
            });
        }
        let is_fragmented =
            header.opcode == Opcode::Continuation || header.fragment == Fragment::More;
        if is_fragmented && fragments_so_far >= fragments_max {
            return Err(Violation::TooManyFragments { fragments_max });
        }
        Ok(())
    }

    /// RSV1 belongs to the first frame of a message, and to nothing else (RFC 7692 §6).
    fn may_be_deflated(&self, header: &Header) -> bool {
        self.extension == Extension::PermessageDeflate
            && header.reserved == Reserved::RSV1
            && matches!(header.opcode, Opcode::Text | Opcode::Binary)
    }

    /// How the message is written that an admitted frame belongs to: its first frame says it for all.
    fn packing(&self, header: &Header) -> Packing {
        let begun = self
            .partial
            .as_ref()
            .and_then(|partial| partial.message.as_ref());
        match begun.map(|message| &message.body) {
            Some(Body::Deflated(..)) => Packing::Deflated,
            None if header.reserved == Reserved::RSV1 => Packing::Deflated,
            _ => Packing::Plain,
        }
    }

    fn read_payload(
        &mut self,
        frame: FrameSoFar,
        input: &mut Input<'_>,
    ) -> Result<Payload, Violation> {
        let Header {
            fragment,
            reserved,
            opcode,
            masking,
            payload_bytes,
        } = frame.header;
        let wanted = usize::try_from(payload_bytes - frame.received).unwrap_or(usize::MAX);
        let range = input.take(wanted.min(input.remaining().len()));
        let piece = &mut input.bytes[range.clone()];
        if let Masking::Key(key) = masking {
            unmask(piece, key, (frame.received % 4) as usize);
        }
        let is_complete = piece.len() == wanted;
        let is_alone = opcode != Opcode::Continuation && fragment == Fragment::Last;
        if is_complete && is_alone && frame.received == 0 {
            let packing = match reserved {
                Reserved::NONE => Packing::Plain,
                _ => Packing::Deflated,
            };
            return Ok(Payload::Ready(Ready::Input(opcode, packing, range)));
        }
        let payload_bytes_max = self.limits.payload_bytes_max(self.packing(&frame.header));
        let partial = self.partial();
        if is_complete {
            partial.push(frame, piece, payload_bytes_max)?;
            return partial.complete_frame(&frame.header);
        }
        // A header alone leaves nothing behind, so that its payload can still be read in place.
        if !piece.is_empty() {
            partial.push(frame, piece, payload_bytes_max)?;
        }
        partial.frame = Some(FrameSoFar {
            received: frame.received + piece.len() as u64,
            ..frame
        });
        Ok(Payload::Incomplete)
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("role", &self.role)
            .field("limits", &self.limits)
            .field("state", &self.state)
            .field("buffered_bytes", &self.buffered_bytes())
            .finish()
    }
}

fn event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    let control = ControlPayload::new(payload).ok_or(Violation::ControlTooLong);
    match opcode {
        Opcode::Text => std::str::from_utf8(payload)
            .map(Event::Text)
            .map_err(|_| Violation::InvalidUtf8),
        Opcode::Binary | Opcode::Continuation => Ok(Event::Binary(payload)),
        Opcode::Close => CloseFrame::parse(payload).map(Event::Close),
        Opcode::Ping => control.map(Event::Ping),
        Opcode::Pong => control.map(Event::Pong),
    }
}

fn assembled<'e>(
    partial: Option<&'e Partial>,
    inflater: &'e mut Inflater,
    message_bytes_max: u32,
) -> Result<Event<'e>, Violation> {
    match partial
        .and_then(|partial| partial.message.as_ref())
        .map(|message| &message.body)
    {
        Some(Body::Text(text)) => Ok(Event::Text(text.whole_characters())),
        Some(Body::Binary(bytes)) => Ok(Event::Binary(bytes)),
        Some(Body::Deflated(opcode, payload)) => inflater
            .inflate(payload, message_bytes_max)
            .and_then(|payload| event(*opcode, payload)),
        None => Ok(Event::Binary(&[])),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{
        Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::{Decoder, Event, Input, Limits};
    use crate::protocol::websocket::frame::{Fragment, Header, Masking, Opcode, Reserved, Role};
    use crate::protocol::websocket::{CloseCode, Violation, unmask};

    const LIMITS: Limits = Limits {
        message_bytes_max: 1000,
        fragments_max: 4,
    };
    const KEY: [u8; 4] = [0xA5, 0x01, 0x80, 0xFF];

    /// What came out of a decoder, as text: `text "hi"`, `close 1000 "bye"`, and last the violation, if there was one.
    type Outcome = (Vec<String>, Option<Violation>);

    /// Feeds pieces of the given lengths, then the rest.
    fn decode(role: Role, bytes: &[u8], pieces: &[usize]) -> Outcome {
        let mut decoder = Decoder::new(role, LIMITS);
        let mut events = Vec::new();
        let mut rest = bytes;
        for len in pieces.iter().copied().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let mut scratch = piece.to_vec();
            let mut input = Input::new(&mut scratch);
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(event)) => events.push(describe(&event)),
                    Ok(None) => break,
                    Err(violation) => return (events, Some(violation)),
                }
            }
            assert!(input.remaining().is_empty());
        }
        (events, None)
    }

    fn describe(event: &Event<'_>) -> String {
        match event {
            Event::Text(text) => format!("text {text:?}"),
            Event::Binary(bytes) => format!("binary {}", bytes.escape_ascii()),
            Event::Ping(payload) => format!("ping {}", payload.escape_ascii()),
            Event::Pong(payload) => format!("pong {}", payload.escape_ascii()),
            Event::Close(Some(close)) => format!("close {} {:?}", close.code, close.reason),
            Event::Close(None) => "close".to_owned(),
        }
    }

    fn frame(opcode: Opcode, fragment: Fragment, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            fragment,
            ..Header::whole(opcode, payload.len() as u64, Masking::Key(KEY))
        };
        let mut bytes = header.encode().to_vec();
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], KEY, 0);
        bytes
    }

    /// Reads a script such as `text+ "He"`, where `+` means that more fragments follow.
    fn frames(script: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (word, payload) in script {
            let (name, fragment) = match word.strip_suffix('+') {
                Some(name) => (name, Fragment::More),
                None => (*word, Fragment::Last),
            };
            let opcode = match name {
                "text" => Opcode::Text,
                "binary" => Opcode::Binary,
                "more" => Opcode::Continuation,
                "ping" => Opcode::Ping,
                "pong" => Opcode::Pong,
                _ => Opcode::Close,
            };
            bytes.extend(frame(opcode, fragment, payload));
        }
        bytes
    }

    fn check(script: &[(&str, &[u8])], events: &[&str], violation: Option<Violation>) {
        let bytes = frames(script);
        let expected = (
            events.iter().map(|event| (*event).to_owned()).collect(),
            violation,
        );
        assert_eq!(decode(Role::Server, &bytes, &[]), expected, "{script:?}");
        assert_eq!(
            decode(Role::Server, &bytes, &vec![1; bytes.len()]),
            expected,
            "{script:?}, byte by byte"
        );
    }

    #[test]
    fn messages() {
        check(&[("text", b"Hello")], &["text \"Hello\""], None);
        check(&[("text", b"")], &["text \"\""], None);
        check(&[("binary", b"\xff")], &["binary \\xff"], None);
        check(
            &[("text", b"a"), ("text", b"b")],
            &["text \"a\"", "text \"b\""],
            None,
        );
        check(
            &[("text+", b"He"), ("more", b"llo")],
            &["text \"Hello\""],
            None,
        );
        check(
            &[("text+", b""), ("more+", b""), ("more", b"")],
            &["text \"\""],
            None,
        );
        check(
            &[("binary+", b"\x00"), ("more", b"\xff")],
            &["binary \\x00\\xff"],
            None,
        );
        check(
            &[("text+", b"\xe2"), ("more+", b"\x82"), ("more", b"\xac")],
            &["text \"€\""],
            None,
        );
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let script: &[(&str, &[u8])] = &[
            ("text+", b"He"),
            ("ping", b"p"),
            ("more+", b"l"),
            ("pong", b""),
            ("more", b"lo"),
        ];
        check(script, &["ping p", "pong ", "text \"Hello\""], None);
        check(&[("text+", b"He"), ("close", b"")], &["close"], None);
    }

    #[test]
    fn nothing_comes_after_close() {
        check(
            &[("close", b"\x03\xe8bye"), ("text", b"late")],
            &["close 1000 \"bye\""],
            None,
        );
        check(
            &[("close", b"\x03\xe8\xff")],
            &[],
            Some(Violation::InvalidUtf8),
        );
        check(&[("close", b"\x03")], &[], Some(Violation::CloseTruncated));
        check(
            &[("close", b"\x03\xee")],
            &[],
            Some(Violation::CloseCodeInvalid(1006)),
        );
    }

    #[test]
    fn fragments_out_of_place() {
        check(&[("more", b"x")], &[], Some(Violation::NothingToContinue));
        check(&[("more+", b"x")], &[], Some(Violation::NothingToContinue));
        check(
            &[("text", b"x"), ("more", b"x")],
            &["text \"x\""],
            Some(Violation::NothingToContinue),
        );
        check(
            &[("text+", b"x"), ("text", b"x")],
            &[],
            Some(Violation::MessageInsideMessage),
        );
        check(
            &[("text+", b"x"), ("binary+", b"x")],
            &[],
            Some(Violation::MessageInsideMessage),
        );
    }

    #[test]
    fn limits() {
        let too_large = |bytes| {
            Some(Violation::MessageTooLarge {
                bytes,
                bytes_max: 1000,
            })
        };
        check(&[("binary", &[b'x'; 1001])], &[], too_large(1001));
        check(
            &[("text+", &[b'x'; 600]), ("more", &[b'x'; 401])],
            &[],
            too_large(1001),
        );
        let too_many = Some(Violation::TooManyFragments { fragments_max: 4 });
        check(
            &[
                ("text+", b""),
                ("more+", b""),
                ("more+", b""),
                ("more", b""),
            ],
            &["text \"\""],
            None,
        );
        check(
            &[
                ("text+", b""),
                ("more+", b""),
                ("more+", b""),
                ("more+", b""),
                ("more", b""),
            ],
            &[],
            too_many,
        );
        let longest = vec![b'x'; 1000];
        check(
            &[("binary", &longest)],
            &[&format!("binary {}", longest.escape_ascii())],
            None,
        );
    }

    #[test]
    fn a_message_too_large_is_refused_by_its_header() {
        let header = Header::whole(Opcode::Text, 1 << 40, Masking::Key(KEY)).encode();
        let violation = Violation::MessageTooLarge {
            bytes: 1 << 40,
            bytes_max: 1000,
        };
        assert_eq!(
            decode(Role::Server, &header, &[]),
            (vec![], Some(violation))
        );
    }

    #[test]
    fn text_is_refused_before_its_frame_has_come_whole() {
        let bytes = frames(&[("text", b"ok\xff and a lot more")]);
        assert_eq!(decode(Role::Server, &bytes[..8], &[]), (vec![], None));
        assert_eq!(
            decode(Role::Server, &bytes[..9], &[]),
            (vec![], Some(Violation::InvalidUtf8))
        );
        assert_eq!(
            decode(Role::Server, &bytes[..9], &[7, 1]),
            (vec![], Some(Violation::InvalidUtf8))
        );
    }

    #[test]
    fn masking_and_reserved_bits() {
        let masked = Header::whole(Opcode::Text, 0, Masking::Key(KEY));
        let plain = Header::whole(Opcode::Text, 0, Masking::Plain);
        let rsv1 = Header {
            reserved: Reserved::RSV1,
            ..masked
        };
        let table = [
            (Role::Server, masked, None),
            (Role::Server, plain, Some(Violation::Unmasked)),
            (Role::Server, rsv1, Some(Violation::ReservedBits)),
            (Role::Client, plain, None),
            (Role::Client, masked, Some(Violation::Masked)),
        ];
        for (role, header, expected) in table {
            assert_eq!(
                decode(role, &header.encode(), &[]).1,
                expected,
                "{role:?} {header:?}"
            );
        }
    }

    #[test]
    fn each_violation_has_its_close_code() {
        let table = [
            (Violation::InvalidUtf8, CloseCode::INVALID_PAYLOAD),
            (
                Violation::MessageTooLarge {
                    bytes: 2,
                    bytes_max: 1,
                },
                CloseCode::TOO_LARGE,
            ),
            (
                Violation::TooManyFragments { fragments_max: 1 },
                CloseCode::POLICY,
            ),
            (Violation::Unmasked, CloseCode::PROTOCOL_ERROR),
        ];
        for (violation, code) in table {
            assert_eq!(violation.close_code(), code);
        }
    }

    #[test]
    fn an_idle_decoder_is_small_and_keeps_nothing() {
        assert!(size_of::<Decoder>() <= 24, "{}", size_of::<Decoder>());
        let mut decoder = Decoder::new(Role::Server, LIMITS);
        let bytes = frames(&[("text+", b"He"), ("more", b"llo"), ("ping", b"p")]);
        for byte in bytes {
            while matches!(decoder.next(&mut Input::new(&mut [byte])), Ok(Some(_))) {}
        }
        assert_eq!(decoder.buffered_bytes(), 0);
    }

    #[test]
    fn the_buffer_follows_what_came_not_what_was_announced() {
        let limits = Limits {
            message_bytes_max: u32::MAX,
            fragments_max: 4,
        };
        let mut decoder = Decoder::new(Role::Server, limits);
        let mut bytes = Header::whole(Opcode::Binary, 1 << 31, Masking::Key(KEY))
            .encode()
            .to_vec();
        bytes.extend([0; 100]);
        assert_eq!(decoder.next(&mut Input::new(&mut bytes)), Ok(None));
        assert!(
            decoder.buffered_bytes() < 400,
            "{}",
            decoder.buffered_bytes()
        );
        for _ in 0..100 {
            assert_eq!(decoder.next(&mut Input::new(&mut [0; 100])), Ok(None));
        }
        assert!(
            decoder.buffered_bytes() < 2 * 10_100 + 300,
            "{}",
            decoder.buffered_bytes()
        );
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => "[a-zä€𝄞]{0,80}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..140),
            1 => proptest::collection::vec(any::<u8>(), 500..700),
        ]
    }

    /// Frames that make sense one by one, and often enough together.
    fn conversation() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just("text"),
            Just("binary"),
            Just("text+"),
            Just("binary+"),
            Just("more+"),
            Just("more+"),
            Just("more"),
            Just("more"),
            Just("ping"),
            Just("pong"),
            Just("close"),
        ];
        let harm = proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>()));
        (proptest::collection::vec((word, payload()), 1..8), harm).prop_map(|(mut script, harm)| {
            for (word, payload) in &mut script {
                if ["ping", "pong", "close"].contains(word) {
                    payload.truncate(125);
                }
            }
            let script: Vec<(&str, &[u8])> = script
                .iter()
                .map(|(word, payload)| (*word, &payload[..]))
                .collect();
            let mut bytes = frames(&script);
            if let Some((at, byte)) = harm {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_split_makes_no_difference(
            bytes in conversation(),
            pieces in proptest::collection::vec(0_usize..40, 0..60),
        ) {
            let whole = decode(Role::Server, &bytes, &[]);
            prop_assert_eq!(&decode(Role::Server, &bytes, &pieces), &whole);
            prop_assert_eq!(&decode(Role::Server, &bytes, &vec![1; bytes.len()]), &whole);
        }

        #[test]
        fn noise_neither_panics_nor_depends_on_the_split(
            bytes: Vec<u8>,
            pieces in proptest::collection::vec(0_usize..10, 0..30),
        ) {
            for role in [Role::Server, Role::Client] {
                prop_assert_eq!(decode(role, &bytes, &pieces), decode(role, &bytes, &[]));
            }
        }

        #[test]
        fn memory_is_bounded_by_the_message_limit(bytes in conversation(), step in 1_usize..50) {
            let mut decoder = Decoder::new(Role::Server, LIMITS);
            for piece in bytes.chunks(step) {
                let mut scratch = piece.to_vec();
                let mut input = Input::new(&mut scratch);
                while let Ok(Some(_)) = decoder.next(&mut input) {}
                prop_assert!(decoder.buffered_bytes() <= 1000 + 250 + 400, "{}", decoder.buffered_bytes());
            }
        }
    }
}
