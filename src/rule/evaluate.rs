//! Running a checked rule, within a budget of steps and bytes.

use std::rc::Rc;

use serde_json::Value;

use crate::rule::Facts;
use crate::rule::compute::negate;
use crate::rule::node::{Aim, Fact, Loop, Node, Search, Source};
use crate::rule::tree::Order;
use crate::rule::value::{Fault, Val, blocks};

/// The steps of one evaluation: a few milliseconds at worst.
pub(super) const STEPS_MAX: u32 = 200_000;
/// The bytes of all text and values that one evaluation makes.
pub(super) const MADE_BYTES_MAX: usize = 4 << 20;

/// One evaluation.
pub(super) struct Run<'a> {
    facts: &'a Facts<'a>,
    steps: u32,
    bytes: usize,
    element: Val<'a>,
}

impl<'a> Run<'a> {
    /// An evaluation over `facts`.
    pub(super) const fn new(facts: &'a Facts<'a>) -> Self {
        Self {
            facts,
            steps: STEPS_MAX,
            bytes: MADE_BYTES_MAX,
            element: Val::Null,
        }
    }

    /// The node as a condition. As in CEL, `&&` and `||` forgive a fault on one side where the other side decides.
    pub(super) fn test(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match node {
            Node::Constant(Value::Bool(answer)) => Ok(*answer),
            Node::And(pair) => self.decide(pair, false),
            Node::Or(pair) => self.decide(pair, true),
            Node::Not(operand) => Ok(!self.test(operand)?),
            Node::Equal(pair) => self.equal(pair),
            Node::In(pair) => self.holds(pair),
            Node::Present(operand) => Ok(!self.value(operand)?.is_null()),
            Node::Order(order, pair) => self.order(*order, pair),
            Node::Search(search, pair) => self.search(*search, pair),
            Node::Matches(operand, pattern) => self.matches(operand, pattern),
            _ => self.value(node)?.condition(),
        }
    }

    /// The node's value.
    pub(super) fn value(&mut self, node: &'a Node) -> Result<Val<'a>, Fault> {
        match node {
            Node::Constant(value) => Ok(value.into()),
            Node::Fact(fact) => self.fact(*fact),
            Node::Parameter(source, name) => Ok(self
                .facts
                .parameters(*source)?
                .get(name)
                .map_or(Val::Null, Val::Text)),
            Node::AnyParameter(source, key) => self.any_parameter(*source, key),
            Node::Element => Ok(self.element.clone()),
            Node::Field(of, name) => field(&self.value(of)?, name),
            Node::Index(of, key) => self.index(of, key),
            Node::Negate(operand) => negate(&self.value(operand)?),
            Node::If(parts) => {
                let [condition, yes, no] = &**parts;
                if self.test(condition)? {
                    self.value(yes)
                } else {
                    self.value(no)
                }
            }
            Node::Arithmetic(arithmetic, pair) => self.calculate(*arithmetic, pair),
            Node::Convert(conversion, operand) => self.convert(*conversion, operand),
            Node::Loop(each) => self.each(each),
            Node::List(nodes) => self.list(nodes),
            Node::Map(entries) => self.map(entries),
            Node::Present(_)
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::Equal(_)
            | Node::In(_)
            | Node::Order(..)
            | Node::Search(..)
            | Node::Matches(..) => self.test(node).map(Val::Bool),
        }
    }

    fn decide(&mut self, pair: &'a [Node; 2], decisive: bool) -> Result<bool, Fault> {
        let [left, right] = pair;
        match self.test(left) {
            Ok(answer) if answer == decisive => Ok(decisive),
            Ok(_) => self.test(right),
            Err(fault) if fault.is_final() => Err(fault),
            Err(fault) => match self.test(right) {
                Ok(answer) if answer == decisive => Ok(decisive),
                _ => Err(fault),
            },
        }
    }

    fn equal(&mut self, [left, right]: &'a [Node; 2]) -> Result<bool, Fault> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if left.is_null() || right.is_null() {
            return Ok(false);
        }
        left.equals(&right, &mut self.steps).ok_or(Fault::Work)
    }

    fn holds(&mut self, [element, of]: &'a [Node; 2]) -> Result<bool, Fault> {
        let (element, of) = (self.value(element)?, self.value(of)?);
        match &of {
            Val::Null => Ok(false),
            Val::Map(_) | Val::MadeMap(_) => match element.text() {
                Some(key) => Ok(of.entry(key).is_some()),
                None if element.is_null() => Ok(false),
                None => Err(element.unfit("`in` a map")),
            },
            Val::List(_) | Val::MadeList(_) if element.is_null() => Ok(false),
            Val::List(_) | Val::MadeList(_) => {
                for index in 0..of.length().unwrap_or(0) {
                    if of
                        .element(index)
                        .equals(&element, &mut self.steps)
                        .ok_or(Fault::Work)?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Err(of.unfit("`in`")),
        }
    }

    fn order(&mut self, order: Order, [left, right]: &'a [Node; 2]) -> Result<bool, Fault> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        if left.is_null() || right.is_null() {
            return Ok(false);
        }
        let found = if let (Some(one), Some(two)) = (left.text(), right.text()) {
            self.work(blocks(one.len().min(two.len())))?;
            Some(one.cmp(two))
        } else if let (Val::Bool(one), Val::Bool(two)) = (&left, &right) {
            Some(one.cmp(two))
        } else if let Some(found) = left.order_of_numbers(&right) {
            found
        } else {
            let found = if left.double().is_some() {
                right.kind()
            } else {
                left.kind()
            };
            return Err(Fault::Kind {
                act: "comparing",
                found,
            });
        };
        Ok(found.is_some_and(|found| order.is(found)))
    }

    fn search(&mut self, search: Search, [of, part]: &'a [Node; 2]) -> Result<bool, Fault> {
        let (of, part) = (self.value(of)?, self.value(part)?);
        let text = of.text().ok_or(of.unfit(search.name()))?;
        let part = part.text().ok_or(part.unfit(search.name()))?;
        self.work(blocks(part.len()))?;
        if search == Search::Contains {
            self.work(blocks(text.len().saturating_mul(4)))?;
        }
        Ok(search.finds(text, part))
    }

    fn matches(&mut self, of: &'a Node, pattern: &regex::Regex) -> Result<bool, Fault> {
        let of = self.value(of)?;
        let text = of.text().ok_or(of.unfit("matches"))?;
        // Linear in the text; the pattern's own size is bounded where it is compiled.
        self.work(blocks(text.len().saturating_mul(8)))?;
        Ok(pattern.is_match(text))
    }

    fn any_parameter(&mut self, source: Source, key: &'a Node) -> Result<Val<'a>, Fault> {
        let key = self.value(key)?;
        let name = key.text().ok_or(key.unfit("`[…]`"))?;
        Ok(self
            .facts
            .parameters(source)?
            .get(name)
            .map_or(Val::Null, Val::Text))
    }

    fn fact(&mut self, fact: Fact) -> Result<Val<'a>, Fault> {
        let facts = self.facts;
        Ok(match fact {
            Fact::Id(who) => Val::Text(facts.user(who)?.id.as_str()),
            Fact::Username(who) => Val::Text(&facts.user(who)?.username),
            Fact::Authenticated(who) => Val::Bool(facts.user(who)?.authenticated),
            Fact::Claims(who) => Val::from(&*facts.user(who)?.claims),
            Fact::RoomName => Val::Text(facts.room()?.name),
            Fact::UsersCount => Val::Int(whole(facts.room()?.users_count as u64)),
            Fact::ConnectionId => self.made(facts.connection()?.id.to_string())?,
            Fact::Ip => self.made(facts.connection()?.ip.to_string())?,
            Fact::Endpoint => Val::Text(facts.connection()?.endpoint),
            Fact::Age => Val::Int(whole(facts.connection()?.age.as_secs())),
            Fact::Data => facts.data.ok_or(Fault::Missing("data"))?.tree().into(),
            Fact::Code => Val::Text(facts.error.ok_or(Fault::Missing("code"))?.0),
            Fact::Message => Val::Text(facts.error.ok_or(Fault::Missing("message"))?.1),
            Fact::Now => Val::Int(facts.now.as_seconds()),
        })
    }

    fn index(&mut self, of: &'a Node, key: &'a Node) -> Result<Val<'a>, Fault> {
        let (of, key) = (self.value(of)?, self.value(key)?);
        match (&of, &key) {
            (Val::Null, _) | (_, Val::Null) => Ok(Val::Null),
            (Val::List(_) | Val::MadeList(_), Val::Int(at)) => {
                Ok(usize::try_from(*at).map_or(Val::Null, |at| of.element(at)))
            }
            (Val::Map(_) | Val::MadeMap(_), Val::Text(_) | Val::MadeText(_)) => Ok(key
                .text()
                .and_then(|name| of.entry(name))
                .unwrap_or(Val::Null)),
            (Val::List(_) | Val::MadeList(_) | Val::Map(_) | Val::MadeMap(_), _) => {
                Err(key.unfit("`[…]`"))
            }
            _ => Err(of.unfit("`[…]`")),
        }
    }

    fn each(&mut self, each: &'a Loop) -> Result<Val<'a>, Fault> {
        let over = match self.value(&each.over)? {
            Val::Null => Val::List(&[]),
            list @ (Val::List(_) | Val::MadeList(_)) => list,
            map @ (Val::Map(_) | Val::MadeMap(_)) => {
                self.room_for(map.length().unwrap_or(0))?;
                Val::MadeList(map.keys().into())
            }
            other => return Err(other.unfit(each.aim.name())),
        };
        match each.aim {
            Aim::All => self.search_elements(each, &over, false),
            Aim::Exists => self.search_elements(each, &over, true),
            Aim::ExistsOne | Aim::Filter | Aim::Map => self.gather(each, &over),
        }
    }

    /// Whether an element makes the body `decisive`; faults count only where none does.
    fn search_elements(
        &mut self,
        each: &'a Loop,
        over: &Val<'a>,
        decisive: bool,
    ) -> Result<Val<'a>, Fault> {
        let mut first_fault = None;
        for index in 0..over.length().unwrap_or(0) {
            self.work(each.cost)?;
            self.element = over.element(index);
            match self.test(&each.body) {
                Ok(answer) if answer == decisive => return Ok(Val::Bool(decisive)),
                Ok(_) => {}
                Err(fault) if fault.is_final() => return Err(fault),
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        first_fault.map_or(Ok(Val::Bool(!decisive)), Err)
    }

    fn gather(&mut self, each: &'a Loop, over: &Val<'a>) -> Result<Val<'a>, Fault> {
        let mut gathered = Vec::new();
        for index in 0..over.length().unwrap_or(0) {
            self.work(each.cost)?;
            self.element = over.element(index);
            let element = match (each.aim, &each.only) {
                (Aim::Map, Some(only)) => {
                    if self.test(only)? {
                        Some(self.value(&each.body)?)
                    } else {
                        None
                    }
                }
                (Aim::Map, None) => Some(self.value(&each.body)?),
                _ => self.test(&each.body)?.then(|| over.element(index)),
            };
            if let Some(element) = element {
                self.room_for(1)?;
                gathered.push(element);
            }
        }
        Ok(match each.aim {
            Aim::ExistsOne => Val::Bool(gathered.len() == 1),
            _ => Val::MadeList(gathered.into()),
        })
    }

    fn list(&mut self, nodes: &'a [Node]) -> Result<Val<'a>, Fault> {
        self.room_for(nodes.len())?;
        let elements: Result<Vec<_>, _> = nodes.iter().map(|node| self.value(node)).collect();
        Ok(Val::MadeList(elements?.into()))
    }

    fn map(&mut self, nodes: &'a [(Node, Node)]) -> Result<Val<'a>, Fault> {
        self.room_for(nodes.len() * 2)?;
        let mut entries: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let key = self.value(key)?;
            let name = key.text().ok_or(key.unfit("a map's key"))?;
            if entries.iter().any(|(other, _)| other.text() == Some(name)) {
                return Err(Fault::SameKey);
            }
            entries.push((key, self.value(value)?));
        }
        Ok(Val::MadeMap(entries.into()))
    }

    pub(super) fn made(&mut self, text: String) -> Result<Val<'a>, Fault> {
        self.room_for_text(text.len())?;
        Ok(Val::MadeText(Rc::from(text)))
    }

    pub(super) fn work(&mut self, steps: u32) -> Result<(), Fault> {
        self.steps = self.steps.checked_sub(steps).ok_or(Fault::Work)?;
        Ok(())
    }

    pub(super) fn room_for_text(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Fault::Memory)?;
        Ok(())
    }

    pub(super) fn room_for(&mut self, values: usize) -> Result<(), Fault> {
        self.room_for_text(values.saturating_mul(size_of::<Val<'_>>()))
    }
}

/// What is counted, as a rule's int.
pub(super) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn field<'a>(of: &Val<'a>, name: &str) -> Result<Val<'a>, Fault> {
    match of {
        Val::Null => Ok(Val::Null),
        Val::Map(_) | Val::MadeMap(_) => Ok(of.entry(name).unwrap_or(Val::Null)),
        _ => Err(of.unfit("reading a field")),
    }
}
