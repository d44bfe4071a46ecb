//! The log: to standard error, at the level and in the form of the file; the environment has no say.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::telemetry::redact::{Redactor, said};

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

/// Starts the log of this process, whose lines all go through `redactor`, those about panics too. Dependencies are heard from
/// `warn` up, since their chatter may repeat requests.
///
/// # Errors
/// It runs already.
pub fn start_log(level: Level, form: LogForm, redactor: Redactor) -> Result<(), LogStartError> {
    let targets = Targets::new()
        .with_default(LevelFilter::from_level(level.min(Level::WARN)))
        .with_target("trunkline", level);
    let lines = tracing_subscriber::fmt::layer()
        // It would tell standard error, which panics where nobody listens any longer.
        .log_internal_errors(false)
        .with_writer(Lines { redactor });
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match form {
        LogForm::Json => lines.json().flatten_event(true).boxed(),
        LogForm::Plain => lines.with_ansi(false).with_target(false).boxed(),
        LogForm::Pretty => lines.with_ansi(true).with_target(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()
        .map_err(|_| LogStartError)?;
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(())
}

/// Where lines go.
struct Lines {
    redactor: Redactor,
}

/// One line on its way.
struct Line<'a> {
    redactor: &'a Redactor,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            redactor: &self.redactor,
        }
    }
}

impl Write for Line<'_> {
    /// Takes a line as a whole, as the layer gives it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let redacted = self.redactor.line(&text);
        io::stderr().write_all(redacted.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What Rust would print shows values: parts of messages, that is. The place is what finds the bug.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let payload = panic.payload();
    let message = match payload.downcast_ref::<&'static str>() {
        Some(literal) => literal,
        None => payload
            .downcast_ref::<String>()
            .map_or("", |message| said(message)),
    };
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        place,
        said = message,
        backtrace,
        "panicked: please report it"
    );
}
