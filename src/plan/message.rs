//! `messages`: message types and where they go.

use std::sync::Arc;

use crate::plan::RateLimit;
use crate::rule::{Expression, Rule, Template};
use crate::schema::Schema;
use crate::vocab::{ByteSize, MessageName};

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
