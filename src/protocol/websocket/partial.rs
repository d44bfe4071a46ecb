//! What is kept of a connection between two reads, while a frame or a message has come only in part.

use super::frame::{Fragment, HEADER_BYTES_MAX, Header, Opcode, Reserved};
use super::message::{Payload, Ready};
use super::utf8::TextSoFar;
use super::violation::Violation;

/// The parts that wait for the rest.
#[derive(Default)]
pub(super) struct Partial {
    head: [u8; HEADER_BYTES_MAX],
    head_len: u8,
    pub(super) frame: Option<FrameSoFar>,
    /// The payload of a control frame, which may come between the fragments of a message.
    pub(super) control: Vec<u8>,
    pub(super) message: Option<MessageSoFar>,
    complete: Complete,
}

/// Which of the parts has been handed out and can be freed.
#[derive(Default)]
enum Complete {
    #[default]
    Nothing,
    Control,
    Message,
}

/// A frame whose payload has not all come.
#[derive(Clone, Copy)]
pub(super) struct FrameSoFar {
    pub(super) header: Header,
    pub(super) received: u64,
}

/// A message whose last byte has not come.
pub(super) struct MessageSoFar {
    pub(super) body: Body,
    /// Frames that have come whole.
    pub(super) fragments: u32,
}

pub(super) enum Body {
    Text(TextSoFar),
    Binary(Vec<u8>),
    /// Still compressed.
    Deflated(Opcode, Vec<u8>),
}

impl Partial {
    /// Adds the start of a header, and reads it if it has come whole: it and how many of `more` belonged to it.
    pub(super) fn read_header(
        &mut self,
        more: &[u8],
    ) -> Result<Option<(Header, usize)>, Violation> {
        let held = usize::from(self.head_len);
        let taken = more.len().min(HEADER_BYTES_MAX - held);
        self.head[held..held + taken].copy_from_slice(&more[..taken]);
        match Header::parse(&self.head[..held + taken])? {
            Some((header, end)) => {
                self.head_len = 0;
                Ok(Some((header, end - held)))
            }
            None => {
                self.head_len = (held + taken) as u8;
                Ok(None)
            }
        }
    }

    pub(super) fn is_within_header(&self) -> bool {
        self.head_len > 0
    }

    /// Adds a piece of the frame's payload, unmasked.
    pub(super) fn push(
        &mut self,
        frame: FrameSoFar,
        piece: &[u8],
        payload_bytes_max: u64,
    ) -> Result<(), Violation> {
        if frame.header.opcode.is_control() {
            self.control.extend_from_slice(piece);
            return Ok(());
        }
        let message = self
            .message
            .get_or_insert_with(|| MessageSoFar::new(&frame.header));
        let frame_rest =
            usize::try_from(frame.header.payload_bytes - frame.received).unwrap_or(usize::MAX);
        let bytes_expected = match frame.header.fragment {
            Fragment::Last => message.body.len().saturating_add(frame_rest),
            Fragment::More => usize::try_from(payload_bytes_max).unwrap_or(usize::MAX),
        };
        message.body.push(piece, bytes_expected)
    }

    /// Counts a frame whose payload has all come: a control frame or a message may be complete with it.
    pub(super) fn complete_frame(&mut self, header: &Header) -> Result<Payload, Violation> {
        if header.opcode.is_control() {
            self.complete = Complete::Control;
            return Ok(Payload::Ready(Ready::Control(header.opcode)));
        }
        if let Some(message) = &mut self.message {
            message.fragments += 1;
            if header.fragment == Fragment::Last {
                message.body.end()?;
                self.complete = Complete::Message;
                return Ok(Payload::Ready(Ready::Message));
            }
        }
        Ok(Payload::Fragment)
    }

    /// Frees what has been handed out.
    pub(super) fn release(&mut self) {
        match std::mem::take(&mut self.complete) {
            Complete::Nothing => {}
            Complete::Control => self.control = Vec::new(),
            Complete::Message => self.message = None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head_len == 0
            && self.frame.is_none()
            && self.message.is_none()
            && self.control.is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let message = self
            .message
            .as_ref()
            .map_or(0, |message| message.body.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }
}

impl MessageSoFar {
    fn new(header: &Header) -> Self {
        let body = match header.opcode {
            opcode if header.reserved == Reserved::RSV1 => Body::Deflated(opcode, Vec::new()),
            Opcode::Text => Body::Text(TextSoFar::default()),
            _ => Body::Binary(Vec::new()),
        };
        Self { body, fragments: 0 }
    }
}

impl Body {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Deflated(_, bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) | Self::Deflated(_, bytes) => bytes.capacity(),
        }
    }

    fn end(&self) -> Result<(), Violation> {
        match self {
            Self::Text(text) => text.end(),
            Self::Binary(_) | Self::Deflated(..) => Ok(()),
        }
    }

    /// Grows with what has come, never with what was announced: at most to twice of it, and never past the end of the message.
    fn push(&mut self, piece: &[u8], bytes_expected: usize) -> Result<(), Violation> {
        let needed = self.len() + piece.len();
        if needed > self.capacity() {
            let target = needed.max((self.capacity() * 2).min(bytes_expected));
            // A cut character counts in `needed` but waits outside the text, so the text never needs more than this.
            let additional = target - self.len();
            match self {
                Self::Text(text) => text.reserve_exact(additional),
                Self::Binary(bytes) | Self::Deflated(_, bytes) => bytes.reserve_exact(additional),
            }
        }
        match self {
            Self::Text(text) => text.push(piece),
            Self::Binary(bytes) | Self::Deflated(_, bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }
}
