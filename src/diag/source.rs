//! The texts that diagnostics point into.

use std::path::{Path, PathBuf};

/// Which of the [`Sources`] a span is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A range of bytes in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// The offset of the first byte.
    pub start: u32,
    /// The offset behind the last byte.
    pub end: u32,
}

/// A file as it was read.
#[derive(Debug)]
pub struct Source {
    /// The path as the user gave it, or relative to the first file's folder.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    line_starts: Vec<u32>,
}

/// A place as people count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// All files of a configuration.
#[derive(Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
    masked: Vec<Span>,
}

impl Sources {
    /// Adds a file.
    pub fn add(&mut self, path: &Path, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let newlines = text
            .bytes()
            .zip(1u32..)
            .filter_map(|(byte, next)| (byte == b'\n').then_some(next));
        let line_starts = std::iter::once(0).chain(newlines).collect();
        self.list.push(Source {
            path: path.to_owned(),
            text,
            line_starts,
        });
        id
    }

    /// The file called `id`.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.list[id.0 as usize]
    }

    /// All files in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.list
            .iter()
            .zip(0u32..)
            .map(|(source, index)| (SourceId(index), source))
    }

    /// Keeps the text of `span` out of every excerpt: it is a secret.
    pub fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }

    /// What excerpts of the source `id` must not show.
    pub fn masked(&self, id: SourceId) -> impl Iterator<Item = Span> {
        self.masked
            .iter()
            .copied()
            .filter(move |span| span.source == id)
    }

    /// The text of `span`.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source)
            .text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Where `span` begins, such as `channels.yaml:12`.
    pub fn place(&self, span: Span) -> String {
        let path = self.get(span.source).path.display();
        let line = self.line_column(span.source, span.start).line;
        format!("{path}:{line}")
    }

    /// Where the byte `offset` of the source `id` stands.
    pub fn line_column(&self, id: SourceId, offset: u32) -> LineColumn {
        let source = self.get(id);
        let line = source.line_starts.partition_point(|start| *start <= offset);
        let start = source.line_starts[line - 1] as usize;
        let column = source
            .text
            .get(start..offset as usize)
            .map_or(0, |before| before.chars().count())
            + 1;
        LineColumn { line, column }
    }
}
