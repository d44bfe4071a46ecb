//! A rule as it was written: the parser's tree with the bytes that each part covers.

use std::cmp::Ordering;
use std::ops::Range;

/// A part of a rule.
#[derive(Debug)]
pub(super) struct Tree {
    /// The bytes of the text that it covers.
    pub(super) range: Range<usize>,
    /// What it says.
    pub(super) kind: Kind,
}

/// What a part says.
#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    /// `of.name`, where `name` stands at `at`.
    Field {
        of: Box<Tree>,
        name: String,
        at: Range<usize>,
    },
    /// `of[key]`.
    Index {
        of: Box<Tree>,
        key: Box<Tree>,
    },
    /// `name(arguments)` or `target.name(arguments)`, where `name` stands at `at`.
    Call {
        name: String,
        at: Range<usize>,
        target: Option<Box<Tree>>,
        arguments: Vec<Tree>,
    },
    Not(Box<Tree>),
    Negate(Box<Tree>),
    Binary(Operator, Box<[Tree; 2]>),
    /// `condition ? yes : no`.
    If(Box<[Tree; 3]>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    /// Something that CEL has and rules do not, by name.
    Foreign(&'static str),
}

/// What stands between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    In,
    Equal,
    NotEqual,
    Order(Order),
    Arithmetic(Arithmetic),
}

/// A comparison of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// As it is written.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::And => "&&",
            Self::Or => "||",
            Self::In => "in",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Order(order) => order.sign(),
            Self::Arithmetic(arithmetic) => arithmetic.sign(),
        }
    }
}

impl Order {
    /// Whether two values compare so if `found` is their order.
    pub(super) const fn is(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }

    /// As it is written.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Arithmetic {
    /// As it is written.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}
