//! What gathers for an endpoint's `coalesce` is let go: whatever comes while that happens, something is left to do it.

use loom::sync::{Arc, Mutex};
use loom::thread;

#[derive(Default)]
struct Gathering {
    outbox: Mutex<Outbox>,
    /// How often the one connection stands in the list.
    connections: Mutex<usize>,
    /// The permit of tokio's `Notify`.
    some: Mutex<bool>,
}

#[derive(Default)]
struct Outbox {
    gathers: bool,
    waiting: usize,
}

impl Gathering {
    fn push(&self) {
        let begins = {
            let mut outbox = self.outbox.lock().unwrap();
            outbox.waiting += 1;
            !std::mem::replace(&mut outbox.gathers, true)
        };
        if begins {
            let mut connections = self.connections.lock().unwrap();
            *connections += 1;
            if *connections == 1 {
                *self.some.lock().unwrap() = true;
            }
        }
    }

    fn write(&self) {
        let mut outbox = self.outbox.lock().unwrap();
        if std::mem::take(&mut outbox.gathers) {
            outbox.waiting = 0;
        }
    }

    fn let_go(&self) {
        while std::mem::take(&mut *self.some.lock().unwrap()) {
            if std::mem::take(&mut *self.connections.lock().unwrap()) > 0 {
                self.write();
            }
        }
    }

    /// Forgets those who came while it wrote.
    fn let_go_and_clear(&self) {
        while std::mem::take(&mut *self.some.lock().unwrap()) {
            if *self.connections.lock().unwrap() > 0 {
                self.write();
                *self.connections.lock().unwrap() = 0;
            }
        }
    }
}

fn push_beside(let_go: fn(&Gathering)) -> impl Fn() + Send + Sync + 'static {
    move || {
        let gathering = Arc::new(Gathering::default());
        let pushes = [(); 2].map(|()| {
            let gathering = gathering.clone();
            thread::spawn(move || gathering.push())
        });
        let_go(&gathering);
        for push in pushes {
            push.join().unwrap();
        }
        let_go(&gathering);
        assert_eq!(
            gathering.outbox.lock().unwrap().waiting,
            0,
            "something waits for nobody"
        );
    }
}

#[test]
fn what_gathers_is_let_go() {
    loom::model(push_beside(Gathering::let_go));
}

#[test]
#[should_panic(expected = "something waits for nobody")]
fn a_list_that_is_cleared_too_late_forgets_somebody() {
    loom::model(push_beside(Gathering::let_go_and_clear));
}
