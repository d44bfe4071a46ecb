//! A room that is forgotten while somebody comes is made anew: nobody stands in a room that nobody finds, and no number is given
//! twice.

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Rooms {
    shard: Mutex<Option<Arc<Hall>>>,
    reached: AtomicU64,
}

struct Hall(Mutex<State>);

struct State {
    retired: bool,
    members: u32,
    last: u64,
}

impl Rooms {
    fn open(&self) -> Arc<Hall> {
        let mut shard = self.shard.lock().unwrap();
        let last = self.reached.load(Ordering::Relaxed);
        let make = || {
            let (retired, members) = (false, 0);
            Arc::new(Hall(Mutex::new(State {
                retired,
                members,
                last,
            })))
        };
        shard.get_or_insert_with(make).clone()
    }

    fn with<R>(&self, act: impl Fn(&mut State) -> R) -> R {
        loop {
            let hall = self.open();
            let mut state = hall.0.lock().unwrap();
            if !state.retired {
                return act(&mut state);
            }
        }
    }

    fn with_whatever<R>(&self, act: impl Fn(&mut State) -> R) -> R {
        let hall = self.open();
        let mut state = hall.0.lock().unwrap();
        act(&mut state)
    }

    fn retire(&self) {
        let Some(hall) = self.shard.lock().unwrap().clone() else {
            return;
        };
        let mut shard = self.shard.lock().unwrap();
        let mut state = hall.0.lock().unwrap();
        if state.retired || state.members > 0 {
            return;
        }
        state.retired = true;
        self.reached.fetch_max(state.last, Ordering::Relaxed);
        *shard = None;
    }
}

fn enter(state: &mut State) -> u64 {
    state.members += 1;
    state.last += 1;
    state.last
}

fn say(state: &mut State) -> u64 {
    state.last += 1;
    state.last
}

fn come_beside_retiring(come: fn(&Rooms) -> u64) -> impl Fn() + Send + Sync + 'static {
    move || {
        let rooms = Arc::new(Rooms::default());
        let first = rooms.with(say);
        let retiring = {
            let rooms = rooms.clone();
            thread::spawn(move || rooms.retire())
        };
        let second = come(&rooms);
        retiring.join().unwrap();
        let third = rooms.with(say);
        assert!(first < second && second < third, "a number is given twice");
        let members = rooms.with(|state| state.members);
        assert_eq!(members, 1, "somebody stands in a room that nobody finds");
    }
}

#[test]
fn a_room_is_forgotten_whole_or_not_at_all() {
    loom::model(come_beside_retiring(|rooms| rooms.with(enter)));
}

#[test]
#[should_panic]
fn who_does_not_look_again_can_stand_in_a_forgotten_room() {
    loom::model(come_beside_retiring(|rooms| rooms.with_whatever(enter)));
}
