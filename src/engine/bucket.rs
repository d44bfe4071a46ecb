//! Token buckets (GCRA): a bucket is the moment at which it is full, the limit says how much earlier something may be taken.
//!
//! Ours rather than governor's, which the tests compare them with: governor has a clock in each limiter and reads it for each
//! check, wants an owned key, and a limiter of its own for each connection.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::engine::limit::AddressKey;
use crate::plan::RateLimit;
use crate::vocab::{Monotonic, RoomName, UserId};

/// Parts of a limit's buckets, each with a lock of its own.
pub(super) const SHARDS: usize = 64;

/// Parts of a nanosecond that are told apart: a byte of 100 MiB/s takes 9.5 ns, and what is rounded away of each message must not
/// come to more than was declared. With sixteen the count lasts for 36 years.
const PARTS: u64 = 16;

/// Where there is no room for a new bucket, one in so many makes way, the fullest first.
const EVICTED_SHARE: usize = 32;

/// When a bucket is full, in parts of a nanosecond of the engine's clock; a new one is at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FullAt(u64);

impl FullAt {
    const fn of(moment: Monotonic) -> Self {
        Self(moment.as_nanos().saturating_mul(PARTS))
    }
}

/// How a limit's buckets fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// In which `amount` tokens come, in parts of a nanosecond.
    period: u64,
    amount: u64,
    /// What one token takes.
    interval: u64,
    /// What an empty bucket takes.
    capacity: u64,
}

impl From<&RateLimit> for Filling {
    fn from(limit: &RateLimit) -> Self {
        Self::new(
            limit.rate.period(),
            limit.rate.amount().get(),
            limit.burst.get(),
        )
    }
}

impl Filling {
    fn new(period: Duration, amount: u64, burst: u64) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let mut filling = Self {
            period: period.saturating_mul(PARTS),
            amount,
            interval: 0,
            capacity: 0,
        };
        filling.interval = filling.divided(1);
        filling.capacity = filling.divided(burst);
        filling
    }

    /// How long so many tokens take.
    fn cost(&self, tokens: u64) -> u64 {
        match tokens {
            1 => self.interval,
            _ => self.divided(tokens),
        }
    }

    fn divided(&self, tokens: u64) -> u64 {
        let cost = u128::from(tokens) * u128::from(self.period) / u128::from(self.amount);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// Takes so many tokens, or says how long to wait for them. More than the bucket holds are there when it is full: they are
    /// taken then, and what is missing comes before anything else does.
    fn take(&self, bucket: &mut FullAt, tokens: u64, now: Monotonic) -> Option<Duration> {
        let now = FullAt::of(now);
        let full = bucket.0.max(now.0);
        let cost = self.cost(tokens);
        let taken = (full - now.0).saturating_add(cost.min(self.capacity));
        if taken > self.capacity {
            let wait = taken - self.capacity;
            return Some(Duration::from_nanos(wait.div_ceil(PARTS)));
        }
        bucket.0 = full.saturating_add(cost);
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
    Type(usize),
}

/// A bucket and the hash of its key, which stands for the key: 16 bytes, however long that is. Nobody outside can look for two keys
/// of one hash, as it is keyed at random, and among a million keys two have the same once in thirty million servers.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    hash: u64,
    full_at: FullAt,
}

type Shard = HashTable<Bucket>;

/// The buckets of one limit, by key.
pub(super) struct Keyed {
    filling: Filling,
    shards: Box<[Mutex<Shard>]>,
    shard_keys_max: usize,
    hasher: RandomState,
}

/// What came of taking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// How long to wait, where there was none.
    pub(super) wait: Option<Duration>,
    /// How many buckets made way for a new one.
    pub(super) evicted: usize,
}

impl Keyed {
    /// None is kept yet: each key's bucket is full. At most `keys_max` are kept, rounded up to a number for each of the shards.
    pub(super) fn new(filling: Filling, keys_max: usize) -> Self {
        Self {
            filling,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_keys_max: keys_max.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
        }
    }

    /// How the buckets fill.
    pub(super) const fn filling(&self) -> &Filling {
        &self.filling
    }

    /// Takes so many tokens from the bucket of `key`.
    pub(super) fn take(&self, key: Key<'_>, tokens: u64, now: Monotonic) -> Taken {
        let hash = self.hasher.hash_one(key);
        // The table uses the lowest and the highest bits.
        let mut shard = self.shards[(hash >> 32) as usize % SHARDS].lock();
        if let Some(bucket) = shard.find_mut(hash, |bucket| bucket.hash == hash) {
            return Taken {
                wait: self.filling.take(&mut bucket.full_at, tokens, now),
                evicted: 0,
            };
        }
        let evicted = if shard.len() < self.shard_keys_max {
            0
        } else {
            make_way(&mut shard, now)
        };
        let mut full_at = FullAt::default();
        let wait = self.filling.take(&mut full_at, tokens, now);
        shard.insert_unique(hash, Bucket { hash, full_at }, |bucket| bucket.hash);
        Taken { wait, evicted }
    }

    /// How long the bucket of `key` has too few tokens for who comes behind `ahead` others; nothing is taken. Without a key it is a
    /// full one.
    pub(super) fn wait(
        &self,
        key: Option<Key<'_>>,
        tokens: u64,
        now: Monotonic,
        ahead: usize,
    ) -> Duration {
        let mut bucket = key.map_or_else(FullAt::default, |key| self.look(key));
        for _ in 0..ahead {
            self.filling.take(&mut bucket, tokens, now);
        }
        let wait = self.filling.take(&mut bucket, tokens, now);
        wait.unwrap_or_default()
    }

    fn look(&self, key: Key<'_>) -> FullAt {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards[(hash >> 32) as usize % SHARDS].lock();
        let known = shard.find(hash, |bucket| bucket.hash == hash);
        known.map_or_else(FullAt::default, |bucket| bucket.full_at)
    }

    /// Forgets the full buckets of one shard after the other: of all, when called [`SHARDS`] times with numbers that follow each
    /// other.
    pub(super) fn forget_full(&self, number: usize, now: Monotonic) {
        let mut shard = self.shards[number % SHARDS].lock();
        let now = FullAt::of(now);
        shard.retain(|bucket| bucket.full_at > now);
        if shard.len() * 4 < shard.capacity() {
            shard.shrink_to_fit(|bucket| bucket.hash);
        }
    }

    /// How many buckets are kept.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// Makes room in a shard that has as many buckets as it may: those that are full go, and where none is, a few of the others,
/// the fullest. Returns how many of those went: each is as if it were full again. Several at a time, because all are looked at.
fn make_way(shard: &mut Shard, now: Monotonic) -> usize {
    let (before, now) = (shard.len(), FullAt::of(now));
    shard.retain(|bucket| bucket.full_at > now);
    if shard.len() < before {
        return 0;
    }
    let mut moments: Vec<FullAt> = shard.iter().map(|bucket| bucket.full_at).collect();
    let last = before / EVICTED_SHARE;
    let (_, threshold, _) = moments.select_nth_unstable(last);
    let mut going = last + 1;
    shard.retain(|bucket| {
        let goes = going > 0 && bucket.full_at <= *threshold;
        going -= usize::from(goes);
        !goes
    });
    before - shard.len()
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
    /// Takes so many tokens from the bucket of the limit with the number `index`, or says how long to wait for them.
    pub(super) fn take(
        &mut self,
        index: usize,
        filling: &Filling,
        tokens: u64,
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
                return filling.take(&mut own.bucket, tokens, now);
            }
            at = &mut own.others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionBuckets, Filling, Key, Keyed, SHARDS};
    use crate::vocab::{Monotonic, UserId};
    use governor::clock::{Clock, FakeRelativeClock};
    use governor::{Quota, RateLimiter};
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::num::NonZeroU32;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_nanos(seconds * 1_000_000_000)
    }

    proptest! {
        #[test]
        fn buckets_do_as_governor_says(
            interval in 1u64..2_000,
            burst in 1u32..8,
            steps in proptest::collection::vec((0u64..5_000, 1u32..4), 1..60),
        ) {
            let interval = Duration::from_nanos(interval);
            let quota = Quota::with_period(interval).expect("not zero");
            let quota = quota.allow_burst(NonZeroU32::new(burst).expect("not zero"));
            let clock = FakeRelativeClock::default();
            let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
            let filling = Filling::new(interval, 1, u64::from(burst));
            let (keyed, mut own) = (Keyed::new(filling, 100), ConnectionBuckets::default());
            let user = UserId::parse("ann").expect("an id");
            let mut now = 0;
            for (step, tokens) in steps {
                // Mostly in haste.
                let step = if step < 4_000 { step % 50 } else { step };
                // Governor refuses for ever what is more than a burst.
                let tokens = tokens.min(burst);
                now += step;
                clock.advance(Duration::from_nanos(step));
                let wanted = NonZeroU32::new(tokens).expect("not zero");
                let expected = oracle.check_n(wanted).expect("it fits");
                let expected = expected.err().map(|until| until.wait_time_from(clock.now()));
                let (tokens, now) = (u64::from(tokens), Monotonic::from_nanos(now));
                prop_assert_eq!(keyed.take(Key::User(&user), tokens, now).wait, expected);
                prop_assert_eq!(own.take(3, keyed.filling(), tokens, now), expected);
            }
        }
    }

    /// No key is kept that was idle for as long as its bucket takes to fill, once every shard was looked at.
    #[test]
    fn full_buckets_are_forgotten() {
        let keyed = Keyed::new(Filling::new(SECOND, 1, 2), 1000);
        let forget = |now| (0..SHARDS).for_each(|shard| keyed.forget_full(shard, now));
        let take = |key, now| keyed.take(key, 1, now).wait;
        assert_eq!(take(Key::Server, at(1)), None);
        assert_eq!(take(Key::Endpoint(1), at(2)), None);
        assert_eq!(keyed.len(), 2);
        forget(at(2));
        assert_eq!(keyed.len(), 1);
        assert_eq!(take(Key::Endpoint(1), at(2)), None);
        assert!(take(Key::Endpoint(1), at(2)).is_some());
        forget(Monotonic::from_nanos(3_999_999_999));
        assert_eq!(
            keyed.len(),
            1,
            "two tokens are missing until the fourth second"
        );
        forget(at(4));
        assert_eq!(keyed.len(), 0);
    }

    /// What is rounded away does not add up: of 100 bytes at 100 MiB/s, an hour lets through what was declared, and no more.
    #[test]
    fn bytes_are_exact() {
        for (per_second, len) in [
            (64 << 10, 100),
            (1 << 20, 1500),
            (100 << 20, 1 << 20),
            (7, 3),
        ] {
            let keyed = Keyed::new(Filling::new(SECOND, per_second, 10 * len), 100);
            let (mut now, mut passed) = (0, 0);
            loop {
                match keyed
                    .take(Key::Server, len, Monotonic::from_nanos(now))
                    .wait
                {
                    None => passed += len,
                    Some(wait) => now += wait.as_nanos() as u64,
                }
                if now > 600_000_000_000 {
                    break;
                }
            }
            let declared = 600 * per_second + 10 * len;
            assert!(
                passed <= declared && passed + len > declared,
                "{per_second}: {passed} of {declared}"
            );
        }
    }

    #[test]
    fn a_message_larger_than_the_burst_waits_for_a_full_bucket_and_is_paid_for() {
        let keyed = Keyed::new(Filling::new(SECOND, 10, 20), 100);
        let take = |tokens, now| keyed.take(Key::Server, tokens, at(now)).wait;
        assert_eq!(take(50, 0), None, "the bucket is full");
        assert_eq!(
            take(1, 0),
            Some(Duration::from_millis(3_100)),
            "30 are owed"
        );
        assert_eq!(take(50, 4), Some(SECOND), "10 of 20 are there");
        assert_eq!(take(0, 0), Some(SECOND * 3), "nothing passes on credit");
        assert_eq!(take(50, 5), None);
        assert_eq!(take(10, 9), None);
    }

    #[test]
    fn where_there_is_no_room_the_fullest_make_way() {
        let keyed = Keyed::new(Filling::new(SECOND, 1, 100), SHARDS * 8);
        let users: Vec<UserId> = (0..100_000)
            .map(|number| UserId::parse(&number.to_string()).expect("an id"))
            .collect();
        // The first has taken all that it may.
        assert_eq!(keyed.take(Key::User(&users[0]), 100, at(0)).wait, None);
        let mut evicted = 0;
        for user in &users[1..] {
            let taken = keyed.take(Key::User(user), 1, at(0));
            assert_eq!(taken.wait, None);
            evicted += taken.evicted;
        }
        assert!(keyed.len() <= SHARDS * 8, "{}", keyed.len());
        assert_eq!(evicted, users.len() - keyed.len());
        assert!(
            keyed.take(Key::User(&users[0]), 1, at(0)).wait.is_some(),
            "it is still empty"
        );
        // Those that are full again go before any other.
        let taken = keyed.take(Key::User(&users[1]), 1, at(50));
        assert_eq!((taken.wait, taken.evicted), (None, 0));
    }
}
