//! A connection's task sleeps only where whoever gives it something to do wakes it.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Connection {
    outbox: Mutex<Outbox>,
    waker: Mutex<Option<Arc<AtomicBool>>>,
    abandoned: AtomicBool,
}

#[derive(Default)]
struct Outbox {
    blocked: bool,
    closed: bool,
}

/// What the task finds to do; with nothing it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Blocked,
    Over,
}

impl Connection {
    fn register(&self, bell: &Arc<AtomicBool>) {
        *self.waker.lock().unwrap() = Some(bell.clone());
    }

    fn look(&self) -> Found {
        if self.outbox.lock().unwrap().closed || self.abandoned.load(Ordering::Relaxed) {
            return Found::Over;
        }
        if self.outbox.lock().unwrap().blocked {
            return Found::Blocked;
        }
        Found::Nothing
    }

    fn wake(&self) {
        if let Some(bell) = &*self.waker.lock().unwrap() {
            bell.store(true, Ordering::Release);
        }
    }

    fn block(&self) {
        self.outbox.lock().unwrap().blocked = true;
        self.wake();
    }

    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.outbox.lock().unwrap().closed = true;
        self.wake();
    }
}

fn task_beside(
    give_work: fn(&Connection),
    poll: fn(&Connection, &Arc<AtomicBool>) -> Found,
) -> impl Fn() + Send + Sync + 'static {
    move || {
        let connection = Arc::new(Connection::default());
        let bell = Arc::new(AtomicBool::new(false));
        let writer = {
            let connection = connection.clone();
            thread::spawn(move || give_work(&connection))
        };
        let found = poll(&connection, &bell);
        writer.join().unwrap();
        let was_woken = bell.load(Ordering::Acquire);
        assert!(
            found != Found::Nothing || was_woken,
            "it sleeps over its work"
        );
        if was_woken {
            assert_ne!(
                poll(&connection, &bell),
                Found::Nothing,
                "woken for nothing"
            );
        }
    }
}

fn registered_first(connection: &Connection, bell: &Arc<AtomicBool>) -> Found {
    connection.register(bell);
    connection.look()
}

fn looked_first(connection: &Connection, bell: &Arc<AtomicBool>) -> Found {
    let found = connection.look();
    connection.register(bell);
    found
}

#[test]
fn a_socket_that_blocks_wakes_the_task() {
    loom::model(task_beside(Connection::block, registered_first));
}

#[test]
fn an_abandoned_connection_wakes_the_task() {
    loom::model(task_beside(Connection::abandon, registered_first));
}

#[test]
#[should_panic(expected = "it sleeps over its work")]
fn who_looks_before_registering_can_sleep_over_it() {
    loom::model(task_beside(Connection::block, looked_first));
}
