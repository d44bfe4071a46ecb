//! Who connects while the server stops is told so: by whoever stops it, or by its own handshake.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Engine {
    draining: AtomicBool,
    /// One shard of the users: whether the connection stands in it.
    users: Mutex<bool>,
    was_told: AtomicBool,
}

impl Engine {
    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        if *self.users.lock().unwrap() {
            self.was_told.store(true, Ordering::Relaxed);
        }
    }

    fn settle(&self) {
        *self.users.lock().unwrap() = true;
    }

    fn ask(&self) {
        if self.draining.load(Ordering::Relaxed) {
            self.was_told.store(true, Ordering::Relaxed);
        }
    }
}

fn attach_beside_drain(attach: fn(&Engine)) -> impl Fn() + Send + Sync + 'static {
    move || {
        let engine = Arc::new(Engine::default());
        let end = {
            let engine = engine.clone();
            thread::spawn(move || engine.drain())
        };
        attach(&engine);
        end.join().unwrap();
        assert!(engine.was_told.load(Ordering::Relaxed), "it was not told");
    }
}

#[test]
fn everyone_is_told() {
    loom::model(attach_beside_drain(|engine| {
        engine.settle();
        engine.ask();
    }));
}

#[test]
#[should_panic(expected = "it was not told")]
fn who_asks_before_settling_can_miss_it() {
    loom::model(attach_beside_drain(|engine| {
        engine.ask();
        engine.settle();
    }));
}
