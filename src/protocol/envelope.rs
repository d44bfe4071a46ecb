//! The object around a client's message: its members are read in one pass, and the data's text is passed on.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::vocab::json::Tape;

/// The members of a frame that mean something.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) name: Option<Text<'a>>,
    pub(super) id: Option<Text<'a>>,
    pub(super) key: Option<Text<'a>>,
    pub(super) room: Option<Text<'a>>,
    pub(super) rooms: Option<Vec<Text<'a>>>,
    pub(super) data: Option<&'a str>,
    /// Whether the data has been read onto a tape.
    pub(super) is_read: bool,
    pub(super) since: Option<&'a RawValue>,
    pub(super) before: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) after: Option<Text<'a>>,
    pub(super) seq: Option<u64>,
    pub(super) token: Option<Text<'a>>,
    /// A field that stands twice.
    pub(super) repeated: Option<&'static str>,
}

/// What becomes of the data while a frame is read.
pub(super) trait TakeData<'a> {
    /// The value of `key`, which comes next.
    fn take<A: MapAccess<'a>>(
        &mut self,
        key: &Text<'a>,
        map: &mut A,
        fields: &mut Fields<'a>,
    ) -> Result<(), A::Error>;

    /// The key behind a value that was taken, or the frame's end.
    fn next<E: Error>(&mut self, key: Option<&Text<'a>>, fields: &mut Fields<'a>) -> Result<(), E>;
}

/// It is passed over.
pub(super) struct Unread;

impl<'a> TakeData<'a> for Unread {
    fn take<A: MapAccess<'a>>(
        &mut self,
        _: &Text<'a>,
        map: &mut A,
        fields: &mut Fields<'a>,
    ) -> Result<(), A::Error> {
        let data: &RawValue = map.next_value()?;
        if fields.data.replace(data.get()).is_some() {
            fields.repeated = Some("data");
        }
        Ok(())
    }

    fn next<E>(&mut self, _: Option<&Text<'a>>, _: &mut Fields<'a>) -> Result<(), E> {
        Ok(())
    }
}

/// It is read. Where its text begins and ends is told by the keys around it, which are borrowed from the frame's text.
pub(super) struct OntoTape<'t, 'a> {
    tape: &'t mut Tape,
    source: &'a str,
    depth_max: usize,
    /// Until the next key is there: where the text of the data begins, with the colon before it.
    behind_key: Option<usize>,
}

impl<'t, 'a> OntoTape<'t, 'a> {
    /// For the frame `source`.
    pub(super) const fn new(tape: &'t mut Tape, source: &'a str, depth_max: usize) -> Self {
        Self {
            tape,
            source,
            depth_max,
            behind_key: None,
        }
    }
}

impl<'a> OntoTape<'_, 'a> {
    /// Where `key` stands, as far as it stands there as it is.
    fn place<E: Error>(&self, key: &Text<'a>) -> Result<usize, E> {
        match &key.0 {
            Cow::Borrowed(key) => Ok(key.as_ptr().addr() - self.source.as_ptr().addr()),
            Cow::Owned(_) => Err(E::custom("a key with escapes")),
        }
    }
}

impl<'a> TakeData<'a> for OntoTape<'_, 'a> {
    fn take<A: MapAccess<'a>>(
        &mut self,
        key: &Text<'a>,
        map: &mut A,
        fields: &mut Fields<'a>,
    ) -> Result<(), A::Error> {
        if fields.data.is_some() {
            return Err(A::Error::custom("data twice"));
        }
        self.behind_key = Some(self.place::<A::Error>(key)? + key.0.len() + 1);
        let reading = self.tape.reading(self.source, self.depth_max);
        map.next_value_seed(reading.map_err(A::Error::custom)?)
    }

    fn next<E: Error>(&mut self, key: Option<&Text<'a>>, fields: &mut Fields<'a>) -> Result<(), E> {
        let Some(from) = self.behind_key.take() else {
            return Ok(());
        };
        let (until, last) = match key {
            Some(key) => (self.place::<E>(key)? - 1, ','),
            None => (self.source.len(), '}'),
        };
        let blank = [' ', '\t', '\n', '\r'];
        let data = self.source[from..until].trim_matches(blank);
        let data = data
            .strip_prefix(':')
            .and_then(|data| data.strip_suffix(last));
        let data = data.ok_or_else(|| E::custom("data without an end"))?;
        fields.data = Some(data.trim_matches(blank));
        fields.is_read = true;
        Ok(())
    }
}

/// The members of the frame `text`.
pub(super) fn read<'a>(
    text: &'a str,
    data: impl TakeData<'a>,
) -> Result<Fields<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = deserializer.deserialize_map(Envelope { data })?;
    deserializer.end()?;
    Ok(fields)
}

/// A frame while it is read.
struct Envelope<D> {
    data: D,
}

/// Reads a field; says whether it stands there for the first time.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    let value = map.next_value()?;
    Ok(field.replace(value).is_none())
}

impl<'de, D: TakeData<'de>> Visitor<'de> for Envelope<D> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            self.data.next(Some(&name), &mut fields)?;
            let (name, first) = match &*name.0 {
                "type" => ("type", once(&mut fields.name, &mut map)?),
                "id" => ("id", once(&mut fields.id, &mut map)?),
                "key" => ("key", once(&mut fields.key, &mut map)?),
                "room" => ("room", once(&mut fields.room, &mut map)?),
                "rooms" => ("rooms", once(&mut fields.rooms, &mut map)?),
                "data" => {
                    self.data.take(&name, &mut map, &mut fields)?;
                    continue;
                }
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
        self.data.next(None, &mut fields)?;
        Ok(fields)
    }
}

/// A text, borrowed from the frame where it has no escapes.
#[derive(Clone, Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

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
