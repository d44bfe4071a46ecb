//! `trunkline bench`: load on a WebSocket server, and what became of it.
//!
//! One thread, one epoll, as many connections as descriptors. Each message carries a marker (`marker`) with its number and the
//! moment when it was sent; readers look for it and for nothing else in what they get, so that the load generator is not slower
//! than the servers that it loads, and works with every one that passes a text on. Each delivery is checked by its number: what
//! was lost, repeated or turned is counted.
//!
//! [`run`] takes an [`Order`] and gives a [`Report`]. It prints nothing and talks to nobody but the target that it is given.

mod churn;
mod connection;
mod crowd;
mod delivery;
mod error;
mod findings;
mod gauge;
mod handshake;
mod idle;
mod latency;
mod marker;
mod mask;
mod order;
mod process;
mod report;
mod rooms;
mod sender;
mod sequence;
mod storm;
mod target;
mod template;
mod watch;

pub use error::{BenchError, Ended};
pub use marker::MARKER_BYTES;
pub use order::{Dialect, Order, Pace, Profile, Span};
pub use process::{Extent, Watched};
pub use report::{Report, Verdict};
pub use target::Target;
pub use template::Template;
pub use watch::{Progress, Stage};

use crate::loadgen::watch::Ticker;

/// Puts the load on the server; `watch` is told a few times a second how far it is.
///
/// # Errors
/// The load could not be put there, or nothing came back at all.
pub fn run(order: &Order, watch: &mut dyn FnMut(Progress)) -> Result<Report, BenchError> {
    let mut ticker = Ticker::new(watch);
    match order.profile {
        Profile::Fanout { .. } | Profile::Rooms { .. } | Profile::Echo { .. } => {
            delivery::run(order, &mut ticker)
        }
        Profile::Idle { connections, hold } => idle::run(order, connections, hold, &mut ticker),
        Profile::Churn { concurrency } => churn::run(order, concurrency, &mut ticker),
        Profile::Storm {
            clients,
            busy,
            calm,
        } => storm::run(order, clients, busy, calm, &mut ticker),
    }
}
