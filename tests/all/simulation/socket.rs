//! A socket that takes what it likes when it likes.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use trunkline::engine::Link;

use crate::simulation::chance::Chance;

/// How a socket treats its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It takes everything at once.
    Fast,
    /// It takes parts, and blocks for short whiles.
    Choppy,
    /// It takes little, and blocks for longer whiles.
    Slow,
}

pub(super) struct Socket(Mutex<State>);

struct State {
    chance: Chance,
    manner: Manner,
    /// It takes nothing until it is told to.
    stuck: bool,
    /// It took nothing the last time, and has not been ready since.
    full: bool,
    broken: bool,
    unread: Vec<u8>,
    taken: u64,
    calls: u64,
    /// It did not take everything once.
    was_slow: bool,
}

impl Link for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.lock().write(slices)
    }
}

impl State {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0, "an empty write");
        let mut left = offered;
        match (self.manner, self.chance.below(16)) {
            (Manner::Fast, _) => {}
            (_, 0) => return Err(io::ErrorKind::Interrupted.into()),
            (Manner::Choppy, 1..=4) | (Manner::Slow, 1..=8) => self.full = true,
            (Manner::Choppy, 5..=11) => left = 1 + self.chance.below(offered),
            (Manner::Choppy, _) => {}
            (Manner::Slow, _) => left = offered.min(1 + self.chance.below(400)),
        }
        if self.stuck || self.full {
            (self.full, self.was_slow) = (true, true);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.was_slow |= left < offered;
        let before = self.unread.len();
        for slice in slices {
            let part = left.min(slice.len());
            self.unread.extend_from_slice(&slice[..part]);
            left -= part;
        }
        let written = self.unread.len() - before;
        self.taken += written as u64;
        Ok(written)
    }
}

impl Socket {
    pub(super) fn new(manner: Manner, chance: Chance) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            chance,
            manner,
            stuck: false,
            full: false,
            broken: false,
            unread: Vec::new(),
            taken: 0,
            calls: 0,
            was_slow: false,
        })))
    }

    /// From now on it takes nothing.
    pub(super) fn stick(&self) {
        self.0.lock().stuck = true;
    }

    /// It takes something again.
    pub(super) fn loosen(&self) {
        let mut state = self.0.lock();
        (state.stuck, state.full) = (false, false);
    }

    /// A short while has passed: a choppy socket may be ready again.
    pub(super) fn breathe(&self) {
        let mut state = self.0.lock();
        let patience = if state.manner == Manner::Slow { 6 } else { 2 };
        if !state.stuck && state.full && state.chance.once_in(patience) {
            state.full = false;
        }
    }

    /// Takes everything at once from now on, or parts again; says what it did before.
    pub(super) fn behave(&self, manner: Manner) -> Manner {
        let mut state = self.0.lock();
        (state.stuck, state.full) = (false, false);
        std::mem::replace(&mut state.manner, manner)
    }

    pub(super) fn break_off(&self) {
        self.0.lock().broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.0.lock().broken
    }

    /// What `poll_write_ready` would say.
    pub(super) fn is_writable(&self) -> bool {
        let state = self.0.lock();
        state.broken || !(state.stuck || state.full)
    }

    pub(super) fn was_slow(&self) -> bool {
        self.0.lock().was_slow
    }

    pub(super) fn read(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unread)
    }

    /// Bytes taken, and calls.
    pub(super) fn totals(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.taken, state.calls)
    }
}

/// Whether a connection's task was woken.
#[derive(Default)]
pub(super) struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Bell {
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    pub(super) fn was_rung(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}
