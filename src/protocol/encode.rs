//! Frames from the server: written once, as the bytes that every reader's socket gets.

use std::fmt;
use std::io::Write as _;

use bytes::Bytes;
use serde::Serialize;

use crate::protocol::Reject;
use crate::protocol::websocket::{FrameWriter, Masking, encode_binary, encode_text};
use crate::vocab::User;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// One of the JSON objects of docs/protocol.md.
    Json,
    /// Anything: it came from, or goes to, an endpoint that does not speak JSON.
    Raw,
}

/// An encoded WebSocket frame (RFC 6455 §5.2): cheap to clone, shared by all that read it.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    payload_at: u8,
    kind: FrameKind,
}

impl Frame {
    /// A text frame that is not JSON of ours.
    pub fn raw_text(text: &str) -> Self {
        Self::raw(encode_text(text, Masking::Plain), text.len())
    }

    /// A binary frame.
    pub fn raw_binary(payload: &[u8]) -> Self {
        Self::raw(encode_binary(payload, Masking::Plain), payload.len())
    }

    fn raw(bytes: Bytes, payload_len: usize) -> Self {
        let payload_at = (bytes.len() - payload_len) as u8;
        Self {
            bytes,
            payload_at,
            kind: FrameKind::Raw,
        }
    }

    /// What the socket gets.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it holds.
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The payload, without the header; of JSON frames UTF-8.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.payload_at)..]
    }
}

/// A JSON frame while it is written: an object whose first member is `type`.
#[derive(Debug)]
pub struct Object {
    writer: FrameWriter,
    /// Whether an object has just been opened, so that no comma goes before its first member.
    opened: bool,
}

impl Object {
    /// The beginning of a frame of the type `name`; `room_for` is how many bytes its payload will have, roughly.
    pub fn new(name: &str, room_for: usize) -> Self {
        let mut object = Self {
            writer: FrameWriter::text(room_for),
            opened: false,
        };
        object.writer.push(b"{\"type\":");
        object.string(name);
        object
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        // Into memory, of types whose serialisation cannot fail: texts, numbers, JSON values and their lists.
        let _ = serde_json::to_writer(&mut self.writer, value);
    }

    /// Most texts need no escaping: a look at their bytes spares them the serialiser.
    fn string(&mut self, text: &str) {
        let needs_escape = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        if text.bytes().any(needs_escape) {
            self.value(text);
            return;
        }
        self.writer.push(b"\"");
        self.writer.push(text.as_bytes());
        self.writer.push(b"\"");
    }

    fn name(&mut self, name: &'static str) {
        let before: &[u8] = if std::mem::take(&mut self.opened) {
            b"\""
        } else {
            b",\""
        };
        self.writer.push(before);
        self.writer.push(name.as_bytes());
        self.writer.push(b"\":");
    }

    /// Adds a member; `name` needs no escaping.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Self {
        self.name(name);
        self.value(value);
        self
    }

    /// Adds a member where there is a value.
    #[must_use]
    pub fn optional(self, name: &'static str, value: Option<&(impl Serialize + ?Sized)>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, name: &'static str, text: &str) -> Self {
        self.name(name);
        self.string(text);
        self
    }

    /// Adds a text whose characters need no escaping: ids, timestamps, epochs.
    #[must_use]
    pub fn plain(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.name(name);
        self.writer.push(b"\"");
        let _ = write!(self.writer, "{value}");
        self.writer.push(b"\"");
        self
    }

    /// Adds JSON as it stands.
    #[must_use]
    pub fn json(mut self, name: &'static str, json: &str) -> Self {
        self.name(name);
        self.writer.push(json.as_bytes());
        self
    }

    /// Adds a list of JSON texts as they stand.
    #[must_use]
    pub fn json_list<'a>(
        mut self,
        name: &'static str,
        items: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        self.name(name);
        self.writer.push(b"[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.writer.push(b",");
            }
            self.writer.push(item);
        }
        self.writer.push(b"]");
        self
    }

    /// Adds a list of objects, one for each item; `write` adds their members.
    #[must_use]
    pub fn objects<T>(
        mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        write: impl Fn(Self, T) -> Self,
    ) -> Self {
        self.name(name);
        self.writer.push(b"[");
        for (index, item) in items.into_iter().enumerate() {
            self.writer.push(if index > 0 { b",{" } else { b"{" });
            self.opened = true;
            self = write(self, item);
            self.writer.push(b"}");
        }
        self.opened = false;
        self.writer.push(b"]");
        self
    }

    /// Adds `sender` or `user`: `{"user_id":…,"username":…}`.
    #[must_use]
    pub fn user(mut self, name: &'static str, user: &User) -> Self {
        self.name(name);
        self.writer.push(b"{\"user_id\":");
        self.string(user.id.as_str());
        self.writer.push(b",\"username\":");
        self.string(&user.username);
        self.writer.push(b"}");
        self
    }

    /// The frame.
    pub fn finish(mut self) -> Frame {
        self.writer.push(b"}");
        let payload_len = self.writer.payload_bytes();
        let bytes = self.writer.finish();
        let payload_at = (bytes.len() - payload_len) as u8;
        Frame {
            bytes,
            payload_at,
            kind: FrameKind::Json,
        }
    }
}

impl Reject {
    /// The `error` frame; the cause stays here.
    pub fn to_frame(&self, id: Option<&str>) -> Frame {
        let retry_after = self
            .retry_after
            .map(|wait| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX));
        Object::new("error", 128)
            .optional("id", id)
            .field("code", self.code.as_str())
            .field("message", &*self.message)
            .optional("details", self.details.as_ref())
            .optional("retry_after_ms", retry_after.as_ref())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, Object};
    use crate::protocol::{Reject, RejectCode};
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use std::time::Duration;

    fn text(frame: &Frame) -> &str {
        std::str::from_utf8(frame.payload()).expect("UTF-8")
    }

    #[test]
    fn objects_are_json() {
        let frame = Object::new("message", 10)
            .field("room", "a\"b")
            .field("seq", &7)
            .json("data", "{\"x\":1}")
            .plain("timestamp", 5)
            .finish();
        assert_eq!(
            text(&frame),
            r#"{"type":"message","room":"a\"b","seq":7,"data":{"x":1},"timestamp":"5"}"#
        );
        assert_eq!(frame.bytes()[0], 0x81);
        let objects = Object::new("members", 10)
            .objects("none", [(); 0], |object, ()| object)
            .objects("empty", [()], |object, ()| object)
            .objects("users", ["a", "\u{1}\\"], |object, name| {
                object.text("name", name).field("n", &1)
            })
            .field("more", &true)
            .finish();
        assert_eq!(
            text(&objects),
            r#"{"type":"members","none":[],"empty":[{}],"users":[{"name":"a","n":1},{"name":"\u0001\\","n":1}],"more":true}"#
        );
        let lists = Object::new("history", 10)
            .json_list("none", [])
            .json_list("messages", [&b"1"[..], b"2"])
            .finish();
        assert_eq!(
            text(&lists),
            r#"{"type":"history","none":[],"messages":[1,2]}"#
        );
    }

    proptest! {
        #[test]
        fn texts_are_written_as_serde_json_does(value in any::<String>(), plain in "[a-z\"\\\\\u{0}-\u{1f}\u{7f}é]{0,4}") {
            for value in [value, plain] {
                let expected = serde_json::json!({"type": value, "x": value}).to_string();
                let frame = Object::new(&value, 10).text("x", &value).finish();
                prop_assert_eq!(text(&frame), expected);
            }
        }
    }

    #[test]
    fn causes_stay_here() {
        let reject = Reject::new(RejectCode::RateLimited, "too fast")
            .retry_after(Duration::from_micros(1500))
            .cause("secret");
        assert_eq!(
            text(&reject.to_frame(Some("7"))),
            r#"{"type":"error","id":"7","code":"rate_limited","message":"too fast","retry_after_ms":2}"#
        );
    }

    #[test]
    fn raw_frames_keep_their_payload() {
        for payload in [&b""[..], &[1; 125], &[2; 126], &[3; 70_000]] {
            assert_eq!(Frame::raw_binary(payload).payload(), payload);
        }
    }
}
