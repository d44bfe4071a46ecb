//! What a part of a run took: of the clock, of the server, and of this client.

use std::time::Instant;

use crate::loadgen::BenchError;
use crate::loadgen::process::{Cost, ThreadTime, Watched, own_time};
use crate::loadgen::report::{Answer, Report};

/// From this share of the time on, the client had no reserve left.
const BUSY: f64 = 0.9;

/// More deliveries than this with each write, and it is not with writes that they were made.
const DELIVERIES_PER_WRITE_MAX: u64 = 1000;

/// Where a part of a run began.
pub(super) struct Gauge {
    begun: Instant,
    server: Option<(Watched, Cost)>,
    own: Option<ThreadTime>,
}

/// What a part of a run took.
pub(super) struct Spent {
    pub(super) seconds: f64,
    server: Option<(Cost, Cost)>,
    /// The client's thread: the share of the time that it was on a core, and that it waited for one.
    own: Option<(f64, f64)>,
}

impl Gauge {
    /// Begins to measure.
    ///
    /// # Errors
    /// The server's process is not there.
    pub(super) fn begin(server: Option<Watched>) -> Result<Self, BenchError> {
        let server = server
            .map(|watched| watched.cost().map(|cost| (watched, cost)))
            .transpose()?;
        Ok(Self {
            own: own_time(),
            begun: Instant::now(),
            server,
        })
    }

    /// Ends.
    pub(super) fn end(self) -> Result<Spent, BenchError> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let own = self.own.zip(own_time()).map(|(before, after)| {
            let share =
                |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e9 / seconds;
            (
                share(before.running, after.running),
                share(before.waiting, after.waiting),
            )
        });
        let server = self
            .server
            .map(|(watched, before)| watched.cost().map(|after| (before, after)))
            .transpose()?;
        Ok(Spent {
            seconds,
            server,
            own,
        })
    }
}

impl Spent {
    /// The server's processor time for each of `count` things.
    pub(super) fn report_server(&self, name: &'static str, count: u64, report: &mut Report) {
        if let Some((before, after)) = &self.server {
            let seconds = (after.cpu_seconds - before.cpu_seconds).max(0.0);
            report.fine(name, seconds * 1e6 / count as f64);
            report.whole("server_cpu_percent", seconds * 100.0 / self.seconds);
        }
    }

    /// How many deliveries went out with each write, where the server writes. One that delivers with send has next to no write
    /// calls, and the figure would mean nothing.
    pub(super) fn report_writes(&self, deliveries: u64, report: &mut Report) {
        let calls = self.server.as_ref().and_then(|(before, after)| {
            Some(after.write_calls?.saturating_sub(before.write_calls?))
        });
        if let Some(calls) = calls.filter(|calls| calls * DELIVERIES_PER_WRITE_MAX > deliveries) {
            report.fine(
                "deliveries_per_write_call",
                deliveries as f64 / calls as f64,
            );
        }
    }

    /// What the client itself used, and a warning where that was all there was.
    pub(super) fn report_client(&self, report: &mut Report) {
        let Some((running, waiting)) = self.own else {
            return;
        };
        let is_bottleneck = match running + waiting >= BUSY {
            true => Answer::Yes,
            false => Answer::No,
        };
        report.whole("client_cpu_percent", running * 100.0);
        report.whole("client_waiting_percent", waiting * 100.0);
        report.answer("client_is_bottleneck", is_bottleneck);
        if running >= BUSY {
            report.warn(format!(
                "the client used {:.0} % of its core: the figures say what it can take, not what the server can give; \
                 the server's own processor time still counts (--pid)",
                running * 100.0
            ));
        } else if is_bottleneck == Answer::Yes {
            report.warn(format!(
                "the client used {:.0} % of a core and waited {:.0} % of the time for one: it shares its core with others, \
                 and times and rates say so as much as they speak of the server; give it one of its own (taskset)",
                running * 100.0,
                waiting * 100.0
            ));
        }
    }
}

/// Memory for each of `connections`, by what came on top of `before`.
pub(super) fn report_memory(
    watched: Watched,
    before: Cost,
    connections: usize,
    report: &mut Report,
) -> Result<(), BenchError> {
    let after = watched.cost()?;
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / connections as f64;
    report.count("rss_anon_before", before.anonymous);
    report.count("rss_anon_after", after.anonymous);
    report.whole(
        "bytes_per_connection",
        each(before.anonymous, after.anonymous),
    );
    report.whole(
        "shared_bytes_per_connection",
        each(before.shared, after.shared),
    );
    Ok(())
}
