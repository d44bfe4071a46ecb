//! How a rule came to its answer: its parts with what each says, and the values that it saw. For people who ask why; what serves
//! never comes here.
//!
//! The parts are pieces of the rule's own text, compiled once more by themselves: an account cannot say what the rule does not.

use std::ops::Range;

use serde_json::Value;

use crate::rule::tree::{Kind, Operator, Tree};
use crate::rule::{Expression, Facts, Failure, Known, Reads, Rule, parse};

/// The parts of an account at most; a rule with more is told as a whole.
const PARTS_MAX: usize = 24;
/// The values of an account at most.
const VALUES_MAX: usize = 24;
/// The bytes of one value, as JSON, that an account shows.
const VALUE_BYTES_MAX: usize = 160;

/// What a rule, or a part of it, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
    /// It could not be evaluated, which denies.
    Failed(Failure),
    /// It depends on a fact that nobody could tell.
    Unknown,
}

/// A part of a rule that is asked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its text.
    pub text: String,
    /// What it says.
    pub answer: Answer,
    /// The rule says what it says because of this part: with another answer of it the rule might say something else.
    pub decides: bool,
}

/// How a rule came to its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// What the rule says.
    pub answer: Answer,
    /// The parts that `&&`, `||` and `!` join, in the order of the text; none where it has but one.
    pub parts: Vec<Part>,
    /// What it saw, by the text that names it. What is not there is null; a long value is cut to a text.
    pub values: Vec<(String, Value)>,
}

/// The parts of a rule as they are joined.
enum Joint {
    One(usize),
    Not(Box<Self>),
    All([Box<Self>; 2]),
    Any([Box<Self>; 2]),
}

impl Rule {
    /// How it comes to its answer. What of `facts` stands in `unknown` is a stand-in: an answer that depends on it is
    /// [`Answer::Unknown`].
    pub fn account(&self, facts: &Facts<'_>, unknown: Reads) -> Account {
        let whole = match self.allows(facts) {
            Ok(true) => Answer::Yes,
            Ok(false) => Answer::No,
            Err(failure) => Answer::Failed(failure),
        };
        let Ok(tree) = parse::parse(self.text()) else {
            return Account::of(whole);
        };
        let telling = Telling {
            text: self.text(),
            known: facts.known(),
            facts,
            unknown,
        };
        let mut parts = Vec::new();
        let answer = match telling.joint(&tree, &mut parts) {
            Some(joint) => {
                let answer = joint.answer(&parts);
                joint.mark(&mut parts);
                answer
            }
            None => {
                parts.clear();
                telling.alone(self, &whole)
            }
        };
        if parts.len() == 1 {
            parts.clear();
        }
        let mut values = Vec::new();
        telling.values(&tree, &[], &mut values);
        Account {
            // The parts agree with the rule wherever they know; what it says itself is what holds.
            answer: if answer == Answer::Unknown {
                answer
            } else {
                whole
            },
            parts,
            values,
        }
    }
}

impl Account {
    fn of(answer: Answer) -> Self {
        Self {
            answer,
            parts: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl Facts<'_> {
    /// That these exist, claims of any kind.
    fn known(&self) -> Known {
        let names = |parameters: &crate::vocab::Parameters| {
            parameters.iter().map(|(name, _)| name.into()).collect()
        };
        Known {
            user: self.user.is_some(),
            sender: self.sender.is_some(),
            path: self.path.map(names),
            query: self.query.is_some(),
            params: self.params.map(names),
            room: self.room.is_some(),
            connection: self.connection.is_some(),
            data: self.data.is_some(),
            error: self.error.is_some(),
            claims: Vec::new(),
        }
    }
}

/// What an account is made from.
struct Telling<'a> {
    text: &'a str,
    known: Known,
    facts: &'a Facts<'a>,
    unknown: Reads,
}

impl Telling<'_> {
    /// The parts of `tree`; none where they cannot be told apart.
    fn joint(&self, tree: &Tree, parts: &mut Vec<Part>) -> Option<Joint> {
        let both = |pair: &[Tree; 2], parts: &mut Vec<Part>| {
            let left = self.joint(&pair[0], parts)?;
            Some([Box::new(left), Box::new(self.joint(&pair[1], parts)?)])
        };
        Some(match &tree.kind {
            Kind::Binary(Operator::And, pair) => Joint::All(both(pair, parts)?),
            Kind::Binary(Operator::Or, pair) => Joint::Any(both(pair, parts)?),
            Kind::Not(operand) => Joint::Not(Box::new(self.joint(operand, parts)?)),
            _ if parts.len() == PARTS_MAX => return None,
            _ => {
                let text = self.text.get(tree.range.clone())?;
                let rule = Rule::compile(text, &self.known).ok()?;
                let answer = match rule.allows(self.facts) {
                    Ok(true) => Answer::Yes,
                    Ok(false) => Answer::No,
                    Err(failure) => Answer::Failed(failure),
                };
                parts.push(Part {
                    text: text.to_owned(),
                    answer: self.alone(&rule, &answer),
                    decides: false,
                });
                Joint::One(parts.len() - 1)
            }
        })
    }

    /// What `rule` says where it is asked as a whole.
    fn alone(&self, rule: &Rule, answer: &Answer) -> Answer {
        if self.unknown.users_count && rule.reads().users_count {
            Answer::Unknown
        } else {
            answer.clone()
        }
    }

    /// The values of everything in `tree` that is read off a fact; `elements` are the loops' own names around it.
    fn values(&self, tree: &Tree, elements: &[&str], found: &mut Vec<(String, Value)>) {
        match &tree.kind {
            Kind::Name(_) | Kind::Field { .. } if is_of_a_fact(tree, elements) => {
                self.value(&tree.range, found);
            }
            Kind::Index { of, key } if is_of_a_fact(of, elements) => {
                self.value(&tree.range, found);
                self.values(key, elements, found);
            }
            Kind::Name(_) => {}
            Kind::Field { of, .. } => self.values(of, elements, found),
            Kind::Index { of, key } => {
                self.values(of, elements, found);
                self.values(key, elements, found);
            }
            Kind::Call {
                target, arguments, ..
            } => {
                if let Some(target) = target {
                    self.values(target, elements, found);
                }
                match (target, arguments.as_slice()) {
                    // `list.all(element, …)`: in its body the element is no fact.
                    (Some(_), [first, rest @ ..]) if !rest.is_empty() => {
                        let Kind::Name(element) = &first.kind else {
                            return;
                        };
                        let elements = [elements, &[element.as_str()]].concat();
                        rest.iter()
                            .for_each(|part| self.values(part, &elements, found));
                    }
                    (_, arguments) => arguments
                        .iter()
                        .for_each(|part| self.values(part, elements, found)),
                }
            }
            Kind::Not(operand) | Kind::Negate(operand) => self.values(operand, elements, found),
            Kind::Binary(_, pair) => pair
                .iter()
                .for_each(|part| self.values(part, elements, found)),
            Kind::If(parts) => parts
                .iter()
                .for_each(|part| self.values(part, elements, found)),
            Kind::List(parts) => parts
                .iter()
                .for_each(|part| self.values(part, elements, found)),
            Kind::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .for_each(|part| self.values(part, elements, found)),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Double(_)
            | Kind::Text(_)
            | Kind::Foreign(_) => {}
        }
    }

    fn value(&self, range: &Range<usize>, found: &mut Vec<(String, Value)>) {
        let Some(text) = self.text.get(range.clone()) else {
            return;
        };
        if found.len() == VALUES_MAX || found.iter().any(|(known, _)| known == text) {
            return;
        }
        let Ok(expression) = Expression::compile(text, &self.known) else {
            return;
        };
        if self.unknown.users_count && expression.reads().users_count {
            return;
        }
        if let Ok(value) = expression.evaluate(self.facts) {
            found.push((text.to_owned(), short(value)));
        }
    }
}

impl Joint {
    /// What the parts come to. A part that is unknown leaves the rest in doubt only where no other decides.
    fn answer(&self, parts: &[Part]) -> Answer {
        match self {
            Self::One(index) => parts[*index].answer.clone(),
            Self::Not(operand) => match operand.answer(parts) {
                Answer::Yes => Answer::No,
                Answer::No => Answer::Yes,
                other => other,
            },
            Self::All(pair) => joined(pair, parts, &Answer::No, Answer::Yes),
            Self::Any(pair) => joined(pair, parts, &Answer::Yes, Answer::No),
        }
    }

    /// Marks the parts because of which it says what it says.
    fn mark(&self, parts: &mut [Part]) {
        let answer = self.answer(parts);
        match self {
            Self::One(index) => parts[*index].decides = true,
            Self::Not(operand) => operand.mark(parts),
            Self::All(pair) | Self::Any(pair) => {
                let same = pair.iter().filter(|part| part.answer(parts) == answer);
                let is_decisive = match self {
                    Self::All(_) => answer == Answer::No,
                    _ => answer == Answer::Yes,
                };
                // One part is enough to decide; otherwise it took all of them.
                let count = if is_decisive { 1 } else { pair.len() };
                let deciding: Vec<&Self> = same.take(count).map(|part| &**part).collect();
                deciding.into_iter().for_each(|part| part.mark(parts));
            }
        }
    }
}

fn joined(pair: &[Box<Joint>; 2], parts: &[Part], decisive: &Answer, otherwise: Answer) -> Answer {
    let [left, right] = [pair[0].answer(parts), pair[1].answer(parts)];
    if left == *decisive || right == *decisive {
        return decisive.clone();
    }
    if left == Answer::Unknown || right == Answer::Unknown {
        return Answer::Unknown;
    }
    match (left, right) {
        (failed @ Answer::Failed(_), _) | (_, failed @ Answer::Failed(_)) => failed,
        _ => otherwise,
    }
}

/// Whether `tree` is a name of the language with fields behind it, and not one of a loop's elements.
fn is_of_a_fact(tree: &Tree, elements: &[&str]) -> bool {
    match &tree.kind {
        Kind::Name(name) => !elements.contains(&name.as_str()),
        Kind::Field { of, .. } => is_of_a_fact(of, elements),
        Kind::Index { of, .. } => is_of_a_fact(of, elements),
        _ => false,
    }
}

/// A value that is not longer than an account shows.
fn short(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= VALUE_BYTES_MAX {
        return value;
    }
    let kept: String = text.chars().take(VALUE_BYTES_MAX / 2).collect();
    Value::String(format!("{kept}… ({} bytes)", text.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{Account, Answer};
    use crate::rule::{Facts, Known, Reads, RoomFacts, Rule};
    use crate::vocab::{Parameters, Timestamp, User, UserId};

    fn account(text: &str, claims: Value, unknown: Reads) -> Account {
        let known = Known {
            user: true,
            params: Some(vec!["ticket".into()]),
            room: true,
            ..Known::default()
        };
        let user = User {
            id: UserId::parse("7").expect("an id"),
            username: "Ann".into(),
            authenticated: true,
            claims: Arc::new(claims),
        };
        let params: Parameters = [("ticket", "12")].into_iter().collect();
        let facts = Facts {
            user: Some(&user),
            params: Some(&params),
            room: Some(RoomFacts {
                name: "desk:12",
                users_count: 3,
            }),
            ..Facts::at(Timestamp::from_millis(0))
        };
        let rule = Rule::compile(text, &known).expect("a rule");
        rule.account(&facts, unknown)
    }

    fn told(account: &Account) -> Vec<String> {
        let line = |part: &super::Part| {
            let mark = if part.decides { "*" } else { "" };
            let answer = match &part.answer {
                Answer::Yes => "yes",
                Answer::No => "no",
                Answer::Failed(_) => "failed",
                Answer::Unknown => "unknown",
            };
            format!("{mark}{}: {answer}", part.text)
        };
        account.parts.iter().map(line).collect()
    }

    #[test]
    fn parts_say_which_of_them_decided() {
        let role = "user.claims.role == 'agent'";
        let ticket = "params.ticket in user.claims.tickets";
        let either = format!("{role} || {ticket}");
        let both = format!("{role} && ({ticket} || user.id == '9')");
        for (text, claims, answer, expected) in [
            (
                &*either,
                json!({"role": "customer", "tickets": ["12"]}),
                Answer::Yes,
                vec![format!("{role}: no"), format!("*{ticket}: yes")],
            ),
            (
                &either,
                json!({"role": "customer"}),
                Answer::No,
                vec![format!("*{role}: no"), format!("*{ticket}: no")],
            ),
            (
                &both,
                json!({"role": "agent"}),
                Answer::No,
                vec![
                    format!("{role}: yes"),
                    format!("*{ticket}: no"),
                    "*user.id == '9': no".to_owned(),
                ],
            ),
            (role, json!({"role": "agent"}), Answer::Yes, vec![]),
            (
                "!(user.claims.muted) && size(user.claims.role) > 2",
                json!({}),
                Answer::Failed(
                    Rule::compile(
                        "size(user.claims.role) > 2",
                        &Known {
                            user: true,
                            ..Known::default()
                        },
                    )
                    .expect("a rule")
                    .allows(&Facts {
                        user: Some(&User {
                            id: UserId::parse("7").expect("an id"),
                            username: "Ann".into(),
                            authenticated: true,
                            claims: Arc::new(json!({})),
                        }),
                        ..Facts::at(Timestamp::from_millis(0))
                    })
                    .expect_err("size of nothing"),
                ),
                vec![
                    "user.claims.muted: no".to_owned(),
                    "*size(user.claims.role) > 2: failed".to_owned(),
                ],
            ),
        ] {
            let found = account(text, claims, Reads::default());
            assert_eq!(found.answer, answer, "{text}");
            assert_eq!(told(&found), expected, "{text}");
        }
    }

    #[test]
    fn values_are_what_the_rule_saw() {
        let long = "x".repeat(1000);
        let found = account(
            "user.claims.roles.exists(role, role == params.ticket && user.claims.n[0] > 1) || has(user.claims.gone) \
             || user.claims.long == 'x'",
            json!({"roles": ["a"], "n": [5], "long": long}),
            Reads::default(),
        );
        let shown: Vec<(&str, String)> = found
            .values
            .iter()
            .map(|(name, value)| (&**name, value.to_string()))
            .collect();
        assert_eq!(
            shown[..5],
            [
                ("user.claims.roles", "[\"a\"]".to_owned()),
                ("params.ticket", "\"12\"".to_owned()),
                ("user.claims.n[0]", "5".to_owned()),
                ("user.claims.gone", "null".to_owned()),
                (
                    "user.claims.long",
                    Value::from(format!("\"{}… (1002 bytes)", "x".repeat(79))).to_string()
                ),
            ]
        );
    }

    #[test]
    fn what_nobody_knows_leaves_in_doubt_only_what_depends_on_it() {
        let unknown = Reads {
            users_count: true,
            ..Reads::default()
        };
        for (text, expected) in [
            ("room.users_count < 10", Answer::Unknown),
            ("!(room.users_count < 10)", Answer::Unknown),
            ("room.users_count < 10 || user.id == '7'", Answer::Yes),
            ("room.users_count < 10 && user.id == '8'", Answer::No),
            ("room.users_count < 10 && user.id == '7'", Answer::Unknown),
            ("room.name == 'desk:12'", Answer::Yes),
        ] {
            let found = account(text, json!({}), unknown);
            assert_eq!(found.answer, expected, "{text}");
            let counted = found
                .values
                .iter()
                .any(|(name, _)| name == "room.users_count");
            assert!(!counted, "{text}: a stand-in is shown");
        }
    }
}
