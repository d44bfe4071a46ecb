//! What a plain rule sees: facts where they are, trees and tapes alike.

use std::cell::{Cell, OnceCell};
use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use serde_json::{Map, Number, Value};

use crate::rule::evaluate::{STEPS_MAX, whole};
use crate::rule::node::Fact;
use crate::rule::plain::Stop;
use crate::rule::value::{Fault, Val, blocks, find, order_exactly};
use crate::rule::{DataFacts, Facts};
use crate::vocab::json::{Entries, Item, Items, View};

/// A map on a tape is searched from its start. One with more entries is handed over: as a tree it is hashed.
const ENTRIES_MAX: usize = 64;

/// One answer in the making.
pub(super) struct Sight<'a> {
    pub(super) facts: &'a Facts<'a>,
    steps: Cell<u32>,
    /// `connection.id` and `connection.ip` as text, once they are asked for.
    id: OnceCell<Short>,
    ip: OnceCell<Short>,
}

/// A value where it is.
#[derive(Clone, Debug)]
pub(super) enum Seen<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    List(&'a [Value]),
    Map(&'a Map<String, Value>),
    /// A list on a tape.
    Items(Items<'a>),
    /// A map on a tape.
    Entries(Entries<'a>),
}

/// A text without memory of its own: as long as an IPv6 address at most.
struct Short {
    bytes: [u8; 45],
    len: usize,
}

impl<'a> Sight<'a> {
    pub(super) const fn new(facts: &'a Facts<'a>) -> Self {
        Self {
            facts,
            steps: Cell::new(STEPS_MAX),
            id: OnceCell::new(),
            ip: OnceCell::new(),
        }
    }

    pub(super) fn work(&self, steps: u32) -> Result<(), Fault> {
        let left = self.steps.get().checked_sub(steps);
        self.steps.set(left.ok_or(Fault::Work)?);
        Ok(())
    }

    pub(super) fn fact(&self, fact: Fact) -> Result<Seen<'_>, Fault> {
        let facts = self.facts;
        Ok(match fact {
            Fact::Id(who) => Seen::Text(facts.user(who)?.id.as_str()),
            Fact::Username(who) => Seen::Text(&facts.user(who)?.username),
            Fact::Authenticated(who) => Seen::Bool(facts.user(who)?.authenticated),
            Fact::Claims(who) => Seen::from(&*facts.user(who)?.claims),
            Fact::RoomName => Seen::Text(facts.room()?.name),
            Fact::UsersCount => Seen::Int(whole(facts.room()?.users_count as u64)),
            Fact::ConnectionId => {
                let id = facts.connection()?.id;
                Seen::Text(self.id.get_or_init(|| Short::of(id)).text())
            }
            Fact::Ip => {
                let ip = facts.connection()?.ip;
                Seen::Text(self.ip.get_or_init(|| Short::of(ip)).text())
            }
            Fact::Endpoint => Seen::Text(facts.connection()?.endpoint),
            Fact::Age => Seen::Int(whole(facts.connection()?.age.as_secs())),
            Fact::Data => match facts.data.ok_or(Fault::Missing("data"))? {
                DataFacts::Tree(tree) => tree.into(),
                DataFacts::Tape(item, _) => item.into(),
            },
            Fact::Code => Seen::Text(facts.error.ok_or(Fault::Missing("code"))?.0),
            Fact::Message => Seen::Text(facts.error.ok_or(Fault::Missing("message"))?.1),
            Fact::Now => Seen::Int(facts.now.as_seconds()),
        })
    }

    /// As [`Val::equals`], except for lists and maps: their equality is handed over.
    pub(super) fn equal(&self, one: &Seen<'_>, two: &Seen<'_>) -> Result<bool, Stop> {
        self.work(1)?;
        Ok(match (one, two) {
            (Seen::Text(one), Seen::Text(two)) => {
                if one.len() == two.len() {
                    self.work(blocks(one.len()))?;
                }
                one == two
            }
            (Seen::Null, Seen::Null) => true,
            (Seen::Bool(one), Seen::Bool(two)) => one == two,
            (Seen::List(_) | Seen::Items(_), Seen::List(_) | Seen::Items(_))
            | (Seen::Map(_) | Seen::Entries(_), Seen::Map(_) | Seen::Entries(_)) => {
                return Err(Stop::Handover);
            }
            _ => one.order_of_numbers(two) == Some(Some(Ordering::Equal)),
        })
    }
}

impl<'a> From<&'a Value> for Seen<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(list) => Self::List(list),
            Value::Object(map) => Self::Map(map),
        }
    }
}

impl<'a> From<Item<'a>> for Seen<'a> {
    fn from(item: Item<'a>) -> Self {
        match item.view() {
            View::Null => Self::Null,
            View::Bool(value) => Self::Bool(value),
            View::Number(number) => Self::number(number),
            View::Text(text) => Self::Text(text),
            View::List(items) => Self::Items(items),
            View::Map(entries) => Self::Entries(entries),
        }
    }
}

impl<'a> Seen<'a> {
    fn number(number: &Number) -> Self {
        match Val::from(number) {
            Val::Int(whole) => Self::Int(whole),
            Val::Double(double) => Self::Double(double),
            _ => Self::Null,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Double(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) | Self::Items(_) => "a list",
            Self::Map(_) | Self::Entries(_) => "a map",
        }
    }

    /// That `act` does not work with it.
    pub(super) const fn unfit(&self, act: &'static str) -> Fault {
        Fault::Kind {
            act,
            found: self.kind(),
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Double(_))
    }

    /// As a condition: null is false.
    pub(super) const fn condition(&self) -> Result<bool, Fault> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Null => Ok(false),
            _ => Err(self.unfit("a condition")),
        }
    }

    /// How many elements a list or entries a map has.
    pub(super) fn length(&self) -> Option<usize> {
        match self {
            Self::List(list) => Some(list.len()),
            Self::Items(items) => Some(items.len()),
            Self::Map(map) => Some(map.len()),
            Self::Entries(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// The field called `name`; null where it is not there.
    pub(super) fn field(self, name: &str) -> Result<Self, Stop> {
        match self {
            Self::Null => Ok(Self::Null),
            Self::Map(_) | Self::Entries(_) => Ok(self.entry(name)?.unwrap_or(Self::Null)),
            _ => Err(self.unfit("reading a field").into()),
        }
    }

    /// The value of a map's key, `None` where it has none or is no map.
    pub(super) fn entry(&self, key: &str) -> Result<Option<Self>, Stop> {
        match self {
            Self::Map(map) => Ok(find(map, key).map(Self::from)),
            Self::Entries(entries) if entries.len() > ENTRIES_MAX => Err(Stop::Handover),
            Self::Entries(entries) => Ok(entries.clone().find(key).map(Self::from)),
            _ => Ok(None),
        }
    }

    /// As [`Val::order_of_numbers`].
    pub(super) fn order_of_numbers(&self, other: &Seen<'_>) -> Option<Option<Ordering>> {
        match (self, other) {
            (Self::Int(one), Seen::Int(two)) => Some(Some(one.cmp(two))),
            (Self::Double(one), Seen::Double(two)) => Some(one.partial_cmp(two)),
            (Self::Int(one), Seen::Double(two)) => Some(order_exactly(*one, *two)),
            (Self::Double(one), Seen::Int(two)) => {
                Some(order_exactly(*two, *one).map(Ordering::reverse))
            }
            _ => None,
        }
    }
}

impl Short {
    fn of(value: impl fmt::Display) -> Self {
        let mut short = Self {
            bytes: [0; 45],
            len: 0,
        };
        write!(short, "{value}").expect("an address or an id has room");
        short
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("it was written as text")
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes[self.len..].get_mut(..text.len());
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
