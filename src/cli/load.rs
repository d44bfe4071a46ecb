//! From a path to a Plan, with what is wrong printed: what commands that need a good file begin with.

use std::io::ErrorKind;
use std::path::Path;

use crate::cli::{Exit, print};
use crate::config::{DiskFiles, ProcessEnvironment, ReadError, read};
use crate::diag::{Diagnostic, Sources, render};
use crate::plan::{Plan, build_at};
use crate::vocab::{Clock as _, SystemClock};

/// A file after all checks.
pub(super) struct Checked {
    pub(super) sources: Sources,
    pub(super) findings: Vec<Diagnostic>,
    /// What it means, where nothing is wrong but warnings.
    pub(super) plan: Option<Plan>,
}

/// The Plan of the file at `path`; where there is none, its findings are printed.
///
/// # Errors
/// How the command has to end.
pub(super) fn load(path: &Path) -> Result<Plan, Exit> {
    let checked = examine(path)?;
    if checked.plan.is_none() {
        print_findings(&checked);
    }
    checked.plan.ok_or(Exit::Findings)
}

/// Everything that can be said of the file at `path`.
///
/// # Errors
/// It cannot be read, which is printed; how the command has to end.
pub(super) fn examine(path: &Path) -> Result<Checked, Exit> {
    let read = read(path, &DiskFiles, &ProcessEnvironment).map_err(|error| {
        print::error(&unreadable(&error));
        Exit::CouldNotRun
    })?;
    let outcome = build_at(&read, &DiskFiles, Some(SystemClock::new().now()));
    Ok(Checked {
        sources: read.sources,
        findings: outcome.findings,
        plan: outcome.plan,
    })
}

/// Prints findings for people, and how many there are; nothing where there are none.
pub(super) fn print_findings(checked: &Checked) {
    if !checked.findings.is_empty() {
        let text = render::human(&checked.findings, &checked.sources, print::colours());
        print::err(&text);
    }
}

fn unreadable(error: &ReadError) -> String {
    let ReadError::Unreadable { path, source } = error;
    let path = path.display();
    match source.kind() {
        ErrorKind::NotFound => format!("cannot read {path}: there is no such file"),
        ErrorKind::PermissionDenied => format!("cannot read {path}: permission denied"),
        ErrorKind::IsADirectory => format!("cannot read {path}: it is a folder"),
        _ => format!("cannot read {path}: {source}"),
    }
}
