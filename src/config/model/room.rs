//! `rooms`: patterns of rooms and what holds in them.

use std::time::Duration;

use crate::config::{HttpCall, JwtAlgorithm, JwtKey, MessageUse, SchemaSource, Spanned, Text};

/// `rooms.PATTERN`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Room {
    /// `description`.
    pub description: Option<Text>,
    /// `params`: a JSON Schema for each parameter of the pattern.
    pub params: Vec<(Spanned<String>, SchemaSource)>,
    /// `may_join`, required: who may join.
    pub may_join: Option<MayJoin>,
    /// `messages`: the types that it takes.
    pub messages: Vec<MessageUse>,
    /// `presence`: who is here, and who hears of it.
    pub presence: Option<Spanned<Presence>>,
    /// `history`: what is kept of its messages.
    pub history: Option<Spanned<History>>,
    /// `inbox`: what is kept for an absent owner.
    pub inbox: Option<Spanned<Inbox>>,
    /// `limits`.
    pub limits: RoomLimits,
    /// `webhooks`: names of webhooks, by event.
    pub webhooks: Vec<(Spanned<RoomEvent>, Text)>,
    /// `audiences`: a rule for each, evaluated at join.
    pub audiences: Vec<(Spanned<String>, Text)>,
    /// `idempotency`: how repeated keys are recognised.
    pub idempotency: Option<Spanned<Idempotency>>,
}

/// `may_join`. A rule alone is its own long form.
#[derive(Clone, Debug, PartialEq)]
pub enum MayJoin {
    /// A rule.
    Rule(Text),
    /// `http`: the application decides.
    Http(Spanned<HttpCall>),
    /// `token`: a signed join token decides.
    Token(Spanned<JoinToken>),
}

/// `may_join.token`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinToken {
    /// `algorithms`, required.
    pub algorithms: Option<Spanned<Vec<Spanned<JwtAlgorithm>>>>,
    /// `secret`, `secret_file`, `public_key_file` or `jwks_url`: one of them, required.
    pub key: Option<JwtKey>,
}

/// `presence`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// `members`: whether clients may ask for the members.
    pub members: Option<Spanned<bool>>,
    /// `grace`: how long a user whose last connection broke still counts.
    pub grace: Option<Spanned<Duration>>,
    /// `announce`.
    pub announce: Option<Spanned<Announce>>,
    /// `state`: a JSON Schema for each state that a connection may set.
    pub state: Vec<(Spanned<String>, SchemaSource)>,
}

/// `presence.announce`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announce {
    /// `joined`: the frame that says that a user came.
    pub joined: Option<Text>,
    /// `left`: the frame that says that a user went.
    pub left: Option<Text>,
    /// `present`: the frame that gives the newcomer everyone.
    pub present: Option<Text>,
    /// `to`: whether the newcomer hears it too.
    pub to: Option<Spanned<PresenceTo>>,
    /// `every`: gathers announcements into one frame.
    pub every: Option<Spanned<Duration>>,
}

/// `presence.announce.to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceTo {
    /// `others`.
    Others,
    /// `room`.
    Room,
}

/// `history`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// `messages`: how many at most.
    pub messages: Option<Spanned<usize>>,
    /// `age`: how long they are kept.
    pub age: Option<Spanned<Duration>>,
    /// `replay_on_join`: how many a newcomer gets.
    pub replay_on_join: Option<Spanned<usize>>,
}

/// `inbox`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inbox {
    /// `owner`, required: an expression; the id of the user whose inbox it is.
    pub owner: Option<Text>,
    /// `receipt`: what takes a message out.
    pub receipt: Option<Spanned<Receipt>>,
    /// `messages`: how many at most.
    pub messages: Option<Spanned<usize>>,
    /// `age`: how long they are kept.
    pub age: Option<Spanned<Duration>>,
}

/// `inbox.receipt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// `user`: one of the owner's connections says `received`.
    User,
    /// `device`: each device says `received`.
    Device,
    /// `on_write`: it was written to a connection of the owner.
    OnWrite,
}

/// `limits` of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoomLimits {
    /// `users`: at a time.
    pub users: Option<Spanned<usize>>,
    /// `dry_run`: what exceeds it is only counted and logged.
    pub dry_run: Option<Spanned<bool>>,
}

/// What a webhook can be told about a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    /// `joined`: a user came.
    Joined,
    /// `left`: a user went.
    Left,
    /// `occupied`: the first user came.
    Occupied,
    /// `empty`: the last user went.
    Empty,
    /// `message`: a message was accepted.
    Message,
}

/// `idempotency`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Idempotency {
    /// `window`: for how long a key is remembered.
    pub window: Option<Spanned<Duration>>,
    /// `keys`: how many one room remembers.
    pub keys: Option<Spanned<usize>>,
}
