//! Connections that speak HTTP: handshakes under way, calls of the API, downloads, and those that say nothing. What an open
//! WebSocket costs is bounded elsewhere ([`crate::engine::Engine::knock`]); this bounds all that comes before, and beside it.
//!
//! A lobby that is full takes one more only in place of another: the connection that has waited longest since it came or since its
//! last answer is closed, once that is [`PATIENCE`] ago. Until then newcomers wait in the kernel's queue. So whoever holds connections without asking
//! for anything shuts others out for a second at most, not for the whole time that a head may take, and a storm of honest
//! handshakes, which take milliseconds, closes none of them.

use std::collections::BTreeMap;
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
    /// Somebody left a full lobby.
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

/// A connection's place in the lobby, free again when this goes.
pub(super) struct Place {
    lobby: Arc<Lobby>,
    number: u64,
}

/// Whether there is room.
#[derive(Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// Not before somebody leaves, or has been patient enough to be closed at this moment.
    At(Instant),
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

    /// Waits until there is room. Nothing is reserved: those who wait at the same moment, one for each listening socket, may all
    /// enter, so that there can be as many more connections than places.
    pub(super) async fn room(&self) {
        loop {
            let left = self.left.notified();
            match self.look(Instant::now()) {
                Room::Free => return,
                Room::At(moment) => {
                    // Whichever comes first: it is looked at again.
                    let _ = tokio::time::timeout_at(moment, left).await;
                }
            }
        }
    }

    fn look(&self, now: Instant) -> Room {
        let mut waiting = self.waiting.lock();
        if waiting.guests.len() < self.places {
            return Room::Free;
        }
        let Some(oldest) = waiting.guests.first_entry() else {
            return Room::Free;
        };
        let at = oldest.get().since + PATIENCE;
        if at > now {
            return Room::At(at);
        }
        let guest = oldest.remove();
        self.metrics.http_connections.dec();
        self.metrics.http_evictions.inc();
        guest.connection.abort();
        Room::Free
    }

    /// Somebody came in.
    pub(super) fn enter(self: &Arc<Self>, connection: ConnCtrl, now: Instant) -> Place {
        let guest = Guest {
            since: now,
            connection,
        };
        let mut waiting = self.waiting.lock();
        let number = waiting.count;
        waiting.count += 1;
        waiting.guests.insert(number, guest);
        self.metrics.http_connections.inc();
        Place {
            lobby: self.clone(),
            number,
        }
    }
}

impl Place {
    /// The connection gets an answer: it waits anew.
    pub(super) fn renew(&mut self, now: Instant) {
        let mut waiting = self.lobby.waiting.lock();
        // Gone where it was closed for another.
        if let Some(mut guest) = waiting.guests.remove(&self.number) {
            guest.since = now;
            self.number = waiting.count;
            waiting.count += 1;
            waiting.guests.insert(self.number, guest);
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
        if waiting.guests.len() + 1 >= self.lobby.places {
            self.lobby.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use salvo::conn::ConnCtrl;
    use tokio::time::Instant;

    use super::{Lobby, PATIENCE, Room};
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
        let guests = [ConnCtrl::new(), ConnCtrl::new(), ConnCtrl::new()];
        let mut first = lobby.enter(guests[0].clone(), start);
        assert_eq!(lobby.look(start), Room::Free);
        let _second = lobby.enter(guests[1].clone(), start);
        assert_eq!(lobby.look(start), Room::At(start + PATIENCE));
        // The first is answered: now the second has waited longest.
        first.renew(soon);
        assert_eq!(lobby.look(start + PATIENCE), Room::Free);
        assert!(guests[1].is_aborted() && !guests[0].is_aborted());
        let third = lobby.enter(guests[2].clone(), start + PATIENCE);
        assert_eq!(lobby.look(soon), Room::At(soon + PATIENCE));
        assert_eq!(metrics.http_connections.get(), 2);
        assert_eq!(metrics.http_evictions.get(), 1);
        drop(third);
        assert_eq!(lobby.look(soon), Room::Free);
    }

    #[test]
    fn a_place_counts_once() {
        let (lobby, metrics) = lobby(1);
        let start = Instant::now();
        let closed = lobby.enter(ConnCtrl::new(), start);
        assert_eq!(lobby.look(start + PATIENCE), Room::Free);
        let place = lobby.enter(ConnCtrl::new(), start + PATIENCE);
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
        let place = lobby.enter(ConnCtrl::new(), Instant::now() + Duration::from_secs(600));
        let waiting = tokio::spawn({
            let lobby = lobby.clone();
            async move { lobby.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(waited, Ok(Ok(()))));
    }
}
