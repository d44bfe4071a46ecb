//! Diagnostics: what is wrong in a file, where, and how to repair it.
//!
//! A [`Diagnostic`] carries a code of the [`catalogue`], spans into [`Sources`] and the repair; the renderers show it to a person
//! or to a program. Nothing here reads files, and no diagnostic ever holds an expanded environment value.

pub mod catalogue;
pub mod render;
mod source;
mod suggest;

pub use catalogue::{Code, Severity};
pub use source::{LineColumn, Source, SourceId, Sources, Span};
pub use suggest::{closest, nearest};

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Which kind of finding.
    pub code: &'static Code,
    /// One sentence in the user's own words, without a full stop.
    pub message: String,
    /// The place that is wrong.
    pub span: Span,
    /// What stands beside the excerpt of that place.
    pub label: Option<String>,
    /// Further places, each with its sentence.
    pub labels: Vec<(Span, String)>,
    /// The repair.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding of the kind `code` at `span`.
    pub fn new(code: &'static Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            span,
            label: None,
            labels: Vec::new(),
            help: None,
        }
    }

    /// With the repair.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a sentence beside the excerpt.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With a further place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }
}
