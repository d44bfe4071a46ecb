//! Idempotency keys: the same key from the same user within the window is one message.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::time::Duration;

use crate::vocab::{MessageId, Seq, Timestamp, UserId};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its id.
    pub message_id: MessageId,
    /// Its number, where it was stored.
    pub seq: Option<Seq>,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Never,
    /// The same message came before.
    Before(Outcome),
    /// Another message came before.
    Differently,
}

#[derive(Debug)]
struct Remembered {
    body: u64,
    outcome: Outcome,
}

type Key = (UserId, Box<str>);

/// The keys of one room.
#[derive(Debug)]
pub struct Keys {
    known: HashMap<Key, Remembered>,
    order: VecDeque<(Timestamp, Key)>,
    window: Duration,
    keys_max: usize,
}

impl Keys {
    /// Remembers at most `keys_max` keys for `window`.
    pub fn new(window: Duration, keys_max: usize) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            window,
            keys_max,
        }
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is known of `user`'s `key` with this body.
    pub fn look(&mut self, user: &UserId, key: &str, body: (&str, &str), now: Timestamp) -> Seen {
        self.trim(now);
        if self.known.is_empty() {
            return Seen::Never;
        }
        match self.known.get(&(user.clone(), key.into())) {
            None => Seen::Never,
            Some(remembered) if remembered.body == self.digest(body) => {
                Seen::Before(remembered.outcome)
            }
            Some(_) => Seen::Differently,
        }
    }

    /// Remembers what became of `user`'s `key`.
    pub fn remember(
        &mut self,
        user: &UserId,
        key: &str,
        body: (&str, &str),
        outcome: Outcome,
        now: Timestamp,
    ) {
        let key: Key = (user.clone(), key.into());
        let body = self.digest(body);
        self.known.insert(key.clone(), Remembered { body, outcome });
        self.order.push_back((now, key));
        while self.order.len() > self.keys_max {
            self.forget_oldest();
        }
    }

    /// Forgets the keys whose window is over.
    pub fn trim(&mut self, now: Timestamp) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| now >= at.after(self.window))
        {
            self.forget_oldest();
        }
    }

    /// A digest of a message's type and data, keyed at random so that nobody can look for two bodies of one digest.
    fn digest(&self, body: (&str, &str)) -> u64 {
        self.known.hasher().hash_one(body)
    }

    /// When the last of them will be forgotten, where there is one.
    pub fn empty_at(&self) -> Option<Timestamp> {
        self.order.back().map(|(at, _)| at.after(self.window))
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.known.remove(&key);
        }
        if self.order.is_empty() {
            (self.known, self.order) = (HashMap::new(), VecDeque::new());
        }
    }
}
