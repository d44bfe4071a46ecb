//! The frames that a message becomes: what readers get, and what its sender gets back.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::engine::pipeline::{Admitted, Origin, Valid};
use crate::engine::{Engine, render};
use crate::plan::{Protocol, Route, TextProtocol};
use crate::protocol::{Frame, Object};
use crate::room::Outcome;
use crate::vocab::RoomName;

impl Engine {
    pub(super) fn message_frame(
        &self,
        admitted: &Admitted<'_>,
        room: Option<&RoomName>,
        outcome: &Outcome,
    ) -> Frame {
        let decoded = &admitted.decoded;
        let mut frame = Object::new(decoded.message.name.as_str(), 192 + decoded.data.len());
        if let Some(room) = room {
            frame = frame.text("room", room.as_str());
        }
        frame = frame.plain("message_id", outcome.message_id);
        if let Some(seq) = outcome.seq {
            frame = frame.field("seq", &seq.get());
        }
        if let Some(user) = &admitted.user {
            frame = frame.user("sender", user);
        }
        frame
            .json("data", &decoded.data)
            .plain("timestamp", admitted.now)
            .finish()
    }

    /// What the sender gets back: a reply, an ack, or nothing. `room` is where the message went.
    pub(super) fn answer_of(
        &self,
        valid: &Valid<'_>,
        room: Option<&RoomName>,
        outcome: &Outcome,
    ) -> Option<Frame> {
        let decoded = &valid.0.decoded;
        let Origin::Client(connection) = &decoded.origin else {
            return None;
        };
        let message = &decoded.message;
        if let Protocol::Text(protocol) = &connection.endpoint.protocol {
            return self.text_answer(valid, protocol);
        }
        let id = decoded.id.as_deref();
        let room = room.map(RoomName::as_str);
        if message.reply.is_some() || matches!(message.to, Route::Sender) {
            let data = self.reply_data(valid)?;
            let frame = Object::new(message.name.as_str(), 128 + data.len())
                .optional("id", id)
                .optional("room", room);
            return Some(
                frame
                    .plain("message_id", outcome.message_id)
                    .json("data", &data)
                    .plain("timestamp", valid.0.now)
                    .finish(),
            );
        }
        if id.is_none() && !message.ack {
            return None;
        }
        let seq = outcome.seq.map(|seq| seq.get());
        let ack = Object::new("ack", 128)
            .optional("id", id)
            .optional("room", room)
            .plain("message_id", outcome.message_id);
        Some(ack.optional("seq", seq.as_ref()).finish())
    }

    fn reply_data<'v>(&self, valid: &'v Valid<'_>) -> Option<Cow<'v, str>> {
        let Some(expression) = &valid.0.decoded.message.reply else {
            return Some(Cow::Borrowed(&valid.0.decoded.data));
        };
        if expression.is_data() {
            return Some(Cow::Borrowed(&valid.0.decoded.data));
        }
        match expression.evaluate(&self.facts(&valid.0)) {
            Ok(value) => Some(Cow::Owned(value.to_string())),
            Err(failure) => {
                self.metrics.reply_failures.inc();
                tracing::warn!(message = %valid.0.decoded.message.name, %failure, "a reply could not be made");
                Some(Cow::Borrowed("null"))
            }
        }
    }

    fn text_answer(&self, valid: &Valid<'_>, protocol: &TextProtocol) -> Option<Frame> {
        let decoded = &valid.0.decoded;
        let of_type = || {
            protocol
                .render
                .get(&decoded.message.name)
                .filter(|_| matches!(decoded.message.to, Route::Sender))
        };
        let template = protocol.reply.as_ref().or_else(of_type)?;
        let data: Value = serde_json::from_str(&self.reply_data(valid)?).ok()?;
        let sender = valid
            .0
            .user
            .as_ref()
            .map(|user| json!({"user_id": user.id.as_str(), "username": &*user.username}));
        let room = decoded.place.room().map(|(name, _)| name.as_str());
        render::render_with(
            template,
            &json!({"data": data, "sender": sender, "user": sender, "room": room}),
        )
    }
}
