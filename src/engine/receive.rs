//! What a client's frames come to: which message they are and where it goes, or an answer, or a refusal.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::decision::{self, Taker};
use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::data::Data;
use crate::engine::feed::Audience;
use crate::engine::flush;
use crate::engine::limit::Subject;
use crate::engine::link::Backlog;
use crate::engine::membership::flush_if_needed;
use crate::engine::pipeline::{Decoded, Origin, Place, Refused, too_fast};
use crate::engine::seat::Seat;
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
            connection.close_with(CloseCode::NotAllowed, "too many bad frames", Backlog::Write);
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
        let (message, place) = {
            let seats = &connection.inner.lock().seats;
            let endpoint = &connection.endpoint;
            let (message, taker) =
                decision::taker_of_plain(endpoint, seats.iter().map(room_of), message);
            (message, place(taker, seats))
        };
        let decoded = Decoded {
            origin: Origin::Client(connection),
            id: None,
            key: None,
            message,
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
        for seat in seats {
            let hall = seat.hall;
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
    let seats = &connection.inner.lock().seats;
    let (name, room) = (&*frame.name, frame.room.as_deref());
    let (message, taker) =
        decision::taker(&connection.endpoint, seats.iter().map(room_of), name, room)?;
    Ok((message, place(taker, seats)))
}

fn room_of(seat: &Seat) -> decision::Seat<'_> {
    (&seat.name, &seat.kind)
}

fn place(taker: Taker, seats: &[Seat]) -> Place {
    match taker {
        Taker::Endpoint => Place::Endpoint,
        Taker::Room(index) => Place::Seat(seats[index].hall.clone()),
    }
}
