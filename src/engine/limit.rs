//! Rate limits: token buckets by connection, user, address, room, endpoint and server.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::plan::{Endpoint, OnExceed, Plan, RateKey, RateLimit};
use crate::telemetry::Metrics;
use crate::vocab::{Clock, RoomName, UserId};

/// governor's view of our clock.
#[derive(Clone)]
struct BucketClock(Arc<dyn Clock>);

impl governor::clock::Clock for BucketClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.monotonic().as_nanos().into()
    }
}

type Middleware = NoOpMiddleware<Nanos>;
type Bucket = RateLimiter<NotKeyed, InMemoryState, BucketClock, Middleware>;
type Keyed = RateLimiter<Key, DashMapStateStore<Key, RandomState>, BucketClock, Middleware>;

/// An address as limits count it: IPv6 by /64, because one subscriber has as many addresses below that as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressKey(u128);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(UserId),
    Address(AddressKey),
    Room(RoomName),
    Endpoint(usize),
    Server,
}

/// Who asks: what is absent is not limited.
#[derive(Clone, Copy, Default)]
pub(super) struct Subject<'a> {
    /// The user.
    pub(super) user: Option<&'a UserId>,
    /// The address.
    pub(super) ip: Option<IpAddr>,
    /// The room.
    pub(super) room: Option<&'a RoomName>,
    /// The endpoint.
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// The buckets of one connection, made when they are first needed.
#[derive(Default)]
pub(super) struct ConnectionBuckets(Vec<(usize, Box<Bucket>)>);

/// A limit that was exceeded.
#[derive(Debug)]
pub(super) struct Exceeded {
    /// What happens to who exceeds it.
    pub(super) on_exceed: OnExceed,
    /// When there is a token again.
    pub(super) wait: Duration,
}

/// The buckets of everything but connections.
pub(super) struct Limits {
    keyed: Vec<Keyed>,
    clock: BucketClock,
    metrics: Arc<Metrics>,
}

impl Limits {
    /// Full buckets for the limits of `plan`.
    pub(super) fn new(plan: &Plan, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let clock = BucketClock(clock);
        let keyed = plan
            .rate_limits
            .iter()
            .map(|limit| RateLimiter::dashmap_with_clock(quota(limit), clock.clone()))
            .collect();
        Self {
            keyed,
            clock,
            metrics,
        }
    }

    /// Takes a token for `subject` from each of `limits`.
    ///
    /// # Errors
    /// The first of them that has none.
    pub(super) fn spend<'l>(
        &self,
        limits: impl IntoIterator<Item = &'l Arc<RateLimit>>,
        subject: Subject<'_>,
        mut own: Option<&mut ConnectionBuckets>,
    ) -> Result<(), Exceeded> {
        for limit in limits {
            let wait = match limit.per {
                RateKey::Connection => own.as_mut().and_then(|own| self.spend_own(limit, own)),
                RateKey::User => subject
                    .user
                    .and_then(|user| self.spend_keyed(limit, &Key::User(user.clone()))),
                RateKey::Ip => subject
                    .ip
                    .and_then(|ip| self.spend_keyed(limit, &Key::Address(ip.into()))),
                RateKey::Room => subject
                    .room
                    .and_then(|room| self.spend_keyed(limit, &Key::Room(room.clone()))),
                RateKey::Endpoint => subject
                    .endpoint
                    .and_then(|endpoint| self.spend_keyed(limit, &Key::Endpoint(endpoint.index))),
                RateKey::Server => self.spend_keyed(limit, &Key::Server),
            };
            let Some(wait) = wait else { continue };
            let counters = &self.metrics.rate_limited[limit.index];
            if limit.dry_run {
                counters.dry_run.inc()
            } else {
                counters.refused.inc()
            };
            if limit.dry_run {
                tracing::info!(limit = %limit.name, "would be rate limited");
                continue;
            }
            return Err(Exceeded {
                on_exceed: limit.on_exceed,
                wait,
            });
        }
        Ok(())
    }

    fn spend_own(&self, limit: &RateLimit, own: &mut ConnectionBuckets) -> Option<Duration> {
        let bucket = match own.0.iter().position(|(index, _)| *index == limit.index) {
            Some(at) => &own.0[at].1,
            None => {
                own.0.push((
                    limit.index,
                    Box::new(RateLimiter::direct_with_clock(
                        quota(limit),
                        self.clock.clone(),
                    )),
                ));
                &own.0[own.0.len() - 1].1
            }
        };
        bucket.check().err().map(|refused| self.wait(&refused))
    }

    fn spend_keyed(&self, limit: &RateLimit, key: &Key) -> Option<Duration> {
        self.keyed[limit.index]
            .check_key(key)
            .err()
            .map(|refused| self.wait(&refused))
    }

    fn wait(&self, refused: &governor::NotUntil<Nanos>) -> Duration {
        refused.wait_time_from(governor::clock::Clock::now(&self.clock))
    }

    /// Forgets the buckets that are full again.
    pub(super) fn forget_full(&self) {
        for keyed in &self.keyed {
            keyed.retain_recent();
            keyed.shrink_to_fit();
        }
    }

    /// How many buckets are kept beside those of connections.
    pub(super) fn len(&self) -> usize {
        self.keyed.iter().map(RateLimiter::len).sum()
    }
}

fn quota(limit: &RateLimit) -> Quota {
    let between = limit.rate.period() / limit.rate.count().get();
    // A rate of more than one in a nanosecond does not exist: `Rate` counts in 32 bits and seconds.
    Quota::with_period(between)
        .unwrap_or(Quota::per_second(limit.rate.count()))
        .allow_burst(limit.burst)
}
