//! The log: to standard error, at the level and in the form of the file; the environment has no say.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// For people, with colours.
    Pretty,
    /// For people, without colours.
    Plain,
    /// One JSON object a line.
    Json,
}

/// The log was started before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log runs already")]
pub struct LogStartError;

/// Starts the log of this process. Dependencies are heard from `warn` up, since their chatter may repeat requests.
///
/// # Errors
/// It runs already.
pub fn start_log(level: Level, form: LogForm) -> Result<(), LogStartError> {
    let targets = Targets::new()
        .with_default(LevelFilter::from_level(level.min(Level::WARN)))
        .with_target("trunkline", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match form {
        LogForm::Json => lines.json().flatten_event(true).boxed(),
        LogForm::Plain => lines.with_ansi(false).with_target(false).boxed(),
        LogForm::Pretty => lines.with_ansi(true).with_target(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()
        .map_err(|_| LogStartError)
}
