//! Values while a rule runs: borrowed from the facts wherever they can be, cheap to clone where they cannot.

use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

/// Why an evaluation stopped. Says kinds and never contents: it goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("`{0}` is not there")]
    Missing(&'static str),
    #[error("{act} does not work with {found}")]
    Kind {
        act: &'static str,
        found: &'static str,
    },
    #[error("`{0}` leaves the range of numbers")]
    Overflow(&'static str),
    #[error("`{0}` by zero")]
    ByZero(&'static str),
    #[error("`{0}` cannot read this text")]
    Unreadable(&'static str),
    #[error("a map has the same key twice")]
    SameKey,
    #[error("a number is infinite or none, which JSON cannot say")]
    NotJson,
    #[error("it takes too many steps")]
    Work,
    #[error("it makes too much text or too many values")]
    Memory,
}

impl Fault {
    /// Whether no other part of the rule may make good for it: a budget is spent.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Work | Self::Memory)
    }
}

/// A value of a rule.
#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    MadeText(Rc<str>),
    List(&'a [Value]),
    MadeList(Rc<[Self]>),
    Map(&'a Map<String, Value>),
    MadeMap(Rc<[(Self, Self)]>),
}

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => number.into(),
            Value::String(text) => Self::Text(text),
            Value::Array(list) => Self::List(list),
            Value::Object(map) => Self::Map(map),
        }
    }
}

impl From<&Number> for Val<'_> {
    fn from(number: &Number) -> Self {
        match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Self::Int(whole),
            (None, Some(double)) => Self::Double(double),
            (None, None) => Self::Null,
        }
    }
}

impl<'a> Val<'a> {
    /// The kind, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Double(_) => "a number",
            Self::Text(_) | Self::MadeText(_) => "text",
            Self::List(_) | Self::MadeList(_) => "a list",
            Self::Map(_) | Self::MadeMap(_) => "a map",
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

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::MadeText(text) => Some(text),
            _ => None,
        }
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
            Self::MadeList(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            Self::MadeMap(map) => Some(map.len()),
            _ => None,
        }
    }

    /// The element of a list; null where there is none.
    pub(super) fn element(&self, index: usize) -> Self {
        match self {
            Self::List(list) => list.get(index).map_or(Self::Null, Self::from),
            Self::MadeList(list) => list.get(index).cloned().unwrap_or(Self::Null),
            _ => Self::Null,
        }
    }

    /// The value of a map's key, `None` where it has none or is no map.
    pub(super) fn entry(&self, key: &str) -> Option<Self> {
        match self {
            Self::Map(map) => find(map, key).map(Self::from),
            Self::MadeMap(map) => map
                .iter()
                .find(|(name, _)| name.text() == Some(key))
                .map(|(_, value)| value.clone()),
            _ => None,
        }
    }

    /// The keys of a map.
    pub(super) fn keys(&self) -> Vec<Self> {
        match self {
            Self::Map(map) => map.keys().map(|key| Self::Text(key)).collect(),
            Self::MadeMap(map) => map.iter().map(|(key, _)| key.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether they are equal, where every step costs one; `None` where the steps run out. Values of different kinds are not
    /// equal; within lists and maps null equals null.
    pub(super) fn equals(&self, other: &Val<'_>, steps: &mut u32) -> Option<bool> {
        *steps = steps.checked_sub(1)?;
        if let (Some(one), Some(two)) = (self.text(), other.text()) {
            if one.len() == two.len() {
                *steps = steps.checked_sub(blocks(one.len()))?;
            }
            return Some(one == two);
        }
        if let Some(order) = self.order_of_numbers(other) {
            return Some(order == Some(Ordering::Equal));
        }
        match (self, other) {
            (Self::Null, Val::Null) => Some(true),
            (Self::Bool(one), Val::Bool(two)) => Some(one == two),
            (Self::List(_) | Self::MadeList(_), Val::List(_) | Val::MadeList(_)) => {
                self.equal_lists(other, steps)
            }
            (Self::Map(_) | Self::MadeMap(_), Val::Map(_) | Val::MadeMap(_)) => {
                self.equal_maps(other, steps)
            }
            _ => Some(false),
        }
    }

    fn equal_lists(&self, other: &Val<'_>, steps: &mut u32) -> Option<bool> {
        if self.length() != other.length() {
            return Some(false);
        }
        for index in 0..self.length().unwrap_or(0) {
            if !self.element(index).equals(&other.element(index), steps)? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn equal_maps(&self, other: &Val<'_>, steps: &mut u32) -> Option<bool> {
        if self.length() != other.length() {
            return Some(false);
        }
        for key in self.keys() {
            let name = key.text().unwrap_or_default();
            let (Some(mine), Some(theirs)) = (self.entry(name), other.entry(name)) else {
                return Some(false);
            };
            if !mine.equals(&theirs, steps)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The order of two numbers; `None` where they are not both numbers, `Some(None)` where one is not a number (NaN).
    pub(super) fn order_of_numbers(&self, other: &Val<'_>) -> Option<Option<Ordering>> {
        match (self, other) {
            (Self::Int(one), Val::Int(two)) => Some(Some(one.cmp(two))),
            (Self::Double(one), Val::Double(two)) => Some(one.partial_cmp(two)),
            (Self::Int(one), Val::Double(two)) => Some(order_exactly(*one, *two)),
            (Self::Double(one), Val::Int(two)) => {
                Some(order_exactly(*two, *one).map(Ordering::reverse))
            }
            _ => None,
        }
    }

    /// As a double, if it is a number.
    pub(super) const fn double(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }
}

/// How many steps it takes to look at a text of so many bytes.
pub(super) fn blocks(bytes: usize) -> u32 {
    u32::try_from(bytes / 32).unwrap_or(u32::MAX)
}

/// Small maps are faster searched than hashed.
pub(super) fn find<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if map.len() <= 8 {
        return map
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value);
    }
    map.get(key)
}

/// 2^63, the first double above all of `i64`.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// Without rounding the whole number, so that neighbours beyond 2^53 stay different.
pub(super) fn order_exactly(whole: i64, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double >= TWO_TO_63 {
        return Some(Ordering::Less);
    }
    if double < -TWO_TO_63 {
        return Some(Ordering::Greater);
    }
    let order = whole.cmp(&(double.trunc() as i64));
    Some(order.then_with(|| 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::order_exactly;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn numbers_are_compared_without_rounding() {
        for (whole, double, expected) in [
            (1, 1.0, Some(Equal)),
            (1, 1.5, Some(Less)),
            (-1, -1.5, Some(Greater)),
            (
                9_007_199_254_740_993,
                9_007_199_254_740_992.0,
                Some(Greater),
            ),
            (i64::MAX, 9_223_372_036_854_775_808.0, Some(Less)),
            (i64::MIN, -9_223_372_036_854_775_808.0, Some(Equal)),
            (i64::MIN, f64::NEG_INFINITY, Some(Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(order_exactly(whole, double), expected, "{whole} {double}");
        }
    }
}
