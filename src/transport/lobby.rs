//! Connections that speak HTTP: handshakes under way, calls of the API, downloads, and those that say nothing. What an open
//! WebSocket costs is bounded elsewhere ([`crate::engine::Engine::knock`]); this bounds all that comes before, and beside it.
//!
//! A lobby that is full takes one more only in place of another: the connection that has waited longest since it came or since its
//! last answer is closed, once that is [`PATIENCE`] ago. Until then newcomers wait: one for each listening socket here, the
//! others in the kernel's queue. So whoever holds connections without asking
//! for anything shuts others out for a second at most, not for the whole time that a head may take, and a storm of honest
//! handshakes, which take milliseconds, closes none of them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use salvo::conn::ConnCtrl;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::telemetry::Metrics;

/// What a connection may take to ask for something while others wait for its place.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Everyone who speaks HTTP at the moment.
pub struct Lobby {
    places: usize,
    waiting: Mutex<Waiting>,
    /// Somebody left.
    left: Notify,
    metrics: Arc<Metrics>,
}

/// Those who are in, the one that has waited longest first.
#[derive(Default)]
struct Waiting {
    guests: BTreeMap<u64, Guest>,
    count: u64,
}

struct Guest {
    /// When it came, or had its last answer.
    since: Instant,
    connection: ConnCtrl,
}

/// There is no place before this moment, unless somebody leaves.
#[derive(Debug, PartialEq, Eq)]
struct Full {
    until: Instant,
}

/// A connection's place in the lobby, free again when this goes.
pub(super) struct Place {
    lobby: Arc<Lobby>,
    number: u64,
}

impl Lobby {
    /// An empty lobby with so many places, at least one.
    pub fn new(places: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            places: places.max(1),
            waiting: Mutex::default(),
            left: Notify::new(),
            metrics,
        })
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>, connection: &ConnCtrl) -> Place {
        loop {
            // Before the look: whoever leaves from now on wakes somebody, and two who leave at once wake two.
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            match self.try_enter(connection, Instant::now()) {
                Ok(place) => return place,
                Err(full) => {
                    // Whichever comes first: it is looked at again.
                    let _ = tokio::time::timeout_at(full.until, left).await;
                }
            }
        }
    }

    fn try_enter(self: &Arc<Self>, connection: &ConnCtrl, now: Instant) -> Result<Place, Full> {
        let mut waiting = self.waiting.lock();
        if waiting.guests.len() >= self.places
            && let Some(oldest) = waiting.guests.first_entry()
        {
            let until = oldest.get().since + PATIENCE;
            if until > now {
                return Err(Full { until });
            }
            oldest.remove().connection.abort();
            self.metrics.http_evictions.inc();
        } else {
            self.metrics.http_connections.inc();
        }
        let guest = Guest {
            since: now,
            connection: connection.clone(),
        };
        Ok(Place {
            lobby: self.clone(),
            number: waiting.add(guest),
        })
    }
}

impl Waiting {
    /// Puts somebody at the end, under the number that is given back.
    fn add(&mut self, guest: Guest) -> u64 {
        let number = self.count;
        self.count += 1;
        self.guests.insert(number, guest);
        number
    }
}

impl Place {
    /// The connection gets an answer: it waits anew.
    pub(super) fn renew(&mut self, now: Instant) {
        let mut waiting = self.lobby.waiting.lock();
        // Gone where it was closed for another.
        if let Some(mut guest) = waiting.guests.remove(&self.number) {
            guest.since = now;
            self.number = waiting.add(guest);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.lobby.waiting.lock();
        if waiting.guests.remove(&self.number).is_none() {
            return;
        }
        self.lobby.metrics.http_connections.dec();
        self.lobby.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use salvo::conn::ConnCtrl;
    use tokio::time::Instant;

    use super::{Full, Lobby, PATIENCE};
    use crate::telemetry::{MetricNames, Metrics};

    fn lobby(places: usize) -> (Arc<Lobby>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(&MetricNames::default()));
        (Lobby::new(places, metrics.clone()), metrics)
    }

    #[test]
    fn who_waits_longest_without_an_answer_makes_room() {
        let (lobby, metrics) = lobby(2);
        let start = Instant::now();
        let soon = start + Duration::from_millis(1);
        let [first, second, third] = [ConnCtrl::new(), ConnCtrl::new(), ConnCtrl::new()];
        let mut place = lobby.try_enter(&first, start).expect("it is empty");
        let _second = lobby.try_enter(&second, start).expect("there is room");
        // The first is answered: now the second has waited longest.
        place.renew(soon);
        let full = lobby.try_enter(&third, soon).err();
        let until = start + PATIENCE;
        assert_eq!(full, Some(Full { until }));
        let third_place = lobby.try_enter(&third, until).expect("its time is over");
        assert!(second.is_aborted() && !first.is_aborted() && !third.is_aborted());
        assert_eq!(metrics.http_connections.get(), 2);
        assert_eq!(metrics.http_evictions.get(), 1);
        let full = lobby.try_enter(&second, until).err();
        assert_eq!(full.map(|full| full.until), Some(soon + PATIENCE));
        drop(third_place);
        assert!(lobby.try_enter(&second, until).is_ok());
    }

    #[test]
    fn a_place_counts_once() {
        let (lobby, metrics) = lobby(1);
        let start = Instant::now();
        let closed = lobby
            .try_enter(&ConnCtrl::new(), start)
            .expect("it is empty");
        let later = start + PATIENCE;
        let place = lobby
            .try_enter(&ConnCtrl::new(), later)
            .expect("it makes room");
        // Closed for the other, and only then gone.
        drop(closed);
        assert_eq!(metrics.http_connections.get(), 1);
        drop(place);
        assert_eq!(metrics.http_connections.get(), 0);
    }

    #[tokio::test]
    async fn whoever_leaves_makes_room_at_once() {
        let (lobby, _) = lobby(1);
        // Far from due: only its leaving can end the wait.
        let much_later = Instant::now() + Duration::from_secs(600);
        let place = lobby
            .try_enter(&ConnCtrl::new(), much_later)
            .expect("it is empty");
        let waiting = tokio::spawn({
            let lobby = lobby.clone();
            async move { lobby.enter(&ConnCtrl::new()).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(waited, Ok(Ok(_))));
    }

    #[tokio::test]
    async fn two_who_leave_at_once_make_room_for_two() {
        let (lobby, _) = lobby(2);
        let much_later = Instant::now() + Duration::from_secs(600);
        let enter = || lobby.try_enter(&ConnCtrl::new(), much_later);
        let places = [
            enter().expect("it is empty"),
            enter().expect("there is room"),
        ];
        let wait = || {
            let lobby = lobby.clone();
            tokio::spawn(async move { lobby.enter(&ConnCtrl::new()).await })
        };
        let waiting = [wait(), wait()];
        tokio::task::yield_now().await;
        drop(places);
        let mut entered = Vec::new();
        for waiting in waiting {
            let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
            entered.push(waited.expect("there is room for both"));
        }
    }
}
