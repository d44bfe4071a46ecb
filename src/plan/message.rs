//! `messages`: message types and where they go.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::RateLimit;
use crate::rule::{Expression, Rule, Template};
use crate::schema::Schema;
use crate::vocab::{AudienceSet, ByteSize, MessageName};

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
    /// The audience of the room that it is for; empty: all of its readers.
    pub audience: AudienceSet,
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
    /// Thinned: how, where it is.
    pub conflate: Option<Conflate>,
    /// What happens when a reader's queue is full.
    pub overflow: Overflow,
}

/// `conflate`: each reader gets at most one message of a key in an interval, the newest.
#[derive(Clone, Debug)]
pub struct Conflate {
    /// What messages that replace each other have in common; none: all of the type do.
    pub key: Option<Arc<Expression>>,
    /// The interval.
    pub every: Duration,
}

/// What happens when a message does not fit into a reader's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The reader's connection ends with 4008, to come back and resume.
    Close,
    /// The oldest messages of such types in the queue go.
    Drop,
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
