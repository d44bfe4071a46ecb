//! What is said while a run goes on.

use std::time::{Duration, Instant};

/// How often something new is said.
const PERIOD: Duration = Duration::from_millis(250);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does at present.
    pub stage: Stage,
    /// How many of what the stage counts there are by now.
    pub count: u64,
    /// How long the run has taken.
    pub elapsed: Duration,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It counts connections that are ready.
    Connecting,
    /// It counts deliveries that do not count.
    WarmingUp,
    /// It counts deliveries.
    Delivering,
    /// It counts connections that are kept.
    Holding,
    /// It counts handshakes.
    Churning,
    /// It counts clients that are back.
    Storming,
}

/// Says how far a run is, every now and then.
pub(super) struct Ticker<'w> {
    watch: &'w mut dyn FnMut(Progress),
    begun: Instant,
    said: Option<Instant>,
}

impl<'w> Ticker<'w> {
    pub(super) fn new(watch: &'w mut dyn FnMut(Progress)) -> Self {
        Self {
            watch,
            begun: Instant::now(),
            said: None,
        }
    }

    pub(super) fn tick(&mut self, stage: Stage, count: u64) {
        if self.said.is_none_or(|said| said.elapsed() >= PERIOD) {
            self.said = Some(Instant::now());
            (self.watch)(Progress {
                stage,
                count,
                elapsed: self.begun.elapsed(),
            });
        }
    }
}
