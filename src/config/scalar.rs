//! Scalars to [`Text`]: where each byte was written, and `${NAME}` expanded.

use std::ops::Range;

use crate::config::Environment;
use crate::config::node::{Scalar, Style};
use crate::config::spanned::{Origin, Piece, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, Span};

/// The value of `scalar`, whose source text at `span` is `raw`, before expansion.
pub(super) fn unexpanded(scalar: &Scalar, raw: &str, span: Span) -> Text {
    let value = scalar.value.as_str();
    let pieces = match scalar.style {
        Style::Plain | Style::SingleQuoted | Style::DoubleQuoted if raw == value => {
            exact(span, 0, value.len())
        }
        Style::SingleQuoted | Style::DoubleQuoted if raw.get(1..=value.len()) == Some(value) => {
            exact(span, 1, value.len())
        }
        Style::SingleQuoted => quoted(value, raw, span, single_escape),
        Style::DoubleQuoted => quoted(value, raw, span, double_escape),
        Style::Plain | Style::Block => words(value, raw, span, 0),
    };
    Text::new(value.to_owned(), span, pieces)
}

/// `text` with the values of `environment`; none where one is missing. What is wrong goes to `findings`.
pub(super) fn expand(
    text: Text,
    environment: &dyn Environment,
    findings: &mut Vec<Diagnostic>,
) -> Option<Text> {
    if !text.as_str().contains("${") {
        return Some(text);
    }
    let mut value = String::new();
    let mut pieces = Vec::new();
    let mut is_whole = true;
    let mut copied = 0;
    while let Some(found) = text.as_str()[copied..].find("${") {
        let start = copied + found;
        let literal = &text.as_str()[copied..start];
        if let Some(before) = literal.strip_suffix('$') {
            // `$${` stands for `${`: the first dollar goes.
            value.push_str(before);
            pieces.extend(text.slice(copied..copied + before.len()));
            value.push_str("${");
            pieces.extend(text.slice(start..start + 2));
            copied = start + 2;
            continue;
        }
        value.push_str(literal);
        pieces.extend(text.slice(copied..start));
        let end = text.as_str()[start..].find('}').map(|end| start + end + 1);
        let range = start..end.unwrap_or(text.as_str().len());
        let span = text.span_of(range.clone());
        let written = &text.as_str()[range.clone()];
        match look_up(written, span, environment) {
            Ok(found) => {
                pieces.push(Piece {
                    length: found.len(),
                    origin: Origin::Environment(span, written.into()),
                });
                value.push_str(&found);
            }
            Err(finding) => {
                findings.push(*finding);
                is_whole = false;
            }
        }
        copied = range.end;
    }
    value.push_str(&text.as_str()[copied..]);
    pieces.extend(text.slice(copied..text.as_str().len()));
    is_whole.then(|| Text::new(value, text.span(), pieces))
}

/// The value of `written`: `${NAME}`, `${NAME:-default}` or `${NAME:?why}`.
fn look_up(
    written: &str,
    span: Span,
    environment: &dyn Environment,
) -> Result<String, Box<Diagnostic>> {
    let malformed = || {
        let message = match written.strip_suffix('}') {
            Some(_) => "no variable of the environment can be called like this",
            None => "`${` begins a variable of the environment, and no `}` ends it",
        };
        Diagnostic::new(&codes::BAD_ENVIRONMENT_REFERENCE, span, message)
            .help("write `${NAME}`, `${NAME:-default}` or `${NAME:?why it is needed}`, with letters, digits and `_` in the name; `$${` is a literal `${`")
    };
    let inner = written
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(malformed)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let length = inner.bytes().take_while(|byte| is_name(*byte)).count();
    let (name, rest) = inner.split_at(length);
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
        return Err(Box::new(malformed()));
    }
    let missing = |finding: String| Diagnostic::new(&codes::MISSING_ENVIRONMENT, span, finding);
    let found = environment.get(name);
    if rest.is_empty() {
        let message = format!("the environment variable `{name}` is not set");
        let help = format!("set it, or give a default: `${{{name}:-default}}`");
        return found.ok_or_else(|| Box::new(missing(message).help(help)));
    }
    let found = found.filter(|value| !value.is_empty());
    if let Some(default) = rest.strip_prefix(":-") {
        Ok(found.unwrap_or_else(|| default.to_owned()))
    } else if let Some(why) = rest.strip_prefix(":?") {
        let message = format!("the environment variable `{name}` is not set: {why}");
        found.ok_or_else(|| Box::new(missing(message).help(format!("set `{name}`"))))
    } else {
        Err(Box::new(malformed()))
    }
}

fn part(span: Span, start: usize, end: usize) -> Span {
    let offset = |offset: usize| span.start + u32::try_from(offset).unwrap_or_default();
    Span {
        start: offset(start),
        end: offset(end),
        ..span
    }
}

fn exact(span: Span, skip: usize, length: usize) -> Vec<Piece> {
    let origin = Origin::Exact(part(span, skip, skip + length));
    vec![Piece { length, origin }]
}

fn within(span: Span, length: usize) -> Vec<Piece> {
    let origin = Origin::Within(span);
    vec![Piece { length, origin }]
}

/// The length of the escape that `raw` begins with; none where it begins with a character for itself.
type Escape = fn(&str) -> Option<usize>;

fn single_escape(raw: &str) -> Option<usize> {
    raw.starts_with("''").then_some(2)
}

fn double_escape(raw: &str) -> Option<usize> {
    let mut bytes = raw.bytes();
    if bytes.next() != Some(b'\\') {
        return None;
    }
    Some(match bytes.next() {
        Some(b'x') => 4,
        Some(b'u') => 6,
        Some(b'U') => 10,
        _ => 2,
    })
}

/// The pieces of a quoted value with escapes; of one over several lines, or one that does not add up, a single piece.
fn quoted(value: &str, raw: &str, span: Span, escape: Escape) -> Vec<Piece> {
    aligned(value, raw, span, escape).unwrap_or_else(|| match escape(raw) {
        None if raw.contains('\n') && !raw.contains('\\') => words(value, raw, span, 1),
        _ => within(span, value.len()),
    })
}

fn aligned(value: &str, raw: &str, span: Span, escape: Escape) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut place = 1;
    let mut run = place;
    for character in value.chars() {
        let rest = raw.get(place..)?;
        if let Some(length) = escape(rest) {
            if run < place {
                pieces.extend(exact(span, run, place - run));
            }
            let here = part(span, place, place + length);
            pieces.extend(within(here, character.len_utf8()));
            place += length;
            run = place;
        } else if rest.starts_with(character) {
            place += character.len_utf8();
        } else {
            return None;
        }
    }
    if run < place {
        pieces.extend(exact(span, run, place - run));
    }
    (place + 1 == raw.len()).then_some(pieces)
}

/// The pieces of a value whose words stand in `raw` in their order, from `skip` on, with other white space between them.
fn words(value: &str, raw: &str, span: Span, skip: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut done, mut place) = (0, skip);
    for word in value.split_whitespace() {
        let Some(start) = value[done..].find(word).map(|gap| done + gap) else {
            return within(span, value.len());
        };
        let rest = &raw[place..];
        let gap = rest.len() - rest.trim_start().len();
        if !rest[gap..].starts_with(word) {
            return within(span, value.len());
        }
        if done < start {
            pieces.extend(within(part(span, place, place + gap), start - done));
        }
        pieces.extend(exact(span, place + gap, word.len()));
        place += gap + word.len();
        done = start + word.len();
    }
    if done < value.len() {
        pieces.extend(within(span, value.len() - done));
    }
    pieces
}

/// Where the bytes `range` come from, piece by piece.
impl Text {
    fn slice(&self, range: Range<usize>) -> Vec<Piece> {
        let mut sliced = Vec::new();
        for (stretch, origin) in self.stretches() {
            let start = stretch.start.max(range.start);
            let end = stretch.end.min(range.end);
            if start >= end {
                continue;
            }
            let origin = match origin {
                Origin::Exact(span) => {
                    let skip = start - stretch.start;
                    Origin::Exact(part(*span, skip, skip + end - start))
                }
                other => other.clone(),
            };
            let length = end - start;
            sliced.push(Piece { length, origin });
        }
        sliced
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use crate::config::node::{Kind, Node};
    use crate::config::scalar::{expand, unexpanded};
    use crate::config::yaml::load;
    use crate::diag::Sources;

    /// The only value of the only key in `yaml`, and what the first `needle` in it points to.
    fn pointed(yaml: &str, needle: &str) -> (String, String) {
        let mut sources = Sources::default();
        let id = sources.add(Path::new("a.yaml"), yaml.to_owned());
        let loaded = load(yaml, id);
        assert_eq!(loaded.findings, []);
        let Some(Node {
            kind: Kind::Map(entries),
            ..
        }) = loaded.root
        else {
            panic!("no map: {yaml}");
        };
        let node = &entries[0].1;
        let Kind::Scalar(scalar) = &node.kind else {
            panic!("no scalar: {yaml}");
        };
        let environment = BTreeMap::from([("ROLE".to_owned(), "boss".to_owned())]);
        let text = unexpanded(scalar, sources.text(node.span), node.span);
        let text = expand(text, &environment, &mut Vec::new()).expect("expands");
        let start = text.as_str().find(needle).expect("the needle is in it");
        let span = text.span_of(start..start + needle.len());
        (text.as_str().to_owned(), sources.text(span).to_owned())
    }

    #[test]
    fn parts_of_scalars_know_their_place() {
        for (yaml, needle, place) in [
            ("k: user.id == 'a'\n", "id", "id"),
            ("k: 'it''s user.id'\n", "user", "user"),
            ("k: 'it''s user.id'\n", "'s", "''s"),
            ("k: \"a \\\"b\\\" \\u00e4 user\"\n", "user", "user"),
            ("k: \"a \\\"b\\\" \\u00e4 user\"\n", "ä", "\\u00e4"),
            ("k: \"ü user\"\n", "user", "user"),
            ("k: one\n   two three\n", "two", "two"),
            ("k: |\n  one\n  two three\n", "three", "three"),
            ("k: >-\n  one\n  two three\n", "one two", "one\n  two"),
            ("k: \"one\n   two\"\n", "two", "two"),
            ("k: user.role == '${ROLE}' && x\n", "boss", "${ROLE}"),
            ("k: user.role == '${ROLE}' && x\n", "x", "x"),
            ("k: \"${NONE:-a} $${ROLE} x\"\n", "ROLE", "ROLE"),
            ("k: \"${NONE:-a} $${ROLE} x\"\n", "a", "${NONE:-a}"),
        ] {
            assert_eq!(pointed(yaml, needle).1, place, "{yaml}");
        }
    }

    #[test]
    fn variables_expand() {
        for (yaml, value) in [
            ("k: ${ROLE}\n", "boss"),
            ("k: a${ROLE}b${ROLE}\n", "abossbboss"),
            ("k: ${NONE:-}\n", ""),
            ("k: ${ROLE:-x}\n", "boss"),
            ("k: ${ROLE:?needed}\n", "boss"),
            ("k: $${ROLE}\n", "${ROLE}"),
            ("k: $$ $ROLE {}\n", "$$ $ROLE {}"),
        ] {
            assert_eq!(pointed(yaml, "").0, value, "{yaml}");
        }
    }
}
