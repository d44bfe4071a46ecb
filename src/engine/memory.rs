//! The ceiling of the process's memory: what happens above it, so that the machine neither swaps nor kills the server.
//!
//! The kernel's count of what is resident is looked at with each tick. Above the ceiling the server takes no newcomers and no
//! messages, and in rounds it closes the connections that the most bytes wait for, as many as hold what is too much; what
//! they do not hold is taken from the rooms' logs. It does so until a twentieth below the ceiling, so that it does not go to and fro.
//!
//! What fills the memory may be nothing that a round can free: idle connections, or what an allocator gives back late or never.
//! So nobody is closed and no log shortened unless that is a part of the excess that counts, and a round is followed by a pause.
//! And the refusals end though the kernel's count stays, once what filled the memory is gone from the server's own books: messages
//! are taken again when those that wait or are kept are few; newcomers as [`Ceiling::places`] says.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::link::{Backlog, Phase};
use crate::plan::Plan;
use crate::protocol::{CloseCode, Reject, RejectCode};
use crate::telemetry::Memory;
use crate::vocab::Monotonic;

/// The ceiling where the file names none, in percent of what there is.
const SHARE_PERCENT: u64 = 70;
/// Where the pressure ends, in percent of the ceiling.
const RELIEF_PERCENT: u64 = 95;
/// Messages that wait or are kept are few below this, in percent of the ceiling.
const FEW_PERCENT: u64 = 1;
/// What a round could free is worth its while from this part of the excess on, in percent, and when it is not few.
const WORTHWHILE_PERCENT: u64 = 10;
/// A reader is not slow before so many bytes wait for it. Of what a socket did not take at once, that is next to nothing.
const SLOW_BYTES_MIN: u64 = 4 * 1024;
/// Where no messages fill the memory so many may always connect: what they cost is little, and without them nobody would ever
/// see the server again whose memory stays high.
const PLACES_MIN: usize = 100;
/// The time from one round to the next: what was closed or forgotten has to be freed first.
const PAUSE: Duration = Duration::from_secs(1);
/// When refused clients may try again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The ceiling, and whether the memory stands above it.
#[derive(Debug)]
pub(super) struct Ceiling {
    memory: Arc<dyn Memory>,
    /// None where neither the file nor the system tells.
    bytes: Option<u64>,
    under_pressure: AtomicBool,
    refuses_messages: AtomicBool,
    /// Connections when the pressure began, and what was resident.
    connections: AtomicUsize,
    resident: AtomicU64,
    /// Newcomers are let in while there are fewer connections than this.
    places: AtomicUsize,
    /// The last round found nothing to free.
    is_exhausted: AtomicBool,
    /// When the next round may be.
    round_at: AtomicU64,
}

impl Ceiling {
    pub(super) fn new(plan: &Plan, memory: Arc<dyn Memory>) -> Self {
        let of_total = || Some(memory.total_bytes()? / 100 * SHARE_PERCENT);
        let declared = plan.server.memory_max.map(|max| max.len() as u64);
        Self {
            bytes: declared.or_else(of_total),
            memory,
            under_pressure: AtomicBool::new(false),
            refuses_messages: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            resident: AtomicU64::new(0),
            places: AtomicUsize::new(0),
            is_exhausted: AtomicBool::new(false),
            round_at: AtomicU64::new(0),
        }
    }

    /// Whether newcomers are refused while so many others are connected.
    pub(super) fn refuses_newcomers(&self, others: usize) -> bool {
        self.under_pressure.load(Ordering::Relaxed) && others >= self.places.load(Ordering::Relaxed)
    }

    /// How many may be connected under pressure, as `resident` and the messages are now.
    ///
    /// Half of those who were there when it began: what the others needed is then free. All of them, where messages are few and
    /// the memory has not grown: who comes takes the place of one who went. And [`PLACES_MIN`] in any case, where messages are few
    /// or nothing more can be freed.
    fn places(&self, resident: u64, messages: Messages) -> usize {
        let connections = self.connections.load(Ordering::Relaxed);
        let has_grown = resident > self.resident.load(Ordering::Relaxed);
        let half = connections.div_ceil(2);
        match messages {
            Messages::Few if has_grown => half.max(PLACES_MIN),
            Messages::Few => connections.max(PLACES_MIN),
            Messages::Many if self.is_exhausted.load(Ordering::Relaxed) => half.max(PLACES_MIN),
            Messages::Many => half,
        }
    }

    /// # Errors
    /// Messages are refused at the moment.
    pub(super) fn check_message(&self) -> Result<(), Reject> {
        if self.refuses_messages.load(Ordering::Relaxed) {
            let reject = Reject::new(RejectCode::Unavailable, "the server is short of memory");
            return Err(reject.retry_after(RETRY_AFTER));
        }
        Ok(())
    }
}

/// Whether messages, those that wait and those that are kept, are what fills the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Messages {
    Few,
    Many,
}

impl Engine {
    /// Looks at the memory, and does what is to be done about it.
    pub(super) fn watch_memory(self: &Arc<Self>, now: Monotonic) {
        let Some(resident) = self.ceiling.memory.resident_bytes() else {
            return;
        };
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.memory_bytes.set(gauge(resident));
        let Some(ceiling) = self.ceiling.bytes else {
            return;
        };
        self.metrics.memory_ceiling_bytes.set(gauge(ceiling));
        let relief = ceiling / 100 * RELIEF_PERCENT;
        let pressed = self.ceiling.under_pressure.load(Ordering::Relaxed);
        match (pressed, resident) {
            (false, resident) if resident > ceiling => self.begin_pressure(resident, ceiling),
            (true, resident) if resident < relief => self.end_pressure(resident, ceiling),
            _ => {}
        }
        if !self.ceiling.under_pressure.load(Ordering::Relaxed) {
            return;
        }
        let few = ceiling / 100 * FEW_PERCENT;
        let messages = match self.message_bytes() > few {
            true => Messages::Many,
            false => Messages::Few,
        };
        let refuses = messages == Messages::Many;
        self.ceiling
            .refuses_messages
            .store(refuses, Ordering::Relaxed);
        let places = self.ceiling.places(resident, messages);
        self.ceiling.places.store(places, Ordering::Relaxed);
        let round_at = self.ceiling.round_at.load(Ordering::Relaxed);
        if resident > ceiling && now.as_millis() >= round_at {
            let next = now.after(PAUSE).as_millis();
            self.ceiling.round_at.store(next, Ordering::Relaxed);
            self.shed(resident - relief, few);
        }
    }

    fn begin_pressure(&self, resident: u64, ceiling: u64) {
        tracing::warn!(
            resident,
            ceiling,
            "short of memory: taking no newcomers and no messages"
        );
        let connections = self.connections();
        self.ceiling
            .connections
            .store(connections, Ordering::Relaxed);
        self.ceiling.resident.store(resident, Ordering::Relaxed);
        self.ceiling.is_exhausted.store(false, Ordering::Relaxed);
        self.ceiling.under_pressure.store(true, Ordering::Relaxed);
    }

    fn end_pressure(&self, resident: u64, ceiling: u64) {
        tracing::info!(resident, ceiling, "memory is below the ceiling again");
        self.ceiling.under_pressure.store(false, Ordering::Relaxed);
        self.ceiling
            .refuses_messages
            .store(false, Ordering::Relaxed);
    }

    /// Bytes of messages, those that wait and those that are kept.
    fn message_bytes(&self) -> u64 {
        self.waiting_bytes() + self.store.bytes() as u64
    }

    fn waiting_bytes(&self) -> u64 {
        u64::try_from(self.metrics.queue_bytes.get()).unwrap_or_default()
    }

    /// One round: frees so many bytes, as far as the books say, unless what they have is less than `few`.
    fn shed(self: &Arc<Self>, excess: u64, few: u64) {
        let is_worthwhile = |bytes: u64, of: u64| bytes >= few.max(of / 100 * WORTHWHILE_PERCENT);
        let slow = self.slow();
        let mut closed = Shed::default();
        if is_worthwhile(slow.iter().map(|(bytes, _)| bytes).sum(), excess) {
            closed = self.shed_slowest(slow, excess);
        }
        let left = excess.saturating_sub(closed.bytes);
        let mut forgotten = 0;
        if left > 0 && is_worthwhile(self.store.bytes() as u64, left) {
            forgotten = self.shed_logs(left);
        }
        let is_exhausted = closed.connections == 0 && forgotten == 0;
        let was_exhausted = self
            .ceiling
            .is_exhausted
            .swap(is_exhausted, Ordering::Relaxed);
        if !is_exhausted {
            tracing::warn!(
                excess,
                connections = closed.connections,
                waiting_bytes = closed.bytes,
                log_bytes = forgotten,
                "short of memory: closed the slowest connections, shortened logs"
            );
        } else if !was_exhausted {
            tracing::warn!(
                excess,
                "short of memory, and neither slow connections nor logs are what fills it"
            );
        }
    }

    /// The connections whose sockets take less than there is for them, and the bytes that wait, the most first.
    fn slow(&self) -> Vec<(u64, Arc<Connection>)> {
        if self.waiting_bytes() == 0 {
            return Vec::new();
        }
        let mut slow: Vec<(u64, Arc<Connection>)> = Vec::new();
        for connection in self.users.all() {
            let outbox = connection.outbox.lock();
            let bytes = outbox.bytes() as u64;
            let is_slow = outbox.is_blocked() && bytes >= SLOW_BYTES_MIN;
            if is_slow && outbox.phase() == Phase::Open {
                drop(outbox);
                slow.push((bytes, connection));
            }
        }
        slow.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        slow
    }

    /// Closes connections, the first before the others, until they held `excess` bytes.
    fn shed_slowest(self: &Arc<Self>, slow: Vec<(u64, Arc<Connection>)>, excess: u64) -> Shed {
        let mut shed = Shed::default();
        for (bytes, connection) in slow {
            if shed.bytes >= excess {
                break;
            }
            shed.bytes += bytes;
            shed.connections += 1;
            let (code, reason) = (CloseCode::Overloaded, CloseCode::Overloaded.reason());
            connection.close_with(code, reason, Backlog::Drop);
            self.abandon_later(&connection);
            self.metrics.shed_connections.inc();
        }
        shed
    }

    /// Halves the logs of one shard's rooms after the other until `excess` bytes are forgotten; says how many were.
    fn shed_logs(&self, excess: u64) -> u64 {
        let before = self.store.bytes() as u64;
        let wanted = before.saturating_sub(excess);
        self.shorten_logs(self.ticks.load(Ordering::Relaxed), wanted);
        before.saturating_sub(self.store.bytes() as u64)
    }
}

/// What was closed in a round.
#[derive(Default)]
struct Shed {
    connections: usize,
    bytes: u64,
}
