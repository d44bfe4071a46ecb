//! A YAML text as a tree in which every part knows its place.

use crate::diag::Span;

/// A part of a YAML text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it is written; of a list or map over several lines the first line. What an alias stands for keeps its own place.
    pub(super) span: Span,
    /// What it is.
    pub(super) kind: Kind,
    /// How many nodes it is made of, itself included.
    pub(super) size: usize,
    /// How many levels stand below it.
    pub(super) height: usize,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Text, a number, a word.
    Scalar(Scalar),
    /// `[…]` or lines with `-`.
    List(Vec<Node>),
    /// `{…}` or lines with `key:`; each key once.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its text.
    pub(super) text: String,
    /// Where it is written.
    pub(super) span: Span,
}

/// A scalar before the expansion of `${NAME}`.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    /// Its value with quotes and escapes gone.
    pub(super) value: String,
    /// How it is written.
    pub(super) style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Bare: may be a number, a word, nothing.
    Plain,
    /// `'…'`.
    SingleQuoted,
    /// `"…"`.
    DoubleQuoted,
    /// `|` or `>` and lines.
    Block,
}

impl Node {
    pub(super) fn new(span: Span, kind: Kind, size: usize, height: usize) -> Self {
        Self {
            span,
            kind,
            size,
            height,
        }
    }

    /// What it is, with its article.
    pub(super) fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Scalar(_) if self.is_nothing() => "nothing",
            Kind::Scalar(_) => "a single value",
        }
    }

    /// Whether it is empty or `null`.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar)
            if scalar.style == Style::Plain && matches!(scalar.value.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The items of a list, or the node itself as a list of one.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Its value, where it is a bare scalar: a word or number rather than a text.
    pub(super) fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.style == Style::Plain => Some(&scalar.value),
            _ => None,
        }
    }
}
