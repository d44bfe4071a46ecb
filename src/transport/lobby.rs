//! Connections that speak HTTP: handshakes under way, calls of the API, downloads, and those that say nothing. What an open
//! WebSocket costs is bounded elsewhere ([`crate::engine::Engine::knock`]); this bounds all that comes before, and beside it.
//!
//! A lobby that is full takes one more only in place of another: the connection that has waited longest since it came or since its
//! last answer is closed, once that is [`PATIENCE`] ago. Until then newcomers wait: one for each listening socket here, the
//! others in the kernel's queue. So whoever holds connections without asking
//! for anything shuts others out for a second at most, not for the whole time that a head may take, and a storm of honest
//! handshakes, which take milliseconds, closes none of them.
//!
//! Who asks and asks has no more right to its place: in a lobby that is nearly full an answer is a connection's last
//! ([`LastAnswer`]), and does not make it wait anew.
//!
//! One address has half of the places at most, so that it takes at least two to fill them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use salvo::conn::ConnCtrl;
use salvo::http::header::{CONNECTION, HeaderValue};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::Network;
use crate::telemetry::Metrics;

/// What a connection may take to ask for something while others wait for its place.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Where fewer than one place of so many is free, the lobby is nearly full.
const RESERVE: usize = 8;

/// One address has one place of so many at most.
const SHARE: usize = 2;

/// Everyone who speaks HTTP at the moment.
pub struct Lobby {
    places: usize,
    /// Through these come others' connections, any number of them.
    proxies: Vec<Network>,
    waiting: Mutex<Waiting>,
    /// Somebody left.
    left: Notify,
    metrics: Arc<Metrics>,
}

/// Those who are in, the one that has waited longest first.
#[derive(Default)]
struct Waiting {
    guests: BTreeMap<u64, Guest>,
    /// How many of them each address has, of those that are counted.
    by_address: HashMap<IpAddr, usize>,
    count: u64,
}

struct Guest {
    /// When it came, or had its last answer.
    since: Instant,
    connection: ConnCtrl,
    /// Whom it counts for; none where many people share an address.
    address: Option<IpAddr>,
}

/// Why somebody does not get a place.
#[derive(Debug, PartialEq, Eq)]
enum Denied {
    /// There is none before this moment, unless somebody leaves.
    Full { until: Instant },
    /// Its address has its share.
    Share,
}

/// A connection's place in the lobby, free again when this goes.
pub(super) struct Place {
    lobby: Arc<Lobby>,
    number: u64,
}

/// Tells those who are answered in a lobby that is nearly full that this was their last answer (RFC 9112 §9.6). An upgrade is
/// none: it leaves the lobby.
pub(super) struct LastAnswer(pub(super) Arc<Lobby>);

impl Lobby {
    /// An empty lobby with so many places, at least one. The connections of `proxies`, and of this machine, have no share to keep
    /// to: there many people come from one address.
    pub fn new(places: usize, proxies: &[Network], metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            places: places.max(1),
            proxies: proxies.to_vec(),
            waiting: Mutex::default(),
            left: Notify::new(),
            metrics,
        })
    }

    /// Waits for a place. None where the address has as many as it may: it is not waited for, or it would keep others waiting.
    pub(super) async fn enter(
        self: &Arc<Self>,
        connection: &ConnCtrl,
        peer: IpAddr,
    ) -> Option<Place> {
        loop {
            // Before the look: whoever leaves from now on wakes somebody, and two who leave at once wake two.
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            match self.try_enter(connection, peer, Instant::now()) {
                Ok(place) => return Some(place),
                Err(Denied::Full { until }) => {
                    // Whichever comes first: it is looked at again.
                    let _ = tokio::time::timeout_at(until, left).await;
                }
                Err(Denied::Share) => {
                    self.metrics.http_refusals.inc();
                    return None;
                }
            }
        }
    }

    fn try_enter(
        self: &Arc<Self>,
        connection: &ConnCtrl,
        peer: IpAddr,
        now: Instant,
    ) -> Result<Place, Denied> {
        let address = self.counted(peer);
        let mut waiting = self.waiting.lock();
        let has = address.and_then(|address| waiting.by_address.get(&address));
        if has.is_some_and(|has| *has >= self.places.div_ceil(SHARE)) {
            return Err(Denied::Share);
        }
        if waiting.guests.len() >= self.places {
            waiting.evict(now)?;
            self.metrics.http_evictions.inc();
        } else {
            self.metrics.http_connections.inc();
        }
        let guest = Guest {
            since: now,
            connection: connection.clone(),
            address,
        };
        Ok(Place {
            lobby: self.clone(),
            number: waiting.add(guest),
        })
    }

    /// The address that a connection counts for, as limits count it: IPv6 by /64.
    fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let is_shared = peer.is_loopback() || self.proxies.iter().any(|proxy| proxy.contains(peer));
        let counted = match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        };
        (!is_shared).then_some(counted)
    }

    /// Whether so few places are left that nobody may keep one.
    fn is_nearly_full(&self, waiting: &Waiting) -> bool {
        waiting.guests.len() >= self.places - self.places / RESERVE
    }
}

impl Waiting {
    /// Puts somebody at the end, under the number that is given back.
    fn add(&mut self, guest: Guest) -> u64 {
        let number = self.count;
        self.count += 1;
        if let Some(address) = guest.address {
            *self.by_address.entry(address).or_default() += 1;
        }
        self.guests.insert(number, guest);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Guest> {
        let guest = self.guests.remove(&number)?;
        if let Some(address) = guest.address
            && let Entry::Occupied(mut has) = self.by_address.entry(address)
        {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
        Some(guest)
    }

    /// Closes the connection that has waited longest, if that was long enough.
    fn evict(&mut self, now: Instant) -> Result<(), Denied> {
        let Some((number, oldest)) = self.guests.first_key_value() else {
            return Ok(());
        };
        let until = oldest.since + PATIENCE;
        if until > now {
            return Err(Denied::Full { until });
        }
        if let Some(oldest) = self.remove(*number) {
            oldest.connection.abort();
        }
        Ok(())
    }
}

impl Place {
    /// The connection gets an answer: it waits anew, unless others may wait for its place.
    pub(super) fn renew(&mut self, now: Instant) {
        let mut waiting = self.lobby.waiting.lock();
        if self.lobby.is_nearly_full(&waiting) {
            return;
        }
        // Gone where it was closed for another.
        if let Some(mut guest) = waiting.remove(self.number) {
            guest.since = now;
            self.number = waiting.add(guest);
        }
    }
}

impl Place {
    /// The connection ended before TLS was agreed on.
    pub(super) fn no_keys(&self, error: &std::io::Error) {
        self.lobby.metrics.tls_failures.inc();
        tracing::debug!(%error, "a TLS handshake failed");
    }

    /// The connection had no PROXY header that can be believed.
    pub(super) fn not_proxied(&self) {
        self.lobby.metrics.proxy_refusals.inc();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.lobby.waiting.lock().remove(self.number);
        if left.is_some() {
            self.lobby.metrics.http_connections.dec();
            self.lobby.left.notify_one();
        }
    }
}

#[async_trait]
impl Handler for LastAnswer {
    async fn handle(
        &self,
        _: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        if self.0.is_nearly_full(&self.0.waiting.lock()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use salvo::conn::ConnCtrl;
    use tokio::time::Instant;

    use super::{Denied, Lobby, PATIENCE, Place};
    use crate::plan::Network;
    use crate::telemetry::{MetricNames, Metrics};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn lobby(places: usize) -> (Arc<Lobby>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(&MetricNames::default()));
        let proxy = Network {
            address: IpAddr::from([10, 0, 0, 0]),
            prefix: 8,
        };
        (Lobby::new(places, &[proxy], metrics.clone()), metrics)
    }

    fn enter(lobby: &Arc<Lobby>, connection: &ConnCtrl, now: Instant) -> Result<Place, Denied> {
        lobby.try_enter(connection, PEER, now)
    }

    #[test]
    fn who_waits_longest_without_an_answer_makes_room() {
        let (lobby, metrics) = lobby(3);
        let start = Instant::now();
        let soon = start + Duration::from_millis(1);
        let [first, second, third, fourth] = std::array::from_fn(|_| ConnCtrl::new());
        let mut place = enter(&lobby, &first, start).expect("it is empty");
        let _second = enter(&lobby, &second, start).expect("there is room");
        // The first is answered: now the second has waited longest.
        place.renew(soon);
        let _third = enter(&lobby, &third, soon).expect("there is room");
        let full = enter(&lobby, &fourth, soon).err();
        let until = start + PATIENCE;
        assert_eq!(full, Some(Denied::Full { until }));
        let fourth_place = enter(&lobby, &fourth, until).expect("its time is over");
        assert!(second.is_aborted());
        assert!(![first, third, fourth].iter().any(ConnCtrl::is_aborted));
        assert_eq!(metrics.http_connections.get(), 3);
        assert_eq!(metrics.http_evictions.get(), 1);
        let full = enter(&lobby, &second, until).err();
        let until = soon + PATIENCE;
        assert_eq!(full, Some(Denied::Full { until }));
        drop(fourth_place);
        assert!(enter(&lobby, &second, until).is_ok());
    }

    #[test]
    fn in_a_full_lobby_an_answer_keeps_no_place() {
        let (lobby, _) = lobby(2);
        let start = Instant::now();
        let [first, second, third] = std::array::from_fn(|_| ConnCtrl::new());
        let mut places = [&first, &second].map(|guest| enter(&lobby, guest, start));
        let later = start + PATIENCE;
        for place in places.iter_mut().flatten() {
            place.renew(later);
        }
        assert!(enter(&lobby, &third, later).is_ok());
        assert!(first.is_aborted() && !second.is_aborted());
    }

    #[test]
    fn an_address_has_half_of_the_places() {
        let table: [(&[&str], usize); 6] = [
            (&["192.0.2.1"], 2),
            (&["192.0.2.1", "::ffff:192.0.2.1"], 2),
            (&["192.0.2.1", "192.0.2.2"], 4),
            (&["2001:db8::1", "2001:db8::2", "2001:db8::3:0:0:1"], 2),
            (&["127.0.0.1"], 4),
            (&["10.1.2.3"], 4),
        ];
        for (peers, expected) in table {
            let (lobby, _) = lobby(4);
            let now = Instant::now();
            let peers = peers.iter().cycle().take(4);
            let enter = |peer: &str| {
                let peer = peer.parse().expect("an address");
                lobby.try_enter(&ConnCtrl::new(), peer, now)
            };
            let entered: Vec<_> = peers.clone().map(|peer| enter(peer)).collect();
            let places = entered.iter().filter(|entered| entered.is_ok()).count();
            assert_eq!(places, expected, "{peers:?}");
            let denied = entered.iter().filter_map(|entered| entered.as_ref().err());
            assert!(denied.into_iter().all(|denied| *denied == Denied::Share));
            // Who leaves makes room for its address.
            drop(entered);
            assert!(lobby.waiting.lock().by_address.is_empty());
            assert!(peers.take(1).all(|peer| enter(peer).is_ok()));
        }
    }

    #[tokio::test]
    async fn who_has_its_share_is_not_waited_for() {
        let (lobby, metrics) = lobby(1);
        let peer = IpAddr::from([192, 0, 2, 1]);
        let place = lobby.enter(&ConnCtrl::new(), peer).await;
        assert!(place.is_some());
        assert!(lobby.enter(&ConnCtrl::new(), peer).await.is_none());
        assert_eq!(metrics.http_refusals.get(), 1);
    }

    #[test]
    fn a_place_counts_once() {
        let (lobby, metrics) = lobby(1);
        let start = Instant::now();
        let closed = enter(&lobby, &ConnCtrl::new(), start).expect("it is empty");
        let later = start + PATIENCE;
        let place = enter(&lobby, &ConnCtrl::new(), later).expect("it makes room");
        // Closed for the other, and only then gone.
        drop(closed);
        assert_eq!(metrics.http_connections.get(), 1);
        drop(place);
        assert_eq!(metrics.http_connections.get(), 0);
    }

    #[tokio::test]
    async fn whoever_leaves_makes_room_at_once() {
        for places in [1, 2] {
            let (lobby, _) = lobby(places);
            // Far from due: only their leaving can end the waits.
            let much_later = Instant::now() + Duration::from_secs(600);
            let enter = || enter(&lobby, &ConnCtrl::new(), much_later);
            let taken: Vec<_> = std::iter::repeat_with(enter).take(places).collect();
            assert!(taken.iter().all(Result::is_ok));
            let wait = || {
                let lobby = lobby.clone();
                tokio::spawn(async move { lobby.enter(&ConnCtrl::new(), PEER).await })
            };
            let waiting: Vec<_> = std::iter::repeat_with(wait).take(places).collect();
            tokio::task::yield_now().await;
            assert!(!waiting.iter().any(|waiting| waiting.is_finished()));
            drop(taken);
            let mut entered = Vec::new();
            for waiting in waiting {
                let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
                entered.push(waited.expect("there is room for all"));
            }
        }
    }
}
