//! The parser's complaints in plain words.

use cel::parser::ParseErrors;

use crate::diag::catalogue::rule::{SYNTAX, TOO_COMPLEX};
use crate::rule::Problem;
use crate::rule::token::{Kind, Token};

/// The first thing that is wrong: what the parser says after it is mostly an echo.
pub(super) fn explain(text: &str, tokens: &[Token], errors: &ParseErrors) -> Problem {
    if errors.errors.iter().any(|error| {
        error.msg.contains("Recursion limit") || error.msg.contains("recovery attempt")
    }) {
        return Problem::new(
            &TOO_COMPLEX,
            0..text.len(),
            "too many operations stand inside each other",
        );
    }
    // "Incomplete …" and "No `…`" are about nodes that the parser could not finish: echoes, with the place of their beginning.
    let echo = |message: &str| message.starts_with("Incomplete") || message.starts_with("No `");
    let first = errors
        .errors
        .iter()
        .find(|error| !echo(&error.msg))
        .or(errors.errors.first());
    let (offset, message) = first.map_or((0, ""), |error| {
        (offset(text, error.pos), error.msg.as_str())
    });
    let index = tokens.iter().position(|token| token.range.end > offset);
    match index {
        None => unfinished(text, tokens),
        Some(index) => unexpected(text, tokens, index, message),
    }
}

/// The byte at the parser's line and column, which counts characters.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let column = usize::try_from(column - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[start..];
    start
        + rest
            .char_indices()
            .nth(column)
            .map_or(rest.len(), |(at, _)| at)
}

fn unfinished(text: &str, tokens: &[Token]) -> Problem {
    let Some(last) = tokens.last() else {
        return Problem::new(&SYNTAX, 0..text.len(), "there is nothing here")
            .help("write a condition, or `true` for always");
    };
    let word = &text[last.range.clone()];
    match (last.kind, word) {
        (Kind::Sign, ".") => {
            Problem::new(&SYNTAX, last.range.clone(), "a name is missing after `.`")
        }
        (Kind::Sign, _) => Problem::new(
            &SYNTAX,
            last.range.clone(),
            format!("a value is missing after `{word}`"),
        ),
        _ => Problem::new(
            &SYNTAX,
            last.range.clone(),
            format!("the text ends too early, after `{word}`"),
        ),
    }
}

fn unexpected(text: &str, tokens: &[Token], index: usize, message: &str) -> Problem {
    let token = &tokens[index];
    let range = token.range.clone();
    let word = &text[range.clone()];
    let before = index.checked_sub(1).map(|index| &tokens[index]);
    let problem = |message: String| Problem::new(&SYNTAX, range.clone(), message);
    if let Some(sign) = other_language(word) {
        return problem(format!("`{word}` is not how CEL says it")).help(format!("write `{sign}`"));
    }
    if message.starts_with("reserved identifier") {
        return problem(format!("`{word}` is a reserved word, not a name"));
    }
    match token.kind {
        Kind::Stray => problem(format!("`{word}` has no meaning in a rule")),
        Kind::Number => problem(format!(
            "`{word}` is not a number that fits 64 bits, or does not belong here"
        )),
        Kind::Quoted if message.contains("token recognition") || message.contains("literal") => {
            problem("the text has a `\\` that CEL does not know".to_owned())
                .help("write `\\\\` for a backslash, or put `r` before the quote: `r'\\d+'`")
        }
        Kind::Name if before.is_some_and(|token| &text[token.range.clone()] == ".") => {
            problem(format!("`{word}` is a reserved word, not a field"))
                .help(format!("write `x['{word}']`"))
        }
        Kind::Sign if word == "." => problem("a name is missing after `.`".to_owned()),
        Kind::Name | Kind::Quoted if before.is_some_and(ends_a_value) => {
            problem(format!("`{word}` is not expected here"))
                .help("join two conditions with `&&` or `||`")
        }
        _ => problem(format!("`{word}` is not expected here")),
    }
}

fn ends_a_value(token: &Token) -> bool {
    matches!(
        token.kind,
        Kind::Name | Kind::Number | Kind::Quoted | Kind::Close
    )
}

fn other_language(word: &str) -> Option<&'static str> {
    Some(match word {
        "=" => "==",
        "&" | "and" | "AND" => "&&",
        "|" | "or" | "OR" => "||",
        "not" | "NOT" => "!",
        _ => return None,
    })
}
