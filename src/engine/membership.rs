//! Joining and leaving rooms, and who is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::broker::memory::HallState;
use crate::decision::{self, Target};
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::flush;
use crate::engine::joining::Pass;
use crate::engine::presence::{MEMBERS_PAGE_MAX, gap, joined, members_frame, standing};
use crate::engine::reader::Reading;
use crate::engine::seat::Seat;
use crate::engine::{Engine, Hall};
use crate::plan::{AnnounceTo, Receipt};
use crate::protocol::{Frame, Object, Reject, RejectCode};
use crate::room::{Arrival, Grace, Replay, Room};
use crate::vocab::{MessageName, Position, User};

impl Engine {
    /// Takes a seat. Without a `pass` it has one already, or does not get any. `answer` is there where a frame asked, with that frame's id: then `joined` goes before what is replayed.
    /// Returns what `welcome` says of the room.
    pub(super) fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        target: &Target,
        pass: Option<Pass>,
        since: Option<Position>,
        answer: Option<Option<&str>>,
    ) -> Result<serde_json::Value, Reject> {
        let is_over = |expires_at| self.clock.now() >= expires_at;
        if pass.and_then(|pass| pass.expires_at).is_some_and(is_over) {
            let text = "what lets you in has expired";
            return Err(Reject::new(RejectCode::Forbidden, text));
        }
        let receives_by_reading = target
            .kind
            .inbox
            .as_ref()
            .is_some_and(|inbox| inbox.receipt == Receipt::OnWrite)
            && self.owns_inbox(connection, &target.kind, &target.parameters);
        let mut late = None;
        let (standing, flush) = self.rooms.with(
            &target.name,
            &target.kind,
            &target.parameters,
            |hall, state| {
                self.place_in(hall.kind.users, hall, &state.room, &connection.user)?;
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
                let Some(pass) = pass else {
                    let text = format!("you have just left `{}`: join it again", hall.name);
                    return Err(Reject::new(RejectCode::Conflict, text));
                };
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
                late = connection.inner.lock().sit(hall, pass, stay);
                if let Some(expires_at) = pass.expires_at {
                    self.end_stay_at(connection, stay, expires_at);
                }
                Ok((standing, flush_if_needed(hall, &mut state.queue)))
            },
        )?;
        if let Some(hall) = flush {
            flush::spawn_flush(self, &hall);
        }
        if let Some(seat) = late {
            self.depart(connection, &seat, Grace::None, |_| {});
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

    pub(super) fn announcement(
        &self,
        name: &MessageName,
        hall: &Hall,
        room: &Room,
        user: &User,
    ) -> Frame {
        Object::new(name.as_str(), 256)
            .field("room", hall.name.as_str())
            .user("user", user)
            .field("users_count", &room.members.users_count())
            .plain("timestamp", self.clock.now())
            .finish()
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

/// The seat in the room of that name, if the connection is in it.
pub(super) fn seat(connection: &Connection, name: &str) -> Result<Seat, Reject> {
    let inner = connection.inner.lock();
    let found = inner.seats.iter().find(|seat| seat.name.as_str() == name);
    found.cloned().ok_or_else(|| decision::not_joined(name))
}
