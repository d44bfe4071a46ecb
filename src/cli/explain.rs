//! `trunkline explain`: the long form of a finding's code.

use crate::cli::{Exit, print};
use crate::diag::{Code, Severity, catalogue, nearest};

const EXAMPLES: &str = "\
Examples:
  trunkline explain schema/unknown-message
  trunkline explain";

/// Explain a finding's code, or list all of them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The code, as it stands in the finding; all are listed where it is left out
    code: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Some(slug) = &arguments.code else {
        print::out(&list());
        return Exit::Fine;
    };
    match catalogue::find(slug) {
        Some(code) => {
            print::out(&page(code));
            Exit::Fine
        }
        None => {
            let help = match nearest(slug, catalogue::all().map(|code| code.slug)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`trunkline explain` lists them all".to_owned(),
            };
            print::error(&format!("there is no code `{slug}`: {help}"));
            Exit::CouldNotRun
        }
    }
}

fn list() -> String {
    let width = catalogue::all()
        .map(|code| code.slug.len())
        .max()
        .unwrap_or(0);
    let line = |code: &Code| {
        let severity = severity(code);
        format!("{:width$}  {severity:7}  {}\n", code.slug, code.summary)
    };
    catalogue::all().map(line).collect()
}

fn page(code: &Code) -> String {
    format!(
        "{} ({}): {}\n\n{}",
        code.slug,
        severity(code),
        code.summary,
        code.explanation.trim_end()
    )
}

fn severity(code: &Code) -> &'static str {
    match code.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
