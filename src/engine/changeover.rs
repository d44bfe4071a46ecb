//! From one token to the next: what the one before let through is written before the next is acknowledged.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::connection::Connection;
use crate::protocol::Frame;

/// A token takes effect: its ack goes when everything has been written that the one before let through, behind that one's ack.
#[derive(Debug)]
pub(super) struct Changeover {
    connection: Arc<Connection>,
    ack: Option<Frame>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// Rooms that have not changed over, the token before, and one until all are known.
    waits_for: usize,
    /// The token behind.
    next: Option<Arc<Changeover>>,
}

impl Changeover {
    pub(super) fn new(connection: &Arc<Connection>, ack: Option<Frame>) -> Arc<Self> {
        Arc::new(Self {
            connection: connection.clone(),
            ack,
            progress: Mutex::new(Progress {
                waits_for: 1,
                next: None,
            }),
        })
    }

    /// Has to be told of one more.
    pub(super) fn one_more(self: &Arc<Self>) -> Arc<Self> {
        self.progress.lock().waits_for += 1;
        self.clone()
    }

    /// `next` waits for this one, unless it is over.
    pub(super) fn then(&self, next: &Arc<Self>) {
        let mut progress = self.progress.lock();
        if progress.waits_for > 0 {
            progress.next = Some(next.one_more());
        }
    }

    /// One of those that it waits for is over.
    pub(super) fn done(&self) {
        let next = {
            let mut progress = self.progress.lock();
            progress.waits_for -= 1;
            if progress.waits_for > 0 {
                return;
            }
            progress.next.take()
        };
        if let Some(ack) = &self.ack {
            self.connection.send(ack);
        }
        if let Some(next) = next {
            next.done();
        }
    }
}
