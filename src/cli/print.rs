//! Printing: a reader that is gone (`trunkline explain | head -1`) ends nothing and is no fault.

use std::io::{IsTerminal, Write};

use crate::config::{Environment, ProcessEnvironment};
use crate::diag::render::Colours;

/// Writes what was asked for.
pub(super) fn out(text: &str) {
    write(&mut std::io::stdout().lock(), text);
}

/// Writes what is said about it.
pub(super) fn err(text: &str) {
    write(&mut std::io::stderr().lock(), text);
}

/// Says why a command cannot run, or will not do what it was asked.
pub(super) fn error(message: &str) {
    err(&format!("error: {message}"));
}

/// Says how far a command is, in one line that the next such line replaces, where somebody watches.
pub(super) fn progress(line: &str) {
    let mut target = std::io::stderr().lock();
    if target.is_terminal() {
        let _ = write!(target, "\r\x1b[2K{line}").and_then(|()| target.flush());
    }
}

/// Whether standard error takes colours: on a terminal, unless `NO_COLOR` (<https://no-color.org>) or `TERM=dumb` says otherwise.
pub(super) fn colours() -> Colours {
    let environment = ProcessEnvironment;
    let refused = environment
        .get("NO_COLOR")
        .is_some_and(|value| !value.is_empty());
    let dumb = environment.get("TERM").is_some_and(|value| value == "dumb");
    if std::io::stderr().is_terminal() && !refused && !dumb {
        Colours::On
    } else {
        Colours::Off
    }
}

fn write(target: &mut impl Write, text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let _ = write!(target, "{text}{end}").and_then(|()| target.flush());
}
