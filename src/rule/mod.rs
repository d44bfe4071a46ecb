//! Rules, expressions and templates: CEL, parsed and type-checked when the file is read, evaluated within bounds.
//!
//! A [`Rule`] answers yes or no, an [`Expression`] yields JSON, a [`Template`] yields text. What each may name is said by [`Known`]
//! when it is compiled and handed over as [`Facts`] when it runs. No IO, no clock: `now` is a fact.
//!
//! The `cel` crate parses; the type check and the evaluation are ours, because the crate has neither a checker nor a budget. Where
//! nothing is absent, an evaluation yields what the crate would (a property test compares them). A rule that only compares, looks
//! into lists and joins that is answered in its plain form (`plain`), which reads `data` where it came, without a tree; the general
//! evaluator (`evaluate`) answers all others, and both say the same. The language is CEL's, with these decisions:
//!
//! # What is not there
//! Claims, query parameters and fields of `data` may be absent. Reading what is not there yields null, and so does reading further
//! from null (`data.a.b` without `a`) or beyond a list's end. An explicit null counts as absent. Then a rule means what a reader
//! would guess:
//!
//! - `==`, `<`, `<=`, `>`, `>=` with null are false, `!=` is true. So two things that are both absent are *not* equal:
//!   `user.claims.team == query.team` refuses a user without a team even if the URL names none.
//!   Compared with the word `null`, it is a question: `data.reply_to == null` is true where there is none.
//! - `x in null` and `null in x` are false. `has(data.x)` asks whether it is there and not null.
//! - As a condition, null is false: `!user.claims.muted` lets those in whose token says nothing of it.
//! - The loops `all`, `exists`, `exists_one`, `filter`, `map` treat null as an empty list.
//! - Everything else (a method, `size`, arithmetic, a conversion, `matches`) on null is a [`Failure`], which denies.
//!
//! # Numbers
//! `int` and `double`; a JSON number without a fraction that fits 64 bits is an int. Where an int meets a double it becomes one
//! (JSON does not tell 3 from 3.0). Overflow and division of an int by zero are failures. There are no unsigned numbers and no bytes.
//!
//! # Failures
//! As in CEL, `&&` and `||`, and `all` and `exists`, forgive a failure where another part decides the answer, except that a
//! bound was reached.
//!
//! # Bounds
//! Of the text: 4 KiB, 1000 tokens, 32 brackets and 64 operations inside each other; no loop inside the body of another; the
//! pattern of `matches` is a literal, linear and compiled once. Of one evaluation: 200,000 steps and 4 MiB of made text and values.

mod account;
mod check;
mod compute;
mod evaluate;
mod kind;
mod label;
mod node;
mod output;
mod parse;
mod plain;
mod question;
mod sight;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod token;
mod tree;
mod value;

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diag::Code;
use crate::rule::evaluate::Run;
use crate::rule::kind::Kind;
use crate::rule::node::{Fact, Node, Source, Who};
use crate::rule::value::Fault;
use crate::vocab::json::Item;
use crate::vocab::{ConnectionId, Parameters, Timestamp, User};

pub use account::{Account, Answer, Part};
pub use label::Label;
pub use question::Rule;
pub use template::Template;

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
    pub data: Option<DataFacts<'a>>,
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

/// `data` in a rule.
#[derive(Clone, Copy, Debug)]
pub enum DataFacts<'a> {
    /// A tree that there is.
    Tree(&'a Value),
    /// A value on a tape, where plain rules read it, and where its tree is or will be for the others.
    Tape(Item<'a>, &'a OnceCell<Value>),
}

/// Something wrong in the text of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code's place in the diagnostics catalogue.
    pub code: &'static Code,
    /// The bytes of the text that are wrong.
    pub range: Range<usize>,
    /// One sentence.
    pub message: String,
    /// The repair.
    pub help: Option<String>,
}

/// Which of the facts that cost something a rule looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// `data` as a tree. What reads it on its tape does not say so here, and may still have to make the tree.
    pub data_tree: bool,
    /// `room.users_count`.
    pub users_count: bool,
}

/// A value made of facts.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    node: Node,
    reads: Reads,
}

/// Why an evaluation came to nothing; for the log, never for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl<'a> Facts<'a> {
    /// The moment `now` and nothing else, to be filled by `Facts { user: …, ..Facts::at(now) }`.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            user: None,
            sender: None,
            path: None,
            query: None,
            params: None,
            room: None,
            connection: None,
            data: None,
            error: None,
            now,
        }
    }

    fn parameters(&self, source: Source) -> Result<&'a Parameters, Fault> {
        match source {
            Source::Path => self.path.ok_or(Fault::Missing("path")),
            Source::Query => self.query.ok_or(Fault::Missing("query")),
            Source::Params => self.params.ok_or(Fault::Missing("params")),
        }
    }

    fn user(&self, who: Who) -> Result<&'a User, Fault> {
        match who {
            Who::User => self.user.ok_or(Fault::Missing("user")),
            Who::Sender => self.sender.ok_or(Fault::Missing("sender")),
        }
    }

    fn room(&self) -> Result<RoomFacts<'a>, Fault> {
        self.room.ok_or(Fault::Missing("room"))
    }

    fn connection(&self) -> Result<ConnectionFacts<'a>, Fault> {
        self.connection.ok_or(Fault::Missing("connection"))
    }
}

impl<'a> DataFacts<'a> {
    /// The data as a tree, made if it is not there yet.
    pub fn tree(self) -> &'a Value {
        match self {
            Self::Tree(tree) => tree,
            Self::Tape(item, tree) => tree.get_or_init(|| item.value()),
        }
    }
}

/// What all of them look at together.
impl FromIterator<Reads> for Reads {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            data_tree: sum.data_tree || one.data_tree,
            users_count: sum.users_count || one.users_count,
        })
    }
}

impl Problem {
    fn new(code: &'static Code, range: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            range,
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same problem in a longer text, in which this one begins at the byte `start`.
    fn shifted(mut self, start: usize) -> Self {
        self.range = self.range.start + start..self.range.end + start;
        self
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl Expression {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, known: &Known) -> Result<Self, Vec<Problem>> {
        let (node, _) = compile(text, known)?;
        Ok(Self {
            text: text.into(),
            reads: node.reads(),
            node,
        })
    }

    /// What it looks at: a fact that it does not may be left out.
    pub const fn reads(&self) -> Reads {
        self.reads
    }

    /// The value.
    ///
    /// # Errors
    /// It could not be evaluated.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Result<Value, Failure> {
        let mut run = Run::new(facts);
        let value = run.value(&self.node)?;
        Ok(run.json(&value)?)
    }

    /// Whether it is just `data`, so that the bytes that came can be passed on.
    pub const fn is_data(&self) -> bool {
        matches!(self.node, Node::Fact(Fact::Data))
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn compile(text: &str, known: &Known) -> Result<(Node, Kind), Vec<Problem>> {
    let tree = parse::parse(text).map_err(|problem| vec![problem])?;
    check::check(&tree, known)
}
