//! `trunkline serve`: runs what the file declares.

use std::path::PathBuf;

use tracing::Level;

use crate::cli::load::{Checked, examine, print_findings};
use crate::cli::{DEFAULT_FILE, Exit, print};
use crate::diag::render::Colours;
use crate::plan::{Log, LogFormat, LogLevel, Plan};
use crate::server;
use crate::telemetry::{LogForm, Redactor, start_log};

const EXAMPLES: &str = "\
Examples:
  trunkline serve
  trunkline serve staging.yaml
  JWT_SECRET=$(openssl rand -hex 32) trunkline serve";

/// Read, check and serve a configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(value_name = "FILE", default_value = DEFAULT_FILE)]
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut checked = match examine(&arguments.file) {
        Ok(checked) => checked,
        Err(exit) => return exit,
    };
    let plan = checked.plan.take();
    let is_json = |plan: &Plan| plan.server.log.format == LogFormat::Json;
    if !plan.as_ref().is_some_and(is_json) {
        print_findings(&checked);
    }
    let Some(plan) = plan else {
        return Exit::Findings;
    };
    match start(plan, &checked) {
        Ok(()) => Exit::Fine,
        Err(message) => {
            print::error(&message);
            Exit::CouldNotRun
        }
    }
}

fn start(plan: Plan, checked: &Checked) -> Result<(), String> {
    let log = &plan.server.log;
    let redactor = Redactor::new(plan.credential_names(), plan.secrets());
    start_log(level(log), form(log), redactor).map_err(|error| error.to_string())?;
    if log.format == LogFormat::Json {
        log_findings(checked);
    }
    server::run(plan).map_err(|error| error.to_string())
}

/// Whoever reads a log of JSON reads nothing else.
fn log_findings(checked: &Checked) {
    for finding in &checked.findings {
        let (code, help) = (finding.code.slug, finding.help.as_deref());
        let place = checked.sources.place(finding.span);
        tracing::warn!(code, %place, help, "{}", finding.message);
    }
}

fn level(log: &Log) -> Level {
    match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

fn form(log: &Log) -> LogForm {
    match log.format {
        LogFormat::Json => LogForm::Json,
        LogFormat::Pretty => match print::colours() {
            Colours::On => LogForm::Pretty,
            Colours::Off => LogForm::Plain,
        },
    }
}
