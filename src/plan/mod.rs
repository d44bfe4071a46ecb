//! What a configuration means: checked, resolved, immutable. Once a [`Plan`] exists, only the outside world can fail.
//!
//! Every name is resolved to an [`Arc`], every rule compiled, every bound filled in. `index` fields number the things of one kind
//! from 0, for tables beside the Plan (metrics, rate-limit state).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::rule::{Expression, Rule, Template};
use crate::schema::Schema;
use crate::vocab::{ByteSize, MessageName, Parameters, Pattern, Rate, RoomName, Secret};

/// The whole configuration.
#[derive(Debug)]
pub struct Plan {
    /// Where and how much.
    pub server: Server,
    /// Folders of static files, by URL path.
    pub pages: Vec<Page>,
    /// Ways to turn a credential into a user.
    pub auth: Vec<Arc<AuthMode>>,
    /// Token buckets.
    pub rate_limits: Vec<Arc<RateLimit>>,
    /// Message types as declared, without a room's overrides.
    pub messages: Vec<Arc<Message>>,
    /// Kinds of rooms, those with more literal segments first.
    pub rooms: Vec<Arc<RoomKind>>,
    /// Endpoints, those with more literal segments first.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl Plan {
    /// The kind that `room` is an instance of, with the parameters of its name; none where the name fits no pattern or a
    /// parameter does not fit its schema.
    pub fn room_kind(&self, room: &RoomName) -> Option<(&Arc<RoomKind>, Parameters)> {
        self.rooms
            .iter()
            .find_map(|kind| Some((kind, kind.pattern.matches(room.as_str())?)))
            .filter(|(kind, parameters)| {
                kind.parameters.iter().all(|(name, schema)| {
                    parameters
                        .get(name)
                        .is_some_and(|value| schema.check(&value.into()).is_ok())
                })
            })
    }
}

/// `server`.
#[derive(Debug)]
pub struct Server {
    /// The addresses to listen on.
    pub listen: Vec<Listener>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time; IPv6 counts by /64.
    pub connections_per_ip_max: usize,
    /// How long a handshake may take, credential included.
    pub handshake_timeout: Duration,
    /// How long a shutdown waits for connections to end by themselves.
    pub shutdown_grace: Duration,
    /// Within which clients are told to come back at a random moment.
    pub shutdown_spread: Duration,
    /// What the memory store may keep in all.
    pub store_bytes_max: ByteSize,
    /// The HTTP API, where it is on.
    pub api: Option<Api>,
    /// What is logged.
    pub log: Log,
}

/// One address and what is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Host and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether `/metrics` answers peers that are not on this machine.
    pub metrics_for_all: bool,
}

/// A range of addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// `server.api`.
#[derive(Debug)]
pub struct Api {
    /// Its keys.
    pub keys: Vec<ApiKey>,
}

/// One key of the HTTP API.
#[derive(Debug)]
pub struct ApiKey {
    /// The key's name, for logs.
    pub name: Arc<str>,
    /// What the application sends.
    pub secret: Secret,
    /// It may publish.
    pub publish: bool,
    /// It may read.
    pub read: bool,
    /// It may disconnect.
    pub disconnect: bool,
    /// The rooms it may use: `*` stands for any text within a name. Empty: all.
    pub rooms: Vec<Box<str>>,
}

/// `server.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults.
    Error,
    /// What deserves a look.
    Warn,
    /// The life of the server.
    Info,
    /// The life of connections and every refusal.
    Debug,
    /// Everything.
    Trace,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// A folder of static files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The URL path below which they stand.
    pub path: Box<str>,
    /// The folder.
    pub folder: PathBuf,
}

/// A named way to turn a credential into a user.
#[derive(Debug)]
pub struct AuthMode {
    /// Its number among the auth modes.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How.
    pub method: AuthMethod,
}

/// How a credential is turned into a user.
#[derive(Debug)]
pub enum AuthMethod {
    /// Without one. The templates see `path`, `query` and `connection`.
    Anonymous {
        /// What follows `anon:`; random where there is none.
        user_id: Option<Template>,
        /// The name to show.
        username: Option<Template>,
    },
    /// A signed token.
    Jwt(Jwt),
    /// A cookie whose value is looked up.
    Session(Session),
}

/// `auth.NAME.jwt`.
#[derive(Debug)]
pub struct Jwt {
    /// The algorithms that a token may name.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The key.
    pub secret: Secret,
    /// Where to look for the token.
    pub credential: Credential,
    /// What `iss` must be.
    pub issuer: Option<Box<str>>,
    /// What `aud` must contain.
    pub audience: Option<Box<str>>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The claim that is the user's id.
    pub user_id: Box<str>,
    /// The claim that is the name to show.
    pub username: Option<Box<str>>,
    /// What the claims must look like.
    pub claims: Option<Arc<Schema>>,
}

/// The signatures that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
}

/// Where a token is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// In the request, in this order.
    Request(Vec<Place>),
    /// In the first frame, which has to come within this time.
    FirstMessage(Duration),
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The query parameter of that name.
    Query(Box<str>),
    /// The header of that name, after `Bearer ` where it is `authorization`.
    Header(Box<str>),
    /// The cookie of that name.
    Cookie(Box<str>),
    /// The subprotocol that begins with this and a dot.
    Subprotocol(Box<str>),
}

/// `auth.NAME.session`.
#[derive(Debug)]
pub struct Session {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// The file that maps its value to a user, read again when it changes.
    pub file: PathBuf,
}

/// A named token bucket.
#[derive(Debug)]
pub struct RateLimit {
    /// Its number among the rate limits.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How fast it fills.
    pub rate: Rate,
    /// How much it holds.
    pub burst: std::num::NonZeroU32,
    /// What has a bucket of its own.
    pub per: RateKey,
    /// What happens to who exceeds it.
    pub on_exceed: OnExceed,
    /// Only count and log what would be refused.
    pub dry_run: bool,
}

/// What has a token bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// Each connection.
    Connection,
    /// Each user.
    User,
    /// Each address; IPv6 by /64.
    Ip,
    /// Each room.
    Room,
    /// Each endpoint.
    Endpoint,
    /// The server.
    Server,
}

/// What happens to who exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExceed {
    /// An `error` frame.
    Error,
    /// Nothing: the message is gone.
    Drop,
    /// The connection ends with 4029.
    Close,
}

/// A message type, with a room's overrides where it stands in a room.
#[derive(Debug)]
pub struct Message {
    /// Its number among the message types; the same in every room.
    pub index: usize,
    /// Its name.
    pub name: MessageName,
    /// What its data must look like.
    pub schema: Arc<Schema>,
    /// Who may send it.
    pub sent_by: SentBy,
    /// Where it goes.
    pub to: Route,
    /// Acknowledge even frames without an id.
    pub ack: bool,
    /// Its token buckets, beside the endpoint's.
    pub rate_limits: Vec<Arc<RateLimit>>,
    /// Who may send what; none: whoever is in the room.
    pub allow: Option<Arc<Rule>>,
    /// What the sender gets back instead of an `ack`; where `to` is the sender and this is absent, the data.
    pub reply: Option<Arc<Expression>>,
    /// The size of its data at most; none: the endpoint's `message_size` is bound enough.
    pub bytes_max: Option<ByteSize>,
    /// Kept where the room keeps history or an inbox.
    pub stored: bool,
}

/// Who may send a message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBy {
    /// Clients, and the application.
    Client,
    /// The application, over the HTTP API.
    Server,
    /// Both.
    Any,
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub enum Route {
    /// Everyone in the room.
    Room,
    /// Everyone in the room but the sender's user.
    Others,
    /// Every connection in the room but the sender's.
    OtherConnections,
    /// The sender's connection.
    Sender,
    /// Nobody: the server's check and acknowledgement are the point.
    None,
    /// Every connection of the user whose id this yields.
    User(Arc<Expression>),
    /// The room whose name this yields.
    OtherRoom(Arc<Template>),
}

/// A declared pattern of rooms.
#[derive(Debug)]
pub struct RoomKind {
    /// Its number among the kinds of rooms.
    pub index: usize,
    /// The names of its rooms.
    pub pattern: Pattern,
    /// What the parameters of the name must look like.
    pub parameters: Vec<(Arc<str>, Arc<Schema>)>,
    /// Who may join.
    pub may_join: Arc<Rule>,
    /// The message types that it takes, with its overrides.
    pub messages: HashMap<MessageName, Arc<Message>>,
    /// Who is here, where that is told.
    pub presence: Presence,
    /// What is kept of its messages.
    pub history: Option<History>,
    /// What is kept for an absent owner.
    pub inbox: Option<Inbox>,
    /// Users at a time.
    pub users_max: usize,
    /// For how long idempotency keys are remembered.
    pub idempotency_window: Duration,
    /// How many idempotency keys one room remembers; the oldest goes first.
    pub idempotency_keys_max: usize,
}

/// `presence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether clients may ask for the members.
    pub members: bool,
    /// How long a user whose last connection broke still counts.
    pub grace: Duration,
    /// The frame that says that a user came.
    pub joined: Option<MessageName>,
    /// The frame that says that a user went.
    pub left: Option<MessageName>,
    /// The frame that gives the newcomer everyone.
    pub present: Option<MessageName>,
    /// Whether the newcomer hears of itself too.
    pub announce_to: AnnounceTo,
}

/// Who hears that a user came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceTo {
    /// The other users.
    Others,
    /// Everyone.
    Room,
}

/// `history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Messages at most.
    pub messages_max: usize,
    /// How long they are kept.
    pub age: Duration,
    /// How many a newcomer gets.
    pub replay_on_join: usize,
}

/// `inbox`.
#[derive(Debug)]
pub struct Inbox {
    /// The id of the user whose inbox it is; sees `params`.
    pub owner: Arc<Expression>,
    /// What takes a message out.
    pub receipt: Receipt,
    /// Messages at most; the oldest goes first.
    pub messages_max: usize,
    /// How long they are kept.
    pub age: Duration,
}

/// What takes a message out of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// One of the owner's connections says `received`.
    User,
    /// Each device says `received`.
    Device,
    /// It was written to a connection of the owner.
    OnWrite,
}

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
    /// How a refusal looks.
    pub reject: RejectStyle,
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

/// The pages that may open an endpoint. A request without `Origin` is not from a browser and passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// Pages of the same host and port.
    pub same: bool,
    /// Any page.
    pub any: bool,
    /// Pages of these origins, as browsers write them.
    pub listed: Vec<Box<str>>,
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
    /// Connections of one user on this endpoint at a time.
    pub connections_per_user: usize,
    /// What the connection too many does.
    pub on_too_many: OnTooMany,
    /// Rooms at a time.
    pub rooms_per_connection: usize,
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
    /// Bad frames after which the connection ends with 1008; none: never.
    pub strikes: Option<u32>,
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
