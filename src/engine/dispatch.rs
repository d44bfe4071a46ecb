//! Where a valid message goes: to a room, to a user, back; once for each idempotency key.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed};
use crate::engine::flush;
use crate::engine::membership::flush_if_needed;
use crate::engine::pipeline::{Origin, Place, Refused, Valid};
use crate::engine::{Engine, Hall};
use crate::plan::{Protocol, Route};
use crate::protocol::{Frame, Reject, RejectCode};
use crate::room::{Outcome, Room, Seen};

impl Engine {
    pub(super) fn dispatch(self: &Arc<Self>, valid: &Valid<'_>) -> Result<Outcome, Refused> {
        let decoded = &valid.0.decoded;
        if let Place::User(user) = &decoded.place {
            return self.keyed(valid, |outcome| {
                self.send_to_user(valid, user.as_str(), outcome)
            });
        }
        if let (Origin::Application(_), Place::Room(_)) = (&decoded.origin, &decoded.place) {
            // It was published to this room, whatever the type's own `to`: the key's rooms were checked for this one.
            return self.post(valid, &decoded.place, Audience::Everyone);
        }
        let Origin::Client(connection) = &decoded.origin else {
            let cause = "the application publishes to rooms and users alone";
            return Err(Reject::new(RejectCode::Internal, "internal error")
                .cause(cause)
                .into());
        };
        match &decoded.message.to {
            Route::Room => self.post(valid, &decoded.place, Audience::Everyone),
            Route::Others => {
                let audience = Audience::NotUser(connection.user_serial);
                self.post(valid, &decoded.place, audience)
            }
            Route::OtherConnections => {
                let audience = Audience::NotConnection(connection.serial);
                self.post(valid, &decoded.place, audience)
            }
            Route::Sender | Route::None => self.keyed(valid, |_| ()),
            Route::User(expression) => {
                let id = expression
                    .evaluate(&self.facts(&valid.0))
                    .ok()
                    .and_then(|value| match value {
                        Value::String(id) => Some(id),
                        Value::Number(id) => Some(id.to_string()),
                        _ => None,
                    });
                let Some(id) = id else {
                    return Err(Reject::new(
                        RejectCode::BadFrame,
                        "the data names no user to send this to",
                    )
                    .into());
                };
                self.keyed(valid, |outcome| self.send_to_user(valid, &id, outcome))
            }
            Route::OtherRoom(template) => {
                let name = template.render(&self.facts(&valid.0)).map_err(|failure| {
                    Reject::new(
                        RejectCode::BadRoom,
                        "the data names no room to send this to",
                    )
                    .cause(failure.to_string())
                })?;
                let target = self.target(&name)?;
                self.post(valid, &Place::Room(target), Audience::Everyone)
            }
        }
    }

    fn send_to_user(&self, valid: &Valid<'_>, user: &str, outcome: &Outcome) {
        let decoded = &valid.0.decoded;
        let frame = self.message_frame(&valid.0, None, outcome);
        let connections = self.users.connections(user);
        for connection in &connections {
            connection.send(&frame);
        }
        self.metrics.messages_delivered[decoded.message.index].inc_by(connections.len() as u64);
    }

    /// Does what a message that goes to no room asks for, once for each idempotency key, and answers.
    fn keyed(&self, valid: &Valid<'_>, act: impl FnOnce(&Outcome)) -> Result<Outcome, Refused> {
        let decoded = &valid.0.decoded;
        let fresh = Outcome {
            message_id: self.next_message_id(),
            seq: None,
        };
        let outcome = match &decoded.key {
            None => {
                act(&fresh);
                fresh
            }
            Some(key) => {
                // A key counts for one place. Neither names nor user ids hold a NUL, so the first one ends the place.
                let key = match (&decoded.place, &decoded.origin) {
                    (Place::User(user), _) => format!("user {user}\0{key}"),
                    (Place::Seat(hall), _) => format!("room {}\0{key}", hall.name),
                    (Place::Room(target), _) => format!("room {}\0{key}", target.name),
                    (Place::Endpoint, Origin::Client(connection)) => {
                        format!("endpoint {}\0{key}", connection.endpoint.path)
                    }
                    (Place::Endpoint, Origin::Application(_)) => format!("endpoint\0{key}"),
                };
                let body = (decoded.message.name.as_str(), &*decoded.data);
                let (owner, now) = (decoded.origin.key_owner(), valid.0.now);
                let mut keys = self.endpoint_keys.lock();
                match keys.look(owner, &key, body, now) {
                    Seen::Differently => return Err(key_reused().into()),
                    Seen::Before(outcome) => outcome,
                    Seen::Never => {
                        // Remembered before it is done, so that the same from another connection is not done too.
                        keys.remember(owner, &key, body, fresh, now);
                        drop(keys);
                        act(&fresh);
                        fresh
                    }
                }
            }
        };
        self.answer_directly(valid, &outcome);
        Ok(outcome)
    }

    fn answer_directly(&self, valid: &Valid<'_>, outcome: &Outcome) {
        let Origin::Client(connection) = &valid.0.decoded.origin else {
            return;
        };
        let room = valid.0.decoded.place.room().map(|(name, _)| name);
        if let Some(frame) = self.answer_of(valid, room, outcome) {
            connection.send(&frame);
        }
    }

    /// Stores a message in a room, and has it delivered there.
    fn post(
        self: &Arc<Self>,
        valid: &Valid<'_>,
        place: &Place,
        audience: Audience,
    ) -> Result<Outcome, Refused> {
        let (outcome, flush) = match place {
            Place::Seat(hall) => {
                let mut state = hall.lock();
                let state = &mut *state;
                self.post_into(valid, hall, &mut state.room, &mut state.queue, audience)
            }
            Place::Room(target) => self.rooms.with(
                &target.name,
                &target.kind,
                &target.parameters,
                |hall, state| {
                    self.post_into(valid, hall, &mut state.room, &mut state.queue, audience)
                },
            ),
            Place::Endpoint | Place::User(_) => Err(Reject::new(
                RejectCode::BadRoom,
                "this message goes to a room: say which",
            )
            .into()),
        }?;
        if let Some(hall) = flush {
            flush::spawn_flush(self, &hall);
        }
        Ok(outcome)
    }

    fn post_into(
        &self,
        valid: &Valid<'_>,
        hall: &Arc<Hall>,
        room: &mut Room,
        queue: &mut Feed,
        audience: Audience,
    ) -> Result<(Outcome, Option<Arc<Hall>>), Refused> {
        let decoded = &valid.0.decoded;
        let message = &decoded.message;
        if queue.is_full() {
            return Err(Reject::new(
                RejectCode::Unavailable,
                "the room has more to deliver than it can: try again",
            )
            .into());
        }
        let now = valid.0.now;
        let body = (message.name.as_str(), &*decoded.data);
        let seen = decoded.key.as_ref().map_or(Seen::Never, |key| {
            room.keys.look(decoded.origin.key_owner(), key, body, now)
        });
        let (outcome, fresh) = match seen {
            Seen::Differently => return Err(key_reused().into()),
            Seen::Before(outcome) => (outcome, false),
            Seen::Never => {
                let stores =
                    message.stored && matches!(message.to, Route::Room | Route::OtherRoom(_));
                let seq = room.next_seq().filter(|_| stores);
                let message_id = self.next_message_id();
                (Outcome { message_id, seq }, true)
            }
        };
        let mut answer = match &decoded.origin {
            Origin::Client(connection) => self
                .answer_of(valid, Some(&hall.name), &outcome)
                .map(|frame| (*connection, frame)),
            Origin::Application(_) => None,
        };
        let reads_here = matches!(&decoded.place, Place::Seat(seat) if Arc::ptr_eq(seat, hall));
        let say = |(connection, frame): (&Arc<Connection>, Frame), queue: &mut Feed| {
            if reads_here {
                queue.answer(connection.serial, frame);
            } else {
                connection.send(&frame);
            }
        };
        // On text endpoints the personal answer comes before what everyone hears; acks come behind what they acknowledge.
        let is_text = |(connection, _): &mut (&Arc<Connection>, Frame)| {
            matches!(connection.endpoint.protocol, Protocol::Text(_))
        };
        if let Some(answer) = answer.take_if(is_text) {
            say(answer, queue);
        }
        if fresh {
            let frame = self.message_frame(&valid.0, Some(&hall.name), &outcome);
            if outcome.seq.is_some() {
                room.store(now, outcome.message_id, frame.clone());
            }
            if let Some(key) = &decoded.key {
                room.keys
                    .remember(decoded.origin.key_owner(), key, body, outcome, now);
            }
            queue.publish(audience, frame, message.index, outcome.seq);
        }
        if let Some(answer) = answer {
            say(answer, queue);
        }
        Ok((outcome, flush_if_needed(hall, queue)))
    }
}

fn key_reused() -> Reject {
    Reject::new(
        RejectCode::KeyReused,
        "this key came before with another message",
    )
}
