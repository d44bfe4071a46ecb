//! Who may join which room, and as what: the rules of the room, evaluated when somebody wants in.

use std::sync::Arc;

use crate::decision::{self, Target};
use crate::engine::connection::Connection;
use crate::engine::limit::Subject;
use crate::engine::pipeline::Refused;
use crate::engine::{Engine, Hall};
use crate::plan::{CountLimit, RateKey};
use crate::protocol::Reject;
use crate::room::Room;
use crate::rule::Facts;
use crate::telemetry::CountLimitName;
use crate::vocab::{AudienceSet, Position, RoomName, User};

/// The room that there is.
pub(super) fn target_of(hall: &Hall) -> Target {
    Target {
        name: hall.name.clone(),
        kind: hall.kind.clone(),
        parameters: hall.parameters.clone(),
    }
}

/// What lets somebody into a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The room's audiences that it makes one a reader of.
    pub(super) audiences: AudienceSet,
}

impl Engine {
    /// The room called `name`, if a declared pattern has it.
    pub(super) fn target(&self, name: &str) -> Result<Target, Reject> {
        decision::target(&self.plan, name)
    }

    /// What the room's own rules say of somebody who wants in.
    pub(super) fn may_join(&self, target: &Target, facts: &Facts<'_>) -> Result<Pass, Reject> {
        let users_count = self
            .rooms
            .find(target.name.as_str())
            .map_or(0, |hall| hall.lock().room.members.users_count());
        self.judge(target, users_count, facts)
    }

    /// What the room's own rules say of somebody, where there are `users_count` users.
    pub(super) fn judge(
        &self,
        target: &Target,
        users_count: usize,
        facts: &Facts<'_>,
    ) -> Result<Pass, Reject> {
        let audiences = decision::may_join(self, target, users_count, facts)?;
        Ok(Pass { audiences })
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
                self.place_in(limit, &hall, &hall.lock().room, user)
            }
            None => Ok(()),
        }
    }

    /// Whether `room` has a place for `user`; counts what exceeds `limit`, and what would.
    pub(super) fn place_in(
        &self,
        limit: CountLimit,
        hall: &Hall,
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
        decision::has_place(&hall.kind, &hall.name, others)
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
            let rooms = inner.seats.iter().map(|seat| &seat.hall.name);
            if !rooms.clone().any(|room| room.as_str() == name) {
                let limit = endpoint.limits.rooms_per_connection;
                self.limits
                    .has_room(CountLimitName::RoomsPerConnection, limit, rooms.len());
            }
            decision::room_left(endpoint, rooms, name)?;
        }
        let target = self.target(name)?;
        decision::is_joined_here(endpoint, &target)?;
        let user = connection.identity();
        let facts = connection.facts(&user, self.clock.now(), self.clock.monotonic());
        let pass = self.may_join(&target, &facts)?;
        self.spend_join(connection, &target.name)?;
        self.join(connection, &target, pass, since, Some(id))?;
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
}
