//! Findings for programs.

use serde_json::{Map, Value, json as object};

use crate::diag::render::{Count, path_of};
use crate::diag::{Diagnostic, Severity, Sources, Span};

/// All `findings` in their order as one JSON document:
/// `{findings: [{code, severity, message, file, line, column, end_line, end_column, help?, labels?}], errors, warnings}`.
pub fn json(findings: &[Diagnostic], sources: &Sources) -> String {
    let count = Count::of(findings);
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| of(finding, sources))
        .collect();
    let report = object!({
        "findings": findings,
        "errors": count.errors,
        "warnings": count.warnings,
    });
    format!("{report:#}\n")
}

fn of(finding: &Diagnostic, sources: &Sources) -> Value {
    let mut object = Map::new();
    object.insert("code".into(), finding.code.slug.into());
    object.insert("severity".into(), finding.code.severity.word().into());
    object.insert("message".into(), finding.message.as_str().into());
    insert_place(&mut object, finding.span, sources);
    if let Some(help) = &finding.help {
        object.insert("help".into(), help.as_str().into());
    }
    if !finding.labels.is_empty() {
        let labels = finding.labels.iter().map(|(span, message)| {
            let mut label = Map::new();
            label.insert("message".into(), message.as_str().into());
            insert_place(&mut label, *span, sources);
            Value::Object(label)
        });
        object.insert("labels".into(), labels.collect());
    }
    Value::Object(object)
}

fn insert_place(object: &mut Map<String, Value>, span: Span, sources: &Sources) {
    let start = sources.line_column(span.source, span.start);
    let end = sources.line_column(span.source, span.end);
    object.insert("file".into(), path_of(sources, span.source).into());
    object.insert("line".into(), start.line.into());
    object.insert("column".into(), start.column.into());
    object.insert("end_line".into(), end.line.into());
    object.insert("end_column".into(), end.column.into());
}

impl Severity {
    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
