//! The type check: from what was written to what runs. Every problem is reported, none twice: what is wrong becomes a value of
//! any kind, which its surroundings accept.

mod call;
mod name;

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diag::Code;
use crate::diag::catalogue::rule::{ALWAYS_FAILS, SYNTAX, TYPE_MISMATCH};
use crate::rule::evaluate::Run;
use crate::rule::kind::Kind;
use crate::rule::node::{Node, Source};
use crate::rule::tree::{self, Arithmetic, Operator, Tree};
use crate::rule::{Facts, Known, Problem};
use crate::vocab::Timestamp;

/// A node and what is known of its value.
pub(super) type Checked = (Node, Kind);

/// Checks `tree` and makes it runnable.
pub(super) fn check(tree: &Tree, known: &Known) -> Result<Checked, Vec<Problem>> {
    let mut check = Check {
        known,
        problems: Vec::new(),
        element: None,
    };
    let checked = check.any(tree);
    if check.problems.is_empty() {
        return Ok(checked);
    }
    check.problems.sort_by_key(|problem| problem.range.start);
    Err(check.problems)
}

struct Check<'k> {
    known: &'k Known,
    problems: Vec<Problem>,
    /// The name and kind of the element of the loop in whose body this stands.
    element: Option<(String, Kind)>,
}

impl Check<'_> {
    fn problem(
        &mut self,
        code: &'static Code,
        range: &Range<usize>,
        message: String,
        help: Option<String>,
    ) -> Checked {
        self.problems.push(Problem {
            code,
            range: range.clone(),
            message,
            help,
        });
        (Node::Constant(Value::Null), Kind::Any)
    }

    fn mismatch(&mut self, range: &Range<usize>, message: String) -> Checked {
        self.problem(&TYPE_MISMATCH, range, message, None)
    }

    fn any(&mut self, tree: &Tree) -> Checked {
        let before = self.problems.len();
        let (node, kind) = self.unfolded(tree);
        if self.problems.len() > before {
            return (node, Kind::Any);
        }
        match fold(node) {
            Ok(node) => (node, kind),
            Err(reason) => self.problem(
                &ALWAYS_FAILS,
                &tree.range,
                format!("this can never be computed: {reason}"),
                None,
            ),
        }
    }

    fn unfolded(&mut self, tree: &Tree) -> Checked {
        match &tree.kind {
            tree::Kind::Null => (Node::Constant(Value::Null), Kind::Null),
            tree::Kind::Bool(value) => (Node::Constant((*value).into()), Kind::Bool),
            tree::Kind::Int(value) => (Node::Constant((*value).into()), Kind::Int),
            tree::Kind::Double(value) => (Node::Constant((*value).into()), Kind::Double),
            tree::Kind::Text(value) => (Node::Constant(value.as_str().into()), Kind::Text),
            tree::Kind::Name(name) => self.name(name, &tree.range),
            tree::Kind::Field { of, name, at } => self.field(of, name, at),
            tree::Kind::Index { of, key } => self.index(of, key),
            tree::Kind::Call {
                name,
                at,
                target,
                arguments,
            } => self.call(tree, name, at, target.as_deref(), arguments),
            tree::Kind::Not(operand) => (
                Node::Not(Box::new(self.condition(operand, "!"))),
                Kind::Bool,
            ),
            tree::Kind::Negate(operand) => {
                let (node, kind) = self.any(operand);
                if !kind.may_be_number() {
                    self.mismatch(
                        &operand.range,
                        format!("`-` wants a number, and this is {kind}"),
                    );
                }
                (Node::Negate(Box::new(node)), kind)
            }
            tree::Kind::Binary(operator, pair) => self.binary(*operator, pair, &tree.range),
            tree::Kind::If(parts) => self.choice(parts),
            tree::Kind::List(elements) => self.list(elements),
            tree::Kind::Map(entries) => self.map(entries),
            tree::Kind::Foreign(what) => self.problem(
                &SYNTAX,
                &tree.range,
                format!("rules do not have {what}"),
                None,
            ),
        }
    }

    fn condition(&mut self, tree: &Tree, sign: &str) -> Node {
        let (node, kind) = self.any(tree);
        if !kind.may_be_condition() {
            self.mismatch(
                &tree.range,
                format!("`{sign}` wants a condition, and this is {kind}"),
            );
        }
        node
    }

    fn choice(&mut self, parts: &[Tree; 3]) -> Checked {
        let [condition, yes, no] = parts;
        let condition = self.condition(condition, "?");
        let ((yes, kind), (no, other)) = (self.any(yes), self.any(no));
        (Node::If(Box::new([condition, yes, no])), kind.either(other))
    }

    fn list(&mut self, elements: &[Tree]) -> Checked {
        let (nodes, kinds): (Vec<Node>, Vec<Kind>) =
            elements.iter().map(|element| self.any(element)).unzip();
        let kind = kinds.into_iter().reduce(Kind::either).unwrap_or(Kind::Any);
        (Node::List(nodes), Kind::List(Arc::new(kind)))
    }

    fn map(&mut self, entries: &[(Tree, Tree)]) -> Checked {
        let mut nodes = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key_node, kind) = self.any(key);
            if !kind.may_be_text() {
                self.mismatch(
                    &key.range,
                    format!("a map's key is text, and this is {kind}"),
                );
            }
            nodes.push((key_node, self.any(value).0));
        }
        (Node::Map(nodes), Kind::Map(None))
    }

    fn binary(&mut self, operator: Operator, pair: &[Tree; 2], range: &Range<usize>) -> Checked {
        let [left, right] = pair;
        match operator {
            Operator::And | Operator::Or => {
                let pair = Box::new([
                    self.condition(left, operator.sign()),
                    self.condition(right, operator.sign()),
                ]);
                (
                    if operator == Operator::And {
                        Node::And(pair)
                    } else {
                        Node::Or(pair)
                    },
                    Kind::Bool,
                )
            }
            Operator::In => self.within(left, right, range),
            Operator::Equal => (self.equality(left, right, range), Kind::Bool),
            Operator::NotEqual => (
                Node::Not(Box::new(self.equality(left, right, range))),
                Kind::Bool,
            ),
            Operator::Order(order) => {
                let ((one, kind), (two, other)) = (self.any(left), self.any(right));
                let numbers = kind.may_be_number() && other.may_be_number();
                let texts = kind.may_be_text() && other.may_be_text();
                let conditions = kind.may_be_condition() && other.may_be_condition();
                if !(numbers || texts || conditions) {
                    self.mismatch(
                        range,
                        format!("`{}` cannot compare {kind} with {other}", order.sign()),
                    );
                }
                (Node::Order(order, Box::new([one, two])), Kind::Bool)
            }
            Operator::Arithmetic(arithmetic) => self.arithmetic(arithmetic, left, right, range),
        }
    }

    fn equality(&mut self, left: &Tree, right: &Tree, range: &Range<usize>) -> Node {
        let ((one, kind), (two, other)) = (self.any(left), self.any(right));
        if !kind.may_equal(&other) {
            let message =
                format!("this can never be equal: {kind} on the left, {other} on the right");
            let text = if kind.may_be_text() { right } else { left };
            let help = match &text.kind {
                tree::Kind::Int(number) if kind == Kind::Text || other == Kind::Text => {
                    Some(format!("write `'{number}'`"))
                }
                _ => None,
            };
            self.problem(&TYPE_MISMATCH, range, message, help);
        }
        match (one.is_null(), two.is_null()) {
            (true, true) => Node::Constant(true.into()),
            (true, false) => Node::Not(Box::new(Node::Present(Box::new(two)))),
            (false, true) => Node::Not(Box::new(Node::Present(Box::new(one)))),
            (false, false) => Node::Equal(Box::new([one, two])),
        }
    }

    fn within(&mut self, left: &Tree, right: &Tree, range: &Range<usize>) -> Checked {
        if let Some(source) = self.source(right) {
            let (key, kind) = self.any(left);
            if !kind.may_be_text() {
                self.mismatch(
                    &left.range,
                    format!("a parameter's name is text, and this is {kind}"),
                );
            }
            return (
                Node::Present(Box::new(Node::AnyParameter(source, Box::new(key)))),
                Kind::Bool,
            );
        }
        let before = self.problems.len();
        let ((one, kind), (two, other)) = (self.any(left), self.any(right));
        // What is wrong has become null, and has been told.
        let is_null = one.is_null() && self.problems.len() == before;
        let holds_null = matches!(&right.kind, tree::Kind::List(elements) if elements.iter().any(|element| matches!(element.kind, tree::Kind::Null)));
        match &other {
            _ if is_null || holds_null => {
                self.problem(
                    &TYPE_MISMATCH,
                    range,
                    "null is never `in` a list".to_owned(),
                    Some("write `== null`".to_owned()),
                );
            }
            Kind::List(element) if !kind.may_equal(element) => {
                self.mismatch(range, format!("this can never be true: {kind} is not in a list whose elements are {element}"));
            }
            Kind::Map(_) if !kind.may_be_text() => {
                self.mismatch(range, format!("a map's key is text, and this is {kind}"));
            }
            Kind::Text => {
                let message = "`in` looks into a list or a map, and this is text".to_owned();
                self.problem(
                    &TYPE_MISMATCH,
                    &right.range,
                    message,
                    Some("write `text.contains(part)`".to_owned()),
                );
            }
            Kind::Bool | Kind::Int | Kind::Double | Kind::Number | Kind::Null => {
                self.mismatch(
                    &right.range,
                    format!("`in` looks into a list or a map, and this is {other}"),
                );
            }
            Kind::Any | Kind::List(_) | Kind::Map(_) => {}
        }
        (Node::In(Box::new([one, two])), Kind::Bool)
    }

    fn arithmetic(
        &mut self,
        arithmetic: Arithmetic,
        left: &Tree,
        right: &Tree,
        range: &Range<usize>,
    ) -> Checked {
        let ((one, kind), (two, other)) = (self.any(left), self.any(right));
        let adds = arithmetic == Arithmetic::Add;
        let is_list = |kind: &Kind| matches!(kind, Kind::Any | Kind::List(_));
        let fits = match arithmetic {
            Arithmetic::Remainder => kind.may_be_int() && other.may_be_int(),
            _ => kind.may_be_number() && other.may_be_number(),
        } || (adds && kind.may_be_text() && other.may_be_text())
            || (adds && is_list(&kind) && is_list(&other));
        if !fits {
            let message = format!(
                "`{}` does not work with {kind} and {other}",
                arithmetic.sign()
            );
            let help = (adds && (kind == Kind::Text || other == Kind::Text))
                .then(|| "convert with `string(…)`".to_owned());
            self.problem(&TYPE_MISMATCH, range, message, help);
        }
        let result = match (&kind, &other) {
            (Kind::Text, _) | (_, Kind::Text) => Kind::Text,
            (Kind::List(_), _) | (_, Kind::List(_)) => kind.either(other),
            (Kind::Any, _) | (_, Kind::Any) if adds => Kind::Any,
            (Kind::Int, Kind::Int) => Kind::Int,
            (Kind::Double, _) | (_, Kind::Double) => Kind::Double,
            _ => Kind::Number,
        };
        (Node::Arithmetic(arithmetic, Box::new([one, two])), result)
    }

    /// `path`, `query` or `params`, where the tree names one that exists.
    fn source(&self, tree: &Tree) -> Option<Source> {
        let tree::Kind::Name(name) = &tree.kind else {
            return None;
        };
        match name.as_str() {
            "path" if self.known.path.is_some() => Some(Source::Path),
            "query" if self.known.query => Some(Source::Query),
            "params" if self.known.params.is_some() => Some(Source::Params),
            _ => None,
        }
    }
}

/// Computes what is known already.
fn fold(node: Node) -> Result<Node, String> {
    match node {
        Node::And(pair) => Ok(decided(*pair, false, Node::And)),
        Node::Or(pair) => Ok(decided(*pair, true, Node::Or)),
        Node::If(parts) => {
            let [condition, yes, no] = *parts;
            match truth(&condition) {
                Some(true) => Ok(yes),
                Some(false) => Ok(no),
                None => Ok(Node::If(Box::new([condition, yes, no]))),
            }
        }
        Node::Constant(_) => Ok(node),
        _ if !node.parts().is_empty() && node.parts().iter().all(|part| part.is_constant()) => {
            compute(node)
        }
        Node::List(elements) if elements.is_empty() => Ok(Node::Constant(Value::Array(Vec::new()))),
        Node::Map(entries) if entries.is_empty() => {
            Ok(Node::Constant(Value::Object(serde_json::Map::new())))
        }
        _ => Ok(node),
    }
}

fn decided(pair: [Node; 2], decisive: bool, make: fn(Box<[Node; 2]>) -> Node) -> Node {
    match (truth(&pair[0]), truth(&pair[1])) {
        (Some(one), _) | (_, Some(one)) if one == decisive => Node::Constant(decisive.into()),
        (Some(_), Some(_)) => Node::Constant((!decisive).into()),
        _ => make(Box::new(pair)),
    }
}

/// Whether a constant condition is true.
pub(super) fn truth(node: &Node) -> Option<bool> {
    match node {
        Node::Constant(Value::Bool(value)) => Some(*value),
        Node::Constant(Value::Null) => Some(false),
        _ => None,
    }
}

fn compute(node: Node) -> Result<Node, String> {
    // Parameters are facts however constant their names are.
    if matches!(node, Node::AnyParameter(..)) {
        return Ok(node);
    }
    let nothing = Facts::at(Timestamp::from_millis(0));
    let mut run = Run::new(&nothing);
    let computed = run.value(&node).map_err(|fault| fault.to_string())?;
    // What JSON cannot say (an infinite number) is computed again each time.
    Ok(match run.json(&computed) {
        Ok(value) => Node::Constant(value),
        Err(_) => node,
    })
}
