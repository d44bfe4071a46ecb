//! Token buckets (GCRA): a bucket is the moment at which it is full, the limit says how much earlier something may be taken.
//!
//! Ours rather than governor's, which the tests compare them with: governor has a clock in each limiter and reads it for each
//! check, wants an owned key, and a limiter of its own for each connection.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;

use crate::engine::limit::AddressKey;
use crate::plan::RateLimit;
use crate::vocab::{Monotonic, RoomName, UserId};

const SHARDS: usize = 64;

/// When a bucket is full, in nanoseconds of the engine's clock; a new one is at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FullAt(u64);

/// How a limit's buckets fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// For one token, in nanoseconds.
    interval: u64,
    /// How far ahead the moment may be at which the bucket is full, while there is still a token in it.
    tolerance: u64,
}

impl From<&RateLimit> for Filling {
    fn from(limit: &RateLimit) -> Self {
        Self::new(limit.rate.period() / limit.rate.count().get(), limit.burst)
    }
}

impl Filling {
    fn new(interval: Duration, burst: std::num::NonZeroU32) -> Self {
        let interval = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(u64::from(burst.get() - 1)),
        }
    }

    /// Takes a token, or says how long to wait for one.
    fn take(self, bucket: &mut FullAt, now: Monotonic) -> Option<Duration> {
        let now = now.as_nanos();
        let earliest = bucket.0.saturating_sub(self.tolerance);
        if now < earliest {
            return Some(Duration::from_nanos(earliest - now));
        }
        bucket.0 = bucket.0.max(now).saturating_add(self.interval);
        None
    }
}

/// What has a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    User(&'a UserId),
    Address(AddressKey),
    Room(&'a RoomName),
    Endpoint(usize),
    Server,
}

#[derive(Debug)]
enum OwnedKey {
    User(UserId),
    Address(AddressKey),
    Room(RoomName),
    Endpoint(usize),
    Server,
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::User(user) => Self::User(user.clone()),
            Key::Address(address) => Self::Address(address),
            Key::Room(room) => Self::Room(room.clone()),
            Key::Endpoint(index) => Self::Endpoint(index),
            Key::Server => Self::Server,
        }
    }
}

impl OwnedKey {
    const fn as_key(&self) -> Key<'_> {
        match self {
            Self::User(user) => Key::User(user),
            Self::Address(address) => Key::Address(*address),
            Self::Room(room) => Key::Room(room),
            Self::Endpoint(index) => Key::Endpoint(*index),
            Self::Server => Key::Server,
        }
    }
}

type Shard = Mutex<HashTable<(OwnedKey, FullAt)>>;

/// The buckets of one limit, by key.
pub(super) struct Keyed {
    filling: Filling,
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl Keyed {
    /// None is kept yet: each key's bucket is full.
    pub(super) fn new(filling: Filling) -> Self {
        Self {
            filling,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// How the buckets fill.
    pub(super) const fn filling(&self) -> Filling {
        self.filling
    }

    /// Takes a token from the bucket of `key`, or says how long to wait for one.
    pub(super) fn take(&self, key: Key<'_>, now: Monotonic) -> Option<Duration> {
        let hash = self.hasher.hash_one(key);
        // The table uses the lowest and the highest bits.
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        let mut table = shard.lock();
        let entry = table.entry(
            hash,
            |(known, _)| known.as_key() == key,
            |(known, _)| self.hasher.hash_one(known.as_key()),
        );
        match entry {
            Entry::Occupied(mut entry) => self.filling.take(&mut entry.get_mut().1, now),
            Entry::Vacant(entry) => {
                let mut bucket = FullAt::default();
                let wait = self.filling.take(&mut bucket, now);
                entry.insert((key.into(), bucket));
                wait
            }
        }
    }

    /// How long the bucket of `key` has no token for who comes behind `ahead` others; nothing is taken. Without a key it is a full
    /// one.
    pub(super) fn wait(&self, key: Option<Key<'_>>, now: Monotonic, ahead: usize) -> Duration {
        let mut bucket = key.map_or_else(FullAt::default, |key| self.look(key));
        for _ in 0..ahead {
            self.filling.take(&mut bucket, now);
        }
        self.filling.take(&mut bucket, now).unwrap_or_default()
    }

    fn look(&self, key: Key<'_>) -> FullAt {
        let hash = self.hasher.hash_one(key);
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        let table = shard.lock();
        let known = table.find(hash, |(known, _)| known.as_key() == key);
        known.map_or_else(FullAt::default, |(_, bucket)| *bucket)
    }

    /// Forgets the buckets that are full.
    pub(super) fn forget_full(&self, now: Monotonic) {
        for shard in &self.shards {
            let mut table = shard.lock();
            table.retain(|(_, bucket)| bucket.0 > now.as_nanos());
            table.shrink_to_fit(|(known, _)| self.hasher.hash_one(known.as_key()));
        }
    }

    /// How many buckets are kept.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// The buckets of one connection, made when they are first needed: a list, because most connections have none or one.
#[derive(Default)]
pub(super) struct ConnectionBuckets(Option<Box<ConnectionBucket>>);

struct ConnectionBucket {
    index: u32,
    bucket: FullAt,
    others: ConnectionBuckets,
}

impl ConnectionBuckets {
    /// Takes a token from the bucket of the limit with the number `index`, or says how long to wait for one.
    pub(super) fn take(
        &mut self,
        index: usize,
        filling: Filling,
        now: Monotonic,
    ) -> Option<Duration> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut at = self;
        loop {
            let own = at.0.get_or_insert_with(|| {
                Box::new(ConnectionBucket {
                    index,
                    bucket: FullAt::default(),
                    others: Self::default(),
                })
            });
            if own.index == index {
                return filling.take(&mut own.bucket, now);
            }
            at = &mut own.others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionBuckets, Filling, Key, Keyed};
    use crate::vocab::{Monotonic, UserId};
    use governor::clock::{Clock, FakeRelativeClock};
    use governor::{Quota, RateLimiter};
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::num::NonZeroU32;
    use std::time::Duration;

    proptest! {
        #[test]
        fn buckets_do_as_governor_says(
            interval in 1u64..2_000,
            burst in 1u32..8,
            steps in proptest::collection::vec(0u64..5_000, 1..60),
        ) {
            let burst = NonZeroU32::new(burst).expect("not zero");
            let interval = Duration::from_nanos(interval);
            let quota = Quota::with_period(interval).expect("not zero").allow_burst(burst);
            let clock = FakeRelativeClock::default();
            let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
            let filling = Filling::new(interval, burst);
            let (keyed, mut own) = (Keyed::new(filling), ConnectionBuckets::default());
            let user = UserId::parse("ann").expect("an id");
            let mut now = 0;
            for step in steps {
                // Mostly in haste.
                let step = if step < 4_000 { step % 50 } else { step };
                now += step;
                clock.advance(Duration::from_nanos(step));
                let expected = oracle.check().err().map(|until| until.wait_time_from(clock.now()));
                let now = Monotonic::from_nanos(now);
                prop_assert_eq!(keyed.take(Key::User(&user), now), expected);
                prop_assert_eq!(own.take(3, filling, now), expected);
            }
        }
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let two = NonZeroU32::new(2).expect("not zero");
        let keyed = Keyed::new(Filling::new(Duration::from_secs(1), two));
        let at = |seconds: u64| Monotonic::from_nanos(seconds * 1_000_000_000);
        assert_eq!(keyed.take(Key::Server, at(1)), None);
        assert_eq!(keyed.take(Key::Endpoint(1), at(2)), None);
        assert_eq!(keyed.len(), 2);
        keyed.forget_full(at(2));
        assert_eq!(keyed.len(), 1);
        keyed.forget_full(at(3));
        assert_eq!(keyed.len(), 0);
    }
}
