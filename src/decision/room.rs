//! Which room a name means, and who may be in it.

use std::sync::Arc;

use crate::decision::Judge;
use crate::plan::{AutoJoin, Endpoint, Plan, RoomKind};
use crate::protocol::{Reject, RejectCode};
use crate::rule::{Facts, RoomFacts, Rule};
use crate::vocab::{AudienceSet, Parameters, RoomName};

/// A room's name and what it is an instance of.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name.
    pub name: RoomName,
    /// The kind that it is an instance of.
    pub kind: Arc<RoomKind>,
    /// The parameters of its name.
    pub parameters: Parameters,
}

impl Target {
    /// What rules of the room see, where there are `users_count` users, beside `facts`.
    pub fn facts<'a>(&'a self, users_count: usize, facts: &Facts<'a>) -> Facts<'a> {
        Facts {
            params: Some(&self.parameters),
            room: Some(RoomFacts {
                name: self.name.as_str(),
                users_count,
            }),
            ..*facts
        }
    }
}

/// The room called `name`, if a declared pattern has it.
///
/// # Errors
/// `bad_room`: it is no name, or no pattern has it.
pub fn target(plan: &Plan, name: &str) -> Result<Target, Reject> {
    let shown: String = name.chars().take(128).collect();
    let name = RoomName::parse(name).map_err(|error| {
        Reject::new(
            RejectCode::BadRoom,
            format!("`{shown}` is not a room's name: {error}"),
        )
    })?;
    match plan.room_kind(&name) {
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

/// Whether the endpoint's own rule lets in whoever `facts` are about.
///
/// # Errors
/// `forbidden`.
pub fn may_connect(judge: &impl Judge, allow: &Rule, facts: &Facts<'_>) -> Result<(), Reject> {
    if judge.allows(allow, facts) {
        return Ok(());
    }
    let reject = Reject::new(RejectCode::Forbidden, "you may not connect here");
    Err(reject.cause("allow"))
}

/// The automatic room of whoever `facts` are about.
///
/// # Errors
/// Its template yields no room's name; where it could not be rendered, the cause says why.
pub fn automatic(plan: &Plan, automatic: &AutoJoin, facts: &Facts<'_>) -> Result<Target, Reject> {
    let name = automatic.room.render(facts).map_err(|failure| {
        Reject::new(RejectCode::BadRoom, "this room has no valid name").cause(failure.to_string())
    })?;
    target(plan, &name)
}

/// Whether a connection that is in `rooms` of them may be in one room more.
///
/// # Errors
/// `too_many_rooms`.
pub fn room_left(endpoint: &Endpoint, rooms: usize) -> Result<(), Reject> {
    let max = endpoint.limits.rooms_per_connection.max;
    if rooms < max {
        return Ok(());
    }
    Err(no_room_left(endpoint))
}

/// That a connection is in as many rooms as it may.
pub fn no_room_left(endpoint: &Endpoint) -> Reject {
    let max = endpoint.limits.rooms_per_connection.max;
    let message = format!("a connection may be in {max} rooms here");
    Reject::new(RejectCode::TooManyRooms, message)
}

/// Whether frames join rooms of this kind at `endpoint`.
///
/// # Errors
/// `forbidden`.
pub fn is_joined_here(endpoint: &Endpoint, target: &Target) -> Result<(), Reject> {
    let mut kinds = endpoint.rooms.iter();
    if kinds.any(|kind| kind.index == target.kind.index) {
        return Ok(());
    }
    Err(Reject::new(
        RejectCode::Forbidden,
        "rooms of this kind are not joined here",
    ))
}

/// Whether `rule`, the room's own, lets in whoever `facts`, the room's, are about; the audiences that it is of then.
///
/// # Errors
/// `forbidden`.
pub fn is_let_in(
    judge: &impl Judge,
    rule: &Rule,
    target: &Target,
    facts: &Facts<'_>,
) -> Result<AudienceSet, Reject> {
    if judge.allows(rule, facts) {
        return Ok(audiences(judge, target, facts));
    }
    let cause = format!("may_join: {}", rule.text());
    Err(may_not_join(&target.name).cause(cause))
}

/// The audiences that the room's rules say somebody is of.
pub fn audiences(judge: &impl Judge, target: &Target, facts: &Facts<'_>) -> AudienceSet {
    let audiences = target.kind.audiences.iter().enumerate();
    let of = audiences.filter(|(_, audience)| judge.holds(&audience.rule, facts));
    of.filter_map(|(number, _)| AudienceSet::of(number))
        .collect()
}

/// That somebody is not let into a room.
pub fn may_not_join(room: &RoomName) -> Reject {
    Reject::new(RejectCode::Forbidden, format!("you may not join `{room}`"))
}

/// Whether a room of `users_count` users has a place for one who is not among them.
///
/// # Errors
/// `room_full`.
pub fn has_place(kind: &RoomKind, name: &RoomName, users_count: usize) -> Result<(), Reject> {
    if users_count < kind.users.max {
        return Ok(());
    }
    let message = format!("`{name}` has as many users as it may");
    Err(Reject::new(RejectCode::RoomFull, message))
}
