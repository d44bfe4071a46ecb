//! What has to happen later: one ordered list for all connections and rooms, looked at by the engine's tick.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::Hall;
use crate::engine::connection::Connection;
use crate::vocab::{Monotonic, Timestamp, UserId};

/// How often the engine looks, and so how exact its times are.
pub const TICK: Duration = Duration::from_millis(100);

/// Something to do later.
#[derive(Debug)]
pub(super) enum Timer {
    /// Look for a sign of life, and whether the credential is still valid.
    Look(Weak<Connection>, Option<Timestamp>),
    /// The peer had its time to take the close frame.
    Abandon(Weak<Connection>),
    /// A user's last connection broke some time ago.
    Grace {
        /// The room.
        hall: Arc<Hall>,
        /// The user.
        user: UserId,
        /// Which absence.
        absence: u32,
    },
    /// Something that a room kept back may be said.
    Thinned(Arc<Hall>),
}

/// Names a timer, to take it back: its tick, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerKey(u64, u64);

/// Everything that has to happen later.
#[derive(Debug, Default)]
pub(super) struct Timers(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    timers: BTreeMap<TimerKey, Timer>,
    count: u64,
}

fn tick_of(at: Monotonic) -> u64 {
    at.as_millis().div_ceil(TICK.as_millis() as u64)
}

impl Timers {
    /// Does `timer` at `at`, or up to a tick later.
    pub(super) fn at(&self, at: Monotonic, timer: Timer) -> TimerKey {
        let mut pending = self.0.lock();
        pending.count += 1;
        let key = TimerKey(tick_of(at), pending.count);
        pending.timers.insert(key, timer);
        key
    }

    /// Does not do it after all.
    pub(super) fn cancel(&self, key: TimerKey) {
        self.0.lock().timers.remove(&key);
    }

    /// Takes what is due.
    pub(super) fn due(&self, now: Monotonic) -> Vec<Timer> {
        let first_later = TimerKey(now.as_millis() / TICK.as_millis() as u64 + 1, 0);
        let mut pending = self.0.lock();
        if pending
            .timers
            .first_key_value()
            .is_none_or(|(key, _)| *key >= first_later)
        {
            return Vec::new();
        }
        let later = pending.timers.split_off(&first_later);
        let due = std::mem::replace(&mut pending.timers, later);
        due.into_values().collect()
    }
}
