//! What a reader has to get, and whether what it got is that.

use serde_json::Value;

use crate::simulation::house::{Of, USERS};

/// The number of a message that was published.
pub(super) type Nonce = usize;
/// The number of a room in [`crate::simulation::house::ROOMS`].
pub(super) type RoomIndex = usize;

/// One frame that a connection has to get in its turn.
#[derive(Clone, Debug)]
pub(super) struct Expect {
    pub(super) what: What,
    pub(super) may: May,
    /// Said in one moment with others: any order will do, but it is everyone's. 0: in its place.
    pub(super) group: usize,
    /// The same for all who get it.
    pub(super) say: usize,
    /// Part of what a newcomer gets, beyond the bounds of its queue.
    pub(super) opening: bool,
    /// Whom it is for; 0: everyone.
    pub(super) audience: usize,
    /// It waited when the connection was closed in peace, and so comes before the close frame.
    pub(super) is_last_wish: bool,
}

impl Expect {
    /// Frames that it certainly adds to what a queue is bounded by.
    pub(super) const fn weight(&self) -> usize {
        match (self.opening, self.may) {
            (true, _) | (_, May::BeAbsent) => 0,
            (false, _) => 1,
        }
    }
}

/// What may happen to it instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Nothing,
    /// Not to come at all.
    BeAbsent,
    /// To go when the queue is full.
    BeDropped,
    /// To go when a newer one of the subject waits, or when the queue is full.
    BeReplaced(usize),
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Message(Nonce),
    Raw(Nonce),
    Text(String),
    Reply {
        id: Option<usize>,
        nonce: Nonce,
    },
    Ack {
        id: Option<usize>,
        nonce: Nonce,
    },
    /// The ack of what is no message.
    Done {
        id: usize,
    },
    Welcome(Vec<Standing>),
    Joined {
        id: usize,
        standing: Standing,
    },
    Left {
        id: usize,
    },
    /// The rules do not let it stay.
    PutOut,
    /// The ack of a token that says what it is of now.
    Turned {
        id: usize,
        of: Of,
    },
    Gap(Standing),
    /// Somebody came or went.
    Announcement {
        number: usize,
        name: &'static str,
        user: usize,
    },
    Here(Vec<(String, u64)>),
    Members {
        id: usize,
        users: Vec<(String, u64)>,
    },
    History {
        id: usize,
        messages: Vec<Nonce>,
        more: bool,
    },
    Error {
        id: Option<usize>,
        code: &'static str,
    },
    Pong {
        id: usize,
    },
    Reconnect,
}

impl What {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Raw(_) => "raw",
            Self::Text(_) => "text",
            Self::Reply { .. } => "reply",
            Self::Ack { .. } => "ack",
            Self::Done { .. } => "received",
            Self::Welcome(_) => "welcome",
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::PutOut => "put out",
            Self::Turned { .. } => "turned",
            Self::Gap(_) => "gap",
            Self::Announcement { .. } => "announcement",
            Self::Here(_) => "here",
            Self::Members { .. } => "members",
            Self::History { .. } => "history",
            Self::Error { code, .. } => code,
            Self::Pong { .. } => "pong",
            Self::Reconnect => "reconnect",
        }
    }
}

/// How a room stood at a moment.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) room: RoomIndex,
    pub(super) users: u64,
    /// How many messages it had stored ever, and in which of its lives; none where it keeps none.
    pub(super) stored: Option<(u64, usize)>,
}

pub(super) fn id_text(id: usize) -> String {
    format!("i{id:06}")
}

/// What came.
#[derive(Clone, Debug)]
pub(super) enum Received {
    Json(Value),
    Text(String),
    Binary(Vec<u8>),
}

impl Received {
    pub(super) fn member(&self, name: &str) -> Option<&str> {
        match self {
            Self::Json(value) => value.get(name).and_then(Value::as_str),
            _ => None,
        }
    }

    fn user(&self) -> Option<&str> {
        match self {
            Self::Json(value) => value.get("user")?.get("user_id")?.as_str(),
            _ => None,
        }
    }

    /// Bytes, roughly.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(value) => value.to_string().len() + 4,
            Self::Text(text) => text.len() + 4,
            Self::Binary(bytes) => bytes.len() + 4,
        }
    }

    fn has(&self, name: &str) -> bool {
        matches!(self, Self::Json(value) if value.get(name).is_some())
    }

    /// The message's number, where it is one.
    pub(super) fn nonce(&self) -> Option<Nonce> {
        match self {
            Self::Json(value) => nonce_of(value),
            Self::Binary(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            Self::Text(_) => None,
        }
    }

    /// Whether it can only be `what`; the details are looked at by who knows them.
    pub(super) fn is(&self, what: &What) -> bool {
        let is_type = |name: &str| self.member("type") == Some(name);
        let has_id = |id: &usize| self.member("id") == Some(&*id_text(*id));
        let may_have_id = |id: &Option<usize>| match id {
            Some(id) => has_id(id),
            None => !self.has("id"),
        };
        match what {
            What::Message(nonce) => {
                self.nonce() == Some(*nonce) && matches!(self, Self::Json(_)) && !self.is_reply()
            }
            What::Raw(nonce) => self.nonce() == Some(*nonce) && matches!(self, Self::Binary(_)),
            What::Text(text) => matches!(self, Self::Text(found) if found == text),
            What::Reply { id, nonce } => {
                self.is_reply() && self.nonce() == Some(*nonce) && may_have_id(id)
            }
            What::Ack { id, .. } => is_type("ack") && self.has("message_id") && may_have_id(id),
            What::Done { id } => is_type("ack") && !self.has("message_id") && has_id(id),
            What::Welcome(_) => is_type("welcome"),
            What::Joined { id, .. } => is_type("joined") && has_id(id),
            What::Left { id } => is_type("left") && has_id(id),
            What::PutOut => is_type("left") && self.member("reason") == Some("forbidden"),
            What::Turned { id, .. } => self.is_turn() && has_id(id),
            What::Gap(_) => is_type("gap"),
            What::Announcement { name, user, .. } => {
                is_type(name) && self.user() == Some(USERS[*user])
            }
            What::Here(_) => is_type("here"),
            What::Members { id, .. } => is_type("members") && has_id(id),
            What::History { id, .. } => is_type("history") && has_id(id),
            What::Error { id, .. } => is_type("error") && may_have_id(id),
            What::Pong { id } => is_type("pong") && has_id(id),
            What::Reconnect => is_type("reconnect"),
        }
    }

    /// The ack of a token, which comes when all that the one before let through has come.
    pub(super) fn is_turn(&self) -> bool {
        self.member("type") == Some("ack") && !self.has("message_id") && !self.has("room")
    }

    /// The answer to its sender, in the form of the message: without sender and number.
    fn is_reply(&self) -> bool {
        let mirrors = self.member("type") == Some("line") && !self.has("seq");
        mirrors || self.member("type") == Some("echo")
    }

    /// The room whose order it belongs to; none: the connection's own.
    pub(super) fn room(&self) -> Option<&str> {
        let kind = self.member("type")?;
        let own = matches!(kind, "members" | "history" | "error" | "pong" | "welcome");
        let is_done = kind == "ack" && !self.has("message_id");
        self.member("room").filter(|_| !own && !is_done)
    }
}

fn nonce_of(value: &Value) -> Option<Nonce> {
    let data = value.get("data")?;
    let text = data.as_str().or_else(|| data.get("n")?.as_str())?;
    text.parse().ok()
}

/// The number of a message within a page of history.
pub(super) fn page_nonces(value: &Value) -> Option<Vec<Nonce>> {
    let messages = value.get("messages")?.as_array()?;
    messages.iter().map(nonce_of).collect()
}
