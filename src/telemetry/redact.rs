//! Lines of the log without credentials.
//!
//! Who writes a line leaves credentials out of it. This is for what cannot know them: texts that clients chose, errors of libraries,
//! panics. It hides what is called like a credential, what looks like one, and the secrets of the file, wherever they stand.

use std::borrow::Cow;

use regex::{Captures, Regex};

use crate::vocab::Secret;

/// What is in the place of a credential.
const HIDDEN: &str = "…";

/// A name with one of these in it is a credential's, and so is one that is just `key`, `auth` or `sid`.
const CREDENTIAL_WORDS: [&str; 10] = [
    "token",
    "secret",
    "passw",
    "authorization",
    "cookie",
    "jwt",
    "api_key",
    "apikey",
    "api-key",
    "credential",
];
const CREDENTIAL_NAMES: [&str; 3] = ["key", "auth", "sid"];

/// How many pairs are looked for in a value of a pair in a value …: a URL in a URL in a form is no deeper.
const PAIRS_DEPTH_MAX: usize = 4;

/// Shorter secrets are not looked for: they would be found in words.
const SECRET_BYTES_MIN: usize = 8;

/// What each line of the log goes through.
pub struct Redactor {
    names: Vec<String>,
    secrets: Vec<Secret>,
    /// `eyJ…`, the beginning of JSON in base64url: a JSON Web Token or a part of one.
    token: Regex,
    /// `Bearer …` of a header, `bearer.…` of a subprotocol, `Basic …`.
    scheme: Regex,
    /// A header that is a credential as a whole.
    header: Regex,
    /// `name=value`, as in queries, cookies and forms.
    pair: Regex,
    /// `"name": "value"`, whose quotes may be escaped.
    member: Regex,
}

impl Redactor {
    /// One that knows the names that the file gives to credentials (of query parameters, cookies and headers), and its secrets.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, secrets: Vec<Secret>) -> Self {
        let regex = |pattern| Regex::new(pattern).expect("the pattern is one");
        Self {
            names: names.into_iter().map(str::to_ascii_lowercase).collect(),
            secrets: secrets
                .into_iter()
                .filter(|secret| secret.expose().len() >= SECRET_BYTES_MIN)
                .collect(),
            token: regex(r"\bey[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_=-]*)*"),
            scheme: regex(r#"(?i)\b(bearer[ .:]+|basic +)([^\s"'`,;\\\x1b…]{4,})"#),
            header: regex(
                r#"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|sec-websocket-protocol|x-api-key)(\\?"?: *\\?"?)([^"`\\\x1b\r\n]+)"#,
            ),
            pair: regex(r#"([A-Za-z0-9_%+.\-]+)=([^\s&"'`,;\\<>\x1b]+)"#),
            member: regex(
                r#"(\\?["'])([A-Za-z0-9_.\-]+)(\\?["']\s*:\s*\\?["'])((?:[^"'\\]|\\u[0-9a-fA-F]{4})+)"#,
            ),
        }
    }

    /// `line` with `…` for every credential.
    pub fn line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        let mut line = Cow::Borrowed(line);
        for secret in &self.secrets {
            if line.contains(secret.expose()) {
                line = Cow::Owned(line.replace(secret.expose(), HIDDEN));
            }
        }
        line = replaced(line, &self.token, |_| HIDDEN.to_owned());
        line = replaced(line, &self.scheme, |found| format!("{}{HIDDEN}", &found[1]));
        line = replaced(line, &self.header, |found| {
            format!("{}{}{HIDDEN}", &found[1], &found[2])
        });
        line = replaced(line, &self.member, |found| {
            if self.is_credential(&found[2]) {
                format!("{}{}{}{HIDDEN}", &found[1], &found[2], &found[3])
            } else {
                found[0].to_owned()
            }
        });
        self.pairs(line, PAIRS_DEPTH_MAX)
    }

    /// Clients choose how deep it goes: what is deeper than `depth` is hidden, whatever it is.
    fn pairs<'l>(&self, line: Cow<'l, str>, depth: usize) -> Cow<'l, str> {
        replaced(line, &self.pair, |found| {
            let (name, value) = (&found[1], &found[2]);
            if self.is_credential(&decoded(name)) {
                return format!("{name}={HIDDEN}");
            }
            // A URL's fragment, or another URL.
            match depth.checked_sub(1) {
                Some(depth) => format!("{name}={}", self.pairs(value.into(), depth)),
                None if value.contains('=') => format!("{name}={HIDDEN}"),
                None => found[0].to_owned(),
            }
        })
    }

    fn is_credential(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        CREDENTIAL_NAMES.contains(&&*name)
            || CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
            || self.names.contains(&name)
    }
}

fn replaced<'l>(
    line: Cow<'l, str>,
    pattern: &Regex,
    replacement: impl Fn(&Captures<'_>) -> String,
) -> Cow<'l, str> {
    match pattern.replace_all(&line, replacement) {
        Cow::Borrowed(_) => line,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

/// `text` without what it quotes: in a refusal that is the client's own text, which may be anything, also a credential in the
/// wrong place. It may hold quotes of its own, so that everything from the first to the last is left out, and what was cut off
/// (`…`) ends with no quote of ours. What is left is one line.
pub fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(start) = text.find(['`', '"']) else {
        return one_line(text);
    };
    let end = text.rfind(['`', '"']).filter(|end| *end > start);
    let rest = match end {
        Some(end) if !text.ends_with('…') => &text[end..],
        _ => "",
    };
    let bare = format!("{}{HIDDEN}{rest}", &text[..=start]);
    Cow::Owned(one_line(&bare).into_owned())
}

/// A line break would begin a line of the log that nobody wrote, and an escape command the terminal that shows it.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The beginning of what a panic said, up to where values may stand.
pub(super) fn said(message: &str) -> &str {
    let end = message.find(['`', '"', ':', '\n']).unwrap_or(message.len());
    message[..end].trim_end()
}

/// `name` with its `%XX` and `+` decoded, as the server reads it.
fn decoded(name: &str) -> String {
    form_urlencoded::parse(name.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Redactor, said, unquoted};
    use crate::vocab::Secret;

    #[test]
    fn credentials_leave_lines() {
        let secrets = vec![Secret::new("the-backends-own-key"), Secret::new("short")];
        let redactor = Redactor::new(["ticket", "X-Ticket"], secrets);
        for (line, expected) in [
            ("", ""),
            (
                "listening on http://127.0.0.1:8000",
                "listening on http://127.0.0.1:8000",
            ),
            // Queries, cookies, forms.
            ("/ws/room/1?token=abc&since=x", "/ws/room/1?token=…&since=x"),
            ("?since=x&TOKEN=abc=def", "?since=x&TOKEN=…"),
            ("/ws?t%6Fken=abc", "/ws?t%6Fken=…"),
            ("/ws?ticket=abc", "/ws?ticket=…"),
            ("/ws?since=abc", "/ws?since=abc"),
            ("/ws?token=a&token=b&token=", "/ws?token=…&token=…&token="),
            ("/ws?a=1#access_token=x", "/ws?a=1#access_token=…"),
            (
                "session_token=abc; theme=dark",
                "session_token=…; theme=dark",
            ),
            ("/?key=abc", "/?key=…"),
            ("monkey=abc", "monkey=abc"),
            // Headers and subprotocols.
            ("Authorization: Bearer abcdef", "Authorization: …"),
            ("got Bearer abcdef.", "got Bearer …"),
            ("offers bearer.abcdef, x", "offers bearer.…, x"),
            ("Basic dXNlcjpwYXNz", "Basic …"),
            ("cookie: a=b; c=d", "cookie: …"),
            ("sec-websocket-protocol: x, y", "sec-websocket-protocol: …"),
            (
                "{\"authorization\": \"Bearer x\"}",
                "{\"authorization\": \"…\"}",
            ),
            // JSON, also quoted by Debug.
            (
                r#"{"type":"token","token":"abc"}"#,
                r#"{"type":"token","token":"…"}"#,
            ),
            (r#""{\"token\":\"abc\"}""#, r#""{\"token\":\"…\"}""#),
            (r#"{"text":"abc"}"#, r#"{"text":"abc"}"#),
            // By its looks.
            ("of `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln`", "of `…`"),
            ("eyJhbGciOiJIUzI1NiJ9", "…"),
            ("eyes of hawks", "eyes of hawks"),
            // By heart.
            ("x-the-backends-own-key-x", "x-…-x"),
            ("cut it short", "cut it short"),
            // What the server itself says.
            (
                "it is looked for in the query parameter `token`, the header `authorization: Bearer …`",
                "it is looked for in the query parameter `token`, the header `authorization: …`",
            ),
            (
                "the token's signature does not match",
                "the token's signature does not match",
            ),
        ] {
            assert_eq!(redactor.line(line), expected, "{line}");
        }
    }

    #[test]
    fn pairs_in_pairs_are_followed_so_far_and_no_deeper() {
        let redactor = Redactor::new([], Vec::new());
        for (line, expected) in [
            ("a=b=c=token=x", "a=b=c=token=…"),
            ("a=b=c=d=e=f", "a=b=c=d=e=f"),
            ("a=b=c=d=e=f=g token=x", "a=b=c=d=e=… token=…"),
            ("a=b=c=d=e=token=x", "a=b=c=d=e=…"),
        ] {
            assert_eq!(redactor.line(line), expected);
        }
        // A frame may be long, and a thread's stack is not.
        let deep = "x=".repeat(100_000);
        assert_eq!(redactor.line(&format!("{deep}y")), "x=x=x=x=x=…");
    }

    #[test]
    fn a_line_of_json_stays_one() {
        let redactor = Redactor::new([], Vec::new());
        let line = r#"{"level":"DEBUG","error":"for \"token\": \"abc\"","cause":"Bearer abcdef","key":"k"}"#;
        let redacted = redactor.line(line);
        let value: serde_json::Value = serde_json::from_str(&redacted).expect("JSON");
        assert_eq!(value["cause"], "Bearer …");
        assert!(!redacted.contains("abc"), "{redacted}");
    }

    #[test]
    fn what_others_wrote_is_left_out() {
        for (text, expected) in [
            ("no quotes", "no quotes"),
            ("`abc` is not a room's name", "`…` is not a room's name"),
            (
                "invalid type: string \"abc\", expected a map",
                "invalid type: string \"…\", expected a map",
            ),
            ("`a` is not `b`", "`…`"),
            ("cut `off", "cut `…"),
            // Quotes of the client's own open and close nothing.
            ("`a` hidden `b` is not a name", "`…` is not a name"),
            (
                "string \"a` \\\" hidden `\", not a map",
                "string \"…\", not a map",
            ),
            ("`a\" hidden\" b` is `c\"", "`…\""),
            ("string \"a\\\" hidden…", "string \"…"),
            (
                "room\n2026 INFO \u{1b}[2Jforged",
                "room\u{fffd}2026 INFO \u{fffd}[2Jforged",
            ),
            ("in\n`a\nb`\r", "in\u{fffd}`…`\u{fffd}"),
        ] {
            assert_eq!(unquoted(text), expected);
        }
        for (message, expected) in [
            ("a rule of ours", "a rule of ours"),
            ("called `unwrap()` on \"x\"", "called"),
            ("it is there: Some(\"x\")", "it is there"),
        ] {
            assert_eq!(said(message), expected);
        }
    }
}
