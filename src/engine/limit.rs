//! Rate limits: token buckets by connection, user, address, room, endpoint and server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::bucket::{ConnectionBuckets, Filling, Key, Keyed};
use crate::plan::{Endpoint, OnExceed, Plan, RateKey, RateLimit};
use crate::telemetry::Metrics;
use crate::vocab::{Clock, Monotonic, RoomName, UserId};

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
}

impl Limits {
    /// Full buckets for the limits of `plan`.
    pub(super) fn new(plan: &Plan, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let filling = |limit: &Arc<RateLimit>| Keyed::new(Filling::from(&**limit));
        Self {
            limits: plan.rate_limits.iter().map(filling).collect(),
            clock,
            metrics,
        }
    }

    /// Takes a token for `subject` from each of `limits`, now.
    ///
    /// # Errors
    /// The first of them that has none.
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
            let key = match limit.per {
                RateKey::Connection => None,
                RateKey::User => subject.user.map(Key::User),
                RateKey::Ip => subject.ip.map(|ip| Key::Address(ip.into())),
                RateKey::Room => subject.room.map(Key::Room),
                RateKey::Endpoint => subject.endpoint.map(|of| Key::Endpoint(of.index)),
                RateKey::Server => Some(Key::Server),
            };
            let wait = match (key, limit.per, &mut own) {
                (Some(key), ..) => keyed.take(key, now),
                (None, RateKey::Connection, Some(own)) => {
                    own.take(limit.index, keyed.filling(), now)
                }
                _ => None,
            };
            if let Some(wait) = wait {
                self.exceed(limit, wait)?;
            }
        }
        Ok(())
    }

    /// Counts a limit that was exceeded.
    fn exceed(&self, limit: &RateLimit, wait: Duration) -> Result<(), Exceeded> {
        let counters = &self.metrics.rate_limited[limit.index];
        if limit.dry_run {
            counters.dry_run.inc();
            tracing::info!(limit = %limit.name, "would be rate limited");
            return Ok(());
        }
        counters.refused.inc();
        Err(Exceeded {
            on_exceed: limit.on_exceed,
            wait,
        })
    }

    /// How long there is no token for `subject` behind `ahead` others of its own; nothing is taken. A new connection's bucket is full.
    pub(super) fn wait(&self, limit: &RateLimit, subject: Subject<'_>, ahead: usize) -> Duration {
        let key = match limit.per {
            RateKey::Connection => None,
            RateKey::User => subject.user.map(Key::User),
            RateKey::Ip => subject.ip.map(|ip| Key::Address(ip.into())),
            RateKey::Room => subject.room.map(Key::Room),
            RateKey::Endpoint => subject.endpoint.map(|of| Key::Endpoint(of.index)),
            RateKey::Server => Some(Key::Server),
        };
        if key.is_none() && limit.per != RateKey::Connection {
            return Duration::ZERO;
        }
        self.limits[limit.index].wait(key, self.clock.monotonic(), ahead)
    }

    /// Forgets the buckets that are full again.
    pub(super) fn forget_full(&self) {
        let now = self.clock.monotonic();
        self.limits.iter().for_each(|keyed| keyed.forget_full(now));
    }

    /// How many buckets are kept beside those of connections.
    pub(super) fn len(&self) -> usize {
        self.limits.iter().map(Keyed::len).sum()
    }
}
