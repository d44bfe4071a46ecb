//! Words and signs of CEL: where each begins and ends, for ranges, brackets and the bounds that hold before the parser runs.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Name,
    /// A number.
    Number,
    /// Text or bytes in quotes.
    Quoted,
    /// Text whose closing quote is missing.
    Unclosed,
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// Any other sign that CEL has.
    Sign,
    /// A character that CEL does not have.
    Stray,
}

/// One word or sign.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Its bytes.
    pub(super) range: Range<usize>,
}

/// The tokens of `text` from the byte `at` on.
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    /// Begins at the byte `at`.
    pub(super) fn from(text: &'t str, at: usize) -> Self {
        Self { text, at }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len()
                - rest
                    .trim_start_matches([' ', '\t', '\r', '\n', '\x0c'])
                    .len();
            self.at += blanks;
            let rest = &self.text[self.at..];
            if !rest.starts_with("//") {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn measure(&self) -> Option<(Kind, usize)> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        if let Some(found) = quoted(rest) {
            return Some(found);
        }
        let length_while =
            |accept: fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
        Some(match first {
            'a'..='z' | 'A'..='Z' | '_' => (
                Kind::Name,
                length_while(|c| c.is_ascii_alphanumeric() || c == '_'),
            ),
            '0'..='9' => (Kind::Number, number_length(rest)),
            '(' | '[' | '{' => (Kind::Open, 1),
            ')' | ']' | '}' => (Kind::Close, 1),
            _ => match rest.get(..2) {
                Some("==" | "!=" | "<=" | ">=" | "&&" | "||") => (Kind::Sign, 2),
                _ if "+-*/%<>!?:.,".contains(first) => (Kind::Sign, 1),
                _ => (Kind::Stray, first.len_utf8()),
            },
        })
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let (kind, length) = self.measure()?;
        let range = self.at..self.at + length;
        self.at = range.end;
        Some(Token { kind, range })
    }
}

fn number_length(text: &str) -> usize {
    let mut length = 0;
    let mut before = ' ';
    for c in text.chars() {
        let exponent_sign =
            matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !text.starts_with("0x");
        let fraction = c == '.' && text[length + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !(c.is_ascii_alphanumeric() || exponent_sign || fraction) {
            break;
        }
        before = c;
        length += c.len_utf8();
    }
    length
}

/// The quoted text at the beginning of `text`, with its prefix.
fn quoted(text: &str) -> Option<(Kind, usize)> {
    let prefix = text
        .bytes()
        .take(3)
        .position(|byte| matches!(byte, b'\'' | b'"'))?;
    if !matches!(
        text[..prefix].to_ascii_lowercase().as_str(),
        "" | "r" | "b" | "br" | "rb"
    ) {
        return None;
    }
    let raw = text[..prefix].contains(['r', 'R']);
    let body = &text[prefix..];
    let quote = &body[..1];
    let triple = quote.repeat(3);
    let fence = if body.starts_with(&triple) {
        triple.as_str()
    } else {
        quote
    };
    let mut at = fence.len();
    while let Some(c) = body[at..].chars().next() {
        if body[at..].starts_with(fence) {
            return Some((Kind::Quoted, prefix + at + fence.len()));
        }
        if fence.len() == 1 && c == '\n' {
            break;
        }
        at += c.len_utf8();
        if c == '\\' && !raw {
            at += body[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    Some((Kind::Unclosed, prefix + at))
}

#[cfg(test)]
mod tests {
    use super::Tokens;

    #[test]
    fn texts_fall_into_words_and_signs() {
        for (text, expected) in [
            ("user.id=='a b'", "user|.|id|==|'a b'"),
            (
                "!x && y<=1.5e-3 // no\n|| 0xff+1.",
                "!|x|&&|y|<=|1.5e-3||||0xff|+|1|.",
            ),
            (
                r#"r'\'+'\''+"""a"b"""+b"x""#,
                r#"r'\'|+|'\''|+|"""a"b"""|+|b"x""#,
            ),
            ("é = 'ab", "é|=|'ab"),
            ("f({'}': [1]})", "f|(|{|'}'|:|[|1|]|}|)"),
        ] {
            let found: Vec<&str> = Tokens::from(text, 0)
                .map(|token| &text[token.range])
                .collect();
            assert_eq!(found.join("|"), expected);
        }
    }
}
