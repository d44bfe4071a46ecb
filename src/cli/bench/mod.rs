//! `trunkline bench`: load on a server, and what became of it.

mod options;

use clap::Subcommand;

use crate::cli::bench::options::Options;
use crate::cli::{Exit, print};
use crate::loadgen::{BenchError, Profile, Progress, Report, Stage, Verdict, run as load};
use crate::vocab::parse_duration;

use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  trunkline bench fanout ws://127.0.0.1:8000/ws/{room} --readers 1000 --pid $(pgrep -x trunkline)
  trunkline bench rooms ws://127.0.0.1:8000/ws/{room} --rooms 1000 --members 10 --rate 500
  trunkline bench echo ws://127.0.0.1:9001/ --raw --connections 100 --size 128
  trunkline bench idle ws://127.0.0.1:8000/ws/{room} --connections 10000 --pid 4711

In URL and frames `{room}` stands for the number of the room, an `n` in braces for that of the connection.
Each connection takes a descriptor: see `ulimit -n`. docs/cli.md explains every figure.

Exit codes:
  0  every message came once and in order
  1  messages were lost, repeated, turned or refused, or connections closed
  2  could not run";

/// Put load on a WebSocket server and say what became of it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    shape: Shape,
}

#[derive(Debug, Subcommand)]
enum Shape {
    /// One room: a publisher, and many readers
    Fanout {
        /// How many listen, beside the publisher
        #[arg(long, value_name = "N", default_value = "1000", value_parser = some)]
        readers: usize,
        #[command(flatten)]
        options: Options,
    },
    /// Many rooms, with a publisher in each
    Rooms {
        /// How many rooms
        #[arg(long, value_name = "R", default_value = "1000", value_parser = some)]
        rooms: usize,
        /// How many are in each; the first of them publishes, unless --publish-url sends publishers elsewhere
        #[arg(long, value_name = "M", default_value = "10", value_parser = some)]
        members: usize,
        #[command(flatten)]
        options: Options,
    },
    /// Connections that hear what they send: request and answer
    Echo {
        /// How many
        #[arg(long, value_name = "N", default_value = "100", value_parser = some)]
        connections: usize,
        #[command(flatten)]
        options: Options,
    },
    /// Connections that do nothing: what each takes of the server's memory
    Idle {
        /// How many
        #[arg(long, value_name = "N", default_value = "10000", value_parser = some)]
        connections: usize,
        /// How long they are kept before the memory is looked at
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
        hold: Duration,
        #[command(flatten)]
        options: Options,
    },
    /// Handshakes: connect, be welcomed, close, again
    Churn {
        /// How many are under way at any time
        #[arg(long, value_name = "N", default_value = "50", value_parser = some)]
        concurrency: usize,
        #[command(flatten)]
        options: Options,
    },
    /// A crowd that reconnects at once, beside connections that are busy
    Storm {
        /// The crowd
        #[arg(long, value_name = "N", default_value = "12000", value_parser = some)]
        clients: usize,
        /// Those that hear what they send, one message a second each unless --rate or --window says otherwise
        #[arg(long, value_name = "M", default_value = "2000", value_parser = some)]
        busy: usize,
        #[command(flatten)]
        options: Options,
    },
}

pub(super) fn run(arguments: Arguments) -> Exit {
    let (profile, options) = arguments.shape.split();
    match measure(profile, &options) {
        Ok(report) => {
            for warning in report.warnings() {
                print::err(&format!("warning: {warning}"));
            }
            print::out(&if options.json {
                report.json()
            } else {
                report.table()
            });
            match report.verdict() {
                Verdict::Sound => Exit::Fine,
                Verdict::Faulty => Exit::Findings,
            }
        }
        Err(error) => {
            print::error(&error.to_string());
            Exit::CouldNotRun
        }
    }
}

fn measure(profile: Profile, options: &Options) -> Result<Report, BenchError> {
    let order = options.order(profile)?;
    let mut watch = |progress: Progress| print::progress(&line(progress));
    let report = load(&order, &mut watch);
    print::progress("");
    report
}

fn line(progress: Progress) -> String {
    let Progress {
        stage,
        count,
        elapsed,
    } = progress;
    let elapsed = format!("{} s", elapsed.as_secs());
    match stage {
        Stage::Connecting => format!("{elapsed}: {count} connections are ready"),
        Stage::WarmingUp => format!("{elapsed}: warming up, {count} deliveries"),
        Stage::Delivering => format!("{elapsed}: {count} deliveries"),
        Stage::Holding => format!("{elapsed}: {count} connections are open"),
        Stage::Churning => format!("{elapsed}: {count} handshakes"),
        Stage::Storming => format!("{elapsed}: {count} clients are back"),
    }
}

impl Shape {
    fn split(self) -> (Profile, Options) {
        match self {
            Self::Fanout { readers, options } => (Profile::Fanout { readers }, options),
            Self::Rooms {
                rooms,
                members,
                options,
            } => (Profile::Rooms { rooms, members }, options),
            Self::Echo {
                connections,
                options,
            } => (Profile::Echo { connections }, options),
            Self::Idle {
                connections,
                hold,
                options,
            } => (Profile::Idle { connections, hold }, options),
            Self::Churn {
                concurrency,
                options,
            } => (Profile::Churn { concurrency }, options),
            Self::Storm {
                clients,
                busy,
                options,
            } => {
                let calm = options.duration;
                (
                    Profile::Storm {
                        clients,
                        busy,
                        calm,
                    },
                    options,
                )
            }
        }
    }
}

/// More connections than any machine has descriptors for.
const MANY: usize = 10_000_000;

fn some(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=MANY) => Ok(count),
        _ => Err(format!("write a number from 1 to {MANY}")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
