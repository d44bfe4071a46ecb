//! Why something is refused or a connection ends.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

/// The codes of `error` frames and of the HTTP API's problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// Not JSON, or JSON with duplicate keys or nested too deep.
    BadJson,
    /// JSON that is no frame.
    BadFrame,
    /// A type that is not taken here.
    UnknownType,
    /// No room, or none of that name.
    BadRoom,
    /// A room that the connection is not in.
    NotJoined,
    /// A rule says no.
    Forbidden,
    /// No valid credential.
    Unauthenticated,
    /// The data does not fit the type's schema.
    Schema,
    /// Too fast.
    RateLimited,
    /// Larger than allowed.
    TooLarge,
    /// In as many rooms as a connection may be.
    TooManyRooms,
    /// As many users as the room may have.
    RoomFull,
    /// The idempotency key came before, with another body.
    KeyReused,
    /// It contradicts the present state.
    Conflict,
    /// No answer in time.
    Timeout,
    /// Cannot be done now.
    Unavailable,
    /// The server's own fault.
    Internal,
}

impl RejectCode {
    /// Every code.
    pub const ALL: [Self; 17] = [
        Self::BadJson,
        Self::BadFrame,
        Self::UnknownType,
        Self::BadRoom,
        Self::NotJoined,
        Self::Forbidden,
        Self::Unauthenticated,
        Self::Schema,
        Self::RateLimited,
        Self::TooLarge,
        Self::TooManyRooms,
        Self::RoomFull,
        Self::KeyReused,
        Self::Conflict,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code as it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadFrame => "bad_frame",
            Self::UnknownType => "unknown_type",
            Self::BadRoom => "bad_room",
            Self::NotJoined => "not_joined",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::Schema => "schema",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::TooManyRooms => "too_many_rooms",
            Self::RoomFull => "room_full",
            Self::KeyReused => "key_reused",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// A refusal: what the client is told, and what only the log is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Reject {
    /// The kind of refusal.
    pub code: RejectCode,
    /// One sentence for the client.
    pub message: Cow<'static, str>,
    /// More for the client, as `details`.
    pub details: Option<Box<Value>>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Why, for the log alone.
    pub cause: Option<Box<str>>,
}

impl Reject {
    /// A refusal of the kind `code`.
    pub fn new(code: RejectCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            retry_after: None,
            cause: None,
        }
    }

    /// With more for the client.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// With a time to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// With a reason that only the log is told.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// Why the server closes a WebSocket (RFC 6455 §7.4; 4000–4999 are trunkline's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: done.
    Normal,
    /// 1001: going away.
    GoingAway,
    /// 1002: the framing is broken.
    ProtocolError,
    /// 1003: a kind of frame that is not taken here.
    Unsupported,
    /// 1007: text that is not UTF-8.
    InvalidPayload,
    /// 1008: not allowed.
    NotAllowed,
    /// 1009: too large.
    TooLarge,
    /// 1011: the server's own fault; come back.
    Internal,
    /// 1012: restarting; come back after the given time.
    Restarting,
    /// 1013: overloaded; back off.
    Overloaded,
    /// 4001: the token expired; come back with a new one.
    TokenExpired,
    /// 4002: no sign of life; come back.
    NoHeartbeat,
    /// 4008: too slow; come back and resume.
    TooSlow,
    /// 4009: replaced by a newer connection; stay away.
    Replaced,
    /// 4010: disconnected by the application; stay away.
    Disconnected,
    /// 4029: too fast; back off.
    TooFast,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidPayload,
        Self::NotAllowed,
        Self::TooLarge,
        Self::Internal,
        Self::Restarting,
        Self::Overloaded,
        Self::TokenExpired,
        Self::NoHeartbeat,
        Self::TooSlow,
        Self::Replaced,
        Self::Disconnected,
        Self::TooFast,
    ];

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidPayload => 1007,
            Self::NotAllowed => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::Restarting => 1012,
            Self::Overloaded => 1013,
            Self::TokenExpired => 4001,
            Self::NoHeartbeat => 4002,
            Self::TooSlow => 4008,
            Self::Replaced => 4009,
            Self::Disconnected => 4010,
            Self::TooFast => 4029,
        }
    }

    /// The reason that goes with it where there is no better one: at most 123 bytes (RFC 6455 §5.5).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "done",
            Self::GoingAway => "going away",
            Self::ProtocolError => "broken framing",
            Self::Unsupported => "this kind of frame is not taken here",
            Self::InvalidPayload => "text is not UTF-8",
            Self::NotAllowed => "not allowed",
            Self::TooLarge => "message too large",
            Self::Internal => "internal error, come back",
            Self::Restarting => "restarting, come back",
            Self::Overloaded => "overloaded, back off",
            Self::TokenExpired => "token expired, come back with a new one",
            Self::NoHeartbeat => "no sign of life, come back",
            Self::TooSlow => "too slow, come back and resume",
            Self::Replaced => "replaced by a newer connection",
            Self::Disconnected => "disconnected by the application",
            Self::TooFast => "too fast, back off",
        }
    }
}
/// What of a parser's words is passed on, in characters: they repeat the client's own, which may be as long as a frame.
const EXCERPT_CHARS_MAX: usize = 256;

/// The first 256 characters of `text`, and `…` where there is more.
pub fn excerpt(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(EXCERPT_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
