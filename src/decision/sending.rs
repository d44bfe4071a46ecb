//! The way of one message, asked step by step.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::decision::inquiry::{Inquiry, Visitor};
use crate::decision::trail::told;
use crate::decision::{self, Asker, Seat, Step, Taker, Target, Telling, Verdict};
use crate::plan::{Clause, MayJoin, Message, Protocol, RateLimit, Route, SentBy};
use crate::protocol::{ClientFrame, Reject, RejectCode, decode};
use crate::rule::{Answer, DataFacts, Facts, Reads, RoomFacts};
use crate::vocab::json::{DEPTH_MAX, Tape};

/// How much of sanitized data a step shows.
const DATA_CHARS_MAX: usize = 400;

/// A message that somebody would send.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// Its type's name.
    pub name: &'a str,
    /// The room that the frame names.
    pub room: Option<&'a str>,
    /// Its data, JSON.
    pub data: &'a str,
}

/// A message whose type and taker are known.
struct Taken<'a> {
    visitor: &'a Visitor<'a>,
    message: Arc<Message>,
    room: Option<&'a Target>,
    data: Tape,
    tree: OnceCell<Value>,
    /// The users of the room; none where nobody can tell.
    users_count: Option<usize>,
}

impl Taken<'_> {
    fn facts(&self) -> Facts<'_> {
        Facts {
            sender: Some(self.visitor.user),
            params: self.room.map(|room| &room.parameters),
            room: self.room.map(|room| RoomFacts {
                name: room.name.as_str(),
                users_count: self.users_count.unwrap_or(0),
            }),
            data: Some(DataFacts::Tape(self.data.root(), &self.tree)),
            ..self.visitor.facts()
        }
    }

    fn unknown(&self) -> Reads {
        Reads {
            users_count: self.room.is_some() && self.users_count.is_none(),
            ..Reads::default()
        }
    }

    /// Where `key` of the type may stand: at the place that takes it, or where it is declared.
    fn clauses(&self, key: &str) -> [Clause; 2] {
        let name = self.message.name.as_str();
        let (section, of) = match self.room {
            Some(room) => ("rooms", room.kind.pattern.as_str()),
            None => ("endpoints", self.visitor.endpoint.path.as_str()),
        };
        let own = if key.is_empty() {
            format!("messages.{name}")
        } else {
            format!("messages.{name}.{key}")
        };
        [
            Clause::new(section, of, &own),
            Clause::new("messages", name, key),
        ]
    }
}

impl Inquiry<'_> {
    /// Whether a message is taken from a connection that is in `rooms`.
    pub fn sending(
        &mut self,
        visitor: &Visitor<'_>,
        rooms: &[Target],
        sending: &Sending<'_>,
    ) -> Option<()> {
        let endpoint = visitor.endpoint;
        let data = self.framed(visitor, sending)?;
        let seats = rooms.iter().map(|room| (&room.name, &room.kind));
        let (message, taker) = match &endpoint.protocol {
            Protocol::Raw(_) => {
                let detail =
                    "frames of a raw endpoint pass unread: types, schemas and rules do not count";
                return self.trail.take(Step::new("frame", "").detail(detail), &[]);
            }
            Protocol::Json => self.taker(visitor, seats, sending)?,
            Protocol::EveryFrame(message) => self.plain(visitor, seats, sending, message)?,
            Protocol::Text(text) => self.plain(visitor, seats, sending, &text.message)?,
        };
        let room = match taker {
            Taker::Endpoint => None,
            Taker::Room(index) => rooms.get(index),
        };
        let standing = room.and_then(|room| self.around.room(&room.name, &visitor.user.id));
        let mut taken = Taken {
            visitor,
            message,
            room,
            data: Tape::new(),
            tree: OnceCell::new(),
            users_count: standing.map(|standing| standing.users_count),
        };
        self.message_limits(&taken)?;
        let (message, clauses) = (taken.message.clone(), taken.clauses("max_size"));
        let size = decision::size_fits(&message, data.len());
        let step = Step::new("size", message.name.as_str());
        self.trail.demand(step, &clauses, Telling::Code, size)?;
        let read = decision::read(&mut taken.data, &data, endpoint.limits.depth);
        let step = Step::new("data", message.name.as_str());
        self.trail.demand(step, &[], Telling::Code, read)?;
        self.judged(&taken)?;
        let taken = self.sanitized(taken, &data)?;
        self.routed(&taken)
    }

    /// The data of the frame that carries the message, if that is a frame.
    fn framed(&mut self, visitor: &Visitor<'_>, sending: &Sending<'_>) -> Option<String> {
        let endpoint = visitor.endpoint;
        let step = || Step::new("frame", "");
        let here = [Clause::new("endpoints", endpoint.path.as_str(), "")];
        let text = match (&endpoint.protocol, serde_json::from_str(sending.data)) {
            (Protocol::Text(_), Ok(Value::String(text))) => text,
            (Protocol::Text(_) | Protocol::EveryFrame(_) | Protocol::Raw(_), _) => {
                sending.data.to_owned()
            }
            (Protocol::Json, Ok(_)) => json_frame(sending),
            (Protocol::Json, Err(error)) => {
                let message = format!("the data is not JSON: {error}");
                let reject = Reject::new(RejectCode::BadJson, message);
                return self.trail.demand(step(), &here, Telling::Code, Err(reject));
            }
        };
        let max = endpoint.limits.message_size;
        if text.len() > max.len() {
            let message = format!(
                "the frame has {} bytes, more than `message_size` of {max}: the connection ends with 1009",
                text.len()
            );
            let reject = Reject::new(RejectCode::TooLarge, message);
            return self.trail.demand(step(), &here, Telling::Code, Err(reject));
        }
        let data = match &endpoint.protocol {
            Protocol::Text(_) => Ok(Value::from(text).to_string()),
            Protocol::EveryFrame(_) | Protocol::Raw(_) => Ok(text),
            Protocol::Json => match decode(&text).map(|decoded| decoded.frame) {
                Ok(ClientFrame::Message(frame)) => Ok(frame.data.to_owned()),
                Ok(_) => {
                    let name = sending.name;
                    let message = format!("`{name}` is a frame of the protocol, not a message");
                    Err(Reject::new(RejectCode::BadFrame, message))
                }
                Err(undecodable) => Err(undecodable.reject),
            },
        };
        self.trail.demand(step(), &here, Telling::Code, data)
    }

    fn taker<'r>(
        &mut self,
        visitor: &Visitor<'_>,
        seats: impl Iterator<Item = Seat<'r>>,
        sending: &Sending<'_>,
    ) -> Option<(Arc<Message>, Taker)> {
        let found = decision::taker(visitor.endpoint, seats, sending.name, sending.room);
        let step = Step::new("type", sending.name);
        let clauses = [Clause::new("messages", sending.name, "")];
        self.trail
            .ask(step, &clauses, Telling::Code, Reads::default(), |_| found)
    }

    /// At endpoints whose frames all are of one type.
    fn plain<'r>(
        &mut self,
        visitor: &Visitor<'_>,
        seats: impl Iterator<Item = Seat<'r>>,
        sending: &Sending<'_>,
        message: &Arc<Message>,
    ) -> Option<(Arc<Message>, Taker)> {
        let name = &message.name;
        let step = Step::new("type", sending.name);
        let clauses = [Clause::new("messages", name.as_str(), "")];
        self.trail
            .ask(step, &clauses, Telling::Code, Reads::default(), |_| {
                if sending.name == name.as_str() {
                    return Ok(decision::taker_of_plain(visitor.endpoint, seats, message));
                }
                let text = format!("every frame of this endpoint is a `{name}`");
                Err(Reject::new(RejectCode::UnknownType, text))
            })
    }

    fn message_limits(&mut self, taken: &Taken<'_>) -> Option<()> {
        let of_endpoint = &taken.visitor.endpoint.message_limits;
        let is_new = |limit: &&Arc<RateLimit>| {
            let mut known = of_endpoint.iter();
            !known.any(|known| known.index == limit.index)
        };
        let of_type = taken.message.rate_limits.iter().filter(is_new);
        let asker = Asker {
            room: taken.room.map(|room| &room.name),
            message: Some(&taken.message),
            ..taken.visitor.asker()
        };
        let limits = of_endpoint.iter().chain(of_type);
        self.limits("message_limit", limits, asker, Telling::Code)
    }

    /// What the type's rule and its schema say.
    fn judged(&mut self, taken: &Taken<'_>) -> Option<()> {
        let message = &taken.message;
        let name = match message.sent_by {
            SentBy::Server => "sent_by",
            SentBy::Client | SentBy::Any => "message_allow",
        };
        if message.allow.is_some() || message.sent_by == SentBy::Server {
            let clauses = taken.clauses(if name == "sent_by" { name } else { "allow" });
            let step = Step::new(name, message.name.as_str());
            self.trail
                .ask(step, &clauses, Telling::Code, taken.unknown(), |judge| {
                    decision::is_allowed(judge, message, || taken.facts())
                })?;
        }
        let step = Step::new("schema", message.name.as_str());
        self.trail.ask(
            step,
            &taken.clauses("schema"),
            Telling::Code,
            Reads::default(),
            |_| decision::fits(message, &taken.data),
        )
    }

    /// What `sanitize` makes of the data, and whether that still fits.
    fn sanitized<'t>(&mut self, taken: Taken<'t>, data: &str) -> Option<Taken<'t>> {
        let message = taken.message.clone();
        if message.sanitize.is_empty() {
            return Some(taken);
        }
        let clauses = taken.clauses("sanitize");
        let step = Step::new("sanitize", message.name.as_str());
        let endpoint_max = taken.visitor.endpoint.limits.message_size;
        let cleaned = decision::cleaned(&message, data, Some(endpoint_max));
        let cleaned = self
            .trail
            .demand(step.clone(), &clauses, Telling::Code, cleaned)?;
        let Some(cleaned) = cleaned else {
            let step = step.detail("the data stays as it is");
            self.trail.take(step, &clauses)?;
            return Some(taken);
        };
        let mut tape = Tape::new();
        let fits = decision::read(&mut tape, &cleaned, DEPTH_MAX)
            .and_then(|()| decision::fits_sanitized(&message, &tape));
        self.trail
            .demand(step.clone(), &clauses, Telling::Code, fits)?;
        let shown: String = cleaned.chars().take(DATA_CHARS_MAX).collect();
        let more = if shown.len() < cleaned.len() {
            "…"
        } else {
            ""
        };
        let step = step.detail(format!("the data becomes {shown}{more}"));
        self.trail.take(step, &clauses)?;
        Some(Taken {
            data: tape,
            tree: OnceCell::new(),
            ..taken
        })
    }

    /// Who of the room's readers the message is for, in words, where it is not for all of them; nothing where it is.
    fn audiences(&mut self, taken: &Taken<'_>) -> Option<String> {
        let Some(room) = taken.room else {
            return Some(String::new());
        };
        let mut readers = String::new();
        for number in taken.message.audience.numbers() {
            let Some(audience) = room.kind.audiences.get(number) else {
                continue;
            };
            let facts = taken.visitor.facts();
            let facts = room.facts(taken.users_count.unwrap_or(0), &facts);
            let (rule, account) = told(&audience.rule, &facts, taken.unknown());
            let mut named = self.told.iter().rev();
            let named = named.find(|(name, _)| *name == room.name);
            let sees = match (named, &room.kind.may_join, &account.answer) {
                (Some((_, named)), _, _) if named.numbers().any(|own| own == number) => {
                    "the sender is one of them, as its join token says"
                }
                (Some(_), _, _) => "the sender is none of them, as its join token says",
                (None, MayJoin::Http { .. }, _) => {
                    "whether the sender is one of them, the application may have said"
                }
                (None, _, Answer::Yes) => "the sender is one of them",
                (None, _, Answer::No | Answer::Failed(_)) => "the sender is none of them",
                (None, _, Answer::Unknown) => {
                    "whether the sender is one of them, a running server knows"
                }
            };
            let detail = format!("those see it for whom this rule says yes; {sees}");
            let step = Step {
                rule: Some(rule),
                account: Some(account),
                ..Step::new("audience", &*audience.name).detail(detail)
            };
            let key = format!("audiences.{}", audience.name);
            let clause = Clause::new("rooms", room.kind.pattern.as_str(), &key);
            self.trail.take(step, &[clause])?;
            readers = format!("of `{}` in `{}`; {sees}", audience.name, room.name);
        }
        Some(readers)
    }

    /// Where the message goes, if what it says names a place.
    fn routed(&mut self, taken: &Taken<'_>) -> Option<()> {
        let readers = self.audiences(taken)?;
        let (plan, message) = (self.plan, &taken.message);
        if let Some(conflate) = &message.conflate {
            let key = decision::thinning_key(conflate, &taken.facts());
            let step = Step::new("conflate", message.name.as_str());
            self.trail
                .demand(step, &taken.clauses("conflate"), Telling::Code, key)?;
        }
        let to = match &message.to {
            Route::Room => in_room(taken, ["everyone", "those"], &readers),
            Route::Others => in_room(taken, ["the other users", "the other users"], &readers),
            Route::OtherConnections => {
                let whom = ["every other connection", "every other connection"];
                in_room(taken, whom, &readers)
            }
            Route::Sender => Ok("it goes back to the sender".to_owned()),
            Route::None => Ok("it goes to nobody".to_owned()),
            Route::User(expression) => decision::recipient(expression, &taken.facts())
                .map(|id| format!("it goes to the connections of the user `{id}`")),
            Route::OtherRoom(template) => decision::other_room(plan, template, &taken.facts())
                .map(|target| format!("it goes to everyone in `{}`", target.name)),
        };
        let step = Step::new("to", message.name.as_str());
        let step = match &to {
            Ok(detail) => step.detail(detail.as_str()),
            Err(_) => step.verdict(Verdict::Refused),
        };
        let clauses = taken.clauses("to");
        self.trail
            .ask(step, &clauses, Telling::Code, Reads::default(), |_| {
                to.map(|_| ())
            })
    }
}

/// That the message goes to `all` of its room, or to `some`, whom `readers` tells of.
fn in_room(taken: &Taken<'_>, [all, some]: [&str; 2], readers: &str) -> Result<String, Reject> {
    let Some(room) = taken.room else {
        return Err(decision::no_room());
    };
    if !readers.is_empty() {
        return Ok(format!("it goes to {some} {readers}"));
    }
    Ok(match taken.users_count {
        Some(count) => format!("it goes to {all} in `{}` ({count} users now)", room.name),
        None => format!("it goes to {all} in `{}`", room.name),
    })
}

/// The frame of a JSON endpoint; the data is JSON.
fn json_frame(sending: &Sending<'_>) -> String {
    let name = Value::from(sending.name);
    let data = sending.data;
    match sending.room {
        Some(room) => {
            let room = Value::from(room);
            format!("{{\"type\":{name},\"room\":{room},\"data\":{data}}}")
        }
        None => format!("{{\"type\":{name},\"data\":{data}}}"),
    }
}
