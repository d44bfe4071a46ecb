//! Names and fields: which exist, which exist elsewhere, and which may have been meant.

use std::ops::Range;

use crate::diag::catalogue::rule::{TYPE_MISMATCH, UNAVAILABLE_HERE, UNKNOWN_FIELD, UNKNOWN_NAME};
use crate::rule::Known;
use crate::rule::check::{Check, Checked};
use crate::rule::kind::Kind;
use crate::rule::node::{Fact, Node, Source, Who};
use crate::rule::tree::{self, Tree};

/// Every name that a rule may see somewhere.
const NAMES: [&str; 11] = [
    "user",
    "sender",
    "path",
    "query",
    "params",
    "room",
    "connection",
    "data",
    "code",
    "message",
    "now",
];

const USER_FIELDS: [(&str, fn(Who) -> Fact); 4] = [
    ("id", Fact::Id),
    ("username", Fact::Username),
    ("authenticated", Fact::Authenticated),
    ("claims", Fact::Claims),
];
const ROOM_FIELDS: [(&str, Fact); 2] =
    [("name", Fact::RoomName), ("users_count", Fact::UsersCount)];
const CONNECTION_FIELDS: [(&str, Fact); 4] = [
    ("id", Fact::ConnectionId),
    ("ip", Fact::Ip),
    ("endpoint", Fact::Endpoint),
    ("age", Fact::Age),
];

impl Known {
    fn has(&self, name: &str) -> bool {
        match name {
            "user" => self.user,
            "sender" => self.sender,
            "path" => self.path.is_some(),
            "query" => self.query,
            "params" => self.params.is_some(),
            "room" => self.room,
            "connection" => self.connection,
            "data" => self.data,
            "code" | "message" => self.error,
            "now" => true,
            _ => false,
        }
    }

    /// The fields of a fact; none for one that has no fixed fields.
    fn fields(&self, name: &str) -> Vec<&str> {
        match name {
            "user" | "sender" => USER_FIELDS.map(|(field, _)| field).to_vec(),
            "room" => ROOM_FIELDS.map(|(field, _)| field).to_vec(),
            "connection" => CONNECTION_FIELDS.map(|(field, _)| field).to_vec(),
            "path" => self.path.iter().flatten().map(|name| &**name).collect(),
            "params" => self.params.iter().flatten().map(|name| &**name).collect(),
            _ => Vec::new(),
        }
    }
}

impl Check<'_> {
    pub(super) fn name(&mut self, name: &str, at: &Range<usize>) -> Checked {
        if let Some((_, kind)) = self.element.as_ref().filter(|(element, _)| element == name) {
            return (Node::Element, kind.clone());
        }
        if !self.known.has(name) {
            return self.no_name(name, at);
        }
        match name {
            "data" => (Node::Fact(Fact::Data), Kind::Any),
            "code" => (Node::Fact(Fact::Code), Kind::Text),
            "message" => (Node::Fact(Fact::Message), Kind::Text),
            "now" => (Node::Fact(Fact::Now), Kind::Int),
            _ => {
                let fields: Vec<String> = self
                    .known
                    .fields(name)
                    .iter()
                    .map(|field| format!("`{name}.{field}`"))
                    .collect();
                let help = (!fields.is_empty())
                    .then(|| format!("read one of its fields: {}", fields.join(", ")));
                self.problem(
                    &TYPE_MISMATCH,
                    at,
                    format!("`{name}` is not a value of its own"),
                    help,
                )
            }
        }
    }

    fn no_name(&mut self, name: &str, at: &Range<usize>) -> Checked {
        let here: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| self.known.has(name))
            .collect();
        if NAMES.contains(&name) {
            let here: Vec<String> = here.iter().map(|name| format!("`{name}`")).collect();
            let help = format!("a rule here sees {}", here.join(", "));
            return self.problem(
                &UNAVAILABLE_HERE,
                at,
                format!("`{name}` does not exist here"),
                Some(help),
            );
        }
        let field_of = here
            .iter()
            .find(|fact| self.known.fields(fact).contains(&name));
        let element = self.element.as_ref().map(|(element, _)| element.as_str());
        let help = match (nearest(name, here.iter().copied().chain(element)), field_of) {
            (_, Some(fact)) => Some(format!("did you mean `{fact}.{name}`?")),
            (Some(near), None) => Some(format!("did you mean `{near}`?")),
            (None, None) => Some(format!("text stands in quotes: `'{name}'`")),
        };
        self.problem(
            &UNKNOWN_NAME,
            at,
            format!("nothing is called `{name}`"),
            help,
        )
    }

    /// `of.name`, where `name` stands at `at`.
    pub(super) fn field(&mut self, of: &Tree, name: &str, at: &Range<usize>) -> Checked {
        if let Some(checked) = self.fact_field(of, name, at) {
            return checked;
        }
        let (node, kind) = self.any(of);
        let field = match &kind {
            Kind::Map(Some(shape)) => match shape.fields.get(name) {
                Some(field) => field.clone(),
                None if shape.open => Kind::Any,
                None => {
                    let names: Vec<&str> = shape.fields.keys().map(|name| &**name).collect();
                    return self.no_field(&written(of), name, at, &names);
                }
            },
            Kind::Any | Kind::Map(None) => Kind::Any,
            _ => return self.mismatch(at, format!("{kind} has no fields")),
        };
        (Node::Field(Box::new(node), name.into()), field)
    }

    /// `of[key]`.
    pub(super) fn index(&mut self, of: &Tree, key: &Tree) -> Checked {
        if let tree::Kind::Text(name) = &key.kind {
            return self.field(of, name, &key.range);
        }
        if let Some(source) = self.source(of) {
            let (key_node, kind) = self.any(key);
            if !kind.may_be_text() {
                self.mismatch(
                    &key.range,
                    format!("a parameter's name is text, and this is {kind}"),
                );
            }
            return (Node::AnyParameter(source, Box::new(key_node)), Kind::Text);
        }
        let ((node, kind), (key_node, key_kind)) = (self.any(of), self.any(key));
        let element = match &kind {
            Kind::List(_) if !key_kind.may_be_int() => {
                return self.mismatch(
                    &key.range,
                    format!("a list is indexed by a whole number, and this is {key_kind}"),
                );
            }
            Kind::Map(_) if !key_kind.may_be_text() => {
                return self.mismatch(
                    &key.range,
                    format!("a map's key is text, and this is {key_kind}"),
                );
            }
            Kind::List(element) => (**element).clone(),
            Kind::Any | Kind::Map(_) => Kind::Any,
            _ => {
                return self.mismatch(
                    &of.range,
                    format!("`[…]` looks into a list or a map, and this is {kind}"),
                );
            }
        };
        (Node::Index(Box::new(node), Box::new(key_node)), element)
    }

    /// A field of a fact, `None` where `of` is none.
    fn fact_field(&mut self, of: &Tree, name: &str, at: &Range<usize>) -> Option<Checked> {
        let tree::Kind::Name(fact) = &of.kind else {
            return None;
        };
        if self
            .element
            .as_ref()
            .is_some_and(|(element, _)| element == fact)
            || !self.known.has(fact)
        {
            return None;
        }
        if fact == "query" {
            return Some((Node::Parameter(Source::Query, name.into()), Kind::Text));
        }
        let fields = self.known.fields(fact);
        let source = self.source(of);
        if fields.is_empty() && source.is_none() {
            return None;
        }
        if !fields.contains(&name) {
            let fields = fields.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            return Some(self.no_field(fact, name, at, &fields));
        }
        if let Some(source) = source {
            return Some((Node::Parameter(source, name.into()), Kind::Text));
        }
        let who = if fact == "sender" {
            Who::Sender
        } else {
            Who::User
        };
        let fact = match fact.as_str() {
            "room" => ROOM_FIELDS.into_iter().find(|(field, _)| *field == name)?.1,
            "connection" => {
                CONNECTION_FIELDS
                    .into_iter()
                    .find(|(field, _)| *field == name)?
                    .1
            }
            _ => USER_FIELDS.into_iter().find(|(field, _)| *field == name)?.1(who),
        };
        Some((Node::Fact(fact), self.kind_of(fact)))
    }

    fn kind_of(&self, fact: Fact) -> Kind {
        match fact {
            Fact::Authenticated(_) => Kind::Bool,
            Fact::Claims(_) => Kind::of_claims(&self.known.claims),
            Fact::UsersCount | Fact::Age | Fact::Now => Kind::Int,
            Fact::Data => Kind::Any,
            Fact::Id(_)
            | Fact::Username(_)
            | Fact::RoomName
            | Fact::ConnectionId
            | Fact::Ip
            | Fact::Endpoint
            | Fact::Code
            | Fact::Message => Kind::Text,
        }
    }

    fn no_field(&mut self, of: &str, name: &str, at: &Range<usize>, fields: &[&str]) -> Checked {
        let help = match nearest(name, fields.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if of.ends_with("claims") => {
                format!(
                    "declare `{name}` in the `claims:` of the auth mode; declared are {}",
                    listed(fields)
                )
            }
            None => format!("it has {}", listed(fields)),
        };
        self.problem(
            &UNKNOWN_FIELD,
            at,
            format!("`{of}` has no `{name}`"),
            Some(help),
        )
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A path of names as it was written.
fn written(tree: &Tree) -> String {
    match &tree.kind {
        tree::Kind::Name(name) => name.clone(),
        tree::Kind::Field { of, name, .. } => format!("{}.{name}", written(of)),
        _ => "this".to_owned(),
    }
}

/// The name that was probably meant.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let reach = (name.chars().count() / 3).clamp(1, 3);
    names
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
