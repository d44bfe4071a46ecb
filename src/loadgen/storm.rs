//! A crowd that comes back at once, as after a network's hiccup, beside connections that work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::loadgen::connection::{Conduct, State};
use crate::loadgen::crowd::{Crowd, Happening, Seat};
use crate::loadgen::delivery::Delivery;
use crate::loadgen::gauge::{Gauge, Spent};
use crate::loadgen::order::{Order, Span};
use crate::loadgen::report::Report;
use crate::loadgen::rooms::Part;
use crate::loadgen::sender::Sender;
use crate::loadgen::template::Place;
use crate::loadgen::watch::{Stage, Ticker};
use crate::loadgen::{BenchError, Ended};

/// How many are dialled between two looks at what has come.
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
    order: &'o Order,
    crowd: Crowd<'o>,
    happenings: Vec<Happening>,
    clients: Vec<Client>,
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
    let seats = seats(order, busy + clients)?;
    let (busy_seats, seats) = seats.split_at(busy);
    let mut delivery = Delivery::new(order, busy)?;
    for room in 0..busy {
        delivery.rooms.add(room, Part::Reader);
    }
    delivery.seat(0, busy_seats, ticker)?;
    let mut storm = Storm::gather(order, seats, busy, ticker)?;
    let (mut sender, _metronome) = delivery.begin(Span::Duration(ENDLESS));
    Busy::new(&mut delivery, &mut sender).work(order.warmup, ticker)?;
    delivery.rooms.reset(delivery.crowd.now());
    let gauge = Gauge::begin(order.server)?;
    let mut busy = Busy::new(&mut delivery, &mut sender);
    busy.work(calm, ticker)?;
    busy.begin_phase();
    let (back_after, own) = busy.beside(|is_over| {
        let own = Gauge::begin(None)?;
        let back_after = storm.rage(seats, is_over, ticker)?;
        Ok((back_after, own.end()?))
    })?;
    busy.begin_phase();
    busy.work(calm, ticker)?;
    let (mut over, _) = delivery.begin(Span::Messages(0));
    delivery.drain(&mut over, Stage::Delivering, ticker)?;
    let spent = gauge.end()?;
    delivery.check_delivered()?;
    delivery.rooms.count_missing();
    Ok(storm.report(&delivery, back_after, &spent, &own))
}

/// Where everyone goes: the busy ones, then the crowd.
fn seats(order: &Order, count: usize) -> Result<Vec<Seat<'_>>, BenchError> {
    let address = order.target.resolve()?;
    let seat = |number| Seat {
        target: &order.target,
        address,
        place: Place {
            room: number,
            number,
        },
        conduct: Conduct::Reads,
    };
    Ok((0..count).map(seat).collect())
}

/// The busy ones while they work.
struct Busy<'b, 'o> {
    delivery: &'b mut Delivery<'o>,
    sender: &'b mut Sender,
}

impl<'b, 'o> Busy<'b, 'o> {
    const fn new(delivery: &'b mut Delivery<'o>, sender: &'b mut Sender) -> Self {
        Self { delivery, sender }
    }

    fn begin_phase(&mut self) {
        let now = self.delivery.crowd.now();
        self.delivery.rooms.begin_phase(now);
    }

    fn turn(&mut self) -> Result<(), BenchError> {
        self.delivery.turn(self.sender, TURN)?;
        self.delivery.let_go()
    }

    /// Lets them work for so long.
    fn work(&mut self, length: Duration, ticker: &mut Ticker<'_>) -> Result<(), BenchError> {
        let begun = Instant::now();
        while begun.elapsed() < length {
            self.turn()?;
            ticker.tick(Stage::Delivering, self.delivery.rooms.tally.deliveries);
        }
        Ok(())
    }

    /// Lets them work in a thread of their own until `storm` is over, so that it is not the client that they wait for. `storm` is
    /// told where they have ended.
    fn beside<T>(
        &mut self,
        storm: impl FnOnce(&dyn Fn() -> bool) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let busy = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    self.turn()?;
                }
                Ok(())
            });
            let raged = storm(&|| busy.is_finished());
            is_over.store(true, Ordering::Relaxed);
            match busy.join() {
                Ok(worked) => worked.and(raged),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl<'o> Storm<'o> {
    /// Connects the crowd, whose numbers follow those of the busy ones.
    fn gather(
        order: &'o Order,
        seats: &[Seat<'o>],
        busy: usize,
        ticker: &mut Ticker<'_>,
    ) -> Result<Self, BenchError> {
        let mut crowd = Crowd::new(order)?;
        let watch = |ready| ticker.tick(Stage::Connecting, (busy + ready) as u64);
        crowd.gather(0, seats, order.patience, watch)?;
        Ok(Self {
            order,
            crowd,
            happenings: Vec::new(),
            clients: vec![Client::Back; seats.len()],
            back: 0,
            failures: 0,
            first_failure: None,
            cursor: 0,
        })
    }

    /// Breaks the crowd's connections and has all of it come back; how long that took.
    fn rage(
        &mut self,
        seats: &[Seat<'o>],
        is_over: &dyn Fn() -> bool,
        ticker: &mut Ticker<'_>,
    ) -> Result<Duration, BenchError> {
        let begun = Instant::now();
        for (index, client) in self.clients.iter_mut().enumerate() {
            self.crowd.abandon(index);
            *client = Client::Away {
                from: begun,
                failures: 0,
            };
        }
        while begun.elapsed() < BACK_DEADLINE && !is_over() {
            let is_waiting = self.dial_some(seats);
            let wait = if is_waiting { Duration::ZERO } else { TURN };
            self.crowd.turn(wait, &mut self.happenings, |_, _, _| {})?;
            for happening in std::mem::take(&mut self.happenings) {
                self.take(happening);
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
                    if let Err(ended) = self.crowd.dial(index, &seats[index]) {
                        self.fail(index, ended);
                    }
                    dialled += 1;
                }
                Client::Dialled { since, .. }
                    if now.duration_since(since) > self.order.patience =>
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

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Ready(index) => {
                self.clients[index] = Client::Back;
                self.back += 1;
            }
            Happening::Ended(index, ended) => {
                if matches!(self.clients[index], Client::Back) {
                    self.back -= 1;
                }
                self.fail(index, ended);
            }
        }
    }

    /// A client tries again after a while.
    fn fail(&mut self, index: usize, ended: Ended) {
        let failures = match self.clients[index] {
            Client::Away { failures, .. } | Client::Dialled { failures, .. } => failures,
            Client::Back => 0,
        };
        self.crowd.abandon(index);
        let longest = RETRY.saturating_mul(1 << failures.min(8)).min(RETRY_MAX);
        let share = self.crowd.masks.next() as f64 / u64::MAX as f64;
        let wait = longest / 2 + longest.mul_f64(share / 2.0);
        self.clients[index] = Client::Away {
            from: Instant::now() + wait,
            failures: failures + 1,
        };
        self.failures += 1;
        self.first_failure.get_or_insert(ended);
    }

    fn is_here(&self, index: usize) -> bool {
        let connection = self.crowd.connection(index);
        connection.is_some_and(|connection| connection.state == State::Ready)
    }

    /// `own` is what the storm alone took: when the client is most likely to be the limit.
    fn report(
        &self,
        delivery: &Delivery<'_>,
        back_after: Duration,
        spent: &Spent,
        own: &Spent,
    ) -> Report {
        let mut report = Report::new("storm");
        report.count("clients", self.clients.len() as u64);
        report.count("busy", delivery.rooms.len() as u64);
        for (names, latency) in BUSY.iter().zip(delivery.rooms.latencies()) {
            report.latency(names, latency.summary());
        }
        let back = (0..self.clients.len()).filter(|index| self.is_here(*index));
        let back = back.count();
        report.count("back", back as u64);
        report.fault("missing", (self.clients.len() - back) as u64);
        report.count("failures", self.failures);
        report.fine("back_seconds", back_after.as_secs_f64());
        delivery.report_tally(&mut report);
        let deliveries = delivery.rooms.tally.deliveries;
        spent.report_server("cpu_us_per_delivery", deliveries, &mut report);
        own.report_client(&mut report);
        if let Some(ended) = &self.first_failure {
            report.warn(format!(
                "clients failed on their way back, the first so: {ended}"
            ));
        }
        delivery.warn(&mut report);
        report
    }
}
