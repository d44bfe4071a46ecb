//! Frames from clients: one JSON object each, decoded without copying.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::{Reject, RejectCode};
use crate::vocab::{Epoch, Position, Seq};

/// The longest `id`, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// The longest `key`, in bytes.
pub const KEY_BYTES_MAX: usize = 128;

/// A room, perhaps with the position to resume it from.
pub type RoomSince<'a> = (Cow<'a, str>, Option<Position>);

/// What a client says.
#[derive(Debug)]
pub enum ClientFrame<'a> {
    /// A message of a declared type.
    Message(MessageFrame<'a>),
    /// Join rooms, each perhaps from a position on.
    Join(Vec<RoomSince<'a>>),
    /// Leave a room.
    Leave(Cow<'a, str>),
    /// Who is in a room?
    Members(MembersQuery<'a>),
    /// What was said in a room?
    History(HistoryQuery<'a>),
    /// The inbox up to this seq has been dealt with.
    Received {
        /// The room that has the inbox; absent where the connection is in one such room only.
        room: Option<Cow<'a, str>>,
        /// The last seq.
        seq: Seq,
    },
    /// A credential.
    Token(Cow<'a, str>),
    /// One's own presence state.
    State,
    /// Are you there?
    Ping,
    /// I am here.
    Pong,
}

/// A message of a declared type.
#[derive(Debug)]
pub struct MessageFrame<'a> {
    /// The type's name as it was sent.
    pub name: Cow<'a, str>,
    /// The room it is for.
    pub room: Option<Cow<'a, str>>,
    /// The idempotency key.
    pub key: Option<Cow<'a, str>>,
    /// The data; absent means `null`.
    pub data: &'a str,
}

/// `members`.
#[derive(Debug)]
pub struct MembersQuery<'a> {
    /// The room.
    pub room: Cow<'a, str>,
    /// The `next` of the page before.
    pub after: Option<Cow<'a, str>>,
    /// How many at most.
    pub limit: Option<u64>,
}

/// `history`.
#[derive(Debug)]
pub struct HistoryQuery<'a> {
    /// The room.
    pub room: Cow<'a, str>,
    /// Messages before this one; absent: the newest.
    pub before: Option<Seq>,
    /// How many at most.
    pub limit: Option<u64>,
}

/// A frame with the `id` that its answer carries.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// Correlates the answer.
    pub id: Option<Cow<'a, str>>,
    /// What is said.
    pub frame: ClientFrame<'a>,
}

/// A refusal with the `id` of the frame, where that could be read.
#[derive(Debug)]
pub struct Undecodable {
    /// Correlates the answer.
    pub id: Option<String>,
    /// Why.
    pub reject: Reject,
}

/// Decodes a frame. The data is not looked into; see [`crate::vocab::json`].
///
/// # Errors
/// `bad_json`, or `bad_frame` with what the frame lacks.
pub fn decode(text: &str) -> Result<Decoded<'_>, Undecodable> {
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|error| undecodable(text, &error))?;
    let id = fields.id.as_ref().map(|id| id.0.clone());
    let frame = match fields.repeated {
        Some(name) => {
            let message = format!("the key `{name}` stands twice in one object");
            Err(Reject::new(RejectCode::BadJson, message))
        }
        None => fields
            .into_frame()
            .map_err(|message| Reject::new(RejectCode::BadFrame, message)),
    };
    match frame {
        Ok(frame) => Ok(Decoded { id, frame }),
        Err(reject) => Err(Undecodable {
            id: id
                .map(Cow::into_owned)
                .filter(|id| id.len() <= ID_BYTES_MAX),
            reject,
        }),
    }
}

fn undecodable(text: &str, error: &serde_json::Error) -> Undecodable {
    use serde_json::error::Category;
    let (code, message) = match error.classify() {
        Category::Data if !text.trim_start().starts_with('{') => (
            RejectCode::BadFrame,
            "a frame is a JSON object such as {\"type\":\"message\",\"data\":{}}".to_owned(),
        ),
        Category::Data => (RejectCode::BadFrame, error.to_string()),
        Category::Io | Category::Syntax | Category::Eof => {
            (RejectCode::BadJson, format!("this is not JSON: {error}"))
        }
    };
    // Whose fault is another field's still hears which frame it was.
    let id = serde_json::from_str(text).ok().and_then(|OnlyId { id }| id);
    Undecodable {
        id: id.filter(|id| id.len() <= ID_BYTES_MAX),
        reject: Reject::new(code, message),
    }
}

#[derive(Deserialize)]
struct OnlyId {
    id: Option<String>,
}

#[derive(Clone, Debug)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

#[derive(Debug, Deserialize)]
struct PositionFields<'a> {
    #[serde(borrow)]
    epoch: Text<'a>,
    seq: u64,
}

impl PositionFields<'_> {
    fn position(&self) -> Result<Position, String> {
        let epoch = Epoch::parse(&self.epoch.0).map_err(|error| error.to_string())?;
        Ok(Position {
            epoch,
            seq: Seq::new(self.seq),
        })
    }
}

#[derive(Debug, Default)]
struct Fields<'a> {
    name: Option<Text<'a>>,
    id: Option<Text<'a>>,
    key: Option<Text<'a>>,
    room: Option<Text<'a>>,
    rooms: Option<Vec<Text<'a>>>,
    data: Option<&'a RawValue>,
    since: Option<&'a RawValue>,
    before: Option<u64>,
    limit: Option<u64>,
    after: Option<Text<'a>>,
    seq: Option<u64>,
    token: Option<Text<'a>>,
    /// A field that stands twice.
    repeated: Option<&'static str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

/// Reads a field; says whether it stands there for the first time.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    let value = map.next_value()?;
    Ok(field.replace(value).is_none())
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let (name, first) = match &*name.0 {
                "type" => ("type", once(&mut fields.name, &mut map)?),
                "id" => ("id", once(&mut fields.id, &mut map)?),
                "key" => ("key", once(&mut fields.key, &mut map)?),
                "room" => ("room", once(&mut fields.room, &mut map)?),
                "rooms" => ("rooms", once(&mut fields.rooms, &mut map)?),
                "data" => ("data", once(&mut fields.data, &mut map)?),
                "since" => ("since", once(&mut fields.since, &mut map)?),
                "before" => ("before", once(&mut fields.before, &mut map)?),
                "limit" => ("limit", once(&mut fields.limit, &mut map)?),
                "after" => ("after", once(&mut fields.after, &mut map)?),
                "seq" => ("seq", once(&mut fields.seq, &mut map)?),
                "token" => ("token", once(&mut fields.token, &mut map)?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !first {
                fields.repeated = Some(name);
            }
        }
        Ok(fields)
    }
}

impl<'a> Fields<'a> {
    fn into_frame(self) -> Result<ClientFrame<'a>, String> {
        let too_long = |field: &Option<Text<'_>>, max: usize| {
            field.as_ref().is_some_and(|text| text.0.len() > max)
        };
        if too_long(&self.id, ID_BYTES_MAX) {
            return Err(format!("`id` has at most {ID_BYTES_MAX} bytes"));
        }
        if too_long(&self.key, KEY_BYTES_MAX) {
            return Err(format!("`key` has at most {KEY_BYTES_MAX} bytes"));
        }
        let Some(name) = self.name.clone() else {
            return Err("`type` is missing: a frame is {\"type\":…,\"data\":…}".to_owned());
        };
        Ok(match &*name.0 {
            "ping" => ClientFrame::Ping,
            "pong" => ClientFrame::Pong,
            "join" => ClientFrame::Join(self.join()?),
            "leave" => ClientFrame::Leave(self.need_room("leave")?),
            "members" => {
                let room = self.need_room("members")?;
                ClientFrame::Members(MembersQuery {
                    room,
                    after: self.after.map(|text| text.0),
                    limit: self.limit,
                })
            }
            "history" => {
                let room = self.need_room("history")?;
                ClientFrame::History(HistoryQuery {
                    room,
                    before: self.before.map(Seq::new),
                    limit: self.limit,
                })
            }
            "received" => {
                let seq = self
                    .seq
                    .ok_or("`seq` is missing: {\"type\":\"received\",\"room\":…,\"seq\":…}")?;
                ClientFrame::Received {
                    room: self.room.map(|text| text.0),
                    seq: Seq::new(seq),
                }
            }
            "token" => {
                let token = self
                    .token
                    .ok_or("`token` is missing: {\"type\":\"token\",\"token\":…}")?;
                ClientFrame::Token(token.0)
            }
            "state" => ClientFrame::State,
            _ => ClientFrame::Message(MessageFrame {
                name: name.0,
                room: self.room.map(|text| text.0),
                key: self.key.map(|text| text.0),
                data: self.data.map_or("null", RawValue::get),
            }),
        })
    }

    fn need_room(&self, name: &str) -> Result<Cow<'a, str>, String> {
        let room = self.room.as_ref().map(|text| text.0.clone());
        room.ok_or_else(|| format!("`room` is missing: {{\"type\":\"{name}\",\"room\":…}}"))
    }

    fn join(&self) -> Result<Vec<RoomSince<'a>>, String> {
        let read = |raw: &RawValue| -> Result<Position, String> {
            let fields: PositionFields<'_> = serde_json::from_str(raw.get()).map_err(|_| {
                "`since` is {\"epoch\":…,\"seq\":…}; with `rooms`, one for each room's name"
                    .to_owned()
            })?;
            fields.position()
        };
        if let Some(room) = &self.room {
            return Ok(vec![(room.0.clone(), self.since.map(read).transpose()?)]);
        }
        let rooms = self
            .rooms
            .as_ref()
            .ok_or("`room` is missing: {\"type\":\"join\",\"room\":…}")?;
        let since: std::collections::HashMap<String, &RawValue> = match self.since {
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| "with `rooms`, `since` maps each room's name to its position")?,
            None => std::collections::HashMap::new(),
        };
        rooms
            .iter()
            .map(|room| {
                Ok((
                    room.0.clone(),
                    since.get(&*room.0).copied().map(read).transpose()?,
                ))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientFrame, decode};
    use std::borrow::Cow;

    #[test]
    fn a_message_is_borrowed_from_the_text() {
        let text =
            r#"{"type":"message","id":"a","room":"room:1","data":{"text": "hi"},"more":[1]}"#;
        let decoded = decode(text).expect("a frame");
        let ClientFrame::Message(message) = decoded.frame else {
            panic!("a message")
        };
        assert_eq!(message.data, r#"{"text": "hi"}"#);
        assert!(matches!(message.name, Cow::Borrowed("message")));
        assert!(matches!(message.room, Some(Cow::Borrowed("room:1"))));
        assert_eq!(decoded.id.as_deref(), Some("a"));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        for (text, code, part) in [
            ("nonsense", "bad_json", "not JSON"),
            ("{\"type\":", "bad_json", "not JSON"),
            ("[1]", "bad_frame", "a frame is a JSON object"),
            ("{}", "bad_frame", "`type` is missing"),
            ("{\"type\":5}", "bad_frame", "expected a string"),
            (
                "{\"type\":\"a\",\"type\":\"b\"}",
                "bad_json",
                "the key `type` stands twice",
            ),
            ("{\"type\":\"join\"}", "bad_frame", "`room` is missing"),
            (
                "{\"type\":\"received\",\"room\":\"r\"}",
                "bad_frame",
                "`seq` is missing",
            ),
            (
                "{\"type\":\"join\",\"room\":\"r\",\"since\":{\"epoch\":\"x\",\"seq\":1}}",
                "bad_frame",
                "a position is an epoch",
            ),
            (
                &format!("{{\"type\":\"m\",\"id\":\"{}\"}}", "x".repeat(65)),
                "bad_frame",
                "at most 64 bytes",
            ),
        ] {
            let reject = decode(text).expect_err(text).reject;
            assert_eq!(reject.code.as_str(), code, "{text}");
            assert!(reject.message.contains(part), "{text}: {}", reject.message);
        }
    }

    #[test]
    fn the_id_of_a_bad_frame_is_kept() {
        assert_eq!(
            decode("{\"id\":\"7\"}").expect_err("no type").id.as_deref(),
            Some("7")
        );
    }

    #[test]
    fn joins_carry_positions() {
        let text =
            r#"{"type":"join","rooms":["a","b"],"since":{"b":{"epoch":"0000002a","seq":3}}}"#;
        let ClientFrame::Join(rooms) = decode(text).expect("a frame").frame else {
            panic!("a join")
        };
        assert_eq!(rooms[0], ("a".into(), None));
        assert_eq!(rooms[1].1.map(|position| position.seq.get()), Some(3));
    }
}
