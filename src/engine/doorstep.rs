//! What a connection waits for: answers about joins and tokens that come from elsewhere, and the ends of stays.
//!
//! Nothing that a connection waits for keeps its other frames waiting. What comes is put into its mail, and dealt with by its own
//! task, so that everything that happens to a connection happens in one place. A connection that has ended takes no mail.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio::task::AbortHandle;

use crate::auth::AuthError;
use crate::decision::{self, Target};
use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::joining::{Pass, Ruling};
use crate::engine::link::Phase;
use crate::engine::pipeline::Refused;
use crate::engine::refresh::Tokens;
use crate::engine::seat::SaidBy;
use crate::engine::timer::{Stay, Timer, TimerKey};
use crate::protocol::{Reject, RejectCode};
use crate::vocab::{Identity, Position, Timestamp};

/// What stands at a connection's door.
#[derive(Default)]
pub(super) struct Doorstep {
    /// What came of later tokens.
    pub(super) tokens: Option<Tokens>,
    mail: Vec<Mail>,
    pending: Vec<Pending>,
    /// Joins that were ever pending.
    joins: u32,
    /// Stays that end of themselves.
    ends: Vec<(u32, TimerKey)>,
}

/// Something that was waited for.
pub(super) enum Mail {
    /// Whether the pending join of this number may be.
    Join(u32, Result<Pass, Reject>),
    /// Whose the token of this number is; with the id of its frame.
    Token(u32, Option<Box<str>>, Result<Identity, AuthError>),
}

/// A join about which somebody is asked.
pub(super) struct Pending {
    number: u32,
    target: Target,
    since: Option<Position>,
    id: Option<Box<str>>,
    _asking: Asking,
}

/// The task that waits for an answer: not for one that nobody wants any more.
struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Doorstep {
    /// Joins that are pending.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a join of the room `name` is.
    pub(super) fn awaits(&self, name: &str) -> bool {
        let mut pending = self.pending.iter();
        pending.any(|pending| pending.target.name.as_str() == name)
    }

    fn take_pending(&mut self, number: u32) -> Option<Pending> {
        let mut pending = self.pending.iter();
        let at = pending.position(|pending| pending.number == number)?;
        Some(self.pending.remove(at))
    }

    /// Takes back the timer of a stay.
    pub(super) fn take_end(&mut self, stay: u32) -> Option<TimerKey> {
        let mut ends = self.ends.iter();
        let at = ends.position(|(known, _)| *known == stay)?;
        Some(self.ends.swap_remove(at).1)
    }

    /// The timers of all stays.
    pub(super) fn into_ends(self) -> impl Iterator<Item = TimerKey> {
        self.ends.into_iter().map(|(_, key)| key)
    }
}

impl Connection {
    /// Gives it something to deal with, unless it has ended.
    pub(super) fn post(&self, mail: Mail) {
        let mut inner = self.inner.lock();
        if inner.ended {
            return;
        }
        inner.doorstep.get_or_insert_default().mail.push(mail);
        drop(inner);
        self.has_mail.store(true, Ordering::Release);
        self.wake();
    }
}

impl Engine {
    /// Deals with what a connection waited for. Its own task calls this whenever it is woken.
    pub fn open_mail(self: &Arc<Self>, connection: &Arc<Connection>) {
        if !connection.has_mail.swap(false, Ordering::Acquire) {
            return;
        }
        let mail = {
            let mut inner = connection.inner.lock();
            let doorstep = inner.doorstep.as_mut();
            doorstep.map(|doorstep| std::mem::take(&mut doorstep.mail))
        };
        for mail in mail.into_iter().flatten() {
            if connection.phase() != Phase::Open {
                return;
            }
            self.deal_with(connection, mail);
        }
    }

    fn deal_with(self: &Arc<Self>, connection: &Arc<Connection>, mail: Mail) {
        let (id, result) = match mail {
            Mail::Join(number, pass) => {
                let pending = {
                    let mut inner = connection.inner.lock();
                    let doorstep = inner.doorstep.as_mut();
                    doorstep.and_then(|doorstep| doorstep.take_pending(number))
                };
                // It may have been called off.
                let Some(pending) = pending else { return };
                let (target, since) = (&pending.target, pending.since);
                let id = Some(pending.id.as_deref());
                let joined = pass.map_err(Refused::from).and_then(|pass| {
                    self.spend_room(connection, &target.name)
                        .map_err(Refused::TooFast)?;
                    let pass = self.renewed(connection, target, pass);
                    Ok(self.join(connection, target, Some(pass), since, id)?)
                });
                (pending.id, joined.map(|_| ()))
            }
            Mail::Token(number, id, outcome) => {
                let result = self.take_token(connection, number, outcome, id.as_deref());
                (id, result.map_err(Refused::from))
            }
        };
        if let Err(refused) = result {
            self.refuse(connection, id.as_deref(), &refused);
        }
    }

    /// `pass` as it is now: meanwhile a fresh token may have come, of which the room's rules say something else.
    fn renewed(&self, connection: &Connection, target: &Target, pass: Pass) -> Pass {
        if pass.said_by == SaidBy::Pass || target.kind.audiences.is_empty() {
            return pass;
        }
        let user = connection.identity();
        let facts = connection.facts(&user, self.clock.now(), self.clock.monotonic());
        let facts = target.facts(self.users_in(target), &facts);
        let audiences = decision::audiences(self, target, &facts);
        Pass { audiences, ..pass }
    }

    /// Joins when `ruling` says that it may be; meanwhile the connection's other frames go on.
    pub(super) fn join_later(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        target: Target,
        since: Option<Position>,
        id: Option<&str>,
        ruling: Ruling,
    ) {
        let mut inner = connection.inner.lock();
        let doorstep = inner.doorstep.get_or_insert_default();
        doorstep.joins = doorstep.joins.wrapping_add(1);
        let number = doorstep.joins;
        let asker = Arc::downgrade(connection);
        // What it posts waits for the lock that is held here.
        let asking = tokio::spawn(async move {
            let pass = ruling.await;
            if let Some(connection) = asker.upgrade() {
                connection.post(Mail::Join(number, pass));
            }
        });
        doorstep.pending.push(Pending {
            number,
            target,
            since,
            id: id.map(Into::into),
            _asking: Asking(asking.abort_handle()),
        });
    }

    /// Calls off the pending joins of a room, which are answered; says whether there were any.
    pub(super) fn call_off(self: &Arc<Self>, connection: &Arc<Connection>, name: &str) -> bool {
        let called_off: Vec<Pending> = {
            let mut inner = connection.inner.lock();
            let pending = inner
                .doorstep
                .as_mut()
                .map(|doorstep| &mut doorstep.pending);
            let of_room = |pending: &mut Pending| pending.target.name.as_str() == name;
            pending.map_or_else(Vec::new, |pending| {
                pending.extract_if(.., of_room).collect()
            })
        };
        for pending in &called_off {
            let text = format!("you left `{name}` before it was known whether you may join");
            let reject = Reject::new(RejectCode::Conflict, text);
            connection.reject(pending.id.as_deref(), &reject);
        }
        !called_off.is_empty()
    }

    /// Has a stay end at `at`.
    pub(super) fn end_stay_at(&self, connection: &Arc<Connection>, stay: u32, at: Timestamp) {
        let wait = at.since(self.clock.now());
        let timer = Timer::Stay(Box::new(Stay {
            connection: Arc::downgrade(connection),
            stay,
        }));
        let mut inner = connection.inner.lock();
        if !inner.ended {
            let key = self.timers.at(self.clock.monotonic().after(wait), timer);
            inner
                .doorstep
                .get_or_insert_default()
                .ends
                .push((stay, key));
        }
    }

    /// The time of a stay is over.
    pub(super) fn end_stay(self: &Arc<Self>, connection: &Weak<Connection>, stay: u32) {
        let Some(connection) = connection.upgrade() else {
            return;
        };
        let seat = {
            let inner = connection.inner.lock();
            inner.seats.iter().find(|seat| seat.stay == stay).cloned()
        };
        if let Some(seat) = seat {
            self.put_out(&connection, &seat, "expired", None);
        }
    }

    /// Gives a seat up, and what would end it; says whether it was still taken.
    pub(super) fn stand_up(&self, connection: &Connection, stay: u32) -> bool {
        let mut inner = connection.inner.lock();
        let before = inner.seats.len();
        inner.seats.retain(|seat| seat.stay != stay);
        let end = inner
            .doorstep
            .as_mut()
            .and_then(|doorstep| doorstep.take_end(stay));
        if let Some(end) = end {
            self.timers.cancel(end);
        }
        inner.seats.len() < before
    }
}
