//! Who is in a room: users, each with a number of connections.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::vocab::{Timestamp, User, UserId};

/// A user in the room.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub user: Arc<User>,
    /// Connections in this room; none while the grace of presence runs.
    pub connections: u32,
    /// When the first of them entered.
    pub joined_at: Timestamp,
    /// Which absence the grace runs for; 0 while the user is here.
    absence: u32,
}

/// All members, by user id.
#[derive(Debug, Default)]
pub struct Members {
    by_id: BTreeMap<UserId, Member>,
    /// Absences are numbered for the whole room: a member's own count would begin again when the user left and came back, and the
    /// grace of an earlier stay would end a later one.
    absences: u32,
}

/// What a connection's coming means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The user was not here.
    New,
    /// The user was here already, or came back in time.
    Known,
}

/// What a connection's going means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The user has other connections here, or was none of the members.
    Still,
    /// The user's last connection broke: ask [`Members::expire`] with this number when the grace is over.
    Absent(u32),
    /// The user is gone.
    Gone,
}

impl Members {
    /// How many users are in the room, those in their grace included.
    pub fn users_count(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether `user` is.
    pub fn has(&self, user: &UserId) -> bool {
        self.by_id.contains_key(user)
    }

    /// A connection of `user` enters.
    pub fn enter(&mut self, user: &Arc<User>, now: Timestamp) -> Arrival {
        match self.by_id.get_mut(&user.id) {
            Some(member) => {
                member.connections += 1;
                member.absence = 0;
                Arrival::Known
            }
            None => {
                let member = Member {
                    user: user.clone(),
                    connections: 1,
                    joined_at: now,
                    absence: 0,
                };
                self.by_id.insert(user.id.clone(), member);
                Arrival::New
            }
        }
    }

    /// A connection of `user` leaves.
    pub fn exit(&mut self, user: &UserId, grace: Grace) -> Departure {
        let Some(member) = self.by_id.get_mut(user) else {
            return Departure::Still;
        };
        member.connections = member.connections.saturating_sub(1);
        match (member.connections, grace) {
            (1.., _) => Departure::Still,
            (0, Grace::Wait) => {
                self.absences = self.absences.checked_add(1).unwrap_or(1);
                member.absence = self.absences;
                Departure::Absent(member.absence)
            }
            (0, Grace::None) => {
                self.by_id.remove(user);
                Departure::Gone
            }
        }
    }

    /// The grace of `user`'s absence is over: the member, now gone, unless it came back since.
    pub fn expire(&mut self, user: &UserId, absence: u32) -> Option<Member> {
        let member = self.by_id.get(user)?;
        let gone = member.connections == 0 && member.absence == absence;
        if gone { self.by_id.remove(user) } else { None }
    }

    /// Takes out a user whose last connection broke, without waiting for its grace.
    pub fn remove_absent(&mut self, user: &UserId) -> Option<Member> {
        let is_absent = self.by_id.get(user)?.connections == 0;
        if is_absent {
            self.by_id.remove(user)
        } else {
            None
        }
    }

    /// At most `limit` members whose ids follow `after`, and whether there are more.
    pub fn page(&self, after: Option<&str>, limit: usize) -> (Vec<&Member>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self
            .by_id
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, member)| member);
        let page = rest.by_ref().take(limit).collect();
        (page, rest.next().is_some())
    }
}

/// Whether a user whose last connection goes still counts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// The connection broke: it may come back.
    Wait,
    /// The user left on purpose, or the room has no grace.
    None,
}
