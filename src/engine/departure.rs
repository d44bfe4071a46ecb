//! Leaving rooms: by a frame, with the connection, by the application's hand; and who is told.

use std::sync::Arc;

use crate::broker::memory::HallState;
use crate::decision;
use crate::engine::changeover::Changeover;
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::membership::{flush_if_needed, seat};
use crate::engine::seat::Seat;
use crate::engine::timer::{Grace as GraceTimer, Timer};
use crate::engine::{Engine, Hall, flush};
use crate::protocol::{Object, Reject};
use crate::room::{Departure, Grace, Member, Members};
use crate::vocab::{AudienceSet, User, UserId};

impl Engine {
    /// A frame asks to leave.
    pub(super) fn leave_by_frame(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), Reject> {
        let was_called_off = self.call_off(connection, name);
        let left = |name: &str| {
            let answer = Object::new("left", 64).optional("id", id);
            answer.field("room", name).finish()
        };
        if let Ok(seat) = seat(connection, name) {
            let answer = left(seat.name.as_str());
            let farewell = |feed: &mut Feed| feed.answer(connection.serial, answer);
            if self.depart(connection, &seat, Grace::None, farewell) {
                return Ok(());
            }
        }
        if !was_called_off {
            // It was never there, or the application has just taken it out.
            return Err(decision::not_joined(name));
        }
        connection.send(&left(name));
        Ok(())
    }

    /// A connection may not stay in a room any more. `over` is told when everything before is written.
    pub(super) fn put_out(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        seat: &Seat,
        reason: &str,
        over: Option<&Arc<Changeover>>,
    ) {
        let left = Object::new("left", 64)
            .field("room", seat.name.as_str())
            .field("reason", reason)
            .finish();
        self.depart(connection, seat, Grace::None, |feed| {
            if let Some(over) = over {
                feed.change(connection.serial, AudienceSet::NONE, over.one_more());
            }
            feed.answer(connection.serial, left);
        });
    }

    /// The connection broke, or was closed.
    pub(super) fn vacate(self: &Arc<Self>, connection: &Arc<Connection>, seat: &Seat) {
        let grace = if seat.kind.presence.grace.is_zero() {
            Grace::None
        } else {
            Grace::Wait
        };
        self.depart(connection, seat, grace, |_| {});
    }

    /// Gives up a seat; says whether it was still taken. `farewell` tells what the connection hears last of the room.
    pub(super) fn depart(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        seat: &Seat,
        grace: Grace,
        farewell: impl FnOnce(&mut Feed),
    ) -> bool {
        let hall = &seat.hall;
        let flush = {
            let mut state = hall.lock();
            // Under the room's lock, so that nobody sits down in it meanwhile.
            if !self.stand_up(connection, seat.stay) {
                return false;
            }
            farewell(&mut state.queue);
            state.queue.leave(connection.serial);
            match state.room.members.exit(&connection.user.id, grace) {
                Departure::Still => {}
                Departure::Gone => self.announce_departure(hall, &mut state, &connection.user),
                Departure::Absent(absence) => {
                    let at = self.clock.monotonic().after(hall.kind.presence.grace);
                    self.timers.at(
                        at,
                        Timer::Grace(Box::new(GraceTimer {
                            hall: hall.clone(),
                            user: connection.user.id.clone(),
                            absence,
                        })),
                    );
                }
            }
            flush_if_needed(hall, &mut state.queue)
        };
        if let Some(hall) = flush {
            flush::spawn_flush(self, &hall);
        }
        true
    }

    fn announce_departure(&self, hall: &Arc<Hall>, state: &mut HallState<Feed>, user: &User) {
        if let Some(name) = &hall.kind.presence.left {
            let frame = self.announcement(name, hall, &state.room, user);
            state.queue.say(Audience::Everyone, frame);
        }
    }

    /// The grace of an absence is over.
    pub(super) fn expire_absence(self: &Arc<Self>, hall: &Arc<Hall>, user: &UserId, absence: u32) {
        self.end_absence_if(hall, |members| members.expire(user, absence));
    }

    /// Nobody waits for an absent user any longer.
    pub(super) fn end_absence(self: &Arc<Self>, hall: &Arc<Hall>, user: &UserId) {
        self.end_absence_if(hall, |members| members.remove_absent(user));
    }

    fn end_absence_if(
        self: &Arc<Self>,
        hall: &Arc<Hall>,
        end: impl FnOnce(&mut Members) -> Option<Member>,
    ) {
        let flush = {
            let mut state = hall.lock();
            let Some(member) = end(&mut state.room.members) else {
                return;
            };
            self.announce_departure(hall, &mut state, &member.user);
            flush_if_needed(hall, &mut state.queue)
        };
        match flush {
            Some(hall) => flush::spawn_flush(self, &hall),
            None => {
                self.rooms.retire(hall);
            }
        }
    }
}
