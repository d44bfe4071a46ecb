//! What has to happen later: one ordered list for all connections and rooms, looked at by the engine's tick.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::Hall;
use crate::engine::connection::Connection;
use crate::vocab::{Monotonic, Timestamp, UserId};

/// How often the engine looks, and so how exact its times are.
pub const TICK: Duration = Duration::from_millis(100);

/// Something to do later. Connections are named, not held: of one that ended nothing is kept but its name.
#[derive(Debug)]
pub(super) enum Timer {
    /// Look for a sign of life, and whether the credential is still valid.
    Look(Named, Option<Timestamp>),
    /// The peer had its time to take the close frame.
    Abandon(Named),
    /// A user's last connection broke some time ago.
    Grace {
        /// The room.
        hall: Arc<Hall>,
        /// The user.
        user: UserId,
        /// Which absence.
        absence: u32,
    },
}

/// Which connection: its user and its number.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) user: UserId,
    pub(super) serial: u64,
}

impl From<&Connection> for Named {
    fn from(connection: &Connection) -> Self {
        Self {
            user: connection.user.id.clone(),
            serial: connection.serial,
        }
    }
}

/// Everything that has to happen later.
#[derive(Debug, Default)]
pub(super) struct Timers(Mutex<BTreeMap<u64, Vec<Timer>>>);

fn tick_of(at: Monotonic) -> u64 {
    at.as_millis().div_ceil(TICK.as_millis() as u64)
}

impl Timers {
    /// Does `timer` at `at`, or up to a tick later.
    pub(super) fn at(&self, at: Monotonic, timer: Timer) {
        self.0.lock().entry(tick_of(at)).or_default().push(timer);
    }

    /// Takes what is due.
    pub(super) fn due(&self, now: Monotonic) -> Vec<Timer> {
        let mut timers = self.0.lock();
        let later = timers.split_off(&(now.as_millis() / TICK.as_millis() as u64 + 1));
        let due = std::mem::replace(&mut *timers, later);
        due.into_values().flatten().collect()
    }
}
