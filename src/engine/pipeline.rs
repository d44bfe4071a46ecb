//! A message's way: decoded → rate limits → `allow` → schema → stored and numbered → delivered → answered.
//!
//! Each step takes only what the one before it hands out, so that none can be left out: [`Decoded`] → [`Admitted`] →
//! [`Permitted`] → [`Valid`]. What the application publishes over HTTP goes the same way with another [`Origin`].

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::connection::Connection;
use crate::engine::feed::{self, Audience, Feed};
use crate::engine::limit::{Exceeded, Subject};
use crate::engine::membership::{Target, flush_if_needed, seat};
use crate::engine::{Engine, Hall, render};
use crate::plan::{
    Message, OnExceed, Protocol, RateKey, RateLimit, RawRoute, Route, SentBy, TextProtocol,
};
use crate::protocol::{
    ClientFrame, CloseCode, Frame, MessageFrame, Object, Reject, RejectCode, decode, json as strict,
};
use crate::room::{Outcome, Seen};
use crate::rule::{Facts, RoomFacts};
use crate::vocab::{Parameters, RoomName, User, UserId};

/// Whose message it is.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// A client's.
    Client(&'a Arc<Connection>),
    /// The application's, with the name of its API key as a user id for idempotency.
    Application(&'a UserId),
}

impl Origin<'_> {
    fn user(&self) -> Option<&User> {
        match self {
            Self::Client(connection) => Some(&connection.user),
            Self::Application(_) => None,
        }
    }

    fn key_owner(&self) -> &UserId {
        match self {
            Self::Client(connection) => &connection.user.id,
            Self::Application(name) => name,
        }
    }
}

/// Where a message was sent.
#[derive(Clone)]
pub(super) enum Place {
    /// To the endpoint.
    Endpoint,
    /// To a room that its sender is in.
    Seat(Arc<Hall>),
    /// To a room, by the application.
    Room(Target),
    /// To every connection of a user, by the application.
    User(UserId),
}

impl Place {
    fn room(&self) -> Option<(&RoomName, &Parameters)> {
        match self {
            Self::Seat(hall) => Some((&hall.name, &hall.parameters)),
            Self::Room(target) => Some((&target.name, &target.parameters)),
            Self::Endpoint | Self::User(_) => None,
        }
    }
}

/// A message whose type and place are known.
pub(super) struct Decoded<'a> {
    pub(super) origin: Origin<'a>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) message: Arc<Message>,
    pub(super) place: Place,
    /// The data as it came; JSON only once it is [`Admitted`]'s turn to say so.
    pub(super) data: Cow<'a, str>,
}

/// A message for which there was a token in every bucket, with its data read where anyone needs it.
pub(super) struct Admitted<'a> {
    decoded: Decoded<'a>,
    value: Option<Value>,
}

/// A message that its sender may send.
pub(super) struct Permitted<'a>(Admitted<'a>);

/// A message that may be delivered.
pub(super) struct Valid<'a>(Admitted<'a>);

impl Engine {
    /// A text message of a client.
    pub fn receive_text(self: &Arc<Self>, connection: &Arc<Connection>, text: &str) {
        let (id, result) = match &connection.endpoint.protocol {
            Protocol::Json => self.receive_json(connection, text),
            Protocol::EveryFrame(message) => (
                None,
                self.receive_plain(connection, message, Cow::Borrowed(text)),
            ),
            Protocol::Text(protocol) => {
                let data = Value::from(text).to_string();
                (
                    None,
                    self.receive_plain(connection, &protocol.message, Cow::Owned(data)),
                )
            }
            Protocol::Raw(route) => (None, self.relay(connection, *route, Frame::raw_text(text))),
        };
        if let Err(reject) = result {
            self.refuse(connection, id.as_deref(), &reject);
        }
    }

    /// A binary message of a client.
    pub fn receive_binary(self: &Arc<Self>, connection: &Arc<Connection>, payload: &[u8]) {
        let Protocol::Raw(route) = &connection.endpoint.protocol else {
            connection.close(CloseCode::Unsupported);
            return;
        };
        if let Err(reject) = self.relay(connection, *route, Frame::raw_binary(payload)) {
            self.refuse(connection, None, &reject);
        }
    }

    fn refuse(&self, connection: &Arc<Connection>, id: Option<&str>, refused: &Refused) {
        match refused {
            Refused::Reject(reject) => {
                connection.reject(id, reject);
                self.strike(connection, reject.code);
            }
            Refused::TooFast(exceeded) => match exceeded.on_exceed {
                OnExceed::Error => connection.reject(id, &too_fast(exceeded)),
                OnExceed::Drop if id.is_some() => connection.reject(id, &too_fast(exceeded)),
                OnExceed::Drop => {}
                OnExceed::Close => connection.close(CloseCode::TooFast),
            },
        }
    }

    fn strike(&self, connection: &Connection, code: RejectCode) {
        let Some(max) = connection.endpoint.limits.strikes else {
            return;
        };
        let bad = [
            RejectCode::BadJson,
            RejectCode::BadFrame,
            RejectCode::UnknownType,
            RejectCode::Schema,
            RejectCode::TooLarge,
        ];
        if !bad.contains(&code) {
            return;
        }
        let strikes = {
            let mut inner = connection.inner.lock();
            inner.strikes += 1;
            inner.strikes
        };
        if strikes >= max {
            tracing::debug!(connection = ?connection.id, user = %connection.user.id, strikes, "too many bad frames");
            connection.close(CloseCode::NotAllowed);
        }
    }

    fn receive_json<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        text: &'a str,
    ) -> (Option<Cow<'a, str>>, Result<(), Refused>) {
        let decoded = match decode(text) {
            Ok(decoded) => decoded,
            Err(undecodable) => {
                let spent = self.spend_endpoint(connection);
                return (
                    undecodable.id.map(Cow::Owned),
                    spent.and(Err(undecodable.reject.into())),
                );
            }
        };
        let id = decoded.id.clone();
        let result = match decoded.frame {
            ClientFrame::Message(frame) => self.receive_message(connection, decoded.id, frame),
            frame => self
                .answer(connection, id.as_deref(), frame)
                .map_err(Refused::from),
        };
        (id, result)
    }

    fn receive_message<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        id: Option<Cow<'a, str>>,
        frame: MessageFrame<'a>,
    ) -> Result<(), Refused> {
        let (message, place) = match find(connection, &frame) {
            Ok(found) => found,
            Err(reject) => {
                self.spend_endpoint(connection)?;
                return Err(reject.into());
            }
        };
        let decoded = Decoded {
            origin: Origin::Client(connection),
            id,
            key: frame.key,
            message,
            place,
            data: Cow::Borrowed(frame.data),
        };
        self.run(decoded).map(|_| ())
    }

    fn receive_plain<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        message: &Arc<Message>,
        data: Cow<'a, str>,
    ) -> Result<(), Refused> {
        let in_endpoint = connection.endpoint.messages.contains_key(&message.name);
        let place = if in_endpoint {
            Place::Endpoint
        } else {
            the_seat(connection, message.name.as_str()).map_or(Place::Endpoint, |(_, place)| place)
        };
        let message = match &place {
            Place::Seat(hall) => hall.kind.messages.get(&message.name).unwrap_or(message),
            _ => message,
        };
        let decoded = Decoded {
            origin: Origin::Client(connection),
            id: None,
            key: None,
            message: message.clone(),
            place,
            data,
        };
        self.run(decoded).map(|_| ())
    }

    /// The whole way.
    pub(super) fn run(self: &Arc<Self>, decoded: Decoded<'_>) -> Result<Outcome, Refused> {
        self.metrics.messages_received[decoded.message.index].inc();
        let admitted = self.admit_message(decoded)?;
        let permitted = self.permit(admitted)?;
        let valid = validate(permitted)?;
        self.dispatch(&valid)
    }

    fn spend_endpoint(&self, connection: &Connection) -> Result<(), Refused> {
        let endpoint = &connection.endpoint;
        let subject = Subject {
            user: Some(&connection.user.id),
            ip: Some(connection.ip),
            room: None,
            endpoint: Some(endpoint),
        };
        let mut inner = connection.inner.lock();
        self.limits
            .spend(&endpoint.message_limits, subject, Some(&mut inner.buckets))
            .map_err(Refused::TooFast)
    }

    fn admit_message<'a>(&self, decoded: Decoded<'a>) -> Result<Admitted<'a>, Refused> {
        let message = &decoded.message;
        let room = decoded.place.room().map(|(name, _)| name);
        match decoded.origin {
            Origin::Client(connection) => {
                let endpoint = &connection.endpoint;
                let subject = Subject {
                    user: Some(&connection.user.id),
                    ip: Some(connection.ip),
                    room,
                    endpoint: Some(endpoint),
                };
                let mut inner = connection.inner.lock();
                self.limits
                    .spend(&endpoint.message_limits, subject, Some(&mut inner.buckets))
                    .and_then(|()| {
                        self.limits
                            .spend(&message.rate_limits, subject, Some(&mut inner.buckets))
                    })
                    .map_err(Refused::TooFast)?;
            }
            Origin::Application(_) => {
                // The key's scopes stand in for the limits of users and connections, not for those of rooms and the server.
                let applies =
                    |limit: &&Arc<RateLimit>| matches!(limit.per, RateKey::Room | RateKey::Server);
                let limits: Vec<Arc<RateLimit>> = message
                    .rate_limits
                    .iter()
                    .filter(applies)
                    .cloned()
                    .collect();
                self.limits
                    .spend(
                        &limits,
                        Subject {
                            room,
                            ..Subject::default()
                        },
                        None,
                    )
                    .map_err(Refused::TooFast)?;
            }
        }
        if message
            .bytes_max
            .is_some_and(|max| decoded.data.len() > max.len())
        {
            let message = format!(
                "the data has {} bytes, `{}` takes at most {}",
                decoded.data.len(),
                message.name,
                message.bytes_max.map_or(0, |max| max.bytes())
            );
            return Err(Reject::new(RejectCode::TooLarge, message).into());
        }
        let depth = match decoded.origin {
            Origin::Client(connection) => connection.endpoint.limits.depth,
            Origin::Application(_) => strict::DEPTH_MAX,
        };
        let bad_json = |error: strict::JsonError| {
            Refused::from(Reject::new(
                RejectCode::BadJson,
                format!("the data is not taken: {error}"),
            ))
        };
        let value = if needs_value(message) {
            Some(strict::parse(&decoded.data, depth).map_err(bad_json)?)
        } else {
            strict::check(&decoded.data, depth).map_err(bad_json)?;
            None
        };
        Ok(Admitted { decoded, value })
    }

    fn permit<'a>(&self, admitted: Admitted<'a>) -> Result<Permitted<'a>, Refused> {
        let Decoded {
            origin, message, ..
        } = &admitted.decoded;
        let Origin::Client(_) = origin else {
            return Ok(Permitted(admitted));
        };
        if message.sent_by == SentBy::Server {
            let text = format!("`{}` is sent by the application alone", message.name);
            return Err(Reject::new(RejectCode::Forbidden, text).into());
        }
        let Some(rule) = &message.allow else {
            return Ok(Permitted(admitted));
        };
        if self.allows(rule, &self.facts(&admitted)) {
            return Ok(Permitted(admitted));
        }
        let text = format!("you may not send `{}` here", message.name);
        Err(Reject::new(RejectCode::Forbidden, text)
            .cause(format!("allow: {}", rule.text()))
            .into())
    }

    fn facts<'a>(&self, admitted: &'a Admitted<'_>) -> Facts<'a> {
        let decoded = &admitted.decoded;
        let now = self.clock.now();
        let base = match &decoded.origin {
            Origin::Client(connection) => connection.facts(now, self.clock.monotonic()),
            Origin::Application(_) => Facts {
                user: None,
                sender: None,
                path: None,
                query: None,
                params: None,
                room: None,
                connection: None,
                data: None,
                error: None,
                now,
            },
        };
        let room = match &decoded.place {
            Place::Seat(hall) => Some((hall.name.as_str(), hall.lock().room.members.users_count())),
            Place::Room(target) => Some((
                target.name.as_str(),
                self.rooms
                    .find(target.name.as_str())
                    .map_or(0, |hall| hall.lock().room.members.users_count()),
            )),
            Place::Endpoint | Place::User(_) => None,
        };
        Facts {
            sender: decoded.origin.user(),
            params: decoded.place.room().map(|(_, parameters)| parameters),
            room: room.map(|(name, users_count)| RoomFacts { name, users_count }),
            data: admitted.value.as_ref(),
            ..base
        }
    }

    fn dispatch(self: &Arc<Self>, valid: &Valid<'_>) -> Result<Outcome, Refused> {
        let decoded = &valid.0.decoded;
        if let Place::User(user) = &decoded.place {
            return self.keyed(valid, |outcome| {
                self.send_to_user(valid, user.as_str(), outcome);
                Ok(())
            });
        }
        match &decoded.message.to {
            Route::Room => self.post(valid, &decoded.place, Audience::Everyone),
            Route::Others => {
                let audience = match decoded.origin {
                    Origin::Client(connection) => Audience::NotUser(connection.user_serial),
                    Origin::Application(_) => Audience::Everyone,
                };
                self.post(valid, &decoded.place, audience)
            }
            Route::OtherConnections => {
                let audience = match decoded.origin {
                    Origin::Client(connection) => Audience::NotConnection(connection.serial),
                    Origin::Application(_) => Audience::Everyone,
                };
                self.post(valid, &decoded.place, audience)
            }
            Route::Sender | Route::None => match (&decoded.origin, &decoded.place) {
                // The application has no connection of its own: what it publishes to a room goes to the room.
                (Origin::Application(_), Place::Room(_)) => {
                    self.post(valid, &decoded.place, Audience::Everyone)
                }
                _ => self.keyed(valid, |_| Ok(())),
            },
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
                self.keyed(valid, |outcome| {
                    self.send_to_user(valid, &id, outcome);
                    Ok(())
                })
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
        let frame = self.message_frame(decoded, None, outcome);
        let connections = self.users.connections(user);
        for connection in &connections {
            connection.send(&frame);
        }
        self.metrics.messages_delivered[decoded.message.index].inc_by(connections.len() as u64);
    }

    /// Does what a message that goes to no room asks for, once for each idempotency key, and answers.
    fn keyed(
        &self,
        valid: &Valid<'_>,
        act: impl FnOnce(&Outcome) -> Result<(), Refused>,
    ) -> Result<Outcome, Refused> {
        let decoded = &valid.0.decoded;
        let body = (decoded.message.name.as_str(), &*decoded.data);
        let now = self.clock.now();
        if let Some(key) = &decoded.key {
            match self
                .endpoint_keys
                .lock()
                .look(decoded.origin.key_owner(), key, body, now)
            {
                Seen::Never => {}
                Seen::Before(outcome) => {
                    self.answer_directly(valid, &outcome);
                    return Ok(outcome);
                }
                Seen::Differently => return Err(key_reused().into()),
            }
        }
        let outcome = Outcome {
            message_id: self.next_message_id(),
            seq: None,
        };
        act(&outcome)?;
        if let Some(key) = &decoded.key {
            self.endpoint_keys
                .lock()
                .remember(decoded.origin.key_owner(), key, body, outcome, now);
        }
        self.answer_directly(valid, &outcome);
        Ok(outcome)
    }

    fn answer_directly(&self, valid: &Valid<'_>, outcome: &Outcome) {
        let Origin::Client(connection) = &valid.0.decoded.origin else {
            return;
        };
        if let Some(frame) = self.answer_of(valid, outcome) {
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
                    let posted =
                        self.post_into(valid, hall, &mut state.room, &mut state.queue, audience);
                    if state.room.members.is_empty() {
                        self.forget_later(hall, state);
                    }
                    posted
                },
            ),
            Place::Endpoint | Place::User(_) => Err(Reject::new(
                RejectCode::BadRoom,
                "this message goes to a room: say which",
            )
            .into()),
        }?;
        if let Some(hall) = flush {
            feed::spawn_flush(self, &hall);
        }
        Ok(outcome)
    }

    fn post_into(
        &self,
        valid: &Valid<'_>,
        hall: &Arc<Hall>,
        room: &mut crate::room::Room,
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
        let now = self.clock.now();
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
                (
                    Outcome {
                        message_id: self.next_message_id(),
                        seq,
                    },
                    true,
                )
            }
        };
        let answer = match &decoded.origin {
            Origin::Client(connection) => self
                .answer_of(valid, &outcome)
                .map(|frame| (connection, frame)),
            Origin::Application(_) => None,
        };
        // On text endpoints the personal answer comes before what everyone hears; acks come behind what they acknowledge.
        let (before, after) = match answer {
            Some((connection, frame))
                if matches!(connection.endpoint.protocol, Protocol::Text(_)) =>
            {
                (Some((connection, frame)), None)
            }
            answer => (None, answer),
        };
        let reads_here = |connection: &Connection| {
            matches!(&decoded.place, Place::Seat(seat) if Arc::ptr_eq(seat, hall))
                && connection.serial > 0
        };
        let say = |answer: Option<(&Arc<Connection>, Frame)>, queue: &mut Feed| match answer {
            Some((connection, frame)) if reads_here(connection) => {
                queue.say(Audience::Only(connection.serial), frame)
            }
            Some((connection, frame)) => connection.send(&frame),
            None => {}
        };
        say(
            before.map(|(connection, frame)| (*connection, frame)),
            queue,
        );
        if fresh {
            let frame = self.message_frame(decoded, Some(&hall.name), &outcome);
            if outcome.seq.is_some() {
                room.store(now, outcome.message_id, frame.clone());
            }
            if let Some(key) = &decoded.key {
                room.keys
                    .remember(decoded.origin.key_owner(), key, body, outcome, now);
            }
            queue.publish(audience, frame, message.index, outcome.seq);
        }
        say(after.map(|(connection, frame)| (*connection, frame)), queue);
        Ok((outcome, flush_if_needed(hall, queue)))
    }

    fn message_frame(
        &self,
        decoded: &Decoded<'_>,
        room: Option<&RoomName>,
        outcome: &Outcome,
    ) -> Frame {
        let mut frame = Object::new(decoded.message.name.as_str(), 192 + decoded.data.len());
        if let Some(room) = room {
            frame = frame.field("room", room.as_str());
        }
        frame = frame.plain("message_id", outcome.message_id);
        if let Some(seq) = outcome.seq {
            frame = frame.field("seq", &seq.get());
        }
        if let Some(user) = decoded.origin.user() {
            frame = frame.user("sender", user);
        }
        frame
            .json("data", &decoded.data)
            .plain("timestamp", self.clock.now())
            .finish()
    }

    /// What the sender gets back: a reply, an ack, or nothing.
    fn answer_of(&self, valid: &Valid<'_>, outcome: &Outcome) -> Option<Frame> {
        let decoded = &valid.0.decoded;
        let Origin::Client(connection) = &decoded.origin else {
            return None;
        };
        let message = &decoded.message;
        if let Protocol::Text(protocol) = &connection.endpoint.protocol {
            return self.text_answer(valid, protocol);
        }
        let id = decoded.id.as_deref();
        let room = decoded.place.room().map(|(name, _)| name.as_str());
        if message.reply.is_some() || matches!(message.to, Route::Sender) {
            let data = self.reply_data(valid)?;
            let frame = Object::new(message.name.as_str(), 128 + data.len())
                .optional("id", id)
                .optional("room", room);
            return Some(
                frame
                    .plain("message_id", outcome.message_id)
                    .json("data", &data)
                    .plain("timestamp", self.clock.now())
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
                self.metrics.rule_failures.inc();
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
        let sender = decoded
            .origin
            .user()
            .map(|user| json!({"user_id": user.id.as_str(), "username": &*user.username}));
        let room = decoded.place.room().map(|(name, _)| name.as_str());
        render::render_with(
            template,
            &json!({"data": data, "sender": sender, "user": sender, "room": room}),
        )
    }

    /// A frame of a raw endpoint passes.
    fn relay(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        route: RawRoute,
        frame: Frame,
    ) -> Result<(), Refused> {
        self.spend_endpoint(connection)?;
        let audience = match route {
            RawRoute::Sender => {
                connection.send(&frame);
                return Ok(());
            }
            RawRoute::Room => Audience::Everyone,
            RawRoute::Others => Audience::NotUser(connection.user_serial),
        };
        let seats = connection.inner.lock().seats.clone();
        for hall in seats {
            let flush = {
                let mut state = hall.lock();
                if state.queue.is_full() {
                    return Err(Reject::new(
                        RejectCode::Unavailable,
                        "the room has more to deliver than it can",
                    )
                    .into());
                }
                state.queue.say(audience, frame.clone());
                flush_if_needed(&hall, &mut state.queue)
            };
            if let Some(hall) = flush {
                feed::spawn_flush(self, &hall);
            }
        }
        Ok(())
    }
}

/// Why a message goes no further.
#[derive(Debug)]
pub(super) enum Refused {
    /// The sender is told so.
    Reject(Reject),
    /// What happens is the limit's to say.
    TooFast(Exceeded),
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}

/// `rate_limited`, with the time to wait.
pub(super) fn too_fast(exceeded: &Exceeded) -> Reject {
    Reject::new(RejectCode::RateLimited, "too fast").retry_after(exceeded.wait)
}

fn key_reused() -> Reject {
    Reject::new(
        RejectCode::KeyReused,
        "this key came before with another message",
    )
}

/// Whether anyone has to look into the data.
fn needs_value(message: &Message) -> bool {
    !message.schema.accepts_all()
        || message.allow.is_some()
        || matches!(message.to, Route::User(_) | Route::OtherRoom(_))
        || message.reply.as_ref().is_some_and(|reply| !reply.is_data())
}

fn validate(permitted: Permitted<'_>) -> Result<Valid<'_>, Refused> {
    let admitted = permitted.0;
    let message = &admitted.decoded.message;
    if let Some(value) = &admitted.value {
        if let Err(violations) = message.schema.check(value) {
            let details: Vec<Value> = violations
                .iter()
                .map(|violation| json!({"path": violation.path, "keyword": violation.keyword, "message": violation.message}))
                .collect();
            let first = violations.first();
            let place = first.map_or("", |violation| violation.path.as_str());
            let text = format!(
                "`{}` does not fit its schema: data{place} {}",
                message.name,
                first.map_or("", |violation| violation.message.as_str())
            );
            return Err(Reject::new(RejectCode::Schema, text)
                .details(details.into())
                .into());
        }
    }
    Ok(Valid(admitted))
}

/// The type that a frame names, and where it goes.
fn find(
    connection: &Connection,
    frame: &MessageFrame<'_>,
) -> Result<(Arc<Message>, Place), Reject> {
    if let Some(room) = &frame.room {
        let hall = seat(connection, room)?;
        let message = hall
            .kind
            .messages
            .get(&*frame.name)
            .cloned()
            .ok_or_else(|| unknown(&frame.name, &format!("in `{room}`")))?;
        return Ok((message, Place::Seat(hall)));
    }
    if let Some(message) = connection.endpoint.messages.get(&*frame.name) {
        return Ok((message.clone(), Place::Endpoint));
    }
    the_seat(connection, &frame.name)
}

/// The one room that takes a type, where the frame names none.
fn the_seat(connection: &Connection, name: &str) -> Result<(Arc<Message>, Place), Reject> {
    let inner = connection.inner.lock();
    let mut takers = inner.seats.iter().filter_map(|hall| {
        hall.kind
            .messages
            .get(name)
            .map(|message| (message.clone(), hall))
    });
    match (takers.next(), takers.next()) {
        (Some((message, hall)), None) => Ok((message, Place::Seat(hall.clone()))),
        (Some(_), Some(_)) => Err(Reject::new(
            RejectCode::BadRoom,
            "you are in several rooms that take this: say which with `room`",
        )),
        (None, _) => Err(unknown(name, "here")),
    }
}

fn unknown(name: &str, place: &str) -> Reject {
    let shown: String = name.chars().take(64).collect();
    Reject::new(
        RejectCode::UnknownType,
        format!("`{shown}` is not a message type that is taken {place}"),
    )
}
