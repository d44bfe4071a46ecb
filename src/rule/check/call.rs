//! Calls: functions, methods and the loops that CEL calls macros.

use std::ops::Range;
use std::sync::Arc;

use crate::diag::catalogue::rule::{
    BAD_PATTERN, SYNTAX, TOO_COMPLEX, TYPE_MISMATCH, UNKNOWN_FUNCTION,
};
use crate::rule::check::name::nearest;
use crate::rule::check::{Check, Checked};
use crate::rule::kind::Kind;
use crate::rule::node::{Aim, Conversion, Loop, Node, Search};
use crate::rule::tree::{self, Tree};

const FUNCTIONS: [&str; 7] = ["size", "string", "int", "double", "bool", "has", "matches"];
const METHODS: [&str; 12] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lowerAscii",
    "upperAscii",
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
];

/// What other languages call them.
const OTHER_WORDS: [(&str, &str); 12] = [
    ("len", "size"),
    ("length", "size"),
    ("count", "size"),
    ("includes", "contains"),
    ("toLowerCase", "lowerAscii"),
    ("lower", "lowerAscii"),
    ("toUpperCase", "upperAscii"),
    ("upper", "upperAscii"),
    ("any", "exists"),
    ("some", "exists"),
    ("every", "all"),
    ("str", "string"),
];

/// The longest pattern, in bytes, and the largest that it may become.
const PATTERN_BYTES_MAX: usize = 1000;
const COMPILED_BYTES_MAX: usize = 256 << 10;

impl Check<'_> {
    /// `whole` is `target.name(arguments)` or `name(arguments)`, and the name stands at `at`.
    pub(super) fn call(
        &mut self,
        whole: &Tree,
        name: &str,
        at: &Range<usize>,
        target: Option<&Tree>,
        arguments: &[Tree],
    ) -> Checked {
        if let (Some(over), Some(aim)) = (target, aim(name)) {
            return self.each(aim, over, arguments, at);
        }
        match (name, target, arguments) {
            ("has", None, [of]) => self.has(of),
            ("size", None, [of]) | ("size", Some(of), []) => self.convert(Conversion::Size, of),
            ("string", None, [of]) => self.convert(Conversion::Text, of),
            ("int", None, [of]) => self.convert(Conversion::Int, of),
            ("double", None, [of]) => self.convert(Conversion::Double, of),
            ("bool", None, [of]) => self.convert(Conversion::Bool, of),
            ("dyn", None, [of]) => (self.any(of).0, Kind::Any),
            ("lowerAscii", Some(of), []) => self.convert(Conversion::LowerAscii, of),
            ("upperAscii", Some(of), []) => self.convert(Conversion::UpperAscii, of),
            ("contains", Some(of), [part]) => self.search(Search::Contains, of, part),
            ("startsWith", Some(of), [part]) => self.search(Search::StartsWith, of, part),
            ("endsWith", Some(of), [part]) => self.search(Search::EndsWith, of, part),
            ("matches", Some(of), [pattern]) | ("matches", None, [of, pattern]) => {
                self.matches(of, pattern)
            }
            _ => self.no_call(whole, name, at, target, arguments),
        }
    }

    fn no_call(
        &mut self,
        whole: &Tree,
        name: &str,
        at: &Range<usize>,
        target: Option<&Tree>,
        arguments: &[Tree],
    ) -> Checked {
        for part in target.into_iter().chain(arguments) {
            self.any(part);
        }
        let (same, other): (&[&str], &[&str]) = if target.is_some() {
            (&METHODS, &FUNCTIONS)
        } else {
            (&FUNCTIONS, &METHODS)
        };
        if same.contains(&name) {
            let (least, most) = arity(name, target.is_some());
            let wanted = if least == most {
                least.to_string()
            } else {
                format!("{least} or {most}")
            };
            let plural = if most == 1 { "" } else { "s" };
            let message = format!(
                "`{name}` wants {wanted} argument{plural}, and has {}",
                arguments.len()
            );
            return self.problem(&TYPE_MISMATCH, &whole.range, message, None);
        }
        let word = OTHER_WORDS
            .iter()
            .find(|(word, _)| *word == name)
            .map(|(_, ours)| *ours);
        let meant = word
            .filter(|word| same.contains(word) || other.contains(word))
            .or_else(|| {
                other
                    .contains(&name)
                    .then_some(name)
                    .or_else(|| nearest(name, same.iter().chain(other).copied()))
            });
        let help = meant.map(|meant| {
            let call = if METHODS.contains(&meant) && meant != "size" {
                format!("x.{meant}(…)")
            } else {
                format!("{meant}(x)")
            };
            format!("did you mean `{call}`?")
        });
        let help = help.unwrap_or_else(|| {
            format!(
                "there are {} and the methods {}",
                FUNCTIONS.join(", "),
                METHODS.join(", ")
            )
        });
        self.problem(
            &UNKNOWN_FUNCTION,
            at,
            format!("no function is called `{name}`"),
            Some(help),
        )
    }

    fn has(&mut self, of: &Tree) -> Checked {
        if !matches!(of.kind, tree::Kind::Field { .. }) {
            self.any(of);
            let help = Some("write `has(data.field)`".to_owned());
            return self.problem(
                &TYPE_MISMATCH,
                &of.range,
                "`has` asks for a field".to_owned(),
                help,
            );
        }
        (Node::Present(Box::new(self.any(of).0)), Kind::Bool)
    }

    fn convert(&mut self, conversion: Conversion, of: &Tree) -> Checked {
        let (node, kind) = self.any(of);
        let (fits, result) = match conversion {
            Conversion::Size => (
                kind.may_be_text() || matches!(kind, Kind::List(_) | Kind::Map(_)),
                Kind::Int,
            ),
            Conversion::Text => (
                kind.may_be_text() || kind.may_be_number() || kind == Kind::Bool,
                Kind::Text,
            ),
            Conversion::Int => (kind.may_be_text() || kind.may_be_number(), Kind::Int),
            Conversion::Double => (kind.may_be_text() || kind.may_be_number(), Kind::Double),
            Conversion::Bool => (kind.may_be_text() || kind == Kind::Bool, Kind::Bool),
            Conversion::LowerAscii | Conversion::UpperAscii => (kind.may_be_text(), Kind::Text),
        };
        if !fits {
            self.mismatch(
                &of.range,
                format!("`{}` does not work with {kind}", conversion.name()),
            );
        }
        (Node::Convert(conversion, Box::new(node)), result)
    }

    fn search(&mut self, search: Search, of: &Tree, part: &Tree) -> Checked {
        let ((node, kind), (part_node, part_kind)) = (self.any(of), self.any(part));
        if matches!(kind, Kind::List(_)) && search == Search::Contains {
            let help = Some("write `element in list`".to_owned());
            self.problem(
                &TYPE_MISMATCH,
                &of.range,
                "`contains` looks into text, and this is a list".to_owned(),
                help,
            );
        } else if !kind.may_be_text() {
            self.mismatch(
                &of.range,
                format!("`{}` looks at text, and this is {kind}", search.name()),
            );
        }
        if !part_kind.may_be_text() {
            self.mismatch(
                &part.range,
                format!(
                    "`{}` looks for text, and this is {part_kind}",
                    search.name()
                ),
            );
        }
        (
            Node::Search(search, Box::new([node, part_node])),
            Kind::Bool,
        )
    }

    fn matches(&mut self, of: &Tree, pattern: &Tree) -> Checked {
        let (node, kind) = self.any(of);
        if !kind.may_be_text() {
            self.mismatch(
                &of.range,
                format!("`matches` looks at text, and this is {kind}"),
            );
        }
        let tree::Kind::Text(text) = &pattern.kind else {
            self.any(pattern);
            let message = "the pattern of `matches` has to stand here as text".to_owned();
            return self.problem(&BAD_PATTERN, &pattern.range, message, None);
        };
        if text.len() > PATTERN_BYTES_MAX {
            let message = format!("the pattern is longer than {PATTERN_BYTES_MAX} bytes");
            return self.problem(&BAD_PATTERN, &pattern.range, message, None);
        }
        match regex::RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
        {
            Ok(pattern) => (Node::Matches(Box::new(node), Box::new(pattern)), Kind::Bool),
            Err(regex::Error::CompiledTooBig(_)) => self.problem(
                &BAD_PATTERN,
                &pattern.range,
                "the pattern is too large".to_owned(),
                None,
            ),
            Err(error) => {
                let error = error.to_string();
                let reason = error
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                self.problem(
                    &BAD_PATTERN,
                    &pattern.range,
                    format!("the pattern cannot be read: {reason}"),
                    None,
                )
            }
        }
    }

    fn each(&mut self, aim: Aim, over: &Tree, arguments: &[Tree], at: &Range<usize>) -> Checked {
        let (over_node, over_kind) = self.any(over);
        let element_kind = match &over_kind {
            Kind::List(element) => (**element).clone(),
            Kind::Map(_) => Kind::Text,
            Kind::Any => Kind::Any,
            _ => {
                let message = format!(
                    "`{}` goes through a list or a map, and this is {over_kind}",
                    aim.name()
                );
                self.mismatch(&over.range, message);
                Kind::Any
            }
        };
        let (variable, only, body) = match (aim, arguments) {
            (_, [variable, body]) => (variable, None, body),
            (Aim::Map, [variable, only, body]) => (variable, Some(only), body),
            _ => {
                let message = format!(
                    "`{}` wants a name and a condition, as in `{0}(x, x == 'a')`",
                    aim.name()
                );
                return self.problem(&TYPE_MISMATCH, at, message, None);
            }
        };
        let tree::Kind::Name(variable) = &variable.kind else {
            let message = format!(
                "the first argument of `{}` is a name for the elements",
                aim.name()
            );
            return self.problem(&SYNTAX, &variable.range, message, None);
        };
        if self.loops > 0 {
            let message = format!("`{}` stands inside the body of another loop", aim.name());
            return self.problem(&TOO_COMPLEX, at, message, None);
        }
        self.loops += 1;
        let outer = self
            .element
            .replace((variable.clone(), element_kind.clone()));
        let only = only.map(|only| self.condition(only, aim.name()));
        let (body, kind) = match aim {
            Aim::Map => self.any(body),
            _ => (self.condition(body, aim.name()), Kind::Bool),
        };
        self.element = outer;
        self.loops -= 1;
        let cost = 1 + body
            .cost()
            .saturating_add(only.as_ref().map_or(0, Node::cost));
        let result = match aim {
            Aim::All | Aim::Exists | Aim::ExistsOne => Kind::Bool,
            Aim::Filter => Kind::List(Arc::new(element_kind)),
            Aim::Map => Kind::List(Arc::new(kind)),
        };
        (
            Node::Loop(Box::new(Loop {
                aim,
                over: over_node,
                only,
                body,
                cost,
            })),
            result,
        )
    }
}

fn aim(name: &str) -> Option<Aim> {
    Some(match name {
        "all" => Aim::All,
        "exists" => Aim::Exists,
        "exists_one" | "existsOne" => Aim::ExistsOne,
        "filter" => Aim::Filter,
        "map" => Aim::Map,
        _ => return None,
    })
}

/// The least and the most arguments.
fn arity(name: &str, method: bool) -> (usize, usize) {
    match (name, method) {
        ("size" | "lowerAscii" | "upperAscii", true) => (0, 0),
        ("matches", false) => (2, 2),
        _ => (1, 1),
    }
}
