//! Which connections each user has, and how many each address has.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::engine::connection::Connection;
use crate::engine::limit::AddressKey;
use crate::vocab::UserId;

const SHARDS: usize = 64;

/// A map in shards.
struct Sharded<K, V> {
    shards: Vec<Mutex<HashMap<K, V>>>,
    hasher: RandomState,
}

impl<K: Hash + Eq, V> Sharded<K, V> {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    fn of<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<HashMap<K, V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// All users that are connected.
pub(super) struct Users {
    by_id: Sharded<UserId, UserSlots>,
    count: AtomicUsize,
    serials: AtomicU64,
}

struct UserSlots {
    serial: u64,
    slots: SmallVec<[Slot; 1]>,
}

/// A connection, or the place of one whose handshake is not over.
struct Slot {
    serial: u64,
    endpoint: usize,
    connection: Option<Arc<Connection>>,
}

/// A connection's place among its user's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The connection's number.
    pub(super) serial: u64,
    /// The user's number.
    pub(super) user_serial: u64,
}

impl Users {
    pub(super) fn new() -> Self {
        Self {
            by_id: Sharded::new(),
            count: AtomicUsize::new(0),
            serials: AtomicU64::new(1),
        }
    }

    /// How many users are connected.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection of `user` at `endpoint`, unless `max` are taken and `refuse` is set.
    pub(super) fn reserve(
        &self,
        user: &UserId,
        endpoint: usize,
        max: Option<usize>,
    ) -> Option<Place> {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.by_id.of(user).lock();
        let entry = shard.entry(user.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            UserSlots {
                serial,
                slots: SmallVec::new(),
            }
        });
        let taken = entry
            .slots
            .iter()
            .filter(|slot| slot.endpoint == endpoint)
            .count();
        if max.is_some_and(|max| taken >= max) {
            return None;
        }
        entry.slots.push(Slot {
            serial,
            endpoint,
            connection: None,
        });
        Some(Place {
            serial,
            user_serial: entry.serial,
        })
    }

    /// The connection takes its place; returns the oldest ones of that endpoint beyond `max`.
    pub(super) fn settle(&self, connection: &Arc<Connection>, max: usize) -> Vec<Arc<Connection>> {
        let mut shard = self.by_id.of(&connection.user.id).lock();
        let Some(entry) = shard.get_mut(&connection.user.id) else {
            return Vec::new();
        };
        if let Some(slot) = entry
            .slots
            .iter_mut()
            .find(|slot| slot.serial == connection.serial)
        {
            slot.connection = Some(connection.clone());
        }
        let endpoint = connection.endpoint.index;
        let here = || {
            entry
                .slots
                .iter()
                .filter(move |slot| slot.endpoint == endpoint)
        };
        let too_many = here().count().saturating_sub(max);
        here()
            .filter_map(|slot| slot.connection.clone())
            .filter(|other| other.serial != connection.serial)
            .take(too_many)
            .collect()
    }

    /// A place is free again.
    pub(super) fn free(&self, user: &UserId, serial: u64) {
        let mut shard = self.by_id.of(user).lock();
        let Some(entry) = shard.get_mut(user) else {
            return;
        };
        entry.slots.retain(|slot| slot.serial != serial);
        if entry.slots.is_empty() {
            shard.remove(user);
            if shard.len() * 8 < shard.capacity() {
                shard.shrink_to_fit();
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The connections of the user called `id`.
    pub(super) fn connections(&self, id: &str) -> Vec<Arc<Connection>> {
        let shard = self.by_id.of(id).lock();
        shard.get(id).map_or_else(Vec::new, |entry| {
            entry
                .slots
                .iter()
                .filter_map(|slot| slot.connection.clone())
                .collect()
        })
    }

    /// Every connection.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        let of = |shard: &Mutex<HashMap<UserId, UserSlots>>| -> Vec<Arc<Connection>> {
            shard
                .lock()
                .values()
                .flat_map(|entry| {
                    entry
                        .slots
                        .iter()
                        .filter_map(|slot| slot.connection.clone())
                })
                .collect()
        };
        self.by_id.shards.iter().flat_map(of).collect()
    }
}

/// How many connections each address has.
pub(super) struct Addresses(Sharded<AddressKey, usize>);

impl Addresses {
    pub(super) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Counts one more, unless there are `max`.
    pub(super) fn take(&self, address: AddressKey, max: usize) -> bool {
        let mut shard = self.0.of(&address).lock();
        let count = shard.entry(address).or_insert(0);
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts one less.
    pub(super) fn give_back(&self, address: AddressKey) {
        let mut shard = self.0.of(&address).lock();
        if let Some(count) = shard.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&address);
                if shard.len() * 8 < shard.capacity() {
                    shard.shrink_to_fit();
                }
            }
        }
    }
}
