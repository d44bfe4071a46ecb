//! `endpoints`: URL paths with their auth and limits.

use std::time::Duration;

use crate::config::{MessageUse, Spanned, Text};
use crate::diag::Span;
use crate::vocab::ByteSize;

/// `endpoints.PATH`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// `description`.
    pub description: Option<Text>,
    /// `auth`, required: names of auth modes; the first whose credential is present decides. One name alone is a list of one.
    pub auth: Vec<Text>,
    /// `allow`: a rule; who may connect, beside having a credential.
    pub allow: Option<Text>,
    /// `protocol`: what frames mean.
    pub protocol: Option<Spanned<Protocol>>,
    /// `every_frame`: the type whose data each JSON frame is.
    pub every_frame: Option<Text>,
    /// `text_message`: the type whose data each text frame is.
    pub text_message: Option<Text>,
    /// `render`: templates of what leaves a text endpoint, by type, announcement, `reply` or `error`.
    pub render: Vec<(Spanned<String>, Text)>,
    /// `raw.to`: where frames of a raw endpoint go.
    pub raw: Option<Spanned<RawRoute>>,
    /// `auto_join`: rooms that a connection is in from the start.
    pub auto_join: Vec<AutoJoin>,
    /// `rooms`: declared patterns, verbatim, that a frame may join.
    pub rooms: Vec<Text>,
    /// `messages`: types that belong to the endpoint.
    pub messages: Vec<MessageUse>,
    /// `rate_limit`.
    pub rate_limit: EndpointRateLimits,
    /// `origins`: pages that may connect, or `same-origin`, or `*`.
    pub origins: Option<Vec<Text>>,
    /// `heartbeat`.
    pub heartbeat: Heartbeat,
    /// `limits`.
    pub limits: EndpointLimits,
    /// `compression`: absent: off.
    pub compression: Option<Spanned<Compression>>,
    /// `coalesce`: how long frames may wait to leave together.
    pub coalesce: Option<Spanned<Duration>>,
    /// `reject`: how a refusal looks.
    pub reject: Option<Spanned<RejectStyle>>,
    /// `webhooks`: names of webhooks, by event.
    pub webhooks: Vec<(Spanned<EndpointEvent>, Text)>,
}

/// `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `json`.
    Json,
    /// `text`.
    Text,
    /// `raw`.
    Raw,
}

/// `raw.to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawRoute {
    /// `sender`.
    Sender,
    /// `room`.
    Room,
    /// `others`.
    Others,
}

/// `auto_join`: a room. A template alone is `{room: TEMPLATE}`.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoJoin {
    /// Where it is written.
    pub span: Span,
    /// `room`, required: a template of its name.
    pub room: Option<Text>,
    /// `when_allowed`: a refusal leaves the room out instead of refusing the connection.
    pub when_allowed: Option<Spanned<bool>>,
}

/// `rate_limit` of an endpoint: names of rate limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointRateLimits {
    /// `connect`: of connecting.
    pub connect: Vec<Text>,
    /// `join`: of joining.
    pub join: Vec<Text>,
    /// `messages`: of every message.
    pub messages: Vec<Text>,
}

/// `heartbeat`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    /// `idle`: silence after which the server asks.
    pub idle: Option<Spanned<Duration>>,
    /// `timeout`: how long the answer may take.
    pub timeout: Option<Spanned<Duration>>,
    /// `kind`: how it asks.
    pub kind: Option<Spanned<HeartbeatKind>>,
}

/// `heartbeat.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatKind {
    /// `frame`: a WebSocket ping.
    Frame,
    /// `message`: a `ping` message beside it.
    Message,
}

/// `limits` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointLimits {
    /// `connections`: at a time, all users together.
    pub connections: Option<Spanned<usize>>,
    /// `connections_per_user`: at a time.
    pub connections_per_user: Option<Spanned<usize>>,
    /// `on_too_many`: what the connection too many does.
    pub on_too_many: Option<Spanned<OnTooMany>>,
    /// `rooms_per_connection`: at a time.
    pub rooms_per_connection: Option<Spanned<usize>>,
    /// `message_size`: of a message that comes in.
    pub message_size: Option<Spanned<ByteSize>>,
    /// `depth`: nesting of JSON that comes in.
    pub depth: Option<Spanned<usize>>,
    /// `fragments`: frames that a message may come in.
    pub fragments: Option<Spanned<usize>>,
    /// `queue_bytes`: that wait to be written.
    pub queue_bytes: Option<Spanned<ByteSize>>,
    /// `queue_frames`: that wait to be written.
    pub queue_frames: Option<Spanned<usize>>,
    /// `strikes`: bad frames after which the connection ends.
    pub strikes: Option<Spanned<usize>>,
    /// `dry_run`: counts of connections, rooms and strikes are only counted and logged.
    pub dry_run: Option<Spanned<bool>>,
}

/// `limits.on_too_many`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTooMany {
    /// `refuse`.
    Refuse,
    /// `replace_oldest`.
    ReplaceOldest,
}

/// `compression`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compression {
    /// `min_size`: smaller messages leave as they are.
    pub min_size: Option<Spanned<ByteSize>>,
}

/// `reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectStyle {
    /// `http`: by a status, before the upgrade.
    Http,
    /// `close`: by a close code, after it.
    Close,
}

/// What a webhook can be told about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// `connected`.
    Connected,
    /// `disconnected`.
    Disconnected,
}
