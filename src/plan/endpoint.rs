//! `endpoints`: URL paths with their auth and limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{AuthMode, CountLimit, EndpointWebhooks, Message, Origins, RateLimit, RoomKind};
use crate::rule::{Rule, Template};
use crate::vocab::{ByteSize, MessageName, Pattern};

/// A URL path with its auth and limits.
#[derive(Debug)]
pub struct Endpoint {
    /// Its number among the endpoints.
    pub index: usize,
    /// The paths that it answers.
    pub path: Pattern,
    /// The auth modes: the first whose credential is present decides.
    pub auth: Vec<Arc<AuthMode>>,
    /// Who may connect, beside having a credential.
    pub allow: Option<Arc<Rule>>,
    /// What frames mean.
    pub protocol: Protocol,
    /// The rooms that a connection is in from the start.
    pub auto_join: Vec<AutoJoin>,
    /// The kinds of rooms that a frame may join.
    pub rooms: Vec<Arc<RoomKind>>,
    /// The types that belong to the endpoint.
    pub messages: HashMap<MessageName, Arc<Message>>,
    /// Token buckets of connecting.
    pub connect_limits: Vec<Arc<RateLimit>>,
    /// Token buckets of joining.
    pub join_limits: Vec<Arc<RateLimit>>,
    /// Token buckets of every message.
    pub message_limits: Vec<Arc<RateLimit>>,
    /// The pages that may connect.
    pub origins: Origins,
    /// Signs of life.
    pub heartbeat: Heartbeat,
    /// Bounds of a connection.
    pub limits: ConnectionLimits,
    /// Whether messages are compressed where the client can; none: never.
    pub compression: Option<Compression>,
    /// How a refusal looks.
    pub reject: RejectStyle,
    /// How long frames wait for others, to leave together; none: only while others are ready in the same moment.
    pub coalesce: Option<Duration>,
    /// Who is told what happens.
    pub webhooks: EndpointWebhooks,
}

/// What frames mean on an endpoint.
#[derive(Debug)]
pub enum Protocol {
    /// docs/protocol.md's frames.
    Json,
    /// Whatever arrives, valid JSON of any shape, is the data of this type.
    EveryFrame(Arc<Message>),
    /// Text in, rendered text out.
    Text(TextProtocol),
    /// Frames pass unread.
    Raw(RawRoute),
}

/// `protocol: text`.
#[derive(Debug)]
pub struct TextProtocol {
    /// The type whose data each frame is.
    pub message: Arc<Message>,
    /// By name of a message type or announcement; what has none is not sent.
    pub render: HashMap<MessageName, Arc<Template>>,
    /// What the sender gets back.
    pub reply: Option<Arc<Template>>,
    /// How an error is told.
    pub error: Option<Arc<Template>>,
}

/// Where frames of a raw endpoint go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawRoute {
    /// Back.
    Sender,
    /// To everyone in the connection's rooms.
    Room,
    /// To everyone else there.
    Others,
}

/// A room that a connection is in from the start.
#[derive(Debug)]
pub struct AutoJoin {
    /// Its name; sees `user`, `path`, `query` and `connection`.
    pub room: Template,
    /// A refusal leaves the room out instead of refusing the connection.
    pub when_allowed: bool,
}

/// `heartbeat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Silence after which the server asks.
    pub idle: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// How it asks.
    pub kind: HeartbeatKind,
}

/// How the server asks for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatKind {
    /// A WebSocket ping.
    Frame,
    /// A `ping` message beside the WebSocket ping.
    Message,
}

/// Bounds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections on this endpoint at a time, those in their handshake included.
    pub connections: CountLimit,
    /// Connections of one user on this endpoint at a time.
    pub connections_per_user: CountLimit,
    /// What the connection too many does.
    pub on_too_many: OnTooMany,
    /// Rooms at a time.
    pub rooms_per_connection: CountLimit,
    /// Bytes of a message that comes in.
    pub message_size: ByteSize,
    /// Nesting of JSON that comes in.
    pub depth: usize,
    /// Frames that a message may come in.
    pub fragments: usize,
    /// Bytes that wait to be written.
    pub queue_bytes: ByteSize,
    /// Frames that wait to be written.
    pub queue_frames: usize,
    /// Bad frames of which the last ends the connection with 1008.
    pub strikes: CountLimit,
}

/// Messages leave and come compressed (permessage-deflate, RFC 7692).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Shorter messages leave as they are.
    pub min_size: ByteSize,
}

/// What the connection of a user too many does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTooMany {
    /// It is refused.
    Refuse,
    /// It takes the place of the oldest, which ends with 4009.
    ReplaceOldest,
}

/// How a refused connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectStyle {
    /// By the HTTP status, before the upgrade.
    Http,
    /// By a close code, after it: browsers can read that.
    Close,
}
