//! The load that `benches/*.sh` put on a server: one thread, epoll, raw RFC 6455. Works against any WebSocket server; what differs
//! between servers (paths, the shape of a message) comes in as arguments.

mod arguments;
mod connection;
mod crowd;
mod fanout;
mod handshake;
mod idle;
mod process;
mod startup;

use arguments::Arguments;

const USAGE: &str = "\
load fanout  --address HOST:PORT --pid PID --read PATH --publish PATH [--rooms 1] [--readers 1000] [--window 1]
             [--messages 2000] [--bytes 128] [--message 'TEMPLATE with {}'] [--ready frame] [--metrics /metrics]
load idle    --address HOST:PORT --pid PID --path PATH [--connections 15000] [--ready frame]
load handshake --address HOST:PORT --pid PID --path PATH [--connections 15000] [--ready frame]
             [--tokens FILE]
load startup --address HOST:PORT [--runs 20] -- COMMAND…

{room} in a path is replaced by a room's number, {connection} by the connection's. `--ready frame` waits for a first frame after the
handshake; {token} is a line of the file. Each prints one line of JSON.";

fn main() {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let outcome = Arguments::parse(words).and_then(|arguments| match command.as_str() {
        "fanout" => fanout::run(&arguments),
        "handshake" => handshake::run(&arguments),
        "idle" => idle::run(&arguments),
        "startup" => startup::run(&arguments),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(line) => println!("{line}"),
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    }
}
