//! Findings for people: an excerpt with every place marked, the sentence, the repair.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, ThemeCharacters, ThemeStyles,
};

use crate::diag::render::Count;
use crate::diag::render::excerpt::Excerpt;
use crate::diag::{Diagnostic, Severity, Sources, Span};

const WIDTH: usize = 110;

/// Whether terminal colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Plain text.
    Off,
    /// ANSI escapes.
    On,
}

/// All `findings` in their order, and the summary line.
pub fn human(findings: &[Diagnostic], sources: &Sources, colours: Colours) -> String {
    let styles = match colours {
        Colours::Off => ThemeStyles::none(),
        Colours::On => ThemeStyles::ansi(),
    };
    let characters = ThemeCharacters::unicode();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_width(WIDTH)
        .without_syntax_highlighting();
    let mut text = String::new();
    for finding in findings {
        let report = Report::of(finding, sources);
        // Rendering to memory fails only for a span outside its text; the sentence is then all there is.
        let before = text.len();
        if handler.render_report(&mut text, &report).is_err() {
            text.truncate(before);
            text.push_str(&format!("{}\n\n  {}\n", finding.code.slug, report.message));
        }
        text.push('\n');
    }
    text.push_str(&Count::of(findings).to_string());
    text.push('\n');
    text
}

/// The user's own words may hold what a terminal obeys.
fn shown(words: &str) -> String {
    words
        .chars()
        .map(|character| match character {
            '\n' | '\t' => ' ',
            character if character.is_control() => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

/// What miette shows of a finding within one source; its places in other sources are reports of their own.
#[derive(Debug)]
struct Report {
    code: Option<&'static str>,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    excerpt: Excerpt,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Report>,
}

impl Report {
    fn of(finding: &Diagnostic, sources: &Sources) -> Self {
        let source = finding.span.source;
        let marked: Vec<Span> = std::iter::once(finding.span)
            .chain(finding.labels.iter().map(|(span, _)| *span))
            .filter(|span| span.source == source)
            .collect();
        let excerpt = Excerpt::of(source, sources, &marked);
        let first = excerpt.place(finding.span);
        let mut labels = vec![LabeledSpan::new_primary_with_span(
            finding.label.as_deref().map(shown),
            first,
        )];
        let mut elsewhere = Vec::new();
        for (span, label) in &finding.labels {
            if span.source == source {
                let place = excerpt.place(*span);
                labels.push(LabeledSpan::new_with_span(Some(shown(label)), place));
            } else {
                elsewhere.push(Self::elsewhere(*span, label, sources));
            }
        }
        Self {
            code: Some(finding.code.slug),
            severity: match finding.code.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            message: shown(&finding.message),
            help: finding.help.as_deref().map(shown),
            excerpt,
            labels,
            elsewhere,
        }
    }

    fn elsewhere(span: Span, label: &str, sources: &Sources) -> Self {
        let excerpt = Excerpt::of(span.source, sources, &[span]);
        let place = excerpt.place(span);
        Self {
            code: None,
            severity: miette::Severity::Advice,
            message: shown(label),
            help: None,
            excerpt,
            labels: vec![LabeledSpan::new_primary_with_span(None, place)],
            elsewhere: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.excerpt)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(
        &'a self,
    ) -> Option<Box<dyn Iterator<Item = &'a (dyn miette::Diagnostic + 'a)> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        let reports = self.elsewhere.iter();
        Some(Box::new(
            reports.map(|report| report as &dyn miette::Diagnostic),
        ))
    }
}
