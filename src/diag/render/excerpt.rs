//! The text of a source as excerpts may show it: without its secrets, and without the rest of endless lines.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::diag::render::path_of;
use crate::diag::{SourceId, Sources, Span};

/// Longer lines, as in JSON without line breaks, are cut around what is marked.
const LINE_BYTES_MAX: usize = 240;
/// What is left of a long line on each side.
const MARGIN: usize = 60;
/// What stands for a cut.
const CUT: &str = "…";

/// A text in which `…` stands for what is not shown.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    cuts: Vec<Cut>,
}

/// A range of a source, within one line, that is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    start: usize,
    end: usize,
    characters: usize,
}

impl Excerpt {
    /// The source `id`, of which `marked` is to be seen.
    pub(super) fn of(id: SourceId, sources: &Sources, marked: &[Span]) -> Self {
        let source = sources.get(id).text.as_str();
        let mut wanted: Vec<(usize, usize)> = sources
            .masked(id)
            .map(|span| (span.start as usize, span.end as usize))
            .collect();
        wanted.extend(long_lines(source, marked));
        let cuts = within_lines(source, wanted);
        let mut text = String::with_capacity(source.len());
        let mut done = 0;
        for cut in &cuts {
            text.push_str(&source[done..cut.start]);
            text.push_str(CUT);
            done = cut.end;
        }
        text.push_str(&source[done..]);
        let text = without_controls(text);
        let name = path_of(sources, id);
        Self { name, text, cuts }
    }

    /// Where `span` of the source stands in the excerpt.
    pub(super) fn place(&self, span: Span) -> SourceSpan {
        let start = self.offset(span.start as usize, End::Start);
        let end = self.offset(span.end as usize, End::Behind);
        (start, end.saturating_sub(start)).into()
    }

    fn offset(&self, offset: usize, end: End) -> usize {
        let mut moved = offset;
        for cut in self.cuts.iter().take_while(|cut| cut.start < offset) {
            if offset < cut.end {
                let shown = match end {
                    End::Start => 0,
                    End::Behind => CUT.len(),
                };
                return moved - (offset - cut.start) + shown;
            }
            moved = moved + CUT.len() - (cut.end - cut.start);
        }
        moved
    }

    /// The column, in characters from 0, that the byte at `offset` of the excerpt has in the source.
    fn column(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let start = self.text[..offset]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let mut column = self.text[start..offset].chars().count();
        let mut shift = (0, 0);
        for cut in &self.cuts {
            let place = cut.start + CUT.len() * shift.1 - shift.0;
            shift = (shift.0 + cut.end - cut.start, shift.1 + 1);
            if (start..offset).contains(&place) {
                column += cut.characters - 1;
            }
        }
        column
    }
}

#[derive(Clone, Copy)]
enum End {
    Start,
    Behind,
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_lines_before: usize,
        context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self
            .text
            .read_span(span, context_lines_before, context_lines_after)?;
        // miette asks without context for the line and column of its header, which are those of the source.
        let column = if context_lines_before == 0 {
            self.column(span.offset())
        } else {
            contents.column()
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column,
            contents.line_count(),
        )))
    }
}

/// A terminal obeys control characters: they become question marks, byte for byte.
fn without_controls(text: String) -> String {
    let is_shown =
        |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    if text.chars().all(is_shown) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_shown(character) {
            shown.push(character);
        } else {
            shown.extend(std::iter::repeat_n('?', character.len_utf8()));
        }
    }
    shown
}

/// What of the lines of `source` is too far from what is `marked`.
fn long_lines(source: &str, marked: &[Span]) -> Vec<(usize, usize)> {
    let mut cuts = Vec::new();
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        if end - start > LINE_BYTES_MAX {
            let here = |span: &&Span| (start..=end).contains(&(span.start as usize));
            let first = marked
                .iter()
                .filter(here)
                .map(|span| span.start as usize)
                .min();
            let last = marked
                .iter()
                .filter(here)
                .map(|span| span.end as usize)
                .max();
            let from = first.unwrap_or(start).saturating_sub(MARGIN).max(start);
            let to = last.unwrap_or(start).saturating_add(MARGIN).min(end);
            cuts.extend([(start, from), (to, end)]);
        }
        start += line.len();
    }
    cuts
}

/// The ranges `wanted` of `source` as cuts that do not overlap, keep line breaks and indentation, and end between characters.
fn within_lines(source: &str, mut wanted: Vec<(usize, usize)>) -> Vec<Cut> {
    wanted.sort_unstable();
    let mut cuts: Vec<Cut> = Vec::new();
    for (start, end) in wanted {
        let mut start = start.max(cuts.last().map_or(0, |cut| cut.end));
        let end = source.floor_char_boundary(end);
        start = source.floor_char_boundary(start);
        if start >= end {
            continue;
        }
        for line in source[start..end].split_inclusive('\n') {
            let shown = line.trim();
            if !shown.is_empty() {
                let from = start + line.len() - line.trim_start().len();
                cuts.push(Cut {
                    start: from,
                    end: from + shown.len(),
                    characters: shown.chars().count(),
                });
            }
            start += line.len();
        }
    }
    cuts
}
