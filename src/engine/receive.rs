//! What a client's frames come to: which message they are and where it goes, or an answer, or a refusal.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::data::Data;
use crate::engine::feed::Audience;
use crate::engine::flush;
use crate::engine::limit::Subject;
use crate::engine::membership::{flush_if_needed, seat};
use crate::engine::pipeline::{Decoded, Origin, Place, Refused, too_fast};
use crate::plan::{CountLimit, Message, OnExceed, Protocol, RawRoute};
use crate::protocol::{
    ClientFrame, CloseCode, Frame, MessageFrame, Reject, RejectCode, decode_onto,
};
use crate::telemetry::CountLimitName;

impl Engine {
    /// A text message of a client.
    pub fn receive_text(self: &Arc<Self>, connection: &Arc<Connection>, text: &str) {
        let (id, result) = match &connection.endpoint.protocol {
            Protocol::Json => self.receive_json(connection, text),
            Protocol::EveryFrame(message) => (
                None,
                self.receive_plain(connection, message, Cow::Borrowed(text), text.len()),
            ),
            Protocol::Text(protocol) => {
                let data = Value::from(text).to_string();
                (
                    None,
                    self.receive_plain(connection, &protocol.message, Cow::Owned(data), text.len()),
                )
            }
            Protocol::Raw(route) => {
                let frame = Frame::raw_text(text);
                (None, self.relay(connection, *route, frame, text.len()))
            }
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
        let frame = Frame::raw_binary(payload);
        if let Err(reject) = self.relay(connection, *route, frame, payload.len()) {
            self.refuse(connection, None, &reject);
        }
    }

    pub(super) fn refuse(&self, connection: &Arc<Connection>, id: Option<&str>, refused: &Refused) {
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
        let limit = connection.endpoint.limits.strikes;
        if limit == CountLimit::NONE {
            return;
        }
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
        let (name, count) = (CountLimitName::Strikes, strikes as usize);
        if !self.limits.has_room(name, limit, count) {
            tracing::debug!(connection = ?connection.id, user = %connection.user.id, strikes, "too many bad frames");
            connection.close(CloseCode::NotAllowed);
        }
    }

    fn receive_json<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        text: &'a str,
    ) -> (Option<Cow<'a, str>>, Result<(), Refused>) {
        let mut data = Data::blank();
        let depth = connection.endpoint.limits.depth;
        let decoded = match decode_onto(text, data.tape_mut(), depth) {
            Ok(decoded) => decoded,
            Err(undecodable) => {
                let spent = self.spend_endpoint(connection, text.len());
                return (
                    undecodable.id.map(Cow::Owned),
                    spent.and(Err(undecodable.reject.into())),
                );
            }
        };
        let id = decoded.id.clone();
        let result = match decoded.frame {
            ClientFrame::Message(frame) => {
                let read = frame.is_read.then_some(data);
                self.receive_message(connection, decoded.id, frame, read, text.len())
            }
            frame => self.receive_question(connection, id.as_deref(), frame, text.len()),
        };
        (id, result)
    }

    fn receive_question(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<&str>,
        frame: ClientFrame<'_>,
        bytes: usize,
    ) -> Result<(), Refused> {
        // Joins have limits of their own, and signs of life have to pass.
        if !matches!(
            frame,
            ClientFrame::Join(_) | ClientFrame::Ping | ClientFrame::Pong
        ) {
            self.spend_endpoint(connection, bytes)?;
        }
        self.answer(connection, id, frame)
    }

    fn receive_message<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        id: Option<Cow<'a, str>>,
        frame: MessageFrame<'a>,
        read: Option<Data>,
        bytes: usize,
    ) -> Result<(), Refused> {
        let (message, place) = match find(connection, &frame) {
            Ok(found) => found,
            Err(reject) => {
                self.spend_endpoint(connection, bytes)?;
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
            read,
            bytes,
        };
        self.run(decoded).map(|_| ())
    }

    fn receive_plain<'a>(
        self: &Arc<Self>,
        connection: &'a Arc<Connection>,
        message: &Arc<Message>,
        data: Cow<'a, str>,
        bytes: usize,
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
            read: None,
            bytes,
        };
        self.run(decoded).map(|_| ())
    }

    /// A frame of a raw endpoint passes.
    fn relay(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        route: RawRoute,
        frame: Frame,
        bytes: usize,
    ) -> Result<(), Refused> {
        self.spend_endpoint(connection, bytes)?;
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
                flush::spawn_flush(self, &hall);
            }
        }
        Ok(())
    }

    /// Takes the tokens of a frame of so many bytes that is no message, or none that is known.
    fn spend_endpoint(&self, connection: &Connection, bytes: usize) -> Result<(), Refused> {
        let endpoint = &connection.endpoint;
        let subject = Subject::asking(connection, bytes);
        let mut inner = connection.inner.lock();
        self.limits
            .spend(&endpoint.message_limits, subject, Some(&mut inner.buckets))
            .map_err(Refused::TooFast)
    }
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
