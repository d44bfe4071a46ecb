//! Text with expressions in braces.

use std::ops::Range;

use crate::diag::Code;
use crate::diag::catalogue::rule::{SYNTAX, TOO_COMPLEX, TYPE_MISMATCH};
use crate::rule::evaluate::{MADE_BYTES_MAX, Run};
use crate::rule::kind::Kind;
use crate::rule::node::Node;
use crate::rule::token::{Kind as TokenKind, Tokens};
use crate::rule::{Facts, Failure, Known, Problem, Reads, compile};

/// The longest template, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Text with `{CEL}` inside; `{{` and `}}` are braces.
///
/// Texts go in as they are, numbers and conditions as CEL writes them, null as nothing, lists and maps as JSON. Between the braces
/// the whole of CEL may stand, braces in quotes and maps included; a map right behind the brace needs a space: `{ {'a': 1}.a }`.
#[derive(Debug)]
pub struct Template {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Box<str>),
    Value(Node),
}

impl Template {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, known: &Known) -> Result<Self, Vec<Problem>> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!(
                "the template has {} bytes, more than {TEXT_BYTES_MAX}",
                text.len()
            );
            return Err(vec![Problem::new(&TOO_COMPLEX, 0..text.len(), message)]);
        }
        let (mut parts, mut problems) = (Vec::new(), Vec::new());
        for piece in (Pieces { text, at: 0 }) {
            match piece {
                Ok(Piece::Text(text)) => match parts.last_mut() {
                    Some(Part::Text(before)) => *before = [&**before, text].concat().into(),
                    _ => parts.push(Part::Text(text.into())),
                },
                Ok(Piece::Expression(range)) => match part(&text[range.clone()], known) {
                    Ok(node) => parts.push(part_of(node)),
                    Err(found) => problems.extend(
                        found
                            .into_iter()
                            .map(|problem| problem.shifted(range.start)),
                    ),
                },
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(Self {
                text: text.into(),
                parts,
            })
        } else {
            Err(problems)
        }
    }

    /// The text.
    ///
    /// # Errors
    /// An expression in it could not be evaluated, or the text would be longer than 4 MiB.
    pub fn render(&self, facts: &Facts<'_>) -> Result<String, Failure> {
        let mut run = Run::new(facts);
        let mut out = String::with_capacity(self.text.len().min(MADE_BYTES_MAX));
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(node) => {
                    let value = run.value(node)?;
                    run.write(&value, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    /// What it looks at: a fact that it does not may be left out.
    pub fn reads(&self) -> Reads {
        let nodes = self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(node) => Some(node.reads()),
        });
        nodes.collect()
    }

    /// The text, where it is the same for all facts.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with `placeholder` for each expression: to see which pattern a room's name will follow.
    pub fn with_placeholder(&self, placeholder: &str) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Value(_) => placeholder,
            })
            .collect()
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn part(text: &str, known: &Known) -> Result<Node, Vec<Problem>> {
    let (node, kind) = compile(text, known)?;
    if matches!(kind, Kind::Null | Kind::List(_) | Kind::Map(_)) {
        let message = format!("a template is made of text and numbers, and this is {kind}");
        return Err(vec![Problem::new(&TYPE_MISMATCH, 0..text.len(), message)]);
    }
    Ok(node)
}

/// A constant text is text.
fn part_of(node: Node) -> Part {
    match node {
        Node::Constant(serde_json::Value::String(text)) => Part::Text(text.into()),
        node => Part::Value(node),
    }
}

enum Piece<'t> {
    Text(&'t str),
    /// What stands between the braces.
    Expression(Range<usize>),
}

struct Pieces<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Result<Piece<'t>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = &self.text[start..];
        let brace = rest.find(['{', '}']).unwrap_or(rest.len());
        if brace > 0 {
            self.at += brace;
            return Some(Ok(Piece::Text(&rest[..brace])));
        }
        let sign = rest.get(..1)?;
        if rest.get(..2).is_some_and(|two| two == "{{" || two == "}}") {
            self.at += 2;
            return Some(Ok(Piece::Text(sign)));
        }
        let problem = |code: &'static Code, end, message| {
            Some(Err(Problem::new(code, start..end, message)
                .help(format!("write `{sign}{sign}` for a brace"))))
        };
        self.at += 1;
        if sign == "}" {
            return problem(&SYNTAX, start + 1, "this brace closes nothing");
        }
        let Some(end) = closing(self.text, start) else {
            self.at = self.text.len();
            return problem(&SYNTAX, start + 1, "this brace is never closed");
        };
        self.at = end + 1;
        if self.text[start + 1..end].trim().is_empty() {
            return problem(&SYNTAX, end + 1, "nothing stands between the braces");
        }
        Some(Ok(Piece::Expression(start + 1..end)))
    }
}

/// Where the brace that opens at `start` is closed, past quotes and further brackets.
fn closing(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0usize;
    for token in Tokens::from(text, start) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.checked_sub(1)?,
            TokenKind::Unclosed => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(token.range.start);
        }
    }
    None
}
