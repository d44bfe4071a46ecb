//! The rooms of one process, by name, in shards so that rooms do not wait for each other.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use crate::plan::RoomKind;
use crate::room::Room;
use crate::store::MemoryStore;
use crate::vocab::{Epoch, Parameters, RoomName, Seq};

const SHARDS: usize = 64;

/// A room with its place in the house. `Q` is what its readers are fed from; it changes under the same lock as the room, so that
/// everyone sees one order.
#[derive(Debug)]
pub struct Hall<Q> {
    /// The room's name.
    pub name: RoomName,
    /// What it is an instance of.
    pub kind: Arc<RoomKind>,
    /// The parameters of its name.
    pub parameters: Parameters,
    state: Mutex<HallState<Q>>,
    store: Arc<MemoryStore>,
}

/// What changes of a room.
#[derive(Debug)]
pub struct HallState<Q> {
    /// Members and log.
    pub room: Room,
    /// What readers are fed from.
    pub queue: Q,
    retired: bool,
    /// What the store has been told of the log's bytes.
    counted_bytes: usize,
}

/// A room while it is locked; the store is told of what its log takes when this goes.
#[derive(Debug)]
pub struct Locked<'a, Q> {
    state: MutexGuard<'a, HallState<Q>>,
    store: &'a MemoryStore,
}

impl<Q> Deref for Locked<'_, Q> {
    type Target = HallState<Q>;

    fn deref(&self) -> &HallState<Q> {
        &self.state
    }
}

impl<Q> DerefMut for Locked<'_, Q> {
    fn deref_mut(&mut self) -> &mut HallState<Q> {
        &mut self.state
    }
}

impl<Q> Drop for Locked<'_, Q> {
    fn drop(&mut self) {
        let bytes = self.state.room.stored_bytes();
        if bytes != self.state.counted_bytes {
            self.store.changed(self.state.counted_bytes, bytes);
            self.state.counted_bytes = bytes;
        }
    }
}

/// Whether anything still waits for readers.
pub trait Feed: Default {
    /// Nobody reads and nothing waits.
    fn is_idle(&self) -> bool;
}

impl<Q> Hall<Q> {
    /// The room for a short while; never across an await.
    pub fn lock(&self) -> Locked<'_, Q> {
        Locked {
            state: self.state.lock(),
            store: &self.store,
        }
    }
}

/// All rooms.
#[derive(Debug)]
pub struct Rooms<Q> {
    shards: Vec<Mutex<HashMap<RoomName, Arc<Hall<Q>>>>>,
    hasher: std::hash::RandomState,
    count: AtomicUsize,
    /// Rooms number in this epoch, which a restart changes.
    epoch: Epoch,
    /// The highest number that a forgotten room had reached: new rooms number on from there, so that no number of a room is ever
    /// given twice, and an old position or receipt cannot be taken for a newer one.
    reached: AtomicU64,
    store: Arc<MemoryStore>,
}

impl<Q: Feed> Rooms<Q> {
    /// No rooms; `random` starts the epochs.
    pub fn new(random: u32, store: Arc<MemoryStore>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: std::hash::RandomState::new(),
            count: AtomicUsize::new(0),
            epoch: Epoch::from_random(random),
            reached: AtomicU64::new(0),
            store,
        }
    }

    /// How many rooms there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, name: &str) -> &Mutex<HashMap<RoomName, Arc<Hall<Q>>>> {
        use std::hash::BuildHasher;
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    /// The room called `name`, where there is one.
    pub fn find(&self, name: &str) -> Option<Arc<Hall<Q>>> {
        self.shard(name).lock().get(name).cloned()
    }

    /// Does `act` with the room called `name`, which is made where there is none.
    pub fn with<R>(
        &self,
        name: &RoomName,
        kind: &Arc<RoomKind>,
        parameters: &Parameters,
        act: impl FnOnce(&Arc<Hall<Q>>, &mut HallState<Q>) -> R,
    ) -> R {
        loop {
            let hall = self.open(name, kind, parameters);
            let mut state = hall.lock();
            if !state.retired {
                return act(&hall, &mut state);
            }
        }
    }

    fn open(&self, name: &RoomName, kind: &Arc<RoomKind>, parameters: &Parameters) -> Arc<Hall<Q>> {
        let mut shard = self.shard(name.as_str()).lock();
        if let Some(hall) = shard.get(name.as_str()) {
            return hall.clone();
        }
        let reached = Seq::new(self.reached.load(Ordering::Relaxed));
        let state = HallState {
            room: Room::new(kind, self.epoch, reached),
            queue: Q::default(),
            retired: false,
            counted_bytes: 0,
        };
        let hall = Arc::new(Hall {
            name: name.clone(),
            kind: kind.clone(),
            parameters: parameters.clone(),
            state: Mutex::new(state),
            store: self.store.clone(),
        });
        shard.insert(name.clone(), hall.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        hall
    }

    /// Forgets `hall` where nothing of it has to be remembered; says whether it did.
    pub fn retire(&self, hall: &Arc<Hall<Q>>) -> bool {
        let mut shard = self.shard(hall.name.as_str()).lock();
        let mut state = hall.lock();
        if state.retired || !state.room.is_forgettable() || !state.queue.is_idle() {
            return false;
        }
        state.retired = true;
        if let Some(position) = state.room.position() {
            self.reached
                .fetch_max(position.seq.get(), Ordering::Relaxed);
        }
        shard.remove(hall.name.as_str());
        if shard.len() * 8 < shard.capacity() {
            shard.shrink_to_fit();
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// The rooms of one shard, numbered from 0 on and beginning again behind the last: for slow walks over all rooms.
    pub fn of_shard(&self, number: usize) -> Vec<Arc<Hall<Q>>> {
        self.shards[number % SHARDS]
            .lock()
            .values()
            .cloned()
            .collect()
    }
}
