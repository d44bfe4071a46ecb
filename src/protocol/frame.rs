//! Frames from clients: one JSON object each, decoded without copying.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::envelope::{self, Fields, OntoTape, Text, Unread};
use crate::protocol::{Reject, RejectCode, excerpt};
use crate::vocab::json::Tape;
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
    /// Join rooms.
    Join(JoinFrame<'a>),
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

/// `join`.
#[derive(Debug)]
pub struct JoinFrame<'a> {
    /// The rooms, each perhaps from a position on.
    pub rooms: Vec<RoomSince<'a>>,
    /// The token that lets one in, where it is one room.
    pub token: Option<Cow<'a, str>>,
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
    /// Whether the data has been read already, onto the tape of [`decode_onto`].
    pub is_read: bool,
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
    let fields = envelope::read(text, Unread).map_err(|error| undecodable(text, &error))?;
    of_fields(fields)
}

/// As [`decode`], and reads the data onto `tape` in the same pass, if it is JSON that [`Tape::read`] takes: the frame says whether
/// that has been done.
///
/// # Errors
/// As [`decode`].
pub fn decode_onto<'a>(
    text: &'a str,
    tape: &mut Tape,
    depth_max: usize,
) -> Result<Decoded<'a>, Undecodable> {
    match envelope::read(text, OntoTape::new(tape, text, depth_max)) {
        Ok(fields) if fields.repeated.is_none() => of_fields(fields),
        // What is wrong, if it is wrong for a frame at all, the plain way says.
        _ => decode(text),
    }
}

fn of_fields(fields: Fields<'_>) -> Result<Decoded<'_>, Undecodable> {
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
        Category::Data => (RejectCode::BadFrame, excerpt(error.to_string())),
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
            "join" => ClientFrame::Join(JoinFrame {
                rooms: self.join()?,
                token: self.token.map(|token| token.0),
            }),
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
                data: self.data.unwrap_or("null"),
                is_read: self.is_read,
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
        if self.token.is_some() {
            return Err("`token` lets into one room: join it by itself, with `room`".to_owned());
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
    use super::{ClientFrame, Decoded, JoinFrame, Undecodable, decode, decode_onto};
    use crate::vocab::json::{Tape, parse};
    use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};
    use std::borrow::Cow;

    #[test]
    fn what_is_told_of_a_wrong_frame_is_short_however_long_it_is() {
        let long = "x=".repeat(100_000);
        let text = format!(r#"{{"type":"history","room":"r","limit":"{long}"}}"#);
        let told = decode(&text).expect_err("no number").reject.message;
        assert!(told.starts_with("invalid type: string \"x="), "{told}");
        assert!(told.ends_with('…') && told.chars().count() == 257, "{told}");
    }

    /// A frame, or nearly.
    fn frame() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            Just("type"),
            Just("type"),
            Just("data"),
            Just("data"),
            Just("data"),
            Just("d\\u0061ta"),
            Just("id"),
            Just("room"),
            Just("key"),
            Just("x"),
            Just("\\u0078"),
            Just("limit"),
            Just(""),
        ];
        let value = prop_oneof![
            Just("\"say\""),
            Just("\"say\""),
            Just("\"join\""),
            Just("\"s\\u0061y\""),
            Just("{\"a\":1}"),
            Just("{\"a\":[\",\",\"}\"]}"),
            Just("{\"a\":1,\"a\":2}"),
            Just("[[[1]]]"),
            Just("[[[[1]]]]"),
            Just("null"),
            Just("1e400"),
            Just("-0"),
            Just("\"\\ud83d\""),
            Just("5"),
            Just("\":,}\""),
            Just("{}"),
            Just("}"),
            Just(","),
            Just("{\"data\":{\"data\":1}}"),
        ];
        let blank = || prop_oneof![Just(""), Just(""), Just(" "), Just("\n\t\r ")];
        let member = (blank(), key, blank(), blank(), value, blank());
        let members = proptest::collection::vec(member, 0..6);
        (
            blank(),
            members,
            prop_oneof![Just(""), Just(""), Just(""), Just("}"), Just(" x")],
            blank(),
        )
            .prop_map(|(before, members, more, behind)| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(a, key, b, c, value, d)| format!("{a}\"{key}\"{b}:{c}{value}{d}"))
                    .collect();
                format!("{before}{{{}}}{more}{behind}", members.join(","))
            })
    }

    /// All of it but whether the data has been read.
    fn seen(decoded: &Result<Decoded<'_>, Undecodable>) -> String {
        format!("{decoded:?}").replace("is_read: true", "is_read: false")
    }

    proptest! {
        #[test]
        fn both_ways_decode_the_same(text in frame()) {
            let mut tape = Tape::default();
            let (plain, onto) = (decode(&text), decode_onto(&text, &mut tape, 3));
            prop_assert_eq!(seen(&onto), seen(&plain), "{}", &text);
            if let Ok(Decoded { frame: ClientFrame::Message(message), .. }) = onto {
                let value = parse(message.data, 3).ok().filter(|_| message.is_read);
                let read = message.is_read.then(|| tape.root().value());
                prop_assert_eq!(read, value, "{}", &text);
            }
        }
    }

    #[test]
    fn data_is_read_with_its_frame() {
        for (text, is_read) in [
            (
                r#"{"type":"say","data": {"a":[1,"\u0061"]} ,"id":"7"}"#,
                true,
            ),
            (r#" {"data":5,"type":"say" } "#, true),
            (r#"{"type":"say","data":{}}"#, true),
            (r#"{"type":"say"}"#, false),
            (r#"{"type":"say","d\u0061ta":1}"#, false),
            (r#"{"type":"say","data":[[[[1]]]]}"#, false),
            (r#"{"type":"say","data":{"a":1,"a":1}}"#, false),
        ] {
            let decoded = decode_onto(text, &mut Tape::default(), 3).expect(text);
            let ClientFrame::Message(message) = decoded.frame else {
                panic!("a message: {text}")
            };
            assert_eq!(message.is_read, is_read, "{text}");
        }
    }

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
        let ClientFrame::Join(JoinFrame { rooms, .. }) = decode(text).expect("a frame").frame
        else {
            panic!("a join")
        };
        assert_eq!(rooms[0], ("a".into(), None));
        assert_eq!(rooms[1].1.map(|position| position.seq.get()), Some(3));
    }
}
