//! A room as the model has it: who is in it, what it keeps, what it was told twice, what it holds back.

use std::collections::{BTreeMap, VecDeque};

use crate::simulation::expect::{Nonce, RoomIndex, Standing};
use crate::simulation::house::{AUDIENCES, Inbox, Kind, Of, audience, kind_of};

const KEYS_MAX: usize = 5;
const KEYS_WINDOW: u64 = 10_000;

pub(super) struct Room {
    pub(super) index: RoomIndex,
    pub(super) kind: &'static Kind,
    pub(super) members: BTreeMap<usize, Member>,
    /// What is kept, oldest first.
    pub(super) log: VecDeque<Stored>,
    /// How many were stored ever.
    pub(super) total: u64,
    /// The last of each audience that a bound drove out.
    lost: [u64; AUDIENCES],
    /// The last that the inbox's owner has dealt with.
    pub(super) dealt: u64,
    keys: VecDeque<Key>,
    lives: Vec<Life>,
    pub(super) subjects: BTreeMap<String, Subject>,
}

/// A user in the room.
pub(super) struct Member {
    pub(super) connections: u64,
    /// When it counts as gone.
    pub(super) until: Option<u64>,
}

#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) nonce: Nonce,
    /// Whom it is for.
    pub(super) audience: usize,
    pub(super) at: u64,
    /// A connection of the inbox's owner has it.
    pub(super) was_written: bool,
}

struct Key {
    at: u64,
    owner: usize,
    key: usize,
    nonce: Nonce,
}

/// From a room's making to its forgetting its numbers go up by one; between lives they may jump.
struct Life {
    begins_behind: u64,
    /// The number on the wire minus ours, once it was seen.
    offset: Option<u64>,
}

/// What a thinned type's key said last.
pub(super) struct Subject {
    pub(super) end: u64,
    pub(super) every: u64,
    pub(super) kept_back: Option<(Nonce, Audience)>,
}

/// Which readers get something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Audience {
    Everyone,
    NotUser(usize),
    NotClient(usize),
}

/// What a key means.
pub(super) enum Seen {
    Never,
    Before(Nonce),
    Differently,
}

/// Whether a newcomer is told that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    No,
    Yes,
    Perhaps,
}

/// Where a reader stands: our number and the room's life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) life: usize,
}

impl Room {
    pub(super) fn new(index: RoomIndex, name: &str) -> Self {
        Self {
            index,
            kind: kind_of(name),
            members: BTreeMap::new(),
            log: VecDeque::new(),
            total: 0,
            lost: [0; AUDIENCES],
            dealt: 0,
            keys: VecDeque::new(),
            lives: vec![Life {
                begins_behind: 0,
                offset: None,
            }],
            subjects: BTreeMap::new(),
        }
    }

    /// Somebody comes to the room at `now`: what is too old goes, and where nothing remained it may be another room.
    pub(super) fn visit(&mut self, now: u64) {
        self.trim(now);
        if self.is_forgettable() {
            self.lives.push(Life {
                begins_behind: self.total,
                offset: None,
            });
        }
    }

    /// Whether the engine may forget it.
    pub(super) fn is_forgettable(&self) -> bool {
        let remains = self.log.iter().any(|stored| !stored.was_written);
        self.members.is_empty() && !remains && self.keys.is_empty()
    }

    pub(super) fn trim(&mut self, now: u64) {
        while self
            .keys
            .front()
            .is_some_and(|key| now >= key.at + KEYS_WINDOW)
        {
            self.keys.pop_front();
        }
        let Some((max, age)) = self.kind.keeps else {
            return;
        };
        for audience in 0..AUDIENCES {
            let is_of = |stored: &&Stored| stored.audience == audience;
            while let Some(first) = self.log.iter().find(is_of).copied()
                && (self.log.iter().filter(is_of).count() > max || now >= first.at + age)
            {
                self.lost[audience] = first.number;
                self.log.retain(|stored| stored.number != first.number);
            }
        }
    }

    pub(super) fn store(&mut self, nonce: Nonce, name: &str, now: u64) -> u64 {
        self.total += 1;
        self.log.push_back(Stored {
            number: self.total,
            nonce,
            audience: audience(name),
            at: now,
            was_written: false,
        });
        self.trim(now);
        self.total
    }

    /// Its owner has dealt with everything up to `number`.
    pub(super) fn received(&mut self, number: u64) {
        self.dealt = self.dealt.max(number);
        self.log.retain(|stored| stored.number > self.dealt);
    }

    pub(super) fn life(&self) -> usize {
        self.lives.len() - 1
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            room: self.index,
            users: self.members.len() as u64,
            stored: self.kind.keeps.map(|_| (self.total, self.life())),
        }
    }

    /// What comes again to somebody of `of` who joins, and whether something is missing.
    pub(super) fn replay(&self, since: Option<Place>, of: Of) -> (Gap, Vec<Stored>) {
        let kept = |after: u64| {
            let kept = self.read_by(of);
            kept.filter(move |stored| stored.number > after).collect()
        };
        let lost = (0..AUDIENCES).filter(|audience| of.reads(*audience));
        let lost = lost.map(|audience| self.lost[audience]).max().unwrap_or(0);
        if self.kind.keeps.is_none() {
            let gap = if since.is_some() { Gap::Yes } else { Gap::No };
            return (gap, Vec::new());
        }
        if self.kind.inbox != Inbox::No {
            let after = since.map_or(0, |since| since.number).max(self.dealt);
            let missing = after < lost;
            let is_known =
                self.kind.inbox == Inbox::Received && self.life() == self.first_life_of(lost);
            let gap = match (missing, is_known) {
                (false, _) => Gap::No,
                (true, true) => Gap::Yes,
                (true, false) => Gap::Perhaps,
            };
            return (gap, kept(after));
        }
        match since {
            None => {
                let all: Vec<Stored> = self.read_by(of).collect();
                let newest = all.len().saturating_sub(self.kind.replay_on_join);
                (Gap::No, all[newest..].to_vec())
            }
            Some(since) if since.number < lost => (Gap::Yes, kept(since.number)),
            Some(since) if since.life != self.life() => (Gap::Perhaps, kept(since.number)),
            Some(since) => (Gap::No, kept(since.number)),
        }
    }

    /// What is kept that somebody of `of` reads.
    pub(super) fn read_by(&self, of: Of) -> impl Iterator<Item = Stored> {
        let kept = self.log.iter().copied();
        kept.filter(move |stored| of.reads(stored.audience))
    }

    /// The life in which a number was given.
    fn first_life_of(&self, number: u64) -> usize {
        let mut lives = self.lives.iter();
        lives
            .rposition(|life| life.begins_behind < number)
            .unwrap_or(0)
    }

    pub(super) fn look(&self, owner: usize, key: usize, is_same: impl Fn(Nonce) -> bool) -> Seen {
        let mut known = self.keys.iter();
        match known.find(|known| (known.owner, known.key) == (owner, key)) {
            None => Seen::Never,
            Some(known) if is_same(known.nonce) => Seen::Before(known.nonce),
            Some(_) => Seen::Differently,
        }
    }

    /// A message that came with this key, if it is remembered.
    pub(super) fn message_of_key(&self, owner: usize, key: usize) -> Option<Nonce> {
        match self.look(owner, key, |_| true) {
            Seen::Before(nonce) => Some(nonce),
            Seen::Never | Seen::Differently => None,
        }
    }

    pub(super) fn remember(&mut self, owner: usize, key: usize, nonce: Nonce, now: u64) {
        self.keys.push_back(Key {
            at: now,
            owner,
            key,
            nonce,
        });
        while self.keys.len() > KEYS_MAX {
            self.keys.pop_front();
        }
    }

    /// Takes a number from the wire for one of ours; the first of a life says how far they are apart.
    pub(super) fn learn(&mut self, number: u64, life: usize, seq: u64) -> Result<(), String> {
        let offset = seq.checked_sub(number);
        let Some(offset) = offset else {
            return Err(format!("seq {seq} is lower than {number} messages"));
        };
        // Numbers are never given twice: a later life begins at or behind the end of the one before.
        let before = self.lives[..life]
            .iter()
            .filter_map(|life| life.offset)
            .max();
        if before.is_some_and(|before| offset < before) {
            return Err(format!("seq {seq}: the room's numbers went back"));
        }
        match self.lives[life].offset {
            None => self.lives[life].offset = Some(offset),
            Some(known) if known == offset => {}
            Some(known) => return Err(format!("seq {seq} where {} was due", known + number)),
        }
        Ok(())
    }

    /// The number on the wire for one of ours.
    pub(super) fn seq(&self, number: u64, life: usize) -> Option<u64> {
        Some(self.lives[life].offset? + number)
    }
}
