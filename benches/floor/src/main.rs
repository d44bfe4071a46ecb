//! The floor: what delivery costs in the kernel when there is next to no server around it. One thread, one epoll; whoever is in a
//! room hears what anyone in it sends, its sender too. No types, no users, no limits, no accounts.
//!
//!     floor [--listen 127.0.0.1:9110] [--delivery single|batched] [--payload BYTES]
//!
//! `single` writes each frame to each reader by itself; `batched` joins what was read in one turn of epoll and gives it to each
//! reader in one write. With `--payload` the frame that leaves was encoded beforehand for so many bytes and the message is copied
//! into it, so that it weighs on the wire what another server's envelope weighs. Paths: `/ws/{room}`, `/echo`.

mod crowd;
mod room;

use std::net::SocketAddr;

use floor::arguments::Arguments;

use crate::crowd::Crowd;
use crate::room::Delivery;

fn main() {
    let outcome = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    if let Err(message) = outcome {
        eprintln!("floor: {message}");
        std::process::exit(2);
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let listen: SocketAddr = arguments.value("listen", SocketAddr::from(([127, 0, 0, 1], 9110)))?;
    let delivery = arguments.value("delivery", Delivery::Batched)?;
    let payload_bytes = arguments.value("payload", 0)?;
    Crowd::listen(listen, delivery, payload_bytes)
        .and_then(|mut crowd| crowd.serve())
        .map_err(|error| error.to_string())
}
