//! From text to tape, by serde_json's parser.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::vocab::json::Tape;
use crate::vocab::json::tape::Node;

/// A value while it is read onto a tape, by whichever parser of `source` it is handed to; see [`Tape::reading`].
#[derive(Debug)]
pub struct Reading<'t, 's> {
    tape: &'t mut Tape,
    source: &'s str,
    depth: usize,
}

impl<'t, 's> Reading<'t, 's> {
    pub(super) fn new(tape: &'t mut Tape, source: &'s str, depth: usize) -> Self {
        Self {
            tape,
            source,
            depth,
        }
    }
}

impl<'s> Reading<'_, 's> {
    /// The same, one level further in.
    fn inner<E: Error>(&mut self) -> Result<Reading<'_, 's>, E> {
        let depth = self.depth.checked_sub(1);
        Ok(Reading {
            depth: depth.ok_or_else(|| E::custom("nested too deep"))?,
            tape: self.tape,
            source: self.source,
        })
    }

    fn again(&mut self) -> Reading<'_, 's> {
        Reading {
            tape: self.tape,
            source: self.source,
            depth: self.depth,
        }
    }

    fn push<E>(self, node: Node) -> Result<(), E> {
        self.tape.push(node);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        // It is part of the source, which stands at the beginning of the tape's text.
        let from = text.as_ptr().addr() - self.source.as_ptr().addr();
        self.tape.push_span(from, text.len());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.tape.write_text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let at = self.tape.open();
        let mut inner = self.inner()?;
        let mut len = 0;
        while list.next_element_seed(inner.again())?.is_some() {
            len += 1;
        }
        self.tape.close(at, len, Node::List);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let at = self.tape.open();
        let mut inner = self.inner()?;
        let mut keys = Keys::new(at);
        while map.next_key_seed(inner.again())?.is_some() {
            keys.add(inner.tape)?;
            map.next_value_seed(inner.again())?;
        }
        self.tape.close(at, keys.len, Node::Map);
        Ok(())
    }
}

/// The keys of one object while it is read: a short list is searched faster than it is hashed.
struct Keys {
    first: usize,
    len: usize,
    many: HashSet<Box<str>>,
}

impl Keys {
    const FEW: usize = 16;

    fn new(map: usize) -> Self {
        Self {
            first: map + 1,
            len: 0,
            many: HashSet::new(),
        }
    }

    /// Adds the key that was read last.
    fn add<E: Error>(&mut self, tape: &Tape) -> Result<(), E> {
        let key = tape.last_text();
        let known = tape.entries(self.first, self.len);
        let is_new = if self.len < Self::FEW {
            known.find(key).is_none()
        } else {
            if self.len == Self::FEW {
                self.many = known.map(|(name, _)| name.into()).collect();
            }
            self.many.insert(key.into())
        };
        if !is_new {
            let shown: String = key.chars().take(64).collect();
            return Err(E::custom(format_args!(
                "the key `{shown}` stands twice in one object"
            )));
        }
        self.len += 1;
        Ok(())
    }
}
