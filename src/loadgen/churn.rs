//! Handshakes: connect, be welcomed, close, again.

use std::time::{Duration, Instant};

use crate::loadgen::connection::Conduct;
use crate::loadgen::crowd::{Crowd, Happening, Seat};
use crate::loadgen::gauge::Gauge;
use crate::loadgen::latency::Latency;
use crate::loadgen::order::{Order, Span};
use crate::loadgen::report::Report;
use crate::loadgen::target::Target;
use crate::loadgen::template::Place;
use crate::loadgen::watch::{Stage, Ticker};
use crate::loadgen::{BenchError, Ended};

/// How long one turn waits at most.
const TURN: Duration = Duration::from_millis(20);
const LATENCY: [&str; 4] = [
    "handshake_p50_us",
    "handshake_p99_us",
    "handshake_p999_us",
    "handshake_max_us",
];

/// Connections that come and go, each in its slot.
struct Churn<'o> {
    order: &'o Order,
    crowd: Crowd<'o>,
    address: std::net::SocketAddr,
    slots: Vec<Slot>,
    /// Connections that were begun: the next one's number.
    dialled: usize,
    done: u64,
    failures: u64,
    latency: Latency,
    first_failure: Option<Ended>,
}

#[derive(Clone, Copy)]
struct Slot {
    since: Instant,
    stage: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Empty,
    Connecting,
    Closing,
}

pub(super) fn run(
    order: &Order,
    concurrency: usize,
    ticker: &mut Ticker<'_>,
) -> Result<Report, BenchError> {
    let empty = Slot {
        since: Instant::now(),
        stage: At::Empty,
    };
    let mut churn = Churn {
        order,
        crowd: Crowd::new(order)?,
        address: order.target.resolve()?,
        slots: vec![empty; concurrency],
        dialled: 0,
        done: 0,
        failures: 0,
        latency: Latency::new(),
        first_failure: None,
    };
    churn.go_on(Span::Duration(order.warmup), ticker)?;
    (churn.done, churn.failures, churn.latency) = (0, 0, Latency::new());
    let gauge = Gauge::begin(order.server)?;
    churn.go_on(order.span, ticker)?;
    let spent = gauge.end()?;
    churn.check(order.patience)?;

    let mut report = Report::new(order.profile.name());
    report.count("concurrency", concurrency as u64);
    report.fine("seconds", spent.seconds);
    report.count("handshakes", churn.done);
    report.rate("handshakes_per_second", churn.done as f64 / spent.seconds);
    report.latency(&LATENCY, churn.latency.summary());
    report.fault("failures", churn.failures);
    spent.report_server("cpu_us_per_handshake", churn.done, &mut report);
    spent.report_client(&mut report);
    if let Some(ended) = churn.first_failure.filter(|_| churn.failures > 0) {
        report.warn(format!("handshakes failed, the first so: {ended}"));
    }
    Ok(report)
}

impl<'o> Churn<'o> {
    fn go_on(&mut self, span: Span, ticker: &mut Ticker<'_>) -> Result<(), BenchError> {
        let begun = Instant::now();
        let mut happenings = Vec::new();
        let mut ready_before = self.done + self.failures;
        let mut last = Instant::now();
        loop {
            let is_over = match span {
                Span::Messages(handshakes) => self.done + self.failures >= handshakes,
                Span::Duration(duration) => begun.elapsed() >= duration,
            };
            if is_over || last.elapsed() > self.order.patience {
                return Ok(());
            }
            self.fill();
            self.crowd.turn(TURN, &mut happenings, |_, _, _| {})?;
            for happening in happenings.drain(..) {
                self.take(happening);
            }
            if self.done + self.failures > ready_before {
                (ready_before, last) = (self.done + self.failures, Instant::now());
            }
            ticker.tick(Stage::Churning, self.done);
        }
    }

    /// Begins a connection in each slot that is empty, or whose connection took too long.
    fn fill(&mut self) {
        for number in 0..self.slots.len() {
            let slot = self.slots[number];
            match slot.stage {
                At::Connecting if slot.since.elapsed() > self.order.patience => {
                    self.fail(number, Ended::Deadline);
                }
                At::Closing if slot.since.elapsed() > self.order.patience => {
                    self.crowd.abandon(number);
                }
                At::Connecting | At::Closing => continue,
                At::Empty => {}
            }
            self.dial(number);
        }
    }

    fn dial(&mut self, number: usize) {
        let target: &'o Target = &self.order.target;
        let seat = Seat {
            target,
            address: self.address,
            place: Place {
                room: self.dialled,
                number: self.dialled,
            },
            conduct: Conduct::Reads,
        };
        self.dialled += 1;
        self.slots[number] = Slot {
            since: Instant::now(),
            stage: At::Connecting,
        };
        if let Err(ended) = self.crowd.dial(number, &seat) {
            self.fail(number, ended);
        }
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Ready(number) => {
                let took = self.slots[number].since.elapsed();
                self.latency
                    .record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                self.done += 1;
                self.slots[number].stage = At::Closing;
                if self.crowd.close(number).is_err() {
                    self.slots[number].stage = At::Empty;
                }
            }
            Happening::Ended(number, ended) => match self.slots[number].stage {
                At::Connecting => self.fail(number, ended),
                At::Closing | At::Empty => self.slots[number].stage = At::Empty,
            },
        }
    }

    fn fail(&mut self, number: usize, ended: Ended) {
        self.crowd.abandon(number);
        self.slots[number].stage = At::Empty;
        self.failures += 1;
        self.first_failure.get_or_insert(ended);
    }

    /// Without a single handshake there is nothing to report.
    fn check(&mut self, patience: Duration) -> Result<(), BenchError> {
        if self.done > 0 {
            return Ok(());
        }
        match self.first_failure.take() {
            Some(ended) => Err(BenchError::NoHandshake { ended }),
            None => Err(BenchError::NotReady {
                ready: 0,
                wanted: self.slots.len(),
                seconds: patience.as_secs(),
                hint: String::new(),
            }),
        }
    }
}
