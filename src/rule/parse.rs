//! From text to [`Tree`]: the `cel` crate parses, with its macros left as calls; ranges come from our own tokens.

use std::ops::Range;
use std::sync::LazyLock;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use crate::diag::catalogue::rule::{SYNTAX, TOO_COMPLEX};
use crate::rule::Problem;
use crate::rule::syntax;
use crate::rule::token::{Kind as TokenKind, Token, Tokens};
use crate::rule::tree::{Arithmetic, Kind, Operator, Order, Tree};

/// The longest text of one rule or expression, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// The most words and signs of one rule: they bound the parser's recursion.
const TOKENS_MAX: usize = 1000;
/// The most brackets inside each other.
const BRACKETS_DEEP_MAX: usize = 32;
/// The most operations inside each other: they bound our own recursion.
const TREE_DEEP_MAX: usize = 64;

/// Without macros: `has`, `all` and the like stay calls, which keeps their places and spares their expansion.
static ENVIRONMENT: LazyLock<cel::Env> =
    LazyLock::new(|| cel::Env::default().with_optional_support(false));

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Tree, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!(
            "the rule has {} bytes, more than {TEXT_BYTES_MAX}",
            text.len()
        );
        return Err(Problem::new(&TOO_COMPLEX, 0..text.len(), message));
    }
    let tokens: Vec<Token> = Tokens::from(text, 0).take(TOKENS_MAX + 1).collect();
    if tokens.len() > TOKENS_MAX {
        let message = format!("the rule has more than {TOKENS_MAX} words and signs");
        return Err(Problem::new(&TOO_COMPLEX, 0..text.len(), message));
    }
    let partners = partners(text, &tokens)?;
    let (expression, places) = ENVIRONMENT
        .parser()
        .max_recursion_depth(TREE_DEEP_MAX as u16)
        .parse_with_source_info(text)
        .map_err(|errors| syntax::explain(text, &tokens, &errors))?;
    let reading = Reading {
        tokens: &tokens,
        partners: &partners,
        places: &places,
    };
    reading.tree(expression, 0)
}

/// For each opening bracket the index of the token that closes it.
fn partners(text: &str, tokens: &[Token]) -> Result<Vec<usize>, Problem> {
    let mut partners = vec![0; tokens.len()];
    let mut open: Vec<usize> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Unclosed => {
                let problem = Problem::new(
                    &SYNTAX,
                    token.range.clone(),
                    "the quote that opens here is never closed",
                );
                return Err(problem);
            }
            TokenKind::Open if open.len() == BRACKETS_DEEP_MAX => {
                let message =
                    format!("more than {BRACKETS_DEEP_MAX} brackets stand inside each other");
                return Err(Problem::new(&TOO_COMPLEX, token.range.clone(), message));
            }
            TokenKind::Open => open.push(index),
            TokenKind::Close => {
                let sign = &text[token.range.clone()];
                let fits = |opener: &usize| {
                    matches!(
                        (&text[tokens[*opener].range.clone()], sign),
                        ("(", ")") | ("[", "]") | ("{", "}")
                    )
                };
                let Some(opener) = open.pop().filter(fits) else {
                    return Err(Problem::new(
                        &SYNTAX,
                        token.range.clone(),
                        format!("`{sign}` closes nothing"),
                    ));
                };
                partners[opener] = index;
            }
            _ => {}
        }
    }
    match open.pop() {
        None => Ok(partners),
        Some(opener) => {
            let range = tokens[opener].range.clone();
            let message = format!("`{}` is never closed", &text[range.clone()]);
            Err(Problem::new(&SYNTAX, range, message))
        }
    }
}

struct Reading<'t> {
    tokens: &'t [Token],
    partners: &'t [usize],
    places: &'t SourceInfo,
}

impl Reading<'_> {
    fn tree(&self, expression: IdedExpr, depth: usize) -> Result<Tree, Problem> {
        let token = self.token(expression.id);
        let here = self.tokens[token].range.clone();
        if depth > TREE_DEEP_MAX {
            let message = format!("more than {TREE_DEEP_MAX} operations stand inside each other");
            return Err(Problem::new(&TOO_COMPLEX, here, message));
        }
        let bracketed = here.start..self.closing(token);
        let (range, kind) = match expression.expr {
            Expr::Ident(name) => (here, Kind::Name(name)),
            Expr::Literal(literal) => self.literal(literal, token),
            Expr::Select(select) => {
                let of = Box::new(self.tree(*select.operand, depth + 1)?);
                let at = self.range(token + 1);
                (
                    of.range.start..at.end,
                    Kind::Field {
                        of,
                        name: select.field,
                        at,
                    },
                )
            }
            Expr::Call(call) => return self.call(call, token, depth),
            Expr::List(list) => (bracketed, Kind::List(self.trees(list.elements, depth)?)),
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in map.entries {
                    if let EntryExpr::MapEntry(entry) = entry.expr {
                        entries.push((
                            self.tree(entry.key, depth + 1)?,
                            self.tree(entry.value, depth + 1)?,
                        ));
                    }
                }
                (bracketed, Kind::Map(entries))
            }
            Expr::Struct(_) => (bracketed, Kind::Foreign("a message with a type's name")),
            Expr::Comprehension(_) | Expr::Unspecified => (here, Kind::Foreign("this")),
        };
        Ok(Tree { range, kind })
    }

    fn trees(&self, expressions: Vec<IdedExpr>, depth: usize) -> Result<Vec<Tree>, Problem> {
        expressions
            .into_iter()
            .map(|expression| self.tree(expression, depth + 1))
            .collect()
    }

    fn literal(&self, literal: LiteralValue, token: usize) -> (Range<usize>, Kind) {
        let mut range = self.range(token);
        let kind = match literal {
            LiteralValue::Null => Kind::Null,
            LiteralValue::Boolean(value) => Kind::Bool(value.into()),
            LiteralValue::Int(value) => Kind::Int(value.into()),
            LiteralValue::Double(value) => Kind::Double(value.into()),
            LiteralValue::String(value) => Kind::Text(value.into()),
            LiteralValue::Bytes(_) => Kind::Foreign("text as bytes"),
            LiteralValue::UInt(_) => Kind::Foreign("an unsigned number"),
        };
        // A negative literal is one node at the place of its digits; an even row of signs is dropped by the parser.
        if matches!(&kind, Kind::Int(value) if *value < 0)
            || matches!(&kind, Kind::Double(value) if *value < 0.0)
        {
            range.start = self.range(token.saturating_sub(1)).start;
        }
        (range, kind)
    }

    fn call(&self, call: CallExpr, token: usize, depth: usize) -> Result<Tree, Problem> {
        let place = self.range(token);
        let target = call
            .target
            .map(|target| self.tree(*target, depth + 1).map(Box::new))
            .transpose()?;
        let arguments = self.trees(call.args, depth)?;
        let tree = |range, kind| Ok(Tree { range, kind });
        if let Some(operator) = binary(&call.func_name) {
            let pair: [Tree; 2] = exactly(arguments, place)?;
            return tree(
                pair[0].range.start..pair[1].range.end,
                Kind::Binary(operator, Box::new(pair)),
            );
        }
        match call.func_name.as_str() {
            "!_" | "-_" => {
                let [operand] = exactly(arguments, place.clone())?;
                let range = place.start..operand.range.end;
                let operand = Box::new(operand);
                tree(
                    range,
                    if call.func_name == "!_" {
                        Kind::Not(operand)
                    } else {
                        Kind::Negate(operand)
                    },
                )
            }
            "_[_]" => {
                let [of, key] = exactly(arguments, place)?;
                let range = of.range.start..self.closing(token);
                tree(
                    range,
                    Kind::Index {
                        of: Box::new(of),
                        key: Box::new(key),
                    },
                )
            }
            "_?_:_" => {
                let parts: [Tree; 3] = exactly(arguments, place)?;
                tree(
                    parts[0].range.start..parts[2].range.end,
                    Kind::If(Box::new(parts)),
                )
            }
            _ => {
                // The parser places a call at the bracket that opens its arguments.
                let at = self.range(token.saturating_sub(1));
                let start = target
                    .as_ref()
                    .map_or(at.start, |target| target.range.start);
                tree(
                    start..self.closing(token),
                    Kind::Call {
                        name: call.func_name,
                        at,
                        target,
                        arguments,
                    },
                )
            }
        }
    }

    /// The index of the token at which the parser places the node `id`.
    fn token(&self, id: u64) -> usize {
        let start = self
            .places
            .offset_for(id)
            .map_or(0, |(start, _)| start as usize);
        let after = self
            .tokens
            .partition_point(|token| token.range.start <= start);
        after.saturating_sub(1)
    }

    fn range(&self, token: usize) -> Range<usize> {
        self.tokens
            .get(token)
            .map_or(0..0, |token| token.range.clone())
    }

    /// Where the bracket `token` closes; where `token` itself ends if it is none.
    fn closing(&self, token: usize) -> usize {
        match self.partners[token] {
            0 => self.range(token).end,
            partner => self.range(partner).end,
        }
    }
}

fn exactly<const N: usize>(
    arguments: Vec<Tree>,
    place: Range<usize>,
) -> Result<[Tree; N], Problem> {
    arguments
        .try_into()
        .map_err(|_| Problem::new(&SYNTAX, place, "this cannot be read"))
}

fn binary(function: &str) -> Option<Operator> {
    Some(match function {
        "_&&_" => Operator::And,
        "_||_" => Operator::Or,
        "@in" => Operator::In,
        "_==_" => Operator::Equal,
        "_!=_" => Operator::NotEqual,
        "_<_" => Operator::Order(Order::Less),
        "_<=_" => Operator::Order(Order::LessOrEqual),
        "_>_" => Operator::Order(Order::Greater),
        "_>=_" => Operator::Order(Order::GreaterOrEqual),
        "_+_" => Operator::Arithmetic(Arithmetic::Add),
        "_-_" => Operator::Arithmetic(Arithmetic::Subtract),
        "_*_" => Operator::Arithmetic(Arithmetic::Multiply),
        "_/_" => Operator::Arithmetic(Arithmetic::Divide),
        "_%_" => Operator::Arithmetic(Arithmetic::Remainder),
        _ => return None,
    })
}
