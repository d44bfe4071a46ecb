//! Values with the place where they were written.

use std::fmt;
use std::ops::Range;

use crate::diag::Span;

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The text of a scalar after the expansion of `${NAME}`.
///
/// Its `Display` is what was written, so that a diagnostic never shows an expanded value; the value itself is [`Text::as_str`].
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    value: String,
    span: Span,
    /// Ascending, and together they cover the whole value.
    pieces: Vec<Piece>,
}

/// A stretch of a value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The length in the value.
    pub(super) length: usize,
    /// Where it is written.
    pub(super) origin: Origin,
}

/// Where a stretch of a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From here on, byte by byte.
    Exact(Span),
    /// Somewhere in here.
    Within(Span),
    /// From the environment, named as written here.
    Environment(Span, Box<str>),
}

impl Text {
    pub(super) fn new(value: String, span: Span, pieces: Vec<Piece>) -> Self {
        Self {
            value,
            span,
            pieces,
        }
    }

    /// A name that is written at `name.span`, unexpanded.
    pub(super) fn verbatim(name: Spanned<String>) -> Self {
        let length = name.value.len();
        let origin = Origin::Within(name.span);
        Self::new(name.value, name.span, vec![Piece { length, origin }])
    }

    /// The value, with the environment's values in it: never for a diagnostic, a log or a frame.
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// Where the scalar was written.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Where the bytes `range` of the value were written; the whole scalar where that cannot be told.
    pub fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.place(range.start).map(|place| place.start);
        let last = range.end.saturating_sub(1).max(range.start);
        let end = self.place(last).map(|place| place.end);
        match (start, end) {
            (Some(start), Some(end)) if start < end => Span {
                start,
                end,
                ..self.span
            },
            _ => self.span,
        }
    }

    /// Whether the environment had a part in it.
    pub fn is_expanded(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece.origin, Origin::Environment(..)))
    }

    /// The value with `${NAME}` where the environment's values are.
    pub fn shown(&self) -> String {
        let mut shown = String::with_capacity(self.value.len());
        for (range, origin) in self.stretches() {
            match origin {
                Origin::Environment(_, written) => shown.push_str(written),
                _ => shown.push_str(&self.value[range]),
            }
        }
        shown
    }

    /// `message`, about this text, with `${NAME}` wherever it would show the environment's value.
    pub fn conceal(&self, message: &str) -> String {
        let mut concealed = message.to_owned();
        for (range, origin) in self.stretches() {
            if let Origin::Environment(_, written) = origin
                && !range.is_empty()
            {
                concealed = concealed.replace(&self.value[range], written);
            }
        }
        concealed
    }

    /// The place of the byte at `offset`.
    fn place(&self, offset: usize) -> Option<Span> {
        let (range, origin) = self
            .stretches()
            .find(|(range, _)| range.contains(&offset))?;
        match origin {
            Origin::Exact(span) => {
                let start = span.start + u32::try_from(offset - range.start).ok()?;
                Some(Span {
                    start,
                    end: start + 1,
                    ..*span
                })
            }
            Origin::Within(span) | Origin::Environment(span, _) => Some(*span),
        }
    }

    pub(super) fn stretches(&self) -> impl Iterator<Item = (Range<usize>, &Origin)> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let range = start..start + piece.length;
            start = range.end;
            (range, &piece.origin)
        })
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}
