//! What is asked: who wants what, in the words of a request.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::vocab::{UserId, is_username};

/// A question: may this be?
pub struct Question {
    /// The path of the URL, perhaps with its query.
    pub endpoint: String,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// The `Host` header.
    pub host: Option<String>,
    /// The address; 127.0.0.1 where none is given.
    pub ip: IpAddr,
    /// The query, behind what the path has.
    pub query: Vec<(String, String)>,
    /// The cookies.
    pub cookies: Vec<(String, String)>,
    /// Who asks.
    pub who: Who,
    /// The join token of the frame that joins.
    pub join_token: Option<Box<str>>,
    /// What for.
    pub act: Act,
}

/// Who asks.
pub enum Who {
    /// Whoever the request says: nobody, or what its cookies and its query come to.
    AsRequested,
    /// Whose token this is.
    Token(Box<str>),
    /// A user whose credential is taken as checked.
    User {
        /// The id.
        id: UserId,
        /// The name to show; the id where there is none.
        username: Option<Box<str>>,
        /// What the credential says of the user.
        claims: Map<String, Value>,
    },
}

/// What is asked for.
#[derive(Debug)]
pub enum Act {
    /// To connect.
    Connect,
    /// To join a room by a frame.
    Join(String),
    /// To send a message.
    Send {
        /// Its type's name.
        name: String,
        /// The room that the frame names.
        room: Option<String>,
        /// Its data, JSON.
        data: String,
    },
}

/// Why a text is no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Not the JSON that a question is.
    #[error("the body is {{\"endpoint\":…,\"token\"|\"user\":…,\"join\"|\"send\":…}}: {0}")]
    Form(String),
    /// Two ways to say who asks.
    #[error("say who asks by `token` or by `user`, not both")]
    TwoUsers,
    /// Two things to ask for.
    #[error("ask to `join` or to `send`, not both")]
    TwoActs,
    /// A token for nothing.
    #[error("`join_token` goes with `join`, or with the `room` of `send`")]
    TokenAlone,
    /// Not a user's id.
    #[error("`user_id` is no id of a user: {0}")]
    UserId(String),
    /// Not a user's name.
    #[error("`username` is no name: 1 to 256 bytes without control characters")]
    Username,
}

/// Names alone: a question may hold a token.
impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsRequested => f.write_str("AsRequested"),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::User { id, .. } => f.debug_tuple("User").field(id).finish(),
        }
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    endpoint: String,
    origin: Option<String>,
    host: Option<String>,
    ip: Option<IpAddr>,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    cookies: Map<String, Value>,
    token: Option<Box<str>>,
    user: Option<UserBody>,
    join: Option<String>,
    join_token: Option<Box<str>>,
    #[serde(borrow)]
    send: Option<SendBody<'a>>,
}

#[derive(Deserialize)]
struct UserBody {
    user_id: String,
    username: Option<Box<str>>,
    #[serde(default)]
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct SendBody<'a> {
    #[serde(rename = "type")]
    name: String,
    room: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Question {
    /// Reads a question from JSON: `{endpoint, origin?, host?, ip?, query?, cookies?, token? | user?: {user_id, username?, claims?},
    /// join? | send?: {type, room?, data}, join_token?}`.
    ///
    /// # Errors
    /// It has another form.
    pub fn read(text: &str) -> Result<Self, QuestionError> {
        let body: Body<'_> =
            serde_json::from_str(text).map_err(|error| QuestionError::Form(error.to_string()))?;
        let who = match (body.token, body.user) {
            (Some(_), Some(_)) => return Err(QuestionError::TwoUsers),
            (Some(token), None) => Who::Token(token),
            (None, Some(user)) => Who::user(&user.user_id, user.username, user.claims)?,
            (None, None) => Who::AsRequested,
        };
        let act = match (body.join, body.send) {
            (Some(_), Some(_)) => return Err(QuestionError::TwoActs),
            (Some(room), None) => Act::Join(room),
            (None, Some(send)) => Act::Send {
                name: send.name,
                room: send.room,
                data: send.data.map_or("null", RawValue::get).to_owned(),
            },
            (None, None) => Act::Connect,
        };
        let joins = matches!(&act, Act::Join(_) | Act::Send { room: Some(_), .. });
        if body.join_token.is_some() && !joins {
            return Err(QuestionError::TokenAlone);
        }
        Ok(Self {
            endpoint: body.endpoint,
            origin: body.origin,
            host: body.host,
            ip: body.ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            query: texts(body.query),
            cookies: texts(body.cookies),
            who,
            join_token: body.join_token,
            act,
        })
    }
}

impl Who {
    /// The user of this id.
    ///
    /// # Errors
    /// The id or the name is none.
    pub fn user(
        id: &str,
        username: Option<Box<str>>,
        claims: Map<String, Value>,
    ) -> Result<Self, QuestionError> {
        let id = UserId::parse(id).map_err(|error| QuestionError::UserId(error.to_string()))?;
        if username.as_deref().is_some_and(|name| !is_username(name)) {
            return Err(QuestionError::Username);
        }
        Ok(Self::User {
            id,
            username,
            claims,
        })
    }
}

fn texts(map: Map<String, Value>) -> Vec<(String, String)> {
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    map.into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect()
}
