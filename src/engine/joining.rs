//! Who may join which room, and as what: the rules of the room, evaluated when somebody wants in.

use std::sync::Arc;

use crate::engine::connection::Connection;
use crate::engine::limit::Subject;
use crate::engine::pipeline::Refused;
use crate::engine::{Engine, Hall};
use crate::plan::RoomKind;
use crate::protocol::{Reject, RejectCode};
use crate::room::Room;
use crate::rule::{Facts, RoomFacts};
use crate::vocab::{AudienceSet, Parameters, Position, RoomName, User};

/// A room's name and what it is an instance of.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: RoomName,
    pub(super) kind: Arc<RoomKind>,
    pub(super) parameters: Parameters,
}

impl Target {
    /// The room that there is.
    pub(super) fn of(hall: &Hall) -> Self {
        Self {
            name: hall.name.clone(),
            kind: hall.kind.clone(),
            parameters: hall.parameters.clone(),
        }
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
        let facts = Facts {
            params: Some(&target.parameters),
            room: Some(RoomFacts {
                name: target.name.as_str(),
                users_count,
            }),
            ..*facts
        };
        if !self.allows(&target.kind.may_join, &facts) {
            let message = format!("you may not join `{}`", target.name);
            return Err(Reject::new(RejectCode::Forbidden, message).cause("may_join"));
        }
        let audiences = target.kind.audiences.iter().enumerate();
        let of = audiences.filter(|(_, audience)| self.holds(&audience.rule, &facts));
        Ok(Pass {
            audiences: of
                .filter_map(|(number, _)| AudienceSet::of(number))
                .collect(),
        })
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
            let is_here = inner.seats.iter().any(|hall| hall.name.as_str() == name);
            if !is_here && inner.seats.len() >= endpoint.limits.rooms_per_connection {
                let message = format!(
                    "a connection may be in {} rooms here",
                    endpoint.limits.rooms_per_connection
                );
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
        let user = connection.identity();
        let facts = connection.facts(&user, self.clock.now(), self.clock.monotonic());
        let pass = self.may_join(&target, &facts)?;
        self.join(connection, &target, pass, since, Some(id))?;
        Ok(())
    }
}

pub(super) fn place_in(
    kind: &RoomKind,
    name: &RoomName,
    room: &Room,
    user: &User,
) -> Result<(), Reject> {
    if room.has(&user.id) || room.members.users_count() < kind.users_max {
        return Ok(());
    }
    let message = format!("`{name}` has as many users as it may");
    Err(Reject::new(RejectCode::RoomFull, message))
}
