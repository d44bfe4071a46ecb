//! The command line: one file for each command, and the only folder that prints.
//!
//! Standard output carries what was asked for (a token, an explanation, findings as JSON), standard error what is said about it.
//! Every command ends with the same [`Exit`] codes.

mod bench;
mod check;
mod completions;
mod explain;
mod load;
mod print;
mod serve;
mod token;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The file that commands read unless another is named.
const DEFAULT_FILE: &str = "channels.yaml";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// It did what was asked, and there is nothing to repair.
    Fine = 0,
    /// It found something to repair.
    Findings = 1,
    /// It could not run: a file that cannot be read, a port that is taken, a wrong option.
    CouldNotRun = 2,
}

const EXAMPLES: &str = "\
Examples:
  trunkline serve
  trunkline check --deny warnings
  trunkline token --auth member --user-id 7
  trunkline why --endpoint /ws --user-id 7 --join room:1

Exit codes:
  0  fine
  1  findings
  2  could not run";

/// A realtime channel server that is declared, not programmed: a YAML file names endpoints, rooms, auth, limits and message types.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Check(check::Arguments),
    Token(token::Arguments),
    Why(Box<why::Arguments>),
    Bench(Box<bench::Arguments>),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => arguments.command.run(),
        Err(error) => {
            // Help and version are what was asked for and go to standard output. A reader that is gone is no fault.
            let _ = error.print();
            match error.exit_code() {
                0 => Exit::Fine,
                _ => Exit::CouldNotRun,
            }
        }
    };
    ExitCode::from(exit as u8)
}

impl Command {
    fn run(self) -> Exit {
        match self {
            Self::Serve(arguments) => serve::run(&arguments),
            Self::Check(arguments) => check::run(&arguments),
            Self::Token(arguments) => token::run(arguments),
            Self::Why(arguments) => why::run(&arguments),
            Self::Bench(arguments) => bench::run(*arguments),
            Self::Explain(arguments) => explain::run(&arguments),
            Self::Completions(arguments) => completions::run(&arguments),
        }
    }
}
