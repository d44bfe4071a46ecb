//! Joining and leaving rooms, and who is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::broker::memory::HallState;
use crate::decision::{self, Target};
use crate::engine::changeover::Changeover;
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::flush;
use crate::engine::joining::{Pass, place_in};
use crate::engine::presence::{MEMBERS_PAGE_MAX, gap, joined, members_frame, standing};
use crate::engine::reader::Reading;
use crate::engine::seat::Seat;
use crate::engine::timer::{Grace as GraceTimer, Timer};
use crate::engine::{Engine, Hall};
use crate::plan::{AnnounceTo, Receipt};
use crate::protocol::{Frame, Object, Reject, RejectCode};
use crate::room::{Arrival, Departure, Grace, Member, Members, Replay, Room};
use crate::vocab::{AudienceSet, MessageName, Position, User, UserId};

impl Engine {
    /// Takes a seat. `answer` is there where a frame asked, with that frame's id: then `joined` goes before what is replayed.
    /// Returns what `welcome` says of the room.
    pub(super) fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        target: &Target,
        pass: Pass,
        since: Option<Position>,
        answer: Option<Option<&str>>,
    ) -> Result<serde_json::Value, Reject> {
        let is_over = |expires_at| self.clock.now() >= expires_at;
        if pass.expires_at.is_some_and(is_over) {
            let text = "what lets you in has expired";
            return Err(Reject::new(RejectCode::Forbidden, text));
        }
        let receives_by_reading = target
            .kind
            .inbox
            .as_ref()
            .is_some_and(|inbox| inbox.receipt == Receipt::OnWrite)
            && self.owns_inbox(connection, &target.kind, &target.parameters);
        let (standing, flush) = self.rooms.with(
            &target.name,
            &target.kind,
            &target.parameters,
            |hall, state| {
                place_in(&hall.kind, &hall.name, &state.room, &connection.user)?;
                if state.queue.is_full() {
                    let message =
                        format!("`{}` has more to deliver than it can: try again", hall.name);
                    return Err(Reject::new(RejectCode::Unavailable, message));
                }
                // Seats are taken and given up under the room's lock, whoever does it.
                let is_here = |seat: &Seat| Arc::ptr_eq(&seat.hall, hall);
                if connection.inner.lock().seats.iter().any(is_here) {
                    return self.join_again(connection, hall, state, since, answer);
                }
                let arrival = state.room.members.enter(&connection.user, self.clock.now());
                let standing = standing(&mut state.room, hall, self, connection);
                let answer = answer.map(|id| joined(id, &standing));
                let (now, audiences) = (self.clock.now(), pass.audiences);
                let replay = state
                    .room
                    .replay(now, since, connection.device(), audiences);
                let opening = opening(hall, &state.room, answer, replay);
                let receipt = state
                    .room
                    .position()
                    .map(|position| position.seq)
                    .filter(|_| receives_by_reading);
                let reading = Reading {
                    opening,
                    receipt,
                    audiences,
                };
                state.queue.enter(connection.clone(), reading);
                if arrival == Arrival::New {
                    self.announce_arrival(hall, &state.room, &mut state.queue, connection);
                }
                let stay = self.stays.fetch_add(1, Ordering::Relaxed);
                connection.inner.lock().sit(hall, pass, stay);
                if let Some(expires_at) = pass.expires_at {
                    self.end_stay_at(connection, stay, expires_at);
                }
                Ok((standing, flush_if_needed(hall, &mut state.queue)))
            },
        )?;
        if let Some(hall) = flush {
            flush::spawn_flush(self, &hall);
        }
        Ok(standing)
    }

    /// A connection asks to join a room that it is in.
    fn join_again(
        &self,
        connection: &Connection,
        hall: &Arc<Hall>,
        state: &mut HallState<Feed>,
        since: Option<Position>,
        answer: Option<Option<&str>>,
    ) -> Result<(serde_json::Value, Option<Arc<Hall>>), Reject> {
        if since.is_some() {
            let message = format!(
                "you are in `{}` already: leave it first to resume it",
                hall.name
            );
            return Err(Reject::new(RejectCode::Conflict, message));
        }
        let standing = standing(&mut state.room, hall, self, connection);
        if let Some(id) = answer {
            state.queue.answer(connection.serial, joined(id, &standing));
        }
        Ok((standing, flush_if_needed(hall, &mut state.queue)))
    }

    fn announce_arrival(
        &self,
        hall: &Hall,
        room: &Room,
        queue: &mut Feed,
        connection: &Connection,
    ) {
        let Some(name) = &hall.kind.presence.joined else {
            return;
        };
        let audience = match hall.kind.presence.announce_to {
            AnnounceTo::Others => Audience::NotUser(connection.user_serial),
            AnnounceTo::Room => Audience::Everyone,
        };
        queue.say(
            audience,
            self.announcement(name, hall, room, &connection.user),
        );
    }

    fn announcement(&self, name: &MessageName, hall: &Hall, room: &Room, user: &User) -> Frame {
        Object::new(name.as_str(), 256)
            .field("room", hall.name.as_str())
            .user("user", user)
            .field("users_count", &room.members.users_count())
            .plain("timestamp", self.clock.now())
            .finish()
    }

    /// A frame asks to leave.
    pub(super) fn leave_by_frame(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), Reject> {
        let was_called_off = self.call_off(connection, name);
        let Ok(hall) = seat(connection, name) else {
            if !was_called_off {
                return Err(decision::not_joined(name));
            }
            let answer = Object::new("left", 64).optional("id", id);
            connection.send(&answer.field("room", name).finish());
            return Ok(());
        };
        let answer = Object::new("left", 64)
            .optional("id", id)
            .field("room", hall.name.as_str())
            .finish();
        if self.depart(connection, &hall, None, Grace::None, Some(answer)) {
            return Ok(());
        }
        // The application has just taken it out.
        Err(decision::not_joined(name))
    }

    /// A connection may not stay in a room any more. `over` is told when everything before is written.
    pub(super) fn put_out(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        seat: &Seat,
        reason: &str,
        over: Option<&Arc<Changeover>>,
    ) {
        if !connection.sits(seat.stay) {
            return;
        }
        if let Some(over) = over {
            let none = AudienceSet::NONE;
            let queue = &mut seat.hall.lock().queue;
            queue.change(connection.serial, none, over.one_more());
        }
        let left = Object::new("left", 64)
            .field("room", seat.hall.name.as_str())
            .field("reason", reason)
            .finish();
        self.depart(
            connection,
            &seat.hall,
            Some(seat.stay),
            Grace::None,
            Some(left),
        );
    }

    /// The connection broke, or was closed.
    pub(super) fn vacate(self: &Arc<Self>, connection: &Arc<Connection>, hall: &Arc<Hall>) {
        let grace = if hall.kind.presence.grace.is_zero() {
            Grace::None
        } else {
            Grace::Wait
        };
        self.depart(connection, hall, None, grace, None);
    }

    /// Gives up a seat, that of `stay` where one is named; says whether there was one.
    pub(super) fn depart(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        hall: &Arc<Hall>,
        stay: Option<u32>,
        grace: Grace,
        answer: Option<Frame>,
    ) -> bool {
        let flush = {
            let mut state = hall.lock();
            if !self.stand_up(connection, hall, stay) {
                return false;
            }
            if let Some(answer) = answer {
                state.queue.answer(connection.serial, answer);
            }
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

/// What a newcomer gets before anything else: the answer, what was said before, and who is here.
fn opening(hall: &Hall, room: &Room, answer: Option<Frame>, replay: Replay) -> Vec<Frame> {
    let mut opening: Vec<Frame> = answer.into_iter().collect();
    if replay.gap {
        opening.push(gap(hall, room));
    }
    opening.extend(replay.frames);
    if let Some(present) = &hall.kind.presence.present {
        let present = present.as_str();
        opening.push(members_frame(
            present,
            None,
            hall,
            room,
            None,
            MEMBERS_PAGE_MAX,
        ));
    }
    opening
}

/// The hall, where a flush has to be spawned for it.
pub(super) fn flush_if_needed(hall: &Arc<Hall>, queue: &mut Feed) -> Option<Arc<Hall>> {
    queue.needs_flush().then(|| hall.clone())
}

/// The room of that name, if the connection is in it.
pub(super) fn seat(connection: &Connection, name: &str) -> Result<Arc<Hall>, Reject> {
    let inner = connection.inner.lock();
    let found = inner.seats.iter().find(|seat| seat.name.as_str() == name);
    let found = found.map(|seat| seat.hall.clone());
    found.ok_or_else(|| decision::not_joined(name))
}
