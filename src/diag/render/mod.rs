//! Findings as text, for people and for programs. Nothing here prints, and no excerpt shows a masked secret.

mod excerpt;
mod human;
mod json;

use crate::diag::{Diagnostic, Severity, Sources};

pub use human::{Colours, human};
pub use json::json;

/// How many findings of each severity there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Count {
    /// Counts `findings`.
    pub fn of(findings: &[Diagnostic]) -> Self {
        let errors = findings
            .iter()
            .filter(|finding| finding.code.severity == Severity::Error)
            .count();
        let warnings = findings.len() - errors;
        Self { errors, warnings }
    }
}

/// The summary line: `2 errors, 1 warning`.
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (errors, warnings) = (self.errors, self.warnings);
        match (errors, warnings) {
            (0, 0) => f.write_str("no findings"),
            (_, 0) => write!(f, "{errors} error{}", plural(errors)),
            (0, _) => write!(f, "{warnings} warning{}", plural(warnings)),
            _ => write!(
                f,
                "{errors} error{}, {warnings} warning{}",
                plural(errors),
                plural(warnings)
            ),
        }
    }
}

/// Puts `findings` in the order in which they are shown: by file as it was read, then by place.
pub fn sort(findings: &mut [Diagnostic]) {
    findings.sort_by(|one, two| {
        let place = |finding: &Diagnostic| (finding.span, finding.code.slug);
        place(one).cmp(&place(two))
    });
}

/// The path of a source as reports write it, with `/`.
fn path_of(sources: &Sources, id: crate::diag::SourceId) -> String {
    sources
        .get(id)
        .path
        .display()
        .to_string()
        .replace('\\', "/")
}
