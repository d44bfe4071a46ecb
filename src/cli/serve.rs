//! `trunkline serve`: runs what the file declares.

use std::path::PathBuf;

use tracing::Level;

use crate::cli::load::{Report, load};
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
    let plan = match load(&arguments.file, Report::Everything) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    match start(plan) {
        Ok(()) => Exit::Fine,
        Err(message) => {
            print::error(&message);
            Exit::CouldNotRun
        }
    }
}

fn start(plan: Plan) -> Result<(), String> {
    let log = &plan.server.log;
    let redactor = Redactor::new(plan.credential_names(), plan.secrets());
    start_log(level(log), form(log), redactor).map_err(|error| error.to_string())?;
    server::run(plan).map_err(|error| error.to_string())
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
