//! What a run with messages says of them.

use std::time::{Duration, Instant};

use crate::loadgen::BenchError;
use crate::loadgen::delivery::{Delivery, TURN};
use crate::loadgen::gauge::Spent;
use crate::loadgen::report::Report;
use crate::loadgen::rooms::Part;

/// How long what stalled readers have left lying is read, to learn which of them the server has closed.
const STALLED_DEADLINE: Duration = Duration::from_secs(3);
const LATENCY: [&str; 4] = [
    "latency_p50_us",
    "latency_p99_us",
    "latency_p999_us",
    "latency_max_us",
];

impl Delivery<'_> {
    /// Figures of the whole run.
    pub(super) fn report(&self, spent: &Spent, report: &mut Report) {
        let tally = self.rooms.tally;
        let deliveries = tally.deliveries as f64;
        report.fine("seconds", spent.seconds);
        report.rate("messages_per_second", tally.messages as f64 / spent.seconds);
        report.rate("deliveries_per_second", deliveries / spent.seconds);
        report.whole("bytes_per_delivery", tally.bytes as f64 / deliveries);
        for latency in self.rooms.latencies() {
            report.latency(&LATENCY, latency.summary());
        }
        self.report_tally(report);
        spent.report_server("cpu_us_per_delivery", tally.deliveries, report);
        spent.report_writes(tally.deliveries, report);
    }

    /// What was counted, and what of it should be nothing.
    pub(super) fn report_tally(&self, report: &mut Report) {
        let tally = self.rooms.tally;
        report.count("messages", tally.messages);
        report.count("deliveries", tally.deliveries);
        report.fault("lost", tally.lost);
        report.fault("duplicates", tally.duplicates);
        report.fault("out_of_order", tally.out_of_order);
        report.fault("strays", tally.strays);
        report.fault("refused", tally.refused);
        report.fault("closed", tally.closed);
    }

    /// How many of those that stopped reading the server has closed.
    pub(super) fn report_stalled(&mut self, report: &mut Report) -> Result<(), BenchError> {
        if self.order.stalled_percent == 0 {
            return Ok(());
        }
        let numbers = 0..self.rooms.members();
        let stalled: Vec<usize> = numbers
            .filter(|number| self.rooms.part(*number) == Part::Stalled)
            .collect();
        let end = Instant::now() + STALLED_DEADLINE;
        let mut open = stalled.clone();
        while !open.is_empty() && Instant::now() < end {
            open.retain(|number| self.crowd.forget_unread(*number).is_ok());
            self.crowd.turn(TURN, &mut self.happenings, |_, _, _| {})?;
        }
        report.count("stalled", stalled.len() as u64);
        report.count("stalled_closed", (stalled.len() - open.len()) as u64);
        Ok(())
    }

    pub(super) fn warn(&self, report: &mut Report) {
        if self.gave_up {
            report.warn(format!(
                "nothing came for {} s while messages were under way: the run ended there",
                self.patience().as_secs()
            ));
        }
        if self.unsent > 0 {
            report.warn(format!(
                "{} messages were due and could not be sent: the server took them too slowly, or the client was too slow",
                self.unsent
            ));
        }
        if let Some(refusal) = &self.rooms.refusal {
            report.warn(format!(
                "the server refused messages, the first so: {refusal}"
            ));
        }
        if let Some(ended) = &self.rooms.ended {
            report.warn(format!("connections ended, the first so: {ended}"));
        }
        if self.rooms.tally.strays > 0 {
            report.warn(
                "messages came to rooms that they were not sent to: does the URL lack `{room}`?"
                    .to_owned(),
            );
        }
    }
}
