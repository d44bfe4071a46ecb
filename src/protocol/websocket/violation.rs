//! What a peer can do against RFC 6455, and the close code that each deserves.

use super::close::CloseCode;

/// The peer broke the protocol, or one of the limits that it was given. The connection has to be failed (RFC 6455 §7.1.7) with
/// [`Violation::close_code`]; nothing that follows on it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A reserved bit where no negotiated extension gives it a meaning (RFC 6455 §5.2, RFC 7692 §6).
    #[error("a reserved bit is set that no negotiated extension gives a meaning here")]
    ReservedBits,
    /// An opcode that RFC 6455 reserves for later (§5.2).
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A control frame in pieces (RFC 6455 §5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame with a payload over 125 bytes (RFC 6455 §5.5).
    #[error("a control frame carries more than 125 bytes")]
    ControlTooLong,
    /// A length in more bytes than it needs (RFC 6455 §5.2).
    #[error("a payload length is not written in its shortest form")]
    LengthNotMinimal,
    /// A length with its highest bit set (RFC 6455 §5.2).
    #[error("a payload length has its highest bit set")]
    LengthOverflow,
    /// A client has to mask every frame (RFC 6455 §5.1).
    #[error("a frame from the client is not masked")]
    Unmasked,
    /// A server must not mask (RFC 6455 §5.1).
    #[error("a frame from the server is masked")]
    Masked,
    /// A continuation of no message (RFC 6455 §5.4).
    #[error("a continuation frame continues nothing")]
    NothingToContinue,
    /// A new message before the last fragment of the one before (RFC 6455 §5.4).
    #[error("a new message starts inside a fragmented one")]
    MessageInsideMessage,
    /// The header announced a message over the limit (RFC 6455 §7.4.1, code 1009).
    #[error("a message of at least {bytes} bytes is over the limit of {bytes_max}")]
    MessageTooLarge {
        /// The message's bytes so far, with those that the header announced.
        bytes: u64,
        /// The limit that was passed.
        bytes_max: u32,
    },
    /// A message in more fragments than allowed.
    #[error("a message comes in more than {fragments_max} fragments")]
    TooManyFragments {
        /// The limit that was passed.
        fragments_max: u32,
    },
    /// A compressed message that no compressor makes (RFC 7692 §7.2.2).
    #[error("a compressed message cannot be decompressed")]
    DeflateCorrupt,
    /// Text, or the reason of a close frame, that is not UTF-8 (RFC 6455 §8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A close frame with half a status code (RFC 6455 §5.5.1).
    #[error("a close frame carries a single byte")]
    CloseTruncated,
    /// A status code that must not be on the wire (RFC 6455 §7.4).
    #[error("close code {0} must not be sent")]
    CloseCodeInvalid(u16),
}

impl Violation {
    /// The status code that the connection is failed with (RFC 6455 §7.4.1).
    ///
    /// Too many fragments is 1008, not 1009: the message may be well under the size limit, and a developer who reads "too big"
    /// would look for the fault in the wrong place.
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::DeflateCorrupt => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLarge { .. } => CloseCode::TOO_LARGE,
            Self::TooManyFragments { .. } => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}
