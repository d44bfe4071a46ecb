//! The candidates for delivery: the same sockets, frames and rooms, and four ways from a publisher to the readers.
//!
//!     candidates --delivery task|inline|turn|shards [--listen 127.0.0.1:9111] [--threads 1]
//!
//! - `task`: each connection has a task that drains its outbox with vectored writes.
//! - `inline`: the publisher's task writes each frame to each reader whose socket is free.
//! - `turn`: the room gathers what is published in a turn of the scheduler; one flush writes it, vectored. What trunkline does.
//! - `shards`: each thread owns its connections and flushes once for each turn; publishers hand batches to the room's thread, which
//!   gives the room its order and hands it to the threads of its readers.
//!
//! Whoever is in a room (`/ws/{room}`) hears what anyone in it sends. A reader that lets more wait than an outbox holds is closed.

mod inline;
mod outbox;
mod shards;
mod socket;
mod task;
mod turn;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use floor::arguments::Arguments;
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let outcome = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    if let Err(message) = outcome {
        eprintln!("candidates: {message}");
        std::process::exit(2);
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let address: SocketAddr =
        arguments.value("listen", SocketAddr::from(([127, 0, 0, 1], 9111)))?;
    let threads: usize = arguments.value("threads", 1)?;
    match arguments.value("delivery", "turn".to_owned())?.as_str() {
        "task" => {
            let rooms = Arc::new(task::Rooms::default());
            shared(address, threads, move |stream| {
                task::serve(stream, rooms.clone())
            })
        }
        "inline" => {
            let rooms = Arc::new(inline::Rooms::default());
            shared(address, threads, move |stream| {
                inline::serve(stream, rooms.clone())
            })
        }
        "turn" => {
            let rooms = Arc::new(turn::Rooms::default());
            shared(address, threads, move |stream| {
                turn::serve(stream, rooms.clone())
            })
        }
        "shards" => shards::run(address, threads),
        other => Err(format!("there is no delivery {other}")),
    }
}

/// Runs a candidate whose tasks may move from thread to thread.
fn shared<F>(
    address: SocketAddr,
    threads: usize,
    serve: impl Fn(TcpStream) -> F,
) -> Result<(), String>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| error.to_string())?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    })
}
