//! Where a valid message goes: to a room, to a user, back; once for each idempotency key.

use std::hash::BuildHasher;
use std::sync::Arc;

use crate::decision;
use crate::engine::connection::Connection;
use crate::engine::feed::{Audience, Feed, Say};
use crate::engine::membership::flush_if_needed;
use crate::engine::pipeline::{Origin, Place, Refused, Valid};
use crate::engine::waiting::Keep;
use crate::engine::{Engine, Hall, flush};
use crate::plan::{Conflate, Overflow, Protocol, Route};
use crate::protocol::{Frame, Reject, RejectCode};
use crate::room::{Outcome, Room, Seen};
use crate::vocab::{Monotonic, RoomName};

/// A message for a room's readers.
struct Post<'v, 'a> {
    valid: &'v Valid<'a>,
    audience: Audience,
    keep: Keep,
}

/// What a post came to.
struct Posted {
    outcome: Outcome,
    /// The room needs a flush.
    flush: Option<Arc<Hall>>,
    /// When the room has to be looked at, because something is kept back.
    alarm: Option<(Arc<Hall>, Monotonic)>,
}

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
                let id = decision::recipient(expression, &self.facts(&valid.0))?;
                self.keyed(valid, |outcome| self.send_to_user(valid, &id, outcome))
            }
            Route::OtherRoom(template) => {
                let target = decision::other_room(&self.plan, template, &self.facts(&valid.0))?;
                self.post(valid, &Place::Room(target), Audience::Everyone)
            }
        }
    }

    fn send_to_user(&self, valid: &Valid<'_>, user: &str, outcome: &Outcome) {
        let decoded = &valid.0.decoded;
        let frame = self.message_frame(&valid.0, None, outcome);
        let connections = self.users.connections(user);
        let keep = match decoded.message.overflow {
            Overflow::Close => Keep::Always,
            Overflow::Drop => Keep::IfRoom,
        };
        for connection in &connections {
            connection.send_with(&frame, keep);
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
                let body = (decoded.message.name.as_str(), valid.0.sent());
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
        let posted = match place {
            Place::Seat(hall) => {
                let post = self.to_post(valid, audience, &hall.name)?;
                let mut state = hall.lock();
                let state = &mut *state;
                is_still_there(valid, hall)?;
                self.post_into(&post, hall, &mut state.room, &mut state.queue)
            }
            Place::Room(target) => {
                let post = self.to_post(valid, audience, &target.name)?;
                let (name, kind) = (&target.name, &target.kind);
                self.rooms
                    .with(name, kind, &target.parameters, |hall, state| {
                        self.post_into(&post, hall, &mut state.room, &mut state.queue)
                    })
            }
            Place::Endpoint | Place::User(_) => return Err(decision::no_room().into()),
        }?;
        if let Some((hall, at)) = posted.alarm {
            self.alarms.at(at, hall);
        }
        if let Some(hall) = posted.flush {
            flush::spawn_flush(self, &hall);
        }
        Ok(posted.outcome)
    }

    fn to_post<'v, 'a>(
        &self,
        valid: &'v Valid<'a>,
        audience: Audience,
        room: &RoomName,
    ) -> Result<Post<'v, 'a>, Refused> {
        let message = &valid.0.decoded.message;
        let keep = match (&message.conflate, message.overflow) {
            (Some(conflate), _) => Keep::Newest(self.subject(valid, conflate, room)?),
            (None, Overflow::Drop) => Keep::IfRoom,
            (None, Overflow::Close) => Keep::Always,
        };
        Ok(Post {
            valid,
            audience,
            keep,
        })
    }

    /// What tells messages of a thinned type apart, in all rooms: the room, the type and the key.
    fn subject(
        &self,
        valid: &Valid<'_>,
        conflate: &Conflate,
        room: &RoomName,
    ) -> Result<u64, Refused> {
        let key = decision::thinning_key(conflate, &self.facts(&valid.0))?;
        let message = valid.0.decoded.message.index;
        Ok(self
            .subjects
            .hash_one((room.as_str(), message, key.to_string())))
    }

    fn post_into(
        &self,
        post: &Post<'_, '_>,
        hall: &Arc<Hall>,
        room: &mut Room,
        queue: &mut Feed,
    ) -> Result<Posted, Refused> {
        let valid = post.valid;
        let decoded = &valid.0.decoded;
        if queue.is_full() {
            let text = "the room has more to deliver than it can: try again";
            return Err(Reject::new(RejectCode::Unavailable, text).into());
        }
        if let Keep::Newest(subject) = post.keep
            && !queue.has_place(subject)
        {
            let name = &decoded.message.name;
            let text = format!("`{name}` has more keys at a time here than it may");
            return Err(Reject::new(RejectCode::Unavailable, text).into());
        }
        let (outcome, is_fresh) = self.outcome(valid, room)?;
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
        let alarm = if is_fresh {
            self.publish_fresh(post, hall, room, queue, outcome)
        } else {
            None
        };
        if let Some(answer) = answer {
            say(answer, queue);
        }
        Ok(Posted {
            outcome,
            flush: flush_if_needed(hall, queue),
            alarm: alarm.map(|at| (hall.clone(), at)),
        })
    }

    /// What a post comes to, and whether that is new: one with a key that came before comes to the same again.
    fn outcome(&self, valid: &Valid<'_>, room: &mut Room) -> Result<(Outcome, bool), Refused> {
        let decoded = &valid.0.decoded;
        let message = &decoded.message;
        let body = (message.name.as_str(), valid.0.sent());
        let seen = decoded.key.as_ref().map_or(Seen::Never, |key| {
            room.keys
                .look(decoded.origin.key_owner(), key, body, valid.0.now)
        });
        match seen {
            Seen::Differently => Err(key_reused().into()),
            Seen::Before(outcome) => Ok((outcome, false)),
            Seen::Never => {
                let stores =
                    message.stored && matches!(message.to, Route::Room | Route::OtherRoom(_));
                let seq = room.next_seq().filter(|_| stores);
                let message_id = self.next_message_id();
                Ok((Outcome { message_id, seq }, true))
            }
        }
    }

    /// Stores a message and hands it to the room's readers; returns when the room has to be looked at, where it is kept back.
    fn publish_fresh(
        &self,
        post: &Post<'_, '_>,
        hall: &Hall,
        room: &mut Room,
        queue: &mut Feed,
        outcome: Outcome,
    ) -> Option<Monotonic> {
        let admitted = &post.valid.0;
        let decoded = &admitted.decoded;
        let message = &decoded.message;
        let frame = self.message_frame(admitted, Some(&hall.name), &outcome);
        let say = Say {
            audience: post.audience,
            of: message.audience,
            frame: frame.clone(),
            message: Some(message.index),
            seq: outcome.seq,
            keep: post.keep,
        };
        let alarm = match (&message.conflate, post.keep) {
            (Some(conflate), Keep::Newest(subject)) => {
                queue.publish_thinned(say, subject, conflate.every, self.clock.monotonic())
            }
            _ => {
                queue.publish(say);
                None
            }
        };
        if outcome.seq.is_some() {
            room.store(admitted.now, outcome.message_id, message.audience, frame);
        }
        if let Some(key) = &decoded.key {
            let body = (message.name.as_str(), admitted.sent());
            let owner = decoded.origin.key_owner();
            room.keys.remember(owner, key, body, outcome, admitted.now);
        }
        alarm
    }

    /// Says what a room kept back until now.
    pub(super) fn say_due(self: &Arc<Self>, hall: &Arc<Hall>) {
        let (alarm, flush) = {
            let mut state = hall.lock();
            let alarm = state.queue.say_due(self.clock.monotonic());
            (alarm, flush_if_needed(hall, &mut state.queue))
        };
        if let Some(at) = alarm {
            self.alarms.at(at, hall.clone());
        }
        if let Some(hall) = flush {
            flush::spawn_flush(self, &hall);
        }
    }
}

fn key_reused() -> Reject {
    Reject::new(
        RejectCode::KeyReused,
        "this key came before with another message",
    )
}

/// Whether the sender is in the room: the application may have taken it out since the frame came. Under the room's lock.
fn is_still_there(valid: &Valid<'_>, hall: &Arc<Hall>) -> Result<(), Reject> {
    let Origin::Client(connection) = &valid.0.decoded.origin else {
        return Ok(());
    };
    let inner = connection.inner.lock();
    if inner.seats.iter().any(|seat| Arc::ptr_eq(&seat.hall, hall)) {
        return Ok(());
    }
    Err(decision::not_joined(hall.name.as_str()))
}
