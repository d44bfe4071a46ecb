//! What has to happen later: a timing wheel for all connections and rooms, turned by the engine's tick.
//!
//! The wheel has a slot for each tick of the next minute and a half; what is later than that goes around more than once. Taking a
//! timer back frees its memory at once or, of the slot, when its tick comes: of connections that ended nothing piles up.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::Hall;
use crate::engine::connection::Connection;
use crate::vocab::{Clock, Monotonic, UserId};

/// How often the engine looks, and so how exact its times are.
pub const TICK: Duration = Duration::from_millis(100);

/// The slots of the wheel.
const SLOTS: usize = 1024;

/// Something to do later.
#[derive(Debug)]
pub(super) enum Timer {
    /// Look for a sign of life, and whether the credential is still valid.
    Look(Weak<Connection>),
    /// The peer had its time to take the close frame.
    Abandon(Weak<Connection>),
    /// A user's last connection broke some time ago.
    Grace(Box<Grace>),
    /// What let a connection into a room ends.
    Stay(Box<Stay>),
}

/// A connection's stay in a room that ends of itself.
#[derive(Debug)]
pub(super) struct Stay {
    /// The connection.
    pub(super) connection: Weak<Connection>,
    /// Which of its stays.
    pub(super) stay: u32,
}

/// An absence from a room that may be over by coming back.
#[derive(Debug)]
pub(super) struct Grace {
    /// The room.
    pub(super) hall: Arc<Hall>,
    /// The user.
    pub(super) user: UserId,
    /// Which absence.
    pub(super) absence: u32,
}

/// Names a timer, to take it back: its tick, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TimerKey {
    tick: u32,
    number: NonZeroU32,
}

/// Everything that has to happen later.
#[derive(Debug)]
pub(super) struct Timers(Mutex<Wheel>);

#[derive(Debug)]
struct Wheel {
    /// By the tick, which goes around.
    slots: Box<[HashMap<TimerKey, Timer>]>,
    /// The last tick that is over.
    over: u32,
    last_number: NonZeroU32,
}

impl Default for Timers {
    fn default() -> Self {
        Self(Mutex::new(Wheel {
            slots: (0..SLOTS).map(|_| HashMap::new()).collect(),
            over: 0,
            last_number: NonZeroU32::MIN,
        }))
    }
}

/// The tick at `millis`; 32 bits of ticks are 13 years.
fn tick(millis: u64) -> u32 {
    u32::try_from(millis / TICK.as_millis() as u64).unwrap_or(u32::MAX)
}

impl Timers {
    /// Does `timer` at `at`, or up to a tick later.
    pub(super) fn at(&self, at: Monotonic, timer: Timer) -> TimerKey {
        let at = tick(at.as_millis() + TICK.as_millis() as u64 - 1);
        let mut wheel = self.0.lock();
        let number = wheel.last_number.checked_add(1);
        wheel.last_number = number.unwrap_or(NonZeroU32::MIN);
        let key = TimerKey {
            tick: at.max(wheel.over + 1),
            number: wheel.last_number,
        };
        wheel.slot(key.tick).insert(key, timer);
        key
    }

    /// Does not do it after all.
    pub(super) fn cancel(&self, key: TimerKey) {
        self.0.lock().slot(key.tick).remove(&key);
    }

    /// Takes what is due.
    pub(super) fn due(&self, now: Monotonic) -> Vec<Timer> {
        let now = tick(now.as_millis());
        let mut wheel = self.0.lock();
        let mut due = Vec::new();
        // Once around is everything.
        let ticks = now.saturating_sub(wheel.over).min(SLOTS as u32);
        for tick in now + 1 - ticks..=now {
            for (key, timer) in std::mem::take(wheel.slot(tick)) {
                if key.tick <= now {
                    due.push((key, timer));
                } else {
                    wheel.slot(tick).insert(key, timer);
                }
            }
        }
        wheel.over = wheel.over.max(now);
        drop(wheel);
        due.sort_unstable_by_key(|(key, _)| (key.tick, key.number));
        due.into_iter().map(|(_, timer)| timer).collect()
    }
}

impl Wheel {
    fn slot(&mut self, tick: u32) -> &mut HashMap<TimerKey, Timer> {
        &mut self.slots[tick as usize % SLOTS]
    }
}

/// What rooms kept back and may say later, to the millisecond: a room stands here once for each alarm that it asked for.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    pending: Mutex<BTreeMap<(Monotonic, u64), Arc<Hall>>>,
    count: AtomicU64,
    /// Something is due earlier than all before.
    earlier: Notify,
}

impl Alarms {
    /// Looks at `hall` at `at`.
    pub(super) fn at(&self, at: Monotonic, hall: Arc<Hall>) {
        let key = (at, self.count.fetch_add(1, Ordering::Relaxed));
        let mut pending = self.pending.lock();
        pending.insert(key, hall);
        if pending
            .first_key_value()
            .is_some_and(|(first, _)| *first == key)
        {
            self.earlier.notify_one();
        }
    }

    /// Takes the rooms whose time has come.
    pub(super) fn due(&self, now: Monotonic) -> Vec<Arc<Hall>> {
        let mut pending = self.pending.lock();
        let later = pending.split_off(&(now, u64::MAX));
        std::mem::replace(&mut *pending, later)
            .into_values()
            .collect()
    }

    /// Waits until the first room's time has come; `clock` says how long that is.
    pub(super) async fn ring(&self, clock: &dyn Clock) {
        loop {
            let first = self.pending.lock().keys().next().map(|(at, _)| *at);
            let Some(first) = first else {
                self.earlier.notified().await;
                continue;
            };
            let wait = first.since(clock.monotonic());
            if wait.is_zero() {
                return;
            }
            // Whichever comes first: it is looked at again.
            let _ = tokio::time::timeout(wait, self.earlier.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::{Timer, TimerKey, Timers};
    use crate::vocab::Monotonic;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_nanos(millis * 1_000_000)
    }

    fn add(timers: &Timers, millis: u64) -> TimerKey {
        timers.at(at(millis), Timer::Look(Weak::new()))
    }

    fn kept(timers: &Timers) -> usize {
        timers.0.lock().slots.iter().map(|slot| slot.len()).sum()
    }

    #[test]
    fn nothing_is_early_and_nothing_late_by_more_than_a_tick() {
        let timers = Timers::default();
        for millis in [1, 99, 100, 101, 5_000, 102_400, 102_500, 3_600_000] {
            add(&timers, millis);
        }
        let mut left = 8;
        for (now, due) in [
            (0, 0),
            (99, 0),
            (100, 3),
            (199, 0),
            (200, 1),
            (5_000, 1),
            (102_399, 0),
            (102_400, 1),
            (102_500, 1),
            (3_599_900, 0),
            (3_600_000, 1),
            (9_999_999, 0),
        ] {
            left -= due;
            assert_eq!(timers.due(at(now)).len(), due, "{now}");
            assert_eq!(kept(&timers), left, "{now}");
        }
    }

    #[test]
    fn what_is_overdue_is_due_with_the_next_tick_in_its_order() {
        let timers = Timers::default();
        assert!(timers.due(at(500_000)).is_empty());
        add(&timers, 17);
        assert!(timers.due(at(500_099)).is_empty());
        timers.at(at(500_100), Timer::Abandon(Weak::new()));
        let due = timers.due(at(500_100));
        assert!(matches!(due[..], [Timer::Look(_), Timer::Abandon(_)]));
    }

    #[test]
    fn what_was_taken_back_leaves_nothing() {
        let timers = Timers::default();
        let keys: Vec<TimerKey> = (0..1000).map(|number| add(&timers, number * 777)).collect();
        let other = add(&timers, 777);
        keys.into_iter().for_each(|key| timers.cancel(key));
        timers.cancel(TimerKey {
            number: other.number.saturating_add(1),
            ..other
        });
        assert_eq!(kept(&timers), 1);
        let day = Duration::from_secs(86_400).as_millis() as u64;
        assert_eq!(timers.due(at(day)).len(), 1);
    }
}
