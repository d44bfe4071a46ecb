//! Whoever waits for the last connection hears of its end. tokio's `Notify` is the count of `notify_waiters`, as its documentation
//! promises: a `Notified` is over when there was a call since it was made.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

struct Engine {
    connections: AtomicUsize,
    notifications: AtomicUsize,
}

impl Engine {
    fn drop_one(&self) {
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.notifications.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Two connections end while `wait` decides to wait; returns the notifications that it saw before, where it waits.
fn drain_beside(wait: fn(&Engine) -> Option<usize>) -> impl Fn() + Send + Sync + 'static {
    move || {
        let engine = Arc::new(Engine {
            connections: AtomicUsize::new(2),
            notifications: AtomicUsize::new(0),
        });
        let ends = [(); 2].map(|()| {
            let engine = engine.clone();
            thread::spawn(move || engine.drop_one())
        });
        let waits_since = wait(&engine);
        for end in ends {
            end.join().unwrap();
        }
        if let Some(seen) = waits_since {
            assert_ne!(
                engine.notifications.load(Ordering::SeqCst),
                seen,
                "it waits for ever"
            );
        }
    }
}

#[test]
fn the_last_end_is_heard() {
    loom::model(drain_beside(|engine| {
        let seen = engine.notifications.load(Ordering::SeqCst);
        (engine.connections.load(Ordering::Relaxed) > 0).then_some(seen)
    }));
}

#[test]
#[should_panic(expected = "it waits for ever")]
fn who_counts_before_listening_can_miss_it() {
    loom::model(drain_beside(|engine| {
        let is_empty = engine.connections.load(Ordering::Relaxed) == 0;
        let seen = engine.notifications.load(Ordering::SeqCst);
        (!is_empty).then_some(seen)
    }));
}
