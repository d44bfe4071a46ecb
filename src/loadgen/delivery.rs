//! Messages to rooms: one room with many readers, many rooms with few, or connections that hear themselves.

use std::time::{Duration, Instant};

use crate::loadgen::connection::Conduct;
use crate::loadgen::crowd::{Crowd, Happening, Seat};
use crate::loadgen::gauge::{Gauge, report_memory};
use crate::loadgen::marker::Mark;
use crate::loadgen::order::{Order, Pace, Profile, Span};
use crate::loadgen::report::Report;
use crate::loadgen::rooms::{Part, Rooms};
use crate::loadgen::sender::{Metronome, Scope, Sender};
use crate::loadgen::target::Target;
use crate::loadgen::template::Place;
use crate::loadgen::watch::{Stage, Ticker};
use crate::loadgen::{BenchError, Ended};

/// How long one turn waits at most, so that the run looks at its clock.
pub(super) const TURN: Duration = Duration::from_millis(20);
/// How long the rest may take to come once the server has said that it refused something.
const PATIENCE_REFUSED: Duration = Duration::from_secs(2);

/// Connections in rooms, and what has become of their messages. The rooms' publishers are the first connections, in the rooms' order.
pub(super) struct Delivery<'o> {
    pub(super) order: &'o Order,
    pub(super) crowd: Crowd<'o>,
    pub(super) rooms: Rooms<'o>,
    pub(super) happenings: Vec<Happening>,
    /// When the last delivery came.
    last: Instant,
    /// Whether messages were still under way when the run gave up on them.
    pub(super) gave_up: bool,
    /// Messages that were due and could not be sent.
    pub(super) unsent: u64,
}

/// Measures `fanout`, `rooms` or `echo`.
pub(super) fn run(order: &Order, ticker: &mut Ticker<'_>) -> Result<Report, BenchError> {
    order.check_rooms()?;
    let before = order.server.map(|watched| watched.cost()).transpose()?;
    let mut delivery = Delivery::gather(order, ticker)?;
    let connections = delivery.crowd.len();
    let mut report = Report::new(order.profile.name());
    report.count("connections", connections as u64);
    if !order.warmup.is_zero() {
        delivery.phase(Span::Duration(order.warmup), Stage::WarmingUp, ticker)?;
        delivery.check_delivered()?;
    }
    delivery.rooms.reset(delivery.crowd.now());
    let gauge = Gauge::begin(order.server)?;
    delivery.phase(order.span, Stage::Delivering, ticker)?;
    let spent = gauge.end()?;
    delivery.check_delivered()?;
    delivery.rooms.count_missing();
    delivery.report(&spent, &mut report);
    if let Some((watched, before)) = order.server.zip(before) {
        report_memory(watched, before, connections, &mut report)?;
    }
    delivery.report_stalled(&mut report)?;
    spent.report_client(&mut report);
    delivery.warn(&mut report);
    Ok(report)
}

impl<'o> Delivery<'o> {
    /// Connects everyone whom the order names.
    fn gather(order: &'o Order, ticker: &mut Ticker<'_>) -> Result<Self, BenchError> {
        let address = order.target.resolve()?;
        let publish = order.publish.as_ref().unwrap_or(&order.target);
        let publish_address = match &order.publish {
            Some(target) => target.resolve()?,
            None => address,
        };
        let (rooms, readers) = order.cast();
        let mut delivery = Self::new(order, rooms)?;
        let mut seats = Vec::new();
        let mut take_seat = |target: &'o Target, address, room, conduct| {
            let number = seats.len();
            seats.push(Seat {
                target,
                address,
                place: Place { room, number },
                conduct,
            });
        };
        for room in 0..rooms {
            delivery.rooms.add(room, order.publishers_part());
            take_seat(publish, publish_address, room, Conduct::Reads);
        }
        let percent = usize::from(order.stalled_percent);
        for reader in 0..rooms * readers {
            // Spread evenly over all.
            let stalls = (reader + 1) * percent / 100 > reader * percent / 100;
            let (part, conduct) = if stalls {
                (Part::Stalled, Conduct::Stalls)
            } else {
                (Part::Reader, Conduct::Reads)
            };
            delivery.rooms.add(reader / readers, part);
            take_seat(&order.target, address, reader / readers, conduct);
        }
        delivery.seat(0, &seats, ticker)?;
        Ok(delivery)
    }

    /// Nobody yet, in so many rooms.
    pub(super) fn new(order: &'o Order, rooms: usize) -> Result<Self, BenchError> {
        let run = order.seed as u16;
        Ok(Self {
            order,
            crowd: Crowd::new(order)?,
            rooms: Rooms::new(rooms, run, &order.dialect),
            happenings: Vec::new(),
            last: Instant::now(),
            gave_up: false,
            unsent: 0,
        })
    }

    /// Connects those with the numbers from `first` on.
    pub(super) fn seat(
        &mut self,
        first: usize,
        seats: &[Seat<'o>],
        ticker: &mut Ticker<'_>,
    ) -> Result<(), BenchError> {
        let watch = |ready| ticker.tick(Stage::Connecting, (first + ready) as u64);
        self.crowd.gather(first, seats, self.order.patience, watch)
    }

    /// Sends for so long, and waits until everyone has heard everything or nothing comes any more.
    fn phase(
        &mut self,
        span: Span,
        stage: Stage,
        ticker: &mut Ticker<'_>,
    ) -> Result<(), BenchError> {
        let (mut sender, _metronome) = self.begin(span);
        self.drain(&mut sender, stage, ticker)
    }

    /// Goes on until the sender is done and everyone has heard everything, or nothing comes any more.
    pub(super) fn drain(
        &mut self,
        sender: &mut Sender,
        stage: Stage,
        ticker: &mut Ticker<'_>,
    ) -> Result<(), BenchError> {
        self.last = Instant::now();
        loop {
            self.turn(sender, TURN)?;
            self.let_go()?;
            ticker.tick(stage, self.rooms.tally.deliveries);
            let is_quiet = || self.rooms.is_quiet();
            if sender.is_over(self.crowd.now()) && is_quiet() {
                break;
            }
            // A closed loop always waits for something, an open one perhaps only for its next moment.
            let waits = matches!(self.order.pace, Pace::Window(_)) || !is_quiet();
            if self.last.elapsed() > self.patience() && waits {
                self.gave_up = true;
                break;
            }
        }
        self.unsent = sender.unsent();
        Ok(())
    }

    /// Takes leave of those whose connections have ended.
    pub(super) fn let_go(&mut self) -> Result<(), BenchError> {
        for happening in std::mem::take(&mut self.happenings) {
            if let Happening::Ended(number, ended) = happening {
                self.leave(number, ended)?;
            }
        }
        Ok(())
    }

    /// A sender for a span that begins now, and in an open loop what keeps its time.
    pub(super) fn begin(&self, span: Span) -> (Sender, Option<Metronome>) {
        let begun = Instant::now();
        let order = self.order;
        let now = self.crowd.micros_at(begun);
        let sender = Sender::new(order.pace, order.scope(), span, self.rooms.len(), now);
        let metronome = match order.pace {
            Pace::Window(_) => None,
            Pace::Rate(rate) => Some(Metronome::start(rate, begun, self.crowd.waker())),
        };
        (sender, metronome)
    }

    /// Sends what is due, then takes what comes.
    pub(super) fn turn(&mut self, sender: &mut Sender, wait: Duration) -> Result<(), BenchError> {
        self.send_due(sender)?;
        let rooms = &mut self.rooms;
        let before = rooms.tally.deliveries;
        self.crowd
            .turn(wait, &mut self.happenings, |number, message, now| {
                rooms.take(number, message, now);
            })?;
        for room in rooms.completed.drain(..) {
            sender.complete(room);
        }
        if rooms.tally.deliveries > before {
            self.last = Instant::now();
        }
        Ok(())
    }

    fn send_due(&mut self, sender: &mut Sender) -> Result<(), BenchError> {
        loop {
            let now = self.crowd.now();
            // What is due while a publisher is behind is late, and its latency says so.
            let blocked = matches!(self.order.pace, Pace::Rate(_)) && self.is_behind(sender);
            if blocked {
                return Ok(());
            }
            let Some(due) = sender.next(now) else {
                return Ok(());
            };
            if !self.rooms.is_open(due.room) {
                sender.skip(due);
                continue;
            }
            let number = self.rooms.next_number(due.room);
            let mark = Mark {
                source: due.room,
                number,
                sent: due.moment,
            };
            let room = due.room as usize;
            let place = Place { room, number: room };
            let (marker, bytes) = (self.rooms.marker(), self.order.marker_bytes);
            let write = |target: &mut Vec<u8>| marker.write(mark, bytes, target);
            let sent = self.crowd.send(room, &self.order.message, place, write);
            if let Err(ended) = sent {
                self.crowd.abandon(room);
                self.leave(room, ended)?;
            }
        }
    }

    fn is_behind(&self, sender: &Sender) -> bool {
        let publisher = self.crowd.connection(sender.turn());
        publisher.is_some_and(|connection| connection.is_behind())
    }

    /// A connection has ended; without any publisher the run has too.
    pub(super) fn leave(&mut self, number: usize, ended: Ended) -> Result<(), BenchError> {
        if number >= self.rooms.members() || self.rooms.part(number) == Part::Gone {
            return Ok(());
        }
        self.rooms.leave(number, ended);
        if (0..self.rooms.len()).any(|room| self.rooms.is_open(room as u32)) {
            return Ok(());
        }
        let ended = self.rooms.ended.take().unwrap_or(Ended::Cut);
        Err(BenchError::AllGone { ended })
    }

    pub(super) fn patience(&self) -> Duration {
        match self.rooms.tally.refused {
            0 => self.order.patience,
            _ => self.order.patience.min(PATIENCE_REFUSED),
        }
    }

    pub(super) fn check_delivered(&self) -> Result<(), BenchError> {
        let tally = self.rooms.tally;
        if tally.deliveries > 0 || tally.messages == 0 {
            return Ok(());
        }
        let hint = match (&self.rooms.refusal, &self.rooms.other) {
            (Some(refusal), _) => format!("; the server refused them: {refusal}"),
            (None, _) if tally.strays > 0 => format!(
                "; {} came to other rooms: does the URL lack `{{room}}`?",
                tally.strays
            ),
            (None, Some(other)) => format!("; the last thing that came instead: {other}"),
            (None, None) => {
                "; does the server deliver what --message says to who reads there?".to_owned()
            }
        };
        Err(BenchError::NothingDelivered {
            sent: tally.messages,
            seconds: self.patience().as_secs(),
            hint,
        })
    }
}

impl Order {
    /// How many rooms there are, and how many readers in each beside its publisher.
    fn cast(&self) -> (usize, usize) {
        match self.profile {
            Profile::Fanout { readers } => (1, readers),
            Profile::Rooms { rooms, members } if self.publish.is_some() => (rooms, members),
            Profile::Rooms { rooms, members } => (rooms, members - 1),
            Profile::Echo { connections } => (connections, 0),
            Profile::Idle { .. } | Profile::Churn { .. } | Profile::Storm { .. } => (0, 0),
        }
    }

    /// Whether publishers have to hear themselves: where nobody else does.
    fn publishers_part(&self) -> Part {
        match self.cast() {
            (_, 0) => Part::Reader,
            _ => Part::Publisher,
        }
    }

    pub(super) fn scope(&self) -> Scope {
        match self.profile {
            Profile::Echo { .. } | Profile::Storm { .. } => Scope::Room,
            _ => Scope::Run,
        }
    }
}
