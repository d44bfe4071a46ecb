//! `trunkline check`: everything that is wrong with a file, in one run.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::load::{Checked, examine, print_findings};
use crate::cli::{DEFAULT_FILE, Exit, print};
use crate::diag::render::{self, Count};

const EXAMPLES: &str = "\
Examples:
  trunkline check
  trunkline check --deny warnings
  trunkline check --format json staging.yaml production.yaml

Environment variables that a file names without a default have to be set;
any value of the right form will do, since nobody is contacted.";

/// Report everything that is wrong with a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configurations, each by itself
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    files: Vec<PathBuf>,
    /// For people, on standard error, or for programs, on standard output
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// What ends with 1 too, as errors do
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut checked = Vec::new();
    for file in &arguments.files {
        match examine(file) {
            Ok(one) => checked.push(one),
            Err(exit) => return exit,
        }
    }
    let counts = checked.iter().map(|one| Count::of(&one.findings));
    let total = counts.fold(Count::default(), |sum, one| Count {
        errors: sum.errors + one.errors,
        warnings: sum.warnings + one.warnings,
    });
    match arguments.format {
        Format::Human => {
            for (file, one) in arguments.files.iter().zip(&checked) {
                print_findings(one);
                if one.findings.is_empty() {
                    print::err(&format!("{}: no findings", file.display()));
                }
            }
        }
        Format::Json => print::out(&json(&checked, total)),
    }
    let denied = arguments.deny == Some(Deny::Warnings) && total.warnings > 0;
    if total.errors > 0 || denied {
        Exit::Findings
    } else {
        Exit::Fine
    }
}

/// The reports of all files as one of the same form.
fn json(checked: &[Checked], total: Count) -> String {
    let mut reports: Vec<String> = checked
        .iter()
        .map(|one| render::json(&one.findings, &one.sources))
        .collect();
    if reports.len() == 1 {
        return reports.remove(0);
    }
    let findings: Vec<Value> = reports
        .iter()
        .filter_map(|report| serde_json::from_str::<Value>(report).ok())
        .filter_map(|mut report| report.get_mut("findings").map(Value::take))
        .filter_map(|findings| findings.as_array().cloned())
        .flatten()
        .collect();
    let (errors, warnings) = (total.errors, total.warnings);
    format!(
        "{:#}",
        json!({"findings": findings, "errors": errors, "warnings": warnings})
    )
}
