//! `messages`: message types, and what rooms and endpoints change about them.

use std::time::Duration;

use crate::config::{Json, SchemaSource, Spanned, Text};
use crate::vocab::ByteSize;

/// `messages.NAME`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `description`.
    pub description: Option<Text>,
    /// `schema`, required: the JSON Schema of its data.
    pub schema: Option<SchemaSource>,
    /// `examples`: data that the schema must accept.
    pub examples: Vec<Json>,
    /// What a room or an endpoint may change.
    pub rules: MessageRules,
}

/// The keys of a message type that a room or an endpoint may override.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageRules {
    /// `sent_by`: who may send it.
    pub sent_by: Option<Spanned<SentBy>>,
    /// `to`, required where the type is declared: where it goes.
    pub to: Option<Spanned<Route>>,
    /// `ack`: acknowledge even frames without an id.
    pub ack: Option<Spanned<bool>>,
    /// `rate_limit`: names of rate limits.
    pub rate_limit: Option<Vec<Text>>,
    /// `allow`: a rule.
    pub allow: Option<Text>,
    /// `sanitize`: what is done to texts in the data, by JSON Pointer.
    pub sanitize: Option<Vec<Sanitized>>,
    /// `audience`: only readers of that audience of the room see it.
    pub audience: Option<Text>,
    /// `conflate`: each reader gets only the newest.
    pub conflate: Option<Spanned<Conflate>>,
    /// `reply`: an expression; what the sender gets back.
    pub reply: Option<Text>,
    /// `history`: whether it is stored where the room has history.
    pub history: Option<Spanned<bool>>,
    /// `max_size`: of its data.
    pub max_size: Option<Spanned<ByteSize>>,
    /// `overflow`: what happens when a reader's queue is full.
    pub overflow: Option<Spanned<Overflow>>,
}

/// A message type that a room or an endpoint takes. `[NAME]` is `{NAME: {}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageUse {
    /// Its name.
    pub name: Text,
    /// What is different here.
    pub overrides: MessageRules,
}

/// `sent_by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBy {
    /// `client`.
    Client,
    /// `server`: the HTTP API only.
    Server,
    /// `any`.
    Any,
}

/// `to`.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// `room`: everyone in the room.
    Room,
    /// `others`: everyone but the sender's user.
    Others,
    /// `other_connections`: every connection but the sender's.
    OtherConnections,
    /// `sender`: back.
    Sender,
    /// `none`: nobody.
    None,
    /// `{user: EXPRESSION}`: every connection of that user.
    User(Text),
    /// `{room: TEMPLATE}`: the room of that name.
    OtherRoom(Text),
    /// `{webhook: NAME}`: the application, which answers.
    Webhook(Text),
}

/// A place in the data, by JSON Pointer, and what is done to the texts there, in this order. One alone is a list of one.
pub type Sanitized = (Spanned<String>, Vec<Spanned<Sanitizer>>);

/// What is done to a text in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitizer {
    /// `escape_html`: what has a meaning in HTML is written as entities.
    EscapeHtml,
    /// `strip_html`: tags go.
    StripHtml,
    /// `trim`: white space at both ends goes.
    Trim,
    /// `normalize_unicode`: one form (NFC) for what looks the same.
    NormalizeUnicode,
}

/// `conflate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conflate {
    /// `key`: an expression; messages of one key replace each other.
    pub key: Option<Text>,
    /// `every`, required: the interval.
    pub every: Option<Spanned<Duration>>,
}

/// `overflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// `close`: the reader's connection ends, to come back and resume.
    Close,
    /// `drop`: the reader goes without this message.
    Drop,
}
