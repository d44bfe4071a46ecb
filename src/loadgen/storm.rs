//! A crowd that comes back at once, as after a network's hiccup, beside connections that work.

use std::time::{Duration, Instant};

use crate::loadgen::connection::{Conduct, State};
use crate::loadgen::crowd::{Happening, Seat};
use crate::loadgen::delivery::Delivery;
use crate::loadgen::gauge::{Gauge, Spent};
use crate::loadgen::order::{Order, Span};
use crate::loadgen::report::Report;
use crate::loadgen::rooms::Part;
use crate::loadgen::sender::Sender;
use crate::loadgen::template::Place;
use crate::loadgen::watch::{Stage, Ticker};
use crate::loadgen::{BenchError, Ended};

/// How many are dialled between two looks at the others: the client must not be what the busy ones wait for.
const DIALS: usize = 32;
/// How long one turn waits at most.
const TURN: Duration = Duration::from_millis(5);
/// The first wait of a client that failed; it doubles with each failure, and a random part of it is left out.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(8);
/// The whole crowd has so long to come back.
const BACK_DEADLINE: Duration = Duration::from_secs(120);
/// The busy connections' phase has no end of its own.
const ENDLESS: Duration = Duration::from_secs(86_400);

const BUSY: [[&str; 4]; 3] = [
    [
        "busy_before_p50_us",
        "busy_before_p99_us",
        "busy_before_p999_us",
        "busy_before_max_us",
    ],
    [
        "busy_during_p50_us",
        "busy_during_p99_us",
        "busy_during_p999_us",
        "busy_during_max_us",
    ],
    [
        "busy_after_p50_us",
        "busy_after_p99_us",
        "busy_after_p999_us",
        "busy_after_max_us",
    ],
];

/// One of the crowd, on its way back.
#[derive(Clone, Copy)]
enum Client {
    /// To be dialled from this moment on.
    Away {
        from: Instant,
        failures: u32,
    },
    Dialled {
        since: Instant,
        failures: u32,
    },
    Back,
}

struct Storm<'o> {
    delivery: Delivery<'o>,
    clients: Vec<Client>,
    /// The first client's connection.
    first: usize,
    back: usize,
    failures: u64,
    first_failure: Option<Ended>,
    /// Where the search for clients to dial goes on.
    cursor: usize,
}

pub(super) fn run(
    order: &Order,
    clients: usize,
    busy: usize,
    calm: Duration,
    ticker: &mut Ticker<'_>,
) -> Result<Report, BenchError> {
    let (mut delivery, seats) = gather(order, clients, busy, ticker)?;
    let (mut sender, _metronome) = delivery.begin(Span::Duration(ENDLESS));
    work(&mut delivery, &mut sender, order.warmup, ticker)?;
    delivery.rooms.reset(delivery.crowd.now());
    let gauge = Gauge::begin(order.server)?;
    work(&mut delivery, &mut sender, calm, ticker)?;
    let mut storm = Storm {
        delivery,
        clients: vec![Client::Back; clients],
        first: busy,
        back: 0,
        failures: 0,
        first_failure: None,
        cursor: 0,
    };
    storm.begin_phase();
    let own = Gauge::begin(None)?;
    let back_after = storm.rage(&mut sender, &seats[busy..], ticker)?;
    let own = own.end()?;
    storm.begin_phase();
    work(&mut storm.delivery, &mut sender, calm, ticker)?;
    let (mut over, _) = storm.delivery.begin(Span::Messages(0));
    storm.delivery.drain(&mut over, Stage::Delivering, ticker)?;
    let spent = gauge.end()?;
    storm.delivery.check_delivered()?;
    storm.delivery.rooms.count_missing();
    Ok(storm.report(back_after, &spent, &own))
}

/// Connects the busy ones, then the crowd.
fn gather<'o>(
    order: &'o Order,
    clients: usize,
    busy: usize,
    ticker: &mut Ticker<'_>,
) -> Result<(Delivery<'o>, Vec<Seat<'o>>), BenchError> {
    let address = order.target.resolve()?;
    let mut delivery = Delivery::new(order, busy)?;
    let seat = |number| Seat {
        target: &order.target,
        address,
        place: Place {
            room: number,
            number,
        },
        conduct: Conduct::Reads,
    };
    let seats: Vec<_> = (0..busy + clients).map(seat).collect();
    for room in 0..busy {
        delivery.rooms.add(room, Part::Reader);
    }
    delivery.seat(0, &seats, ticker)?;
    Ok((delivery, seats))
}

/// Lets the busy ones work for so long.
fn work(
    delivery: &mut Delivery<'_>,
    sender: &mut Sender,
    length: Duration,
    ticker: &mut Ticker<'_>,
) -> Result<(), BenchError> {
    let begun = Instant::now();
    while begun.elapsed() < length {
        delivery.turn(sender, TURN)?;
        delivery.let_go()?;
        ticker.tick(Stage::Delivering, delivery.rooms.tally.deliveries);
    }
    Ok(())
}

impl<'o> Storm<'o> {
    fn begin_phase(&mut self) {
        let now = self.delivery.crowd.now();
        self.delivery.rooms.begin_phase(now);
    }

    /// Breaks the crowd's connections and has all of it come back; how long that took.
    fn rage(
        &mut self,
        sender: &mut Sender,
        seats: &[Seat<'o>],
        ticker: &mut Ticker<'_>,
    ) -> Result<Duration, BenchError> {
        let begun = Instant::now();
        for index in 0..self.clients.len() {
            self.delivery.crowd.abandon(self.first + index);
            self.clients[index] = Client::Away {
                from: begun,
                failures: 0,
            };
        }
        while begun.elapsed() < BACK_DEADLINE {
            let is_waiting = self.dial_some(seats);
            let wait = if is_waiting { Duration::ZERO } else { TURN };
            self.delivery.turn(sender, wait)?;
            for happening in std::mem::take(&mut self.delivery.happenings) {
                self.take(happening)?;
            }
            ticker.tick(Stage::Storming, self.back as u64);
            if self.back == self.clients.len() {
                break;
            }
        }
        Ok(begun.elapsed())
    }

    /// Dials a few of those whose time has come; whether there may be more of them.
    fn dial_some(&mut self, seats: &[Seat<'o>]) -> bool {
        let now = Instant::now();
        let mut dialled = 0;
        for _ in 0..self.clients.len() {
            let index = self.cursor;
            self.cursor = (self.cursor + 1) % self.clients.len();
            match self.clients[index] {
                Client::Away { from, failures } if from <= now => {
                    self.clients[index] = Client::Dialled {
                        since: now,
                        failures,
                    };
                    if let Err(ended) = self.delivery.crowd.dial(self.first + index, &seats[index])
                    {
                        self.fail(index, ended);
                    }
                    dialled += 1;
                }
                Client::Dialled { since, .. }
                    if now.duration_since(since) > self.delivery.order.patience =>
                {
                    self.fail(index, Ended::Deadline);
                }
                _ => {}
            }
            if dialled == DIALS {
                return true;
            }
        }
        false
    }

    fn take(&mut self, happening: Happening) -> Result<(), BenchError> {
        match happening {
            Happening::Ready(number) if number >= self.first => {
                self.clients[number - self.first] = Client::Back;
                self.back += 1;
            }
            Happening::Ended(number, ended) if number >= self.first => {
                let index = number - self.first;
                if matches!(self.clients[index], Client::Back) {
                    self.back -= 1;
                }
                self.fail(index, ended);
            }
            Happening::Ended(number, ended) => self.delivery.leave(number, ended)?,
            Happening::Ready(_) => {}
        }
        Ok(())
    }

    /// A client tries again after a while.
    fn fail(&mut self, index: usize, ended: Ended) {
        let failures = match self.clients[index] {
            Client::Away { failures, .. } | Client::Dialled { failures, .. } => failures,
            Client::Back => 0,
        };
        self.delivery.crowd.abandon(self.first + index);
        let longest = RETRY.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
        let share = self.delivery.crowd.masks.next() as f64 / u64::MAX as f64;
        let wait = longest / 2 + longest.mul_f64(share / 2.0);
        self.clients[index] = Client::Away {
            from: Instant::now() + wait,
            failures: failures + 1,
        };
        self.failures += 1;
        self.first_failure.get_or_insert(ended);
    }

    fn is_here(&self, index: usize) -> bool {
        let connection = self.delivery.crowd.connection(self.first + index);
        connection.is_some_and(|connection| connection.state == State::Ready)
    }

    /// `own` is what the storm alone took: when the client is most likely to be the limit.
    fn report(&self, back_after: Duration, spent: &Spent, own: &Spent) -> Report {
        let mut report = Report::new("storm");
        report.count("clients", self.clients.len() as u64);
        report.count("busy", self.delivery.rooms.len() as u64);
        for (names, latency) in BUSY.iter().zip(self.delivery.rooms.latencies()) {
            report.latency(names, latency.summary());
        }
        let back = (0..self.clients.len()).filter(|index| self.is_here(*index));
        let back = back.count();
        report.count("back", back as u64);
        report.fault("missing", (self.clients.len() - back) as u64);
        report.count("failures", self.failures);
        report.fine("back_seconds", back_after.as_secs_f64());
        self.delivery.report_tally(&mut report);
        let deliveries = self.delivery.rooms.tally.deliveries;
        spent.report_server("cpu_us_per_delivery", deliveries, &mut report);
        own.report_client(&mut report);
        if let Some(ended) = &self.first_failure {
            report.warn(format!(
                "clients failed on their way back, the first so: {ended}"
            ));
        }
        self.delivery.warn(&mut report);
        report
    }
}
