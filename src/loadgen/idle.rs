//! What connections cost that do nothing.

use std::time::{Duration, Instant};

use crate::loadgen::connection::Conduct;
use crate::loadgen::crowd::{Crowd, Happening, Seat};
use crate::loadgen::gauge::{Gauge, report_memory};
use crate::loadgen::order::Order;
use crate::loadgen::report::Report;
use crate::loadgen::template::Place;
use crate::loadgen::watch::{Stage, Ticker};
use crate::loadgen::{BenchError, Ended};

/// How long one turn waits at most.
const TURN: Duration = Duration::from_millis(50);

pub(super) fn run(
    order: &Order,
    connections: usize,
    hold: Duration,
    ticker: &mut Ticker<'_>,
) -> Result<Report, BenchError> {
    let address = order.target.resolve()?;
    let mut crowd = Crowd::new(order)?;
    let seat = |number| Seat {
        target: &order.target,
        address,
        place: Place {
            room: number,
            number,
        },
        conduct: Conduct::Reads,
    };
    // One first: what a server sets up once is not the cost of a connection.
    crowd.gather(0, &[seat(connections)], order.patience, |_| {})?;
    let before = order.server.map(|watched| watched.cost()).transpose()?;
    let seats: Vec<_> = (0..connections).map(seat).collect();
    let begun = Instant::now();
    crowd.gather(1, &seats, order.patience, |ready| {
        ticker.tick(Stage::Connecting, ready as u64);
    })?;
    let connecting = begun.elapsed().as_secs_f64();

    let gauge = Gauge::begin(order.server)?;
    let (closed, first) = keep(&mut crowd, hold, ticker)?;
    let spent = gauge.end()?;

    let mut report = Report::new(order.profile.name());
    report.count("connections", connections as u64);
    report.fine("connecting_seconds", connecting);
    report.fault("closed", closed);
    if let Some((watched, before)) = order.server.zip(before) {
        report_memory(watched, before, connections, &mut report)?;
        if !hold.is_zero() {
            spent.report_server("cpu_us_per_connection", connections as u64, &mut report);
        }
    }
    if let Some(ended) = first {
        report.warn(format!("connections ended, the first so: {ended}"));
    }
    if order.server.is_none() {
        report.warn("without --pid nothing is known of the server's memory".to_owned());
    }
    Ok(report)
}

/// Keeps the connections for so long: how many ended meanwhile, and how the first of them did.
fn keep(
    crowd: &mut Crowd<'_>,
    hold: Duration,
    ticker: &mut Ticker<'_>,
) -> Result<(u64, Option<Ended>), BenchError> {
    let (begun, mut closed, mut first) = (Instant::now(), 0, None);
    let mut happenings = Vec::new();
    while begun.elapsed() < hold {
        let left = hold.saturating_sub(begun.elapsed());
        crowd.turn(left.min(TURN), &mut happenings, |_, _, _| {})?;
        for happening in happenings.drain(..) {
            if let Happening::Ended(_, ended) = happening {
                closed += 1;
                first.get_or_insert(ended);
            }
        }
        ticker.tick(Stage::Holding, crowd.len() as u64);
    }
    Ok((closed, first))
}
