//! Names: of rooms, paths and message types, and the patterns that declare them.

use std::fmt;
use std::sync::Arc;

/// The types that belong to the protocol; no message type of a file may be called so.
pub const SYSTEM_TYPES: [&str; 16] = [
    "welcome",
    "ack",
    "error",
    "join",
    "joined",
    "leave",
    "left",
    "members",
    "history",
    "state",
    "received",
    "token",
    "gap",
    "ping",
    "pong",
    "reconnect",
];

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or nothing between two separators.
    #[error("a segment is empty")]
    EmptySegment,
    /// More than 64 bytes between two separators.
    #[error("the segment `{0}` is longer than 64 bytes")]
    LongSegment(String),
    /// A character that names do not have.
    #[error("`{0}` may not stand in a name: use A–Z a–z 0–9 _ . @ , = + ~ -")]
    BadCharacter(char),
    /// More segments than 16.
    #[error("a name has at most 16 segments")]
    TooManySegments,
    /// Not of the form of message types.
    #[error("a message type is 1 to 64 of a–z 0–9 _ . - and begins with a letter")]
    BadMessageType,
    /// A type that belongs to the protocol.
    #[error("`{0}` is a type of the protocol itself")]
    SystemType(String),
}

fn check_segment(segment: &str) -> Result<(), NameError> {
    if segment.is_empty() {
        return Err(NameError::EmptySegment);
    }
    if let Some(bad) = segment
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "_.@,=+~-".contains(*c)))
    {
        return Err(NameError::BadCharacter(bad));
    }
    if segment.len() > 64 {
        return Err(NameError::LongSegment(segment.to_owned()));
    }
    Ok(())
}

const SEGMENTS_MAX: usize = 16;

/// The name of a room: segments of 1–64 bytes separated by `:`, at most 16.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Reads a room name.
    ///
    /// # Errors
    /// A segment is empty, too long or has a character that names do not have, or there are too many.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        for (index, segment) in text.split(':').enumerate() {
            check_segment(segment)?;
            if index >= SEGMENTS_MAX {
                return Err(NameError::TooManySegments);
            }
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a message type, or of an announcement: `[a-z][a-z0-9_.-]{0,63}`, none of [`SYSTEM_TYPES`], not `sys.…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageName(Arc<str>);

impl MessageName {
    /// Reads the name of a message type.
    ///
    /// # Errors
    /// The text has another form or belongs to the protocol.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let begins = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
        let goes_on = bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte)
        });
        if !begins || !goes_on || text.len() > 64 {
            return Err(NameError::BadMessageType);
        }
        if SYSTEM_TYPES.contains(&text) || text.starts_with("sys.") {
            return Err(NameError::SystemType(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for MessageName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Matches itself.
    Literal(Arc<str>),
    /// `{name}`: matches any one segment and gives it that name.
    Parameter(Arc<str>),
}

/// A pattern of rooms (`room:{room_id}`) or of endpoint paths (`/ws/room/{room_id}`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Arc<str>,
    separator: char,
    segments: Vec<Segment>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A literal segment is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not `{name}` with a name of letters, digits and underscores.
    #[error("`{0}` is not a parameter: write `{{name}}` as a whole segment, with a–z 0–9 _")]
    BadParameter(String),
    /// The same parameter twice.
    #[error("the parameter `{0}` stands twice")]
    RepeatedParameter(String),
    /// A path that does not begin with `/`.
    #[error("a path begins with `/`")]
    NoLeadingSlash,
}

impl Pattern {
    /// Reads a pattern of rooms, whose segments stand between `:`.
    ///
    /// # Errors
    /// A literal is no name, or a parameter is not `{name}` or stands twice.
    pub fn parse_room(text: &str) -> Result<Self, PatternError> {
        Self::parse(text, text, ':')
    }

    /// Reads a pattern of endpoint paths, whose segments stand between `/`; `/` alone has none.
    ///
    /// # Errors
    /// As for rooms, or the leading slash is missing.
    pub fn parse_path(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash)?;
        if rest.is_empty() {
            return Ok(Self {
                text: text.into(),
                separator: '/',
                segments: Vec::new(),
            });
        }
        Self::parse(text, rest, '/')
    }

    fn parse(text: &str, rest: &str, separator: char) -> Result<Self, PatternError> {
        let mut segments = Vec::new();
        for part in rest.split(separator) {
            let segment = if part.contains(['{', '}']) {
                let name = part
                    .strip_prefix('{')
                    .and_then(|part| part.strip_suffix('}'));
                let good = |name: &&str| {
                    !name.is_empty()
                        && name.bytes().all(|byte| {
                            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
                        })
                        && !name.as_bytes()[0].is_ascii_digit()
                };
                let name = name
                    .filter(good)
                    .ok_or_else(|| PatternError::BadParameter(part.to_owned()))?;
                let segment = Segment::Parameter(name.into());
                if segments.contains(&segment) {
                    return Err(PatternError::RepeatedParameter(name.to_owned()));
                }
                segment
            } else {
                check_segment(part)?;
                Segment::Literal(part.into())
            };
            if segments.len() == SEGMENTS_MAX {
                return Err(NameError::TooManySegments.into());
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.into(),
            separator,
            segments,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name),
            Segment::Literal(_) => None,
        })
    }

    /// The parameters with which `text` is an instance of this pattern.
    pub fn matches(&self, text: &str) -> Option<Parameters> {
        let text = if self.separator == '/' {
            text.strip_prefix('/')?
        } else {
            text
        };
        if self.segments.is_empty() {
            return text.is_empty().then(Parameters::default);
        }
        let mut parts = text.split(self.separator);
        let mut found = Vec::new();
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if **literal == *part => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) => {
                    check_segment(part).ok()?;
                    found.push((name.clone(), part.into()));
                }
            }
        }
        parts.next().is_none().then_some(Parameters(found))
    }

    /// The parameters whose values `value_of` gives by name, as a router found them; none where one is missing or no segment.
    pub fn bind<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> Option<Parameters> {
        let mut found = Vec::new();
        for name in self.parameters() {
            let value = value_of(name)?;
            check_segment(value).ok()?;
            found.push((name.clone(), value.into()));
        }
        Some(Parameters(found))
    }

    /// Whether some text is an instance of both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Literal(one), Segment::Literal(two)) => one == two,
                    _ => true,
                })
    }

    /// Whether this pattern goes first where both match: it has a literal wherever they differ in kind.
    pub fn beats(&self, other: &Self) -> bool {
        let kinds = |pattern: &Self| -> Vec<bool> {
            pattern
                .segments
                .iter()
                .map(|segment| matches!(segment, Segment::Literal(_)))
                .collect()
        };
        let (mine, theirs) = (kinds(self), kinds(other));
        mine != theirs
            && mine
                .iter()
                .zip(&theirs)
                .all(|(mine, theirs)| mine >= theirs)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Named text values, in order: a pattern's parameters, a URL's query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(Arc<str>, Box<str>)>);

impl Parameters {
    /// No parameters.
    pub const NONE: Self = Self(Vec::new());

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value called `name`; the first where it stands several times.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All values with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<N: Into<Arc<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageName, Pattern, RoomName};

    #[test]
    fn room_names_have_good_segments() {
        for good in [
            "room:42",
            "user:ann@example.com",
            "a",
            "x:y:z",
            "v=1,2+3~4-5_6.7",
        ] {
            assert!(RoomName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            ":",
            "room:",
            "room::1",
            "rö",
            "a b",
            "a/b",
            "{x}",
            &long,
            &["a"; 17].join(":"),
        ] {
            assert!(RoomName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn message_types_leave_the_protocol_its_own() {
        for good in ["message", "user_joined", "a.b-c_1"] {
            assert!(MessageName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Message",
            "1a",
            "ack",
            "reconnect",
            "sys.x",
            "a b",
            &"a".repeat(65),
        ] {
            assert!(MessageName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_whole_segments() {
        let pattern = Pattern::parse_room("room:{room_id}").expect("a pattern");
        let parameters = pattern.matches("room:42").expect("a match");
        assert_eq!(parameters.get("room_id"), Some("42"));
        for other in ["room", "room:", "room:1:2", "desk:1", "room:a b"] {
            assert_eq!(pattern.matches(other), None, "{other}");
        }
        let path = Pattern::parse_path("/ws/{client_id}").expect("a pattern");
        assert!(path.matches("/ws/7").is_some());
        assert!(path.matches("ws/7").is_none());
        assert!(
            Pattern::parse_path("/")
                .expect("a pattern")
                .matches("/")
                .is_some()
        );
    }

    #[test]
    fn patterns_say_what_is_wrong() {
        for (text, message) in [
            (
                "room:{}",
                "`{}` is not a parameter: write `{name}` as a whole segment, with a–z 0–9 _",
            ),
            (
                "room:x{id}",
                "`x{id}` is not a parameter: write `{name}` as a whole segment, with a–z 0–9 _",
            ),
            ("a:{x}:{x}", "the parameter `x` stands twice"),
            ("a::b", "a segment is empty"),
        ] {
            assert_eq!(
                Pattern::parse_room(text).map_err(|error| error.to_string()),
                Err(message.to_owned())
            );
        }
    }

    #[test]
    fn literals_beat_parameters() {
        let pattern = |text| Pattern::parse_room(text).expect("a pattern");
        assert!(pattern("room:lobby").overlaps(&pattern("room:{id}")));
        assert!(pattern("room:lobby").beats(&pattern("room:{id}")));
        assert!(!pattern("room:{id}").beats(&pattern("room:lobby")));
        assert!(!pattern("{a}:x").beats(&pattern("y:{b}")));
        assert!(pattern("{a}:x").overlaps(&pattern("y:{b}")));
        assert!(!pattern("a:x").overlaps(&pattern("b:{c}")));
    }
}
