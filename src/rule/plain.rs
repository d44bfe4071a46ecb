//! Rules in their plain forms: what nearly all of them say, answered without the general evaluator.
//!
//! A plain rule compares facts, fields of facts and literals, looks for texts and in lists, and joins that by `&&`, `||` and `!`. It
//! is put into this form once, when it is compiled. Answering it makes nothing: facts are borrowed, the literals of a list stand
//! sorted, and `data` is read where it is, on its tape.
//!
//! The answer is the general evaluator's in every case, failures and spent steps included: steps are counted alike, because a list in
//! `data` is bounded by its message and not by the rule. What would make this form large is handed over ([`Stop::Handover`]): the
//! general evaluator then answers from the start.

use serde_json::Value;

use crate::rule::node::{Conversion, Fact, Node, Search, Source};
use crate::rule::sight::{Seen, Sight};
use crate::rule::tree::Order;
use crate::rule::value::{Fault, blocks};

/// A condition in a plain form.
#[derive(Debug)]
pub(super) enum Plain {
    Always(bool),
    /// A value that is a condition itself.
    Holds(Operand),
    Not(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    /// Whether something is there.
    Present(Operand),
    Equal(Box<[Operand; 2]>),
    /// Whether a list or a map has the first in it.
    In(Box<[Operand; 2]>),
    /// Whether it is one of many literal texts.
    Among(Operand, Texts),
    Order(Order, Box<[Operand; 2]>),
    Search(Search, Box<[Operand; 2]>),
}

/// What is compared.
#[derive(Debug)]
pub(super) enum Operand {
    Constant(Value),
    /// A fact, and the names that lead from it to what is meant.
    Fact(Fact, Box<[Box<str>]>),
    Parameter(Source, Box<str>),
    /// `size(…)`.
    Size(Box<Self>),
}

/// Literal texts, sorted.
#[derive(Debug)]
pub(super) struct Texts {
    /// Each with the steps that the general evaluator takes until it has found it.
    sorted: Box<[(Box<str>, u32)]>,
    /// The steps where it finds none.
    all: u32,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The general evaluator would say the same.
    Fault(Fault),
    /// The general evaluator has to say.
    Handover,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Plain {
    /// The condition in a plain form, where it has one.
    pub(super) fn of(node: &Node) -> Option<Self> {
        Some(match node {
            Node::Constant(Value::Bool(answer)) => Self::Always(*answer),
            Node::Not(operand) => Self::Not(Box::new(Self::of(operand)?)),
            Node::And(pair) => Self::And(both(pair, Self::of)?),
            Node::Or(pair) => Self::Or(both(pair, Self::of)?),
            Node::Present(operand) => Self::Present(Operand::of(operand)?),
            Node::Equal(pair) => Self::Equal(both(pair, Operand::of)?),
            Node::In(pair) => match Texts::of(&pair[1]) {
                Some(texts) => Self::Among(Operand::of(&pair[0])?, texts),
                None => Self::In(both(pair, Operand::of)?),
            },
            Node::Order(order, pair) => Self::Order(*order, both(pair, Operand::of)?),
            Node::Search(search, pair) => Self::Search(*search, both(pair, Operand::of)?),
            _ => Self::Holds(Operand::of(node)?),
        })
    }

    /// Whether it says yes.
    pub(super) fn test(&self, sight: &Sight<'_>) -> Result<bool, Stop> {
        match self {
            Self::Always(answer) => Ok(*answer),
            Self::Holds(operand) => Ok(operand.see(sight)?.condition()?),
            Self::Not(operand) => Ok(!operand.test(sight)?),
            Self::And(pair) => decide(pair, sight, false),
            Self::Or(pair) => decide(pair, sight, true),
            Self::Present(operand) => Ok(!operand.see(sight)?.is_null()),
            Self::Equal(pair) => equal(pair, sight),
            Self::In(pair) => holds(pair, sight),
            Self::Among(operand, texts) => texts.have(&operand.see(sight)?, sight),
            Self::Order(order, pair) => ordered(*order, pair, sight),
            Self::Search(search, pair) => found(*search, pair, sight),
        }
    }
}

impl Operand {
    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Constant(value) => Some(Self::Constant(value.clone())),
            Node::Parameter(source, name) => Some(Self::Parameter(*source, name.clone())),
            Node::AnyParameter(source, key) => match &**key {
                Node::Constant(Value::String(name)) => {
                    Some(Self::Parameter(*source, name.as_str().into()))
                }
                _ => None,
            },
            Node::Convert(Conversion::Size, of) => Some(Self::Size(Box::new(Self::of(of)?))),
            Node::Fact(_) | Node::Field(..) => {
                let mut names = Vec::new();
                let mut at = node;
                while let Node::Field(of, name) = at {
                    names.push(name.clone());
                    at = of;
                }
                let Node::Fact(fact) = at else { return None };
                names.reverse();
                Some(Self::Fact(*fact, names.into()))
            }
            _ => None,
        }
    }

    fn see<'s>(&'s self, sight: &'s Sight<'_>) -> Result<Seen<'s>, Stop> {
        match self {
            Self::Constant(value) => Ok(value.into()),
            Self::Fact(fact, names) => {
                let mut seen = sight.fact(*fact)?;
                for name in names {
                    seen = seen.field(name)?;
                }
                Ok(seen)
            }
            Self::Parameter(source, name) => {
                let parameters = sight.facts.parameters(*source)?;
                Ok(parameters.get(name).map_or(Seen::Null, Seen::Text))
            }
            Self::Size(of) => {
                let of = of.see(sight)?;
                let length = match of {
                    Seen::Text(text) => {
                        sight.work(blocks(text.len()))?;
                        text.chars().count()
                    }
                    _ => of.length().ok_or(of.unfit(Conversion::Size.name()))?,
                };
                Ok(Seen::Int(length as i64))
            }
        }
    }
}

impl Texts {
    /// Fewer are found as fast one after the other.
    const LEAST: usize = 8;

    /// The texts of a literal list, where it has many and nothing but short texts: those cost one step each.
    fn of(list: &Node) -> Option<Self> {
        let Node::Constant(Value::Array(list)) = list else {
            return None;
        };
        if list.len() < Self::LEAST {
            return None;
        }
        let mut sorted = Vec::with_capacity(list.len());
        for (value, step) in list.iter().zip(1..) {
            let text = value.as_str().filter(|text| blocks(text.len()) == 0)?;
            sorted.push((text.into(), step));
        }
        // Of equal texts the first one, at which the general evaluator stops.
        sorted.sort();
        sorted.dedup_by(|later, first| later.0 == first.0);
        Some(Self {
            sorted: sorted.into(),
            all: u32::try_from(list.len()).ok()?,
        })
    }

    fn have(&self, seen: &Seen<'_>, sight: &Sight<'_>) -> Result<bool, Stop> {
        let at = match seen {
            Seen::Null => return Ok(false),
            Seen::Text(text) => self.sorted.binary_search_by(|(own, _)| (**own).cmp(text)),
            _ => Err(0),
        };
        sight.work(at.map_or(self.all, |at| self.sorted[at].1))?;
        Ok(at.is_ok())
    }
}

fn both<T>(pair: &[Node; 2], of: fn(&Node) -> Option<T>) -> Option<Box<[T; 2]>> {
    Some(Box::new([of(&pair[0])?, of(&pair[1])?]))
}

/// `&&` and `||`, which forgive a fault on one side where the other side decides.
fn decide([left, right]: &[Plain; 2], sight: &Sight<'_>, decisive: bool) -> Result<bool, Stop> {
    match left.test(sight) {
        Ok(answer) if answer == decisive => Ok(decisive),
        Ok(_) => right.test(sight),
        Err(Stop::Fault(fault)) if !fault.is_final() => match right.test(sight) {
            Ok(answer) if answer == decisive => Ok(decisive),
            Err(Stop::Handover) => Err(Stop::Handover),
            _ => Err(fault.into()),
        },
        Err(stop) => Err(stop),
    }
}

fn equal([left, right]: &[Operand; 2], sight: &Sight<'_>) -> Result<bool, Stop> {
    let (left, right) = (left.see(sight)?, right.see(sight)?);
    if left.is_null() || right.is_null() {
        return Ok(false);
    }
    sight.equal(&left, &right)
}

fn holds([element, of]: &[Operand; 2], sight: &Sight<'_>) -> Result<bool, Stop> {
    let (element, of) = (element.see(sight)?, of.see(sight)?);
    match of {
        Seen::Null => Ok(false),
        Seen::Map(_) | Seen::Entries(_) => match element {
            Seen::Text(key) => Ok(of.entry(key)?.is_some()),
            Seen::Null => Ok(false),
            _ => Err(element.unfit("`in` a map").into()),
        },
        Seen::List(_) | Seen::Items(_) if element.is_null() => Ok(false),
        Seen::List(list) => any_equal(list.iter().map(Seen::from), &element, sight),
        Seen::Items(items) => any_equal(items.map(Seen::from), &element, sight),
        _ => Err(of.unfit("`in`").into()),
    }
}

fn any_equal<'a>(
    elements: impl Iterator<Item = Seen<'a>>,
    wanted: &Seen<'_>,
    sight: &Sight<'_>,
) -> Result<bool, Stop> {
    for element in elements {
        if sight.equal(&element, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn ordered(order: Order, [left, right]: &[Operand; 2], sight: &Sight<'_>) -> Result<bool, Stop> {
    let (left, right) = (left.see(sight)?, right.see(sight)?);
    let found = match (&left, &right) {
        (Seen::Null, _) | (_, Seen::Null) => return Ok(false),
        (Seen::Text(one), Seen::Text(two)) => {
            sight.work(blocks(one.len().min(two.len())))?;
            Some(one.cmp(two))
        }
        (Seen::Bool(one), Seen::Bool(two)) => Some(one.cmp(two)),
        _ => match left.order_of_numbers(&right) {
            Some(found) => found,
            None if left.is_number() => return Err(right.unfit("comparing").into()),
            None => return Err(left.unfit("comparing").into()),
        },
    };
    Ok(found.is_some_and(|found| order.is(found)))
}

fn found(search: Search, [of, part]: &[Operand; 2], sight: &Sight<'_>) -> Result<bool, Stop> {
    let (of, part) = (of.see(sight)?, part.see(sight)?);
    let Seen::Text(text) = of else {
        return Err(of.unfit(search.name()).into());
    };
    let Seen::Text(part) = part else {
        return Err(part.unfit(search.name()).into());
    };
    sight.work(blocks(part.len()))?;
    if search == Search::Contains {
        sight.work(blocks(text.len().saturating_mul(4)))?;
    }
    Ok(search.finds(text, part))
}
