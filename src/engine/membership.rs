//! Joining and leaving rooms, and who is told.

use std::sync::Arc;

use crate::broker::memory::HallState;
use crate::decision::{self, Judge, Target};
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::flush;
use crate::engine::limit::Subject;
use crate::engine::pipeline::Refused;
use crate::engine::presence::{MEMBERS_PAGE_MAX, gap, joined, members_frame, standing};
use crate::engine::timer::{Grace as GraceTimer, Timer};
use crate::engine::{Engine, Hall};
use crate::plan::{AnnounceTo, Receipt, RoomKind};
use crate::protocol::{Frame, Object, Reject, RejectCode};
use crate::room::{Arrival, Departure, Grace, Member, Members, Replay, Room};
use crate::rule::{Facts, Rule};
use crate::vocab::{MessageName, Position, RoomName, User, UserId};

/// Rules are asked here: what they say is counted, and logged where they fail.
impl Judge for Engine {
    fn allows(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
        match rule.allows(facts) {
            Ok(true) => true,
            Ok(false) => {
                self.metrics.rule_denials.inc();
                false
            }
            Err(failure) => {
                self.metrics.rule_failures.inc();
                tracing::warn!(rule = rule.text(), %failure, "a rule could not be evaluated, and so denies");
                false
            }
        }
    }
}

impl Engine {
    /// The room called `name`, if a declared pattern has it.
    pub(super) fn target(&self, name: &str) -> Result<Target, Reject> {
        decision::target(&self.plan, name)
    }

    /// Whether the room's own rule lets somebody in.
    pub(super) fn may_join(&self, target: &Target, facts: &Facts<'_>) -> Result<(), Reject> {
        let users_count = self
            .rooms
            .find(target.name.as_str())
            .map_or(0, |hall| hall.lock().room.members.users_count());
        decision::may_join(self, target, users_count, facts)
    }

    /// Whether the room has a place for `user`.
    pub(super) fn has_place(&self, target: &Target, user: &User) -> Result<(), Reject> {
        match self.rooms.find(target.name.as_str()) {
            Some(hall) => place_in(&hall.kind, &hall.name, &hall.lock().room, user),
            None => Ok(()),
        }
    }

    /// A frame asks to join.
    pub(super) fn join_by_frame(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &str,
        since: Option<Position>,
        id: Option<&str>,
    ) -> Result<(), Refused> {
        let endpoint = &connection.endpoint;
        {
            let mut inner = connection.inner.lock();
            let subject = Subject {
                user: Some(&connection.user.id),
                ip: Some(connection.ip),
                endpoint: Some(endpoint),
                room: None,
            };
            self.limits
                .spend(&endpoint.join_limits, subject, Some(&mut inner.buckets))
                .map_err(Refused::TooFast)?;
            decision::room_left(endpoint, inner.seats.iter().map(|hall| &hall.name), name)?;
        }
        let target = self.target(name)?;
        decision::is_joined_here(endpoint, &target)?;
        self.may_join(
            &target,
            &connection.facts(self.clock.now(), self.clock.monotonic()),
        )?;
        self.join(connection, &target, since, Some(id))?;
        Ok(())
    }

    /// Takes a seat. `answer` is there where a frame asked, with that frame's id: then `joined` goes before what is replayed.
    /// Returns what `welcome` says of the room.
    pub(super) fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        target: &Target,
        since: Option<Position>,
        answer: Option<Option<&str>>,
    ) -> Result<serde_json::Value, Reject> {
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
                let is_here = |seat: &Arc<Hall>| Arc::ptr_eq(seat, hall);
                if connection.inner.lock().seats.iter().any(is_here) {
                    return self.join_again(connection, hall, state, since, answer);
                }
                let arrival = state.room.members.enter(&connection.user, self.clock.now());
                let standing = standing(&mut state.room, hall, self, connection);
                let answer = answer.map(|id| joined(id, &standing));
                let replay = state
                    .room
                    .replay(self.clock.now(), since, connection.device());
                let opening = opening(hall, &state.room, answer, replay);
                let receipt = state
                    .room
                    .position()
                    .map(|position| position.seq)
                    .filter(|_| receives_by_reading);
                state.queue.enter(connection.clone(), opening, receipt);
                if arrival == Arrival::New {
                    self.announce_arrival(hall, &state.room, &mut state.queue, connection);
                }
                connection.inner.lock().seats.push(hall.clone());
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
        let hall = seat(connection, name)?;
        let answer = Object::new("left", 64)
            .optional("id", id)
            .field("room", hall.name.as_str())
            .finish();
        if self.depart(connection, &hall, Grace::None, Some(answer)) {
            return Ok(());
        }
        // The application has just taken it out.
        Err(decision::not_joined(name))
    }

    /// The connection broke, or was closed.
    pub(super) fn vacate(self: &Arc<Self>, connection: &Arc<Connection>, hall: &Arc<Hall>) {
        let grace = if hall.kind.presence.grace.is_zero() {
            Grace::None
        } else {
            Grace::Wait
        };
        self.depart(connection, hall, grace, None);
    }

    /// Gives up a seat; says whether there was one.
    pub(super) fn depart(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        hall: &Arc<Hall>,
        grace: Grace,
        answer: Option<Frame>,
    ) -> bool {
        let flush = {
            let mut state = hall.lock();
            if !connection.give_up(hall) {
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

fn place_in(kind: &RoomKind, name: &RoomName, room: &Room, user: &User) -> Result<(), Reject> {
    if room.has(&user.id) {
        return Ok(());
    }
    decision::has_place(kind, name, room.members.users_count())
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
    let found = inner.seats.iter().find(|hall| hall.name.as_str() == name);
    found.cloned().ok_or_else(|| decision::not_joined(name))
}
