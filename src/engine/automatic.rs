//! The rooms that a connection is in from the start: its endpoint's, and those that the application names.

use std::sync::Arc;

use tokio::time::Instant;

use crate::decision::{self, Target};
use crate::engine::Engine;
use crate::engine::admission::{Admission, Arrival};
use crate::engine::joining::{Decision, Pass, Wish};
use crate::engine::ticket::Refusal;
use crate::plan::AutoJoin;
use crate::protocol::{CloseCode, Reject, RejectCode};
use crate::vocab::RoomName;

/// A room to be in from the start.
pub(super) struct Automatic {
    pub(super) target: Target,
    pub(super) pass: Pass,
    /// A refusal leaves it out.
    pub(super) when_allowed: bool,
}

impl Engine {
    /// The endpoint's rooms for whoever comes.
    pub(super) async fn automatic_rooms(
        self: &Arc<Self>,
        admission: &Admission,
    ) -> Result<Vec<Automatic>, Refusal> {
        // All are asked about at once.
        let asked: Vec<_> = admission
            .arrival
            .endpoint
            .auto_join
            .iter()
            .map(|automatic| self.automatic_room(admission, automatic))
            .collect();
        let deadline = Instant::now() + self.plan.server.handshake_timeout;
        let mut rooms: Vec<Automatic> = Vec::new();
        for (automatic, asked) in admission.arrival.endpoint.auto_join.iter().zip(asked) {
            let when_allowed = automatic.when_allowed;
            let passed = match asked {
                Ok((target, decision)) => match decision.settle(deadline).await {
                    Ok(pass) => {
                        let user = &admission.arrival.identity.user;
                        let place = self.has_place(&target, user);
                        place.map(|()| (target, pass)).map_err(refusal)
                    }
                    Err(reject) => Err(refusal(reject)),
                },
                Err(refusal) => Err(refusal),
            };
            match passed {
                // Two templates may come to one name.
                Ok((target, _)) if is_among(&rooms, &target.name) => {}
                Ok((target, pass)) => rooms.push(Automatic {
                    target,
                    pass,
                    when_allowed,
                }),
                Err(_) if when_allowed => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(rooms)
    }

    /// An automatic room, and whether it may be joined.
    fn automatic_room(
        self: &Arc<Self>,
        admission: &Admission,
        automatic: &AutoJoin,
    ) -> Result<(Target, Decision), Refusal> {
        let arrival = &admission.arrival;
        let facts = admission.facts(self.clock.now());
        let target = decision::automatic(&self.plan, automatic, &facts)
            .inspect_err(|reject| {
                if let Some(cause) = &reject.cause {
                    tracing::warn!(cause, endpoint = %arrival.endpoint.path, "the name of an automatic room could not be made");
                }
            })
            .map_err(refusal)?;
        let wish = Wish {
            facts: &facts,
            user: &arrival.identity.user,
            endpoint: &arrival.endpoint,
            tokens: &arrival.join_tokens,
        };
        let decision = self.rule_on(&target, wish);
        Ok((target, decision))
    }

    /// Adds the rooms that the application puts the connection into. It has decided: no rule is asked, but the endpoint has to
    /// have rooms of the kind, and the room a place.
    pub(super) fn add_granted_rooms(&self, admission: &mut Admission) -> Result<(), Refusal> {
        let granted = admission.arrival.granted.clone();
        for name in granted.iter() {
            let Arrival {
                endpoint, identity, ..
            } = &admission.arrival;
            if is_among(&admission.rooms, name) {
                continue;
            }
            let target = self.target(name.as_str()).ok();
            let target = target.filter(|target| {
                let mut kinds = endpoint.rooms.iter();
                kinds.any(|kind| kind.index == target.kind.index)
            });
            let is_full = admission.rooms.len() >= endpoint.limits.rooms_per_connection.max;
            let Some(target) = target.filter(|_| !is_full) else {
                let (user, endpoint) = (&identity.user.id, &endpoint.path);
                tracing::warn!(%user, %endpoint, room = %name, is_full, "the application puts a user into a room that the endpoint does not have, or into too many");
                let message = "the application has put you into a room that cannot be joined here";
                return Err(Refusal::unavailable(message, CloseCode::Internal));
            };
            self.has_place(&target, &identity.user)
                .map_err(|reject| Refusal::forbidden(reject.message))?;
            let facts = admission.facts(self.clock.now());
            let facts = target.facts(self.users_in(&target), &facts);
            let pass = Pass::granted(decision::audiences(self, &target, &facts));
            admission.rooms.push(Automatic {
                target,
                pass,
                when_allowed: false,
            });
        }
        Ok(())
    }
}

fn is_among(rooms: &[Automatic], name: &RoomName) -> bool {
    rooms.iter().any(|room| room.target.name == *name)
}

fn refusal(reject: Reject) -> Refusal {
    match reject.code {
        RejectCode::Unavailable | RejectCode::Internal => {
            Refusal::unavailable(reject.message, CloseCode::Overloaded)
        }
        _ => Refusal::forbidden(reject.message),
    }
}
