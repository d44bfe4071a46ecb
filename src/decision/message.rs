//! Which type a frame means, who may send it, whether its data fits, and where it goes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::decision::{Judge, Target, room};
use crate::plan::{Conflate, Endpoint, Message, Plan, RoomKind, SentBy};
use crate::protocol::{Reject, RejectCode};
use crate::rule::{Expression, Facts, Template};
use crate::schema::Violation;
use crate::vocab::RoomName;
use crate::vocab::json::Tape;

/// Who takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    /// The endpoint.
    Endpoint,
    /// The room of this number among those that its sender is in.
    Room(usize),
}

/// A room that a connection is in, with its kind.
pub type Seat<'r> = (&'r RoomName, &'r Arc<RoomKind>);

/// The type that a frame names at `endpoint`, and who takes it; `seats` are the rooms that its sender is in, `room` the one that
/// the frame names.
///
/// # Errors
/// `not_joined`, `unknown_type`, or `bad_room` where several rooms take it.
pub fn taker<'r>(
    endpoint: &Endpoint,
    seats: impl Iterator<Item = Seat<'r>>,
    name: &str,
    room: Option<&str>,
) -> Result<(Arc<Message>, Taker), Reject> {
    if let Some(room) = room {
        let mut seats = seats.enumerate();
        let seat = seats.find(|(_, (seat, _))| seat.as_str() == room);
        let (index, (_, kind)) = seat.ok_or_else(|| not_joined(room))?;
        return match kind.messages.get(name) {
            Some(message) => Ok((message.clone(), Taker::Room(index))),
            None => Err(unknown(name, &format!("in `{room}`"))),
        };
    }
    match endpoint.messages.get(name) {
        Some(message) => Ok((message.clone(), Taker::Endpoint)),
        None => the_seat(seats, name),
    }
}

/// The form that `message` has where its frames name no type: at endpoints with `protocol: text` or `every_frame`.
pub fn taker_of_plain<'r>(
    endpoint: &Endpoint,
    seats: impl Iterator<Item = Seat<'r>>,
    message: &Arc<Message>,
) -> (Arc<Message>, Taker) {
    if endpoint.messages.contains_key(&message.name) {
        return (message.clone(), Taker::Endpoint);
    }
    the_seat(seats, message.name.as_str()).unwrap_or_else(|_| (message.clone(), Taker::Endpoint))
}

/// The one room that takes a type, where the frame names none.
fn the_seat<'r>(
    seats: impl Iterator<Item = Seat<'r>>,
    name: &str,
) -> Result<(Arc<Message>, Taker), Reject> {
    let mut takers = seats
        .enumerate()
        .filter_map(|(index, (_, kind))| Some((kind.messages.get(name)?, index)));
    match (takers.next(), takers.next()) {
        (Some((message, index)), None) => Ok((message.clone(), Taker::Room(index))),
        (Some(_), Some(_)) => Err(Reject::new(
            RejectCode::BadRoom,
            "you are in several rooms that take this: say which with `room`",
        )),
        (None, _) => Err(unknown(name, "here")),
    }
}

/// That a message goes to a room, and its sender is in none that takes it.
pub fn no_room() -> Reject {
    Reject::new(
        RejectCode::BadRoom,
        "this message goes to a room: say which",
    )
}

/// That a connection is not in the room that it names.
pub fn not_joined(room: &str) -> Reject {
    let shown: String = room.chars().take(128).collect();
    Reject::new(RejectCode::NotJoined, format!("you are not in `{shown}`"))
}

fn unknown(name: &str, place: &str) -> Reject {
    let shown: String = name.chars().take(64).collect();
    Reject::new(
        RejectCode::UnknownType,
        format!("`{shown}` is not a message type that is taken {place}"),
    )
}

/// Whether data of so many bytes is small enough for its type.
///
/// # Errors
/// `too_large`.
pub fn size_fits(message: &Message, bytes: usize) -> Result<(), Reject> {
    let Some(max) = message.bytes_max.filter(|max| bytes > max.len()) else {
        return Ok(());
    };
    let (name, max) = (&message.name, max.bytes());
    let text = format!("the data has {bytes} bytes, `{name}` takes at most {max}");
    Err(Reject::new(RejectCode::TooLarge, text))
}

/// Reads `data` onto `tape`, nested at most `depth_max` deep.
///
/// # Errors
/// `bad_json`.
pub fn read(tape: &mut Tape, data: &str, depth_max: usize) -> Result<(), Reject> {
    tape.read(data, depth_max).map_err(|error| {
        let text = format!("the data is not taken: {error}");
        Reject::new(RejectCode::BadJson, text)
    })
}

/// Whether a client may send this; the facts are asked for where the type has a rule.
///
/// # Errors
/// `forbidden`.
pub fn is_allowed<'f>(
    judge: &impl Judge,
    message: &Message,
    facts: impl FnOnce() -> Facts<'f>,
) -> Result<(), Reject> {
    if message.sent_by == SentBy::Server {
        let text = format!("`{}` is sent by the application alone", message.name);
        return Err(Reject::new(RejectCode::Forbidden, text));
    }
    let Some(rule) = &message.allow else {
        return Ok(());
    };
    if judge.allows(rule, &facts()) {
        return Ok(());
    }
    let text = format!("you may not send `{}` here", message.name);
    Err(Reject::new(RejectCode::Forbidden, text).cause("allow"))
}

/// Whether the data on `tape` fits the type's schema.
///
/// # Errors
/// `schema`, with the violations as details.
pub fn fits(message: &Message, tape: &Tape) -> Result<(), Reject> {
    let violations = message.schema.check_tape(tape);
    violations.map_err(|violations| unfit(&format!("`{}`", message.name), &violations))
}

/// Whether it still does where `sanitize` has changed it.
///
/// # Errors
/// As [`fits`].
pub fn fits_sanitized(message: &Message, tape: &Tape) -> Result<(), Reject> {
    let violations = message.schema.check_tape(tape);
    let what = || format!("`{}`, sanitized,", message.name);
    violations.map_err(|violations| unfit(&what(), &violations))
}

/// `what` does not fit its schema.
fn unfit(what: &str, violations: &[Violation]) -> Reject {
    let (path, first) = violations.first().map_or(("", ""), |first| {
        (first.path.as_str(), first.message.as_str())
    });
    let text = format!("{what} does not fit its schema: data{path} {first}");
    let details: Vec<Value> = violations
        .iter()
        .map(|violation| json!({"path": violation.path, "keyword": violation.keyword, "message": violation.message}))
        .collect();
    Reject::new(RejectCode::Schema, text).details(details.into())
}

/// The id of the user that a message goes to.
///
/// # Errors
/// `bad_frame`: the expression yields none.
pub fn recipient(expression: &Expression, facts: &Facts<'_>) -> Result<String, Reject> {
    match expression.evaluate(facts) {
        Ok(Value::String(id)) => Ok(id),
        Ok(Value::Number(id)) => Ok(id.to_string()),
        _ => Err(Reject::new(
            RejectCode::BadFrame,
            "the data names no user to send this to",
        )),
    }
}

/// The other room that a message goes to.
///
/// # Errors
/// `bad_room`: the template yields none.
pub fn other_room(plan: &Plan, template: &Template, facts: &Facts<'_>) -> Result<Target, Reject> {
    let name = template.render(facts).map_err(|failure| {
        Reject::new(
            RejectCode::BadRoom,
            "the data names no room to send this to",
        )
        .cause(failure.to_string())
    })?;
    room::target(plan, &name)
}

/// What tells which messages of a thinned type replace each other.
///
/// # Errors
/// `bad_frame`: the expression yields nothing.
pub fn thinning_key(conflate: &Conflate, facts: &Facts<'_>) -> Result<Value, Reject> {
    let Some(expression) = &conflate.key else {
        return Ok(Value::Null);
    };
    expression.evaluate(facts).map_err(|failure| {
        let text = "the data has no key that tells which messages replace each other";
        Reject::new(RejectCode::BadFrame, text).cause(failure.to_string())
    })
}
