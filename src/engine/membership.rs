//! Joining and leaving rooms, and who is told.

use std::sync::Arc;

use crate::broker::memory::HallState;
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::flush;
use crate::engine::limit::Subject;
use crate::engine::pipeline::Refused;
use crate::engine::presence::{MEMBERS_PAGE_MAX, gap, joined, members_frame, standing};
use crate::engine::{Engine, Hall};
use crate::plan::{AnnounceTo, CountLimit, RateKey, Receipt, RoomKind};
use crate::protocol::{Frame, Object, Reject, RejectCode};
use crate::room::{Arrival, Replay, Room};
use crate::rule::{Facts, RoomFacts, Rule};
use crate::telemetry::CountLimitName;
use crate::vocab::{MessageName, Parameters, Position, RoomName, User};

/// A room's name and what it is an instance of.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: RoomName,
    pub(super) kind: Arc<RoomKind>,
    pub(super) parameters: Parameters,
}

impl Engine {
    /// The room called `name`, if a declared pattern has it.
    pub(super) fn target(&self, name: &str) -> Result<Target, Reject> {
        let shown: String = name.chars().take(128).collect();
        let name = RoomName::parse(name).map_err(|error| {
            Reject::new(
                RejectCode::BadRoom,
                format!("`{shown}` is not a room's name: {error}"),
            )
        })?;
        match self.plan.room_kind(&name) {
            Some((kind, parameters)) => Ok(Target {
                kind: kind.clone(),
                parameters,
                name,
            }),
            None => Err(Reject::new(
                RejectCode::BadRoom,
                format!("there is no room `{shown}`"),
            )),
        }
    }

    /// What a rule says; one that fails to evaluate denies, and the log names it.
    pub(super) fn allows(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
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

    /// Whether the room's own rule lets somebody in.
    pub(super) fn may_join(&self, target: &Target, facts: &Facts<'_>) -> Result<(), Reject> {
        let users_count = self
            .rooms
            .find(target.name.as_str())
            .map_or(0, |hall| hall.lock().room.members.users_count());
        let facts = Facts {
            params: Some(&target.parameters),
            room: Some(RoomFacts {
                name: target.name.as_str(),
                users_count,
            }),
            ..*facts
        };
        if self.allows(&target.kind.may_join, &facts) {
            return Ok(());
        }
        let message = format!("you may not join `{}`", target.name);
        Err(Reject::new(RejectCode::Forbidden, message)
            .cause(format!("may_join: {}", target.kind.may_join.text())))
    }

    /// Whether the room has a place for `user`.
    pub(super) fn has_place(&self, target: &Target, user: &User) -> Result<(), Reject> {
        match self.rooms.find(target.name.as_str()) {
            Some(hall) => {
                // What a dry run would refuse is counted when it joins.
                let limit = CountLimit {
                    tried: None,
                    ..hall.kind.users
                };
                self.place_in(limit, &hall.name, &hall.lock().room, user)
            }
            None => Ok(()),
        }
    }

    fn place_in(
        &self,
        limit: CountLimit,
        name: &RoomName,
        room: &Room,
        user: &User,
    ) -> Result<(), Reject> {
        let others = room.members.users_count();
        if room.has(&user.id)
            || self
                .limits
                .has_room(CountLimitName::RoomUsers, limit, others)
        {
            return Ok(());
        }
        let message = format!("`{name}` has as many users as it may");
        Err(Reject::new(RejectCode::RoomFull, message))
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
            let subject = Subject::joining(connection);
            self.limits
                .spend(&endpoint.join_limits, subject, Some(&mut inner.buckets))
                .map_err(Refused::TooFast)?;
            let is_here = inner.seats.iter().any(|hall| hall.name.as_str() == name);
            let (name, limit) = (
                CountLimitName::RoomsPerConnection,
                endpoint.limits.rooms_per_connection,
            );
            if !is_here && !self.limits.has_room(name, limit, inner.seats.len()) {
                let message = format!("a connection may be in {} rooms here", limit.max);
                return Err(Reject::new(RejectCode::TooManyRooms, message).into());
            }
        }
        let target = self.target(name)?;
        if !endpoint
            .rooms
            .iter()
            .any(|kind| kind.index == target.kind.index)
        {
            return Err(Reject::new(
                RejectCode::Forbidden,
                "rooms of this kind are not joined here",
            )
            .into());
        }
        self.may_join(
            &target,
            &connection.facts(self.clock.now(), self.clock.monotonic()),
        )?;
        self.spend_join(connection, &target.name)?;
        self.join(connection, &target, since, Some(id))?;
        Ok(())
    }

    /// Takes the tokens of joining a room from its own buckets: of who may join it, so that nobody else can empty them.
    fn spend_join(&self, connection: &Connection, room: &RoomName) -> Result<(), Refused> {
        let limits = connection.endpoint.join_limits.iter();
        let subject = Subject {
            room: Some(room),
            ..Subject::joining(connection)
        };
        self.limits
            .spend(
                limits.filter(|limit| limit.per == RateKey::Room),
                subject,
                None,
            )
            .map_err(Refused::TooFast)
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
                self.place_in(hall.kind.users, &hall.name, &state.room, &connection.user)?;
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

/// The room of that name, if the connection is in it.
pub(super) fn seat(connection: &Connection, name: &str) -> Result<Arc<Hall>, Reject> {
    let inner = connection.inner.lock();
    let found = inner.seats.iter().find(|hall| hall.name.as_str() == name);
    found.cloned().ok_or_else(|| not_joined(name))
}

pub(super) fn not_joined(name: &str) -> Reject {
    let shown: String = name.chars().take(128).collect();
    Reject::new(RejectCode::NotJoined, format!("you are not in `{shown}`"))
}
