//! Rate limits: token buckets by connection, user, address, room, endpoint, server and message type; and limits of how many there
//! may be at a time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::bucket::{ConnectionBuckets, Filling, Key, Keyed, Taken};
use crate::engine::connection::Connection;
use crate::engine::seldom::Seldom;
use crate::plan::{CountLimit, OnExceed, RateKey, RateLimit, UNIX_PEER};
use crate::telemetry::{CountLimitName, Metrics};
use crate::vocab::{Clock, Monotonic, RateUnit, RoomName, UserId};

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

/// The address, unless it stands for those who have none.
fn counted(ip: Option<IpAddr>) -> Option<IpAddr> {
    ip.filter(|ip| *ip != UNIX_PEER)
}

/// Who asks, and how large it is: what is absent is not limited.
#[derive(Clone, Copy, Default)]
pub(super) struct Subject<'a> {
    /// The user.
    pub(super) user: Option<&'a UserId>,
    /// The address.
    pub(super) ip: Option<IpAddr>,
    /// The room.
    pub(super) room: Option<&'a RoomName>,
    /// The endpoint's number.
    pub(super) endpoint: Option<usize>,
    /// The message type's number.
    pub(super) message: Option<usize>,
    /// The bytes of the frame.
    pub(super) bytes: usize,
}

impl<'a> Subject<'a> {
    /// A connection that asks to join, whatever room.
    pub(super) fn joining(connection: &'a Connection) -> Self {
        Self::asking(connection, 0)
    }

    /// A connection that sends a frame of so many bytes.
    pub(super) fn asking(connection: &'a Connection, bytes: usize) -> Self {
        Self {
            user: Some(&connection.user.id),
            ip: Some(connection.ip),
            room: None,
            endpoint: Some(connection.endpoint.index),
            message: None,
            bytes,
        }
    }

    /// What has a bucket of a limit `per` that, beside connections.
    fn key(self, per: RateKey) -> Option<Key<'a>> {
        match per {
            RateKey::Connection => None,
            RateKey::User => self.user.map(Key::User),
            RateKey::Ip => counted(self.ip).map(|ip| Key::Address(ip.into())),
            RateKey::Room => self.room.map(Key::Room),
            RateKey::Endpoint => self.endpoint.map(Key::Endpoint),
            RateKey::Server => Some(Key::Server),
            RateKey::Type => self.message.map(Key::Type),
        }
    }

    /// What it takes of `limit`.
    const fn tokens(self, limit: &RateLimit) -> u64 {
        match limit.rate.unit() {
            RateUnit::Count => 1,
            RateUnit::Bytes => self.bytes as u64,
        }
    }
}

/// A limit that was exceeded.
#[derive(Debug)]
pub(super) struct Exceeded {
    /// What happens to who exceeds it.
    pub(super) on_exceed: OnExceed,
    /// When there is a token again.
    pub(super) wait: Duration,
}

/// All limits, with the buckets of everything but connections.
pub(super) struct Limits {
    limits: Vec<Keyed>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Lines about dry runs, by the rate limit's index.
    tried_rates: Box<[Seldom]>,
    /// The same, by the limit's name.
    tried_counts: [Seldom; CountLimitName::ALL.len()],
}

impl Limits {
    /// Full buckets for `rate_limits`, a Plan's, which keep at most `keys_max` in all.
    pub(super) fn new(
        rate_limits: &[Arc<RateLimit>],
        keys_max: usize,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let has_many = |limit: &&Arc<RateLimit>| {
            matches!(limit.per, RateKey::User | RateKey::Ip | RateKey::Room)
        };
        let sharing = rate_limits.iter().filter(has_many).count();
        // Each has its share, so that who fills one limit with keys of his own making empties no other.
        let keys_max = keys_max / sharing.max(1);
        let keyed = |limit: &Arc<RateLimit>| Keyed::new(Filling::from(&**limit), keys_max);
        Self {
            limits: rate_limits.iter().map(keyed).collect(),
            clock,
            metrics,
            tried_rates: rate_limits.iter().map(|_| Seldom::default()).collect(),
            tried_counts: std::array::from_fn(|_| Seldom::default()),
        }
    }

    /// Takes the tokens of `subject` from each of `limits`, now.
    ///
    /// # Errors
    /// The first of them that has too few.
    pub(super) fn spend<'l>(
        &self,
        limits: impl IntoIterator<Item = &'l Arc<RateLimit>>,
        subject: Subject<'_>,
        own: Option<&mut ConnectionBuckets>,
    ) -> Result<(), Exceeded> {
        self.spend_at(self.clock.monotonic(), limits, subject, own)
    }

    /// As [`Self::spend`], where the time is known.
    ///
    /// # Errors
    /// As [`Self::spend`].
    pub(super) fn spend_at<'l>(
        &self,
        now: Monotonic,
        limits: impl IntoIterator<Item = &'l Arc<RateLimit>>,
        subject: Subject<'_>,
        mut own: Option<&mut ConnectionBuckets>,
    ) -> Result<(), Exceeded> {
        for limit in limits {
            let keyed = &self.limits[limit.index];
            let (key, tokens) = (subject.key(limit.per), subject.tokens(limit));
            let wait = match (key, limit.per, &mut own) {
                (Some(key), ..) => self.settle(keyed.take(key, tokens, now)),
                (None, RateKey::Connection, Some(own)) => {
                    own.take(limit.index, keyed.filling(), tokens, now)
                }
                _ => None,
            };
            if let Some(wait) = wait {
                self.exceed(limit, wait, now)?;
            }
        }
        Ok(())
    }

    fn settle(&self, taken: Taken) -> Option<Duration> {
        if taken.evicted > 0 {
            let evicted = taken.evicted as u64;
            self.metrics.rate_limit_evictions.inc_by(evicted);
        }
        taken.wait
    }

    /// Counts a limit that was exceeded.
    fn exceed(&self, limit: &RateLimit, wait: Duration, now: Monotonic) -> Result<(), Exceeded> {
        let counters = &self.metrics.rate_limited[limit.index];
        if limit.dry_run {
            counters.dry_run.inc();
            if let Some(left_out) = self.tried_rates[limit.index].due(now) {
                tracing::info!(limit = %limit.name, left_out, "would be rate limited");
            }
            return Ok(());
        }
        counters.refused.inc();
        Err(Exceeded {
            on_exceed: limit.on_exceed,
            wait,
        })
    }

    /// How long there are too few tokens for `subject` behind `ahead` others of its own; nothing is taken. A new connection's bucket
    /// is full.
    pub(super) fn wait(&self, limit: &RateLimit, subject: Subject<'_>, ahead: usize) -> Duration {
        let key = subject.key(limit.per);
        if key.is_none() && limit.per != RateKey::Connection {
            return Duration::ZERO;
        }
        let now = self.clock.monotonic();
        self.limits[limit.index].wait(key, subject.tokens(limit), now, ahead)
    }

    /// Whether one more may be where there are `others`; counts what exceeds the limit, and what would.
    pub(super) fn has_room(&self, name: CountLimitName, limit: CountLimit, others: usize) -> bool {
        let counters = self.metrics.limit(name);
        if others >= limit.max {
            counters.refused.inc();
            return false;
        }
        if limit.tried.is_some_and(|tried| others >= tried) {
            counters.dry_run.inc();
            let line = &self.tried_counts[name as usize];
            if let Some(left_out) = line.due(self.clock.monotonic()) {
                tracing::info!(limit = name.as_str(), others, left_out, "would be too many");
            }
        }
        true
    }

    /// Forgets the buckets that are full again, of one part after the other.
    pub(super) fn forget_full(&self, part: usize) {
        let now = self.clock.monotonic();
        for keyed in &self.limits {
            keyed.forget_full(part, now);
        }
    }

    /// How many buckets are kept beside those of connections.
    pub(super) fn len(&self) -> usize {
        self.limits.iter().map(Keyed::len).sum()
    }
}

#[cfg(test)]
mod tests;
