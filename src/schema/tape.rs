//! jsonschema's view of a [`Tape`], so that data is validated as it was read, without a tree.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde_json::{Number, Value};

use crate::vocab::json::{Entries, Item, Items, Tape, View};

/// Values on a [`Tape`], as a representation of JSON.
pub(super) struct OnTape;

/// A value on a tape, or the name of a property, which `propertyNames` looks at as if it were one.
#[derive(Clone, Copy)]
pub(super) enum Instance<'a> {
    Item(Item<'a>),
    Name(&'a str),
}

impl<'a> From<&'a Tape> for Instance<'a> {
    fn from(tape: &'a Tape) -> Self {
        Self::Item(tape.root())
    }
}

impl Json for OnTape {
    type Node<'a> = Instance<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = ();

    // A lookup goes through the members, so that one pass over them is worth several.
    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), text: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(text))
    }
}

impl<'a> Instance<'a> {
    #[inline]
    fn view(self) -> View<'a> {
        match self {
            Self::Item(item) => item.view(),
            Self::Name(name) => View::Text(name),
        }
    }

    #[inline]
    fn text(self) -> Option<&'a str> {
        match self.view() {
            View::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Node<'a, OnTape> for Instance<'a> {
    type Object = Entries<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    #[inline]
    fn as_object(&self) -> Option<Entries<'a>> {
        match self.view() {
            View::Map(entries) => Some(entries),
            _ => None,
        }
    }

    #[inline]
    fn as_array(&self) -> Option<Items<'a>> {
        match self.view() {
            View::List(items) => Some(items),
            _ => None,
        }
    }

    #[inline]
    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.text().map(Cow::Borrowed)
    }

    #[inline]
    fn as_number(&self) -> Option<&'a Number> {
        match self.view() {
            View::Number(number) => Some(number),
            _ => None,
        }
    }

    #[inline]
    fn as_boolean(&self) -> Option<bool> {
        match self.view() {
            View::Bool(value) => Some(value),
            _ => None,
        }
    }

    #[inline]
    fn is_null(&self) -> bool {
        matches!(self.view(), View::Null)
    }

    #[inline]
    fn json_type(&self) -> JsonType {
        match self.view() {
            View::Null => JsonType::Null,
            View::Bool(_) => JsonType::Boolean,
            View::Number(_) => JsonType::Number,
            View::Text(_) => JsonType::String,
            View::List(_) => JsonType::Array,
            View::Map(_) => JsonType::Object,
        }
    }

    #[inline]
    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let text = self.text()?;
        // A character takes one to four bytes: mostly their number decides without counting.
        let bytes = text.len() as u64;
        let fewest = bytes.div_ceil(4);
        if bytes < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && bytes <= max {
            return Some(true);
        }
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    #[inline]
    fn equals_value(&self, expected: &Value) -> bool {
        match (self.view(), expected) {
            (View::Text(text), Value::String(expected)) => text == expected,
            (View::Number(number), Value::Number(expected)) => cmp::equal_numbers(number, expected),
            (View::List(_), Value::Array(_)) | (View::Map(_), Value::Object(_)) => {
                cmp::equal(&self.to_value(), expected)
            }
            (View::Bool(value), Value::Bool(expected)) => value == *expected,
            (View::Null, Value::Null) => true,
            _ => false,
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(match self {
            Self::Item(item) => item.value(),
            Self::Name(name) => (*name).into(),
        })
    }

    #[inline]
    fn identity(&self) -> Option<NodeIdentity> {
        Some(match self {
            Self::Item(item) => NodeIdentity::new(item.address()),
            Self::Name(name) => NodeIdentity::tagged(name.as_ptr().addr(), 1),
        })
    }
}

/// [`Entries`] as members: a key and a node.
pub(super) struct Members<'a>(Entries<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Instance<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, item) = self.0.next()?;
        Some((key, Instance::Item(item)))
    }
}

impl<'a> Object<'a, OnTape> for Entries<'a> {
    type Node = Instance<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    #[inline]
    fn len(&self) -> usize {
        Entries::len(self)
    }

    #[inline]
    fn get(&self, key: &Box<str>) -> Option<Instance<'a>> {
        self.clone().find(key).map(Instance::Item)
    }

    #[inline]
    fn members(&self) -> Members<'a> {
        Members(self.clone())
    }
}

/// [`Items`] as nodes.
pub(super) struct Elements<'a>(Items<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Instance<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(Instance::Item)
    }
}

impl<'a> Array<'a, OnTape> for Items<'a> {
    type Node = Instance<'a>;
    type ElementsIter = Elements<'a>;

    #[inline]
    fn len(&self) -> usize {
        Items::len(self)
    }

    #[inline]
    fn elements(&self) -> Elements<'a> {
        Elements(self.clone())
    }
}
