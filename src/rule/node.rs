//! What runs: the checked form of a rule, without names to look up or mistakes to make.

use serde_json::Value;

use crate::rule::Reads;
use crate::rule::tree::{Arithmetic, Order};

/// A step of an evaluation.
#[derive(Debug)]
pub(super) enum Node {
    /// A literal, or what was computed of literals.
    Constant(Value),
    /// A fact.
    Fact(Fact),
    /// `path.name`, `query.name` or `params.name`.
    Parameter(Source, Box<str>),
    /// `query[key]` and the like.
    AnyParameter(Source, Box<Node>),
    /// The element at which a loop stands.
    Element,
    /// `of.name`.
    Field(Box<Node>, Box<str>),
    /// `of[key]`.
    Index(Box<Node>, Box<Node>),
    /// Whether something is there: `has(…)`, `… != null`.
    Present(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Equal(Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    Order(Order, Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    /// A function of one value.
    Convert(Conversion, Box<Node>),
    /// A question about two texts.
    Search(Search, Box<[Node; 2]>),
    Matches(Box<Node>, Box<regex::Regex>),
    Loop(Box<Loop>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Where parameters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Path,
    Query,
    Params,
}

/// Whose `id` or `claims`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    User,
    Sender,
}

/// A fact that is one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Id(Who),
    Username(Who),
    Authenticated(Who),
    Claims(Who),
    RoomName,
    UsersCount,
    ConnectionId,
    Ip,
    Endpoint,
    Age,
    Data,
    Code,
    Message,
    Now,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    Size,
    Text,
    Int,
    Double,
    Bool,
    LowerAscii,
    UpperAscii,
}

/// A question about two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// `over.all(element, body)` and its kin.
#[derive(Debug)]
pub(super) struct Loop {
    /// What is asked of the elements.
    pub(super) aim: Aim,
    /// Where they come from.
    pub(super) over: Node,
    /// Which of them count, for `map` with three arguments.
    pub(super) only: Option<Node>,
    /// What is computed for each.
    pub(super) body: Node,
    /// The steps of one round.
    pub(super) cost: u32,
}

/// What a loop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Node {
    /// Whether it is the same for all facts.
    pub(super) const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// Whether it is the literal null.
    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Constant(Value::Null))
    }

    /// What it looks at.
    pub(super) fn reads(&self) -> Reads {
        let own = Reads {
            data_tree: matches!(self, Self::Fact(Fact::Data)),
            users_count: matches!(self, Self::Fact(Fact::UsersCount)),
        };
        let parts = self.parts().into_iter().map(Self::reads);
        parts.chain([own]).collect()
    }

    /// The parts that it is computed of.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_) | Self::Fact(_) | Self::Parameter(..) | Self::Element => Vec::new(),
            Self::AnyParameter(_, part)
            | Self::Field(part, _)
            | Self::Present(part)
            | Self::Not(part)
            | Self::Negate(part)
            | Self::Convert(_, part)
            | Self::Matches(part, _) => vec![part],
            Self::Index(of, key) => vec![of, key],
            Self::And(pair)
            | Self::Or(pair)
            | Self::Equal(pair)
            | Self::In(pair)
            | Self::Order(_, pair)
            | Self::Arithmetic(_, pair)
            | Self::Search(_, pair) => pair.iter().collect(),
            Self::If(parts) => parts.iter().collect(),
            Self::Loop(each) => [Some(&each.over), each.only.as_ref(), Some(&each.body)]
                .into_iter()
                .flatten()
                .collect(),
            Self::List(parts) => parts.iter().collect(),
            Self::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
        }
    }

    /// The steps of one evaluation, loops and long values aside.
    pub(super) fn cost(&self) -> u32 {
        self.parts()
            .into_iter()
            .fold(1, |sum, part| sum.saturating_add(part.cost()))
    }
}

impl Conversion {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Text => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::LowerAscii => "lowerAscii",
            Self::UpperAscii => "upperAscii",
        }
    }
}

impl Search {
    /// Whether `part` stands there in `text`.
    pub(super) fn finds(self, text: &str, part: &str) -> bool {
        match self {
            Self::Contains => text.contains(part),
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
        }
    }

    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
        }
    }
}

impl Aim {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Filter => "filter",
            Self::Map => "map",
        }
    }
}
