//! What a decoder takes and gives: bytes that were read, bounds, and events.

use std::fmt;
use std::ops::Range;

use super::close::CloseFrame;
use super::frame::ControlPayload;
use super::inflate::Inflater;

/// What the peer sent, borrowed from the bytes that were just read, or from the decoder where it came in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message (RFC 6455 §5.6).
    Text(&'a str),
    /// A binary message (RFC 6455 §5.6).
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload (RFC 6455 §5.5.2).
    Ping(ControlPayload<'a>),
    /// A sign of life (RFC 6455 §5.5.3).
    Pong(ControlPayload<'a>),
    /// The peer's last frame, to be answered with a close frame; what follows it is ignored (RFC 6455 §5.5.1).
    Close(Option<CloseFrame<'a>>),
}

/// What a peer may make us keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes of its payload, all fragments together; of a compressed one, in bytes of what it holds.
    pub message_bytes_max: u32,
    /// The most frames that a fragmented message may come in.
    pub fragments_max: u32,
}

impl Limits {
    /// How long the payloads of a message may be, all fragments together. A compressed message may be a little longer than what it
    /// holds, which may be as long as that of another: deflating adds 5 bytes to a block that it cannot shorten, and the smallest
    /// blocks have some hundreds.
    pub(super) fn payload_bytes_max(self, packing: Packing) -> u64 {
        let message_bytes_max = u64::from(self.message_bytes_max);
        match packing {
            Packing::Plain => message_bytes_max,
            Packing::Deflated => message_bytes_max + message_bytes_max / 64 + 64,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024,
            fragments_max: 1024,
        }
    }
}

/// Bytes that were just read, and how far they have been decoded. They are unmasked in place.
pub struct Input<'s> {
    pub(super) bytes: &'s mut [u8],
    pub(super) at: usize,
    pub(super) inflater: Lent<'s>,
}

/// Who decompresses.
pub(super) enum Lent<'s> {
    Nobody(Inflater),
    By(&'s mut Inflater),
}

impl<'s> Input<'s> {
    /// Bytes as the socket gave them.
    pub fn new(bytes: &'s mut [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            inflater: Lent::Nobody(Inflater::new()),
        }
    }

    /// The same, with a decompressor that has its memory already.
    pub fn with_inflater(bytes: &'s mut [u8], inflater: &'s mut Inflater) -> Self {
        Self {
            bytes,
            at: 0,
            inflater: Lent::By(inflater),
        }
    }

    /// What has not been decoded yet: for a caller that stops early and wants to go on later.
    #[must_use]
    pub fn remaining(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Frees what a long message has left with the lender.
    pub(super) fn release(&mut self) {
        if let Lent::By(inflater) = &mut self.inflater {
            inflater.release();
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.at;
        self.at += len;
        start..self.at
    }
}

impl Lent<'_> {
    pub(super) fn inflater(&mut self) -> &mut Inflater {
        match self {
            Self::Nobody(own) => own,
            Self::By(lender) => lender,
        }
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: they are a user's.
        f.debug_struct("Input")
            .field("len", &self.bytes.len())
            .field("at", &self.at)
            .finish()
    }
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    /// As RSV1 on its first frame says (RFC 7692 §6).
    Deflated,
}
