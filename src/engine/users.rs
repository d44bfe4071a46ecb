//! Which connections each user has, and how many each address has.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use parking_lot::{Mutex, MutexGuard};

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

/// All users that are connected, by the hash of their ids.
pub(super) struct Users {
    shards: Vec<Mutex<HashTable<Box<UserSlots>>>>,
    hasher: RandomState,
    count: AtomicUsize,
    serials: AtomicU64,
}

/// A user. Most have one connection, and for those this is what they cost: it stands in a box so that a table's free places are
/// small.
struct UserSlots {
    id: UserId,
    serial: u64,
    slots: Slots,
}

enum Slots {
    One(Slot),
    Many(Vec<Slot>),
}

impl Slots {
    fn as_slice(&self) -> &[Slot] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Many(slots) => slots,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Slot] {
        match self {
            Self::One(slot) => std::slice::from_mut(slot),
            Self::Many(slots) => slots,
        }
    }

    fn push(&mut self, slot: Slot) {
        match self {
            Self::One(first) => *self = Self::Many(vec![first.clone(), slot]),
            Self::Many(slots) => slots.push(slot),
        }
    }

    /// Removes the slot of this number; says whether any other is left.
    fn remove(&mut self, serial: u64) -> bool {
        match self {
            Self::One(slot) => slot.serial != serial,
            Self::Many(slots) => {
                slots.retain(|slot| slot.serial != serial);
                !slots.is_empty()
            }
        }
    }
}

/// A connection, or the place of one whose handshake is not over.
#[derive(Clone)]
struct Slot {
    serial: u64,
    endpoint: u32,
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
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            serials: AtomicU64::new(1),
        }
    }

    fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Box<UserSlots>>> {
        // The table takes its places from the lower bits.
        self.shards[(hash >> 32) as usize % SHARDS].lock()
    }

    /// How many users are connected.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes a place for a connection of `user` at `endpoint`, if `has_room` beside so many others there.
    pub(super) fn reserve(
        &self,
        user: &UserId,
        endpoint: usize,
        has_room: impl FnOnce(usize) -> bool,
    ) -> Option<Place> {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let slot = Slot {
            serial,
            endpoint: endpoint as u32,
            connection: None,
        };
        let hash = self.hash(user.as_str());
        let mut shard = self.shard(hash);
        let entry = shard.entry(
            hash,
            |known| known.id == *user,
            |known| self.hash(known.id.as_str()),
        );
        match entry {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let here = |slot: &&Slot| slot.endpoint == endpoint as u32;
                let taken = known.slots.as_slice().iter().filter(here).count();
                if !has_room(taken) {
                    return None;
                }
                known.slots.push(slot);
                Some(Place {
                    serial,
                    user_serial: known.serial,
                })
            }
            Entry::Vacant(vacant) => {
                if !has_room(0) {
                    return None;
                }
                self.count.fetch_add(1, Ordering::Relaxed);
                vacant.insert(Box::new(UserSlots {
                    id: user.clone(),
                    serial,
                    slots: Slots::One(slot),
                }));
                Some(Place {
                    serial,
                    user_serial: serial,
                })
            }
        }
    }

    /// The connection takes its place; returns the oldest ones of that endpoint beyond `max`.
    pub(super) fn settle(&self, connection: &Arc<Connection>, max: usize) -> Vec<Arc<Connection>> {
        let id = connection.user.id.as_str();
        let hash = self.hash(id);
        let mut shard = self.shard(hash);
        let Some(entry) = shard.find_mut(hash, |known| known.id.as_str() == id) else {
            return Vec::new();
        };
        let slots = entry.slots.as_mut_slice();
        if let Some(slot) = slots
            .iter_mut()
            .find(|slot| slot.serial == connection.serial)
        {
            slot.connection = Some(connection.clone());
        }
        let endpoint = connection.endpoint.index as u32;
        // Those whose handshake is not over may never come: each closes the oldest when it does.
        let here = || {
            let slots = slots.iter().filter(move |slot| slot.endpoint == endpoint);
            slots.filter_map(|slot| slot.connection.clone())
        };
        let too_many = here().count().saturating_sub(max);
        here()
            .filter(|other| other.serial != connection.serial)
            .take(too_many)
            .collect()
    }

    /// A place is free again.
    pub(super) fn free(&self, user: &UserId, serial: u64) {
        let hash = self.hash(user.as_str());
        let mut shard = self.shard(hash);
        let Ok(mut entry) = shard.find_entry(hash, |known| known.id == *user) else {
            return;
        };
        if entry.get_mut().slots.remove(serial) {
            return;
        }
        entry.remove();
        if shard.len() * 8 < shard.capacity() {
            shard.shrink_to_fit(|known| self.hash(known.id.as_str()));
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// The connections of the user called `id`.
    pub(super) fn connections(&self, id: &str) -> Vec<Arc<Connection>> {
        let hash = self.hash(id);
        let shard = self.shard(hash);
        let slots = shard.find(hash, |known| known.id.as_str() == id);
        let slots = slots.map_or(&[][..], |known| known.slots.as_slice());
        slots
            .iter()
            .filter_map(|slot| slot.connection.clone())
            .collect()
    }

    /// How many connections the user called `id` has at `endpoint`, those in their handshake included.
    pub(super) fn count_at(&self, id: &str, endpoint: usize) -> usize {
        let hash = self.hash(id);
        let shard = self.shard(hash);
        let slots = shard.find(hash, |known| known.id.as_str() == id);
        let slots = slots.map_or(&[][..], |known| known.slots.as_slice());
        let here = |slot: &&Slot| slot.endpoint == endpoint as u32;
        slots.iter().filter(here).count()
    }

    /// Every connection.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        self.matching(|_| true)
    }

    /// Every connection for which `is_meant` holds: all are looked at, a part of them at a time under one lock.
    pub(super) fn matching(&self, is_meant: impl Fn(&Connection) -> bool) -> Vec<Arc<Connection>> {
        let mut meant = Vec::new();
        for shard in &self.shards {
            for known in shard.lock().iter() {
                let slots = known.slots.as_slice().iter();
                let connections = slots.filter_map(|slot| slot.connection.as_ref());
                meant.extend(
                    connections
                        .filter(|connection| is_meant(connection))
                        .cloned(),
                );
            }
        }
        meant
    }
}

/// How many connections each address has.
pub(super) struct Addresses(Sharded<AddressKey, usize>);

impl Addresses {
    pub(super) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Counts one more; returns how many others there are.
    pub(super) fn take(&self, address: AddressKey) -> usize {
        let mut shard = self.0.of(&address).lock();
        let count = shard.entry(address).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// How many there are.
    pub(super) fn count(&self, address: AddressKey) -> usize {
        let shard = self.0.of(&address).lock();
        shard.get(&address).copied().unwrap_or(0)
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
