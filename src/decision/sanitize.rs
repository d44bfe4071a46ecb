//! `sanitize`: texts in the data are cleaned, and every other byte of it stays as it came.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use ammonia::Builder;
use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::plan::{Message, PathStep, Sanitized, Sanitizer};
use crate::protocol::{Reject, RejectCode};
use crate::vocab::ByteSize;

/// `<` and `&` in the texts of one message that HTML is stripped from. Taking HTML apart takes time with the square of its nesting:
/// so many take a millisecond or two, and a frame that is full of them would take one.
const MARKUP_MAX: usize = 500;

/// Bytes of one tag there, for the same reason: each attribute is compared with all before it.
const TAG_BYTES_MAX: usize = 1024;

thread_local! {
    /// No tag is let through. Its tables are made once for a thread.
    static STRIPPER: Builder<'static> = Builder::empty();
}

/// More markup than is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "more markup than `strip_html` takes: at most {MARKUP_MAX} `<` and `&`, in tags of at most {TAG_BYTES_MAX} bytes"
)]
struct TooMuchMarkup;

/// `data`, which is JSON, as `sanitize` of `message` leaves it; none where it changes nothing. `endpoint_max` bounds it where the
/// type does not say, as it bounds a frame.
///
/// # Errors
/// `too_large`: there is more markup than is taken apart, or escaping has made the texts too long.
pub fn cleaned(
    message: &Message,
    data: &str,
    endpoint_max: Option<ByteSize>,
) -> Result<Option<String>, Reject> {
    let too_large = |text: String| Reject::new(RejectCode::TooLarge, text);
    let clean = sanitized(data, &message.sanitize)
        .map_err(|error| too_large(format!("`{}` has {error}", message.name)))?;
    // Escaping makes texts longer, and a frame has to fit into a queue as before.
    let max = message.bytes_max.or(endpoint_max);
    match (&clean, max) {
        (Some(clean), Some(max)) if clean.len() > max.len() => {
            let (name, len, max) = (&message.name, clean.len(), max.bytes());
            Err(too_large(format!(
                "the sanitized data has {len} bytes, `{name}` takes at most {max}"
            )))
        }
        _ => Ok(clean),
    }
}

/// `data`, which is JSON, with the texts at the `places` cleaned; none where they are clean.
///
/// # Errors
/// HTML is to be stripped, and there is too much of it.
fn sanitized(data: &str, places: &[Sanitized]) -> Result<Option<String>, TooMuchMarkup> {
    let mut cleaning = Cleaning {
        data,
        edits: Vec::new(),
        markup: 0,
    };
    let here: Vec<Ahead<'_>> = places
        .iter()
        .map(|place| (&*place.path, &*place.acts))
        .collect();
    // What cannot be read again was never read: nothing is changed then, and whoever reads it next says so.
    let read = cleaning.value(data.trim_ascii(), &here);
    if cleaning.markup > MARKUP_MAX {
        return Err(TooMuchMarkup);
    }
    Ok(read.ok().and_then(|()| cleaning.finish()))
}

/// The rest of the way to a text, and what is done to it there.
type Ahead<'p> = (&'p [PathStep], &'p [Sanitizer]);

struct Cleaning<'d> {
    data: &'d str,
    /// What is written in place of which bytes, from the front to the back.
    edits: Vec<(Range<usize>, String)>,
    /// `<` and `&` that were seen where HTML is stripped; beyond the bound nothing more is.
    markup: usize,
}

#[derive(Deserialize)]
struct Key<'d>(#[serde(borrow)] Cow<'d, str>);

impl<'d> Cleaning<'d> {
    fn value(&mut self, raw: &'d str, ahead: &[Ahead<'_>]) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        match raw.as_bytes().first() {
            Some(b'"') => self.text(raw, ahead),
            Some(b'{' | b'[') if ahead.iter().any(|(path, _)| !path.is_empty()) => deserializer
                .deserialize_any(Parts {
                    cleaning: self,
                    ahead,
                }),
            _ => Ok(()),
        }
    }

    /// The part called `name` of a list or a map.
    fn part(&mut self, name: &str, raw: &'d str, ahead: &[Ahead<'_>]) -> serde_json::Result<()> {
        let below: Vec<Ahead<'_>> = ahead
            .iter()
            .filter_map(|(path, acts)| {
                let (step, rest) = path.split_first()?;
                let leads_there = match step {
                    PathStep::Every => true,
                    PathStep::Named(step) => **step == *name,
                };
                leads_there.then_some((rest, *acts))
            })
            .collect();
        if below.is_empty() {
            return Ok(());
        }
        self.value(raw, &below)
    }

    fn text(&mut self, raw: &'d str, ahead: &[Ahead<'_>]) -> serde_json::Result<()> {
        let mut here = ahead.iter().filter(|(path, _)| path.is_empty()).peekable();
        if here.peek().is_none() {
            return Ok(());
        }
        let Key(came) = serde_json::from_str(raw)?;
        let acts = here.flat_map(|(_, acts)| *acts);
        let cleaned = acts.fold(came.clone(), |text, act| self.clean(text, *act));
        if cleaned != came {
            let from = raw.as_ptr().addr() - self.data.as_ptr().addr();
            let written = serde_json::to_string(&cleaned)?;
            self.edits.push((from..from + raw.len(), written));
        }
        Ok(())
    }

    fn clean<'t>(&mut self, text: Cow<'t, str>, act: Sanitizer) -> Cow<'t, str> {
        match act {
            Sanitizer::EscapeHtml => escaped(text),
            Sanitizer::StripHtml => self.stripped(text),
            Sanitizer::Trim if text.trim().len() < text.len() => Cow::Owned(text.trim().to_owned()),
            Sanitizer::NormalizeUnicode if !is_nfc(&text) => Cow::Owned(text.nfc().collect()),
            Sanitizer::Trim | Sanitizer::NormalizeUnicode => text,
        }
    }

    fn stripped<'t>(&mut self, text: Cow<'t, str>) -> Cow<'t, str> {
        if !text.contains(['<', '>', '&', '\0', '\r', '\u{a0}']) {
            return text;
        }
        self.markup += text.matches(['<', '&']).count();
        if has_long_tag(&text) {
            self.markup = usize::MAX / 2;
        }
        if self.markup > MARKUP_MAX {
            return text;
        }
        Cow::Owned(STRIPPER.with(|stripper| stripper.clean(&text).to_string()))
    }

    fn finish(self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        let grown: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut out = String::with_capacity(self.data.len() + grown);
        let mut done = 0;
        for (range, text) in self.edits {
            out.push_str(&self.data[done..range.start]);
            out.push_str(&text);
            done = range.end;
        }
        out.push_str(&self.data[done..]);
        Some(out)
    }
}

/// Goes over the parts of a list or a map.
struct Parts<'c, 'd, 'a, 'p> {
    cleaning: &'c mut Cleaning<'d>,
    ahead: &'a [Ahead<'p>],
}

impl<'d> Visitor<'d> for Parts<'_, 'd, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a map")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Key(key), value)) = map.next_entry::<Key<'d>, &'d RawValue>()? {
            let part = self.cleaning.part(&key, value.get(), self.ahead);
            part.map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(value) = list.next_element::<&'d RawValue>()? {
            let name = index.to_string();
            let part = self.cleaning.part(&name, value.get(), self.ahead);
            part.map_err(serde::de::Error::custom)?;
            index += 1;
        }
        Ok(())
    }
}

/// Whether a `<` with which a tag, a comment or the like begins stands far before its `>`.
fn has_long_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<');
    begins.map(|(at, _)| &bytes[at + 1..]).any(|rest| {
        let rest = &rest[..rest.len().min(TAG_BYTES_MAX + 1)];
        let length = match rest {
            [b'/', letter, ..] | [letter, ..] if letter.is_ascii_alphabetic() => tag_length(rest),
            [b'/' | b'!' | b'?', ..] => rest.iter().position(|byte| *byte == b'>'),
            _ => Some(0),
        };
        length.unwrap_or(rest.len()) > TAG_BYTES_MAX
    })
}

/// Where the tag ends whose `<` stands before `tag`, as HTML has it (WHATWG, 13.2.5.8 and on): a `>` within a quoted value is none,
/// nor does another `<` end anything. None where it goes on.
fn tag_length(tag: &[u8]) -> Option<usize> {
    #[derive(Clone, Copy)]
    enum At {
        Name,
        Equals,
        Bare,
        Quoted(u8),
    }
    let mut at = At::Name;
    for (index, byte) in tag.iter().enumerate() {
        at = match (at, byte) {
            (At::Quoted(quote), byte) if quote == *byte => At::Name,
            (At::Quoted(_), _) => at,
            (_, b'>') => return Some(index),
            (At::Name, b'=') => At::Equals,
            (At::Equals, b'"' | b'\'') => At::Quoted(*byte),
            (At::Equals, byte) if !byte.is_ascii_whitespace() => At::Bare,
            (At::Bare, byte) if byte.is_ascii_whitespace() => At::Name,
            _ => at,
        };
    }
    None
}

fn escaped(text: Cow<'_, str>) -> Cow<'_, str> {
    const MEANINGFUL: [char; 5] = ['&', '<', '>', '"', '\''];
    if !text.contains(MEANINGFUL) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{TooMuchMarkup, sanitized};
    use crate::plan::{PathStep, Sanitized, Sanitizer};

    fn place(pointer: &str, acts: &[Sanitizer]) -> Sanitized {
        let step = |name: &str| match name {
            "*" => PathStep::Every,
            name => PathStep::Named(name.into()),
        };
        Sanitized {
            path: pointer.split('/').skip(1).map(step).collect(),
            acts: acts.into(),
        }
    }

    #[test]
    fn texts_are_cleaned_and_everything_else_stays() {
        use Sanitizer::{EscapeHtml, NormalizeUnicode, StripHtml, Trim};
        for (pointer, acts, data, expected) in [
            (
                "/text",
                &[EscapeHtml][..],
                r#" {"n" : 1.0e2, "text": "<b>"} "#,
                Some(r#" {"n" : 1.0e2, "text": "&lt;b&gt;"} "#),
            ),
            ("/text", &[EscapeHtml], r#"{"text":"plain"}"#, None),
            ("/text", &[EscapeHtml], r#"{"text":5}"#, None),
            (
                "/text",
                &[EscapeHtml],
                r#"{"te\u0078t":"\u003c\"'&"}"#,
                Some(r#"{"te\u0078t":"&lt;&quot;&#39;&amp;"}"#),
            ),
            ("/text", &[EscapeHtml], r#"{"text":{"text":"<"}}"#, None),
            ("/text", &[EscapeHtml], r#"["<"]"#, None),
            (
                "/a/b",
                &[EscapeHtml],
                r#"{"a":{"b":"<","c":"<"},"b":"<"}"#,
                Some(r#"{"a":{"b":"&lt;","c":"<"},"b":"<"}"#),
            ),
            (
                "/*",
                &[EscapeHtml],
                r#"["<",1,["<"],"x",">"]"#,
                Some(r#"["&lt;",1,["<"],"x","&gt;"]"#),
            ),
            (
                "/*/t",
                &[EscapeHtml],
                r#"[{"t":"<"},{"t":"\\"},{"u":"<"}]"#,
                Some(r#"[{"t":"&lt;"},{"t":"\\"},{"u":"<"}]"#),
            ),
            (
                "/*",
                &[EscapeHtml],
                r#"{"a":"<","b":[],"c":"<"}"#,
                Some(r#"{"a":"&lt;","b":[],"c":"&lt;"}"#),
            ),
            ("/1", &[EscapeHtml], r#"["<","<"]"#, Some(r#"["<","&lt;"]"#)),
            ("", &[EscapeHtml], r#""<""#, Some(r#""&lt;""#)),
            ("", &[Trim], "\"\\n a \u{2003}\"", Some(r#""a""#)),
            ("", &[Trim], r#""a b""#, None),
            ("", &[NormalizeUnicode], "\"e\u{301}\"", Some("\"\u{e9}\"")),
            ("", &[NormalizeUnicode], "\"\u{e9}\"", None),
            (
                "",
                &[Trim, NormalizeUnicode, EscapeHtml],
                "\" e\u{301}< \"",
                Some("\"\u{e9}&lt;\""),
            ),
            (
                "",
                &[StripHtml],
                r#""<b onclick=x>a</b> &lt;i> <script>evil()</script>& b""#,
                Some(r#""a &lt;i&gt; &amp; b""#),
            ),
            (
                "",
                &[StripHtml],
                r#""<<b>script>alert(1)<</b>/script>""#,
                Some(r#""&lt;script&gt;alert(1)&lt;/script&gt;""#),
            ),
            ("", &[StripHtml], r#""a &amp; b""#, None),
            ("", &[StripHtml], r#""plain""#, None),
            ("", &[EscapeHtml], "nonsense", None),
            ("", &[EscapeHtml], "", None),
        ] {
            let found = sanitized(data, &[place(pointer, acts)]).expect("it is little");
            assert_eq!(found.as_deref(), expected, "{pointer} {acts:?} {data}");
        }
    }

    #[test]
    fn places_may_meet() {
        let places = [
            place("/a", &[Sanitizer::Trim]),
            place("/*", &[Sanitizer::EscapeHtml]),
        ];
        let found = sanitized(r#"{"a":" < ","b":" < "}"#, &places);
        let expected = r#"{"a":"&lt;","b":" &lt; "}"#.to_owned();
        assert_eq!(found, Ok(Some(expected)));
    }

    #[test]
    fn what_is_stripped_holds_no_tag_and_stays_as_it_is() {
        let texts = [
            "<img src=x onerror=alert(1)>",
            "<svg><script>1</script></svg>",
            "<a href='javascript:x'>y</a>",
            "</p><b",
            "a < b && c > d",
            "<!--<b>--><i>x",
            "<math><mi//xlink:href=\"data:x,<script>alert(4)</script>\">",
            "<style><img src=\"</style><img src=x onerror=alert(1)//\">",
        ];
        for text in texts {
            let data = serde_json::to_string(text).expect("a text");
            let places = [place("", &[Sanitizer::StripHtml])];
            let once = sanitized(&data, &places).expect("it is little");
            let once = once.expect("it changes");
            assert!(!once.contains('<') && !once.contains('>'), "{once}");
            assert_eq!(sanitized(&once, &places), Ok(None), "{once}");
        }
    }

    #[test]
    fn markup_is_bounded() {
        let strip = |texts: &[String]| {
            let data = serde_json::to_string(texts).expect("texts");
            sanitized(&data, &[place("/*", &[Sanitizer::StripHtml])])
        };
        let tags = |count: usize| "<i>".repeat(count);
        assert_eq!(strip(&[tags(500)]), Ok(Some(r#"[""]"#.to_owned())));
        assert_eq!(strip(&[tags(501)]), Err(TooMuchMarkup));
        assert_eq!(strip(&[tags(300), tags(300)]), Err(TooMuchMarkup));
        assert_eq!(strip(&["&".repeat(501)]), Err(TooMuchMarkup));
        assert_eq!(
            strip(&[format!("<a {}>", "x".repeat(1100))]),
            Err(TooMuchMarkup)
        );
        assert_eq!(
            strip(&[format!("<a {}", "x".repeat(1100))]),
            Err(TooMuchMarkup)
        );
        // What looks like the end of a tag, and is none.
        let attributes: String = (0..300).map(|number| format!(" a{number:03}")).collect();
        for begin in ["<a x=\">\"", "<a <", "<a x='>' y=\"'>\"", "</a x = \">\""] {
            let tag = format!("{begin}{attributes}>");
            assert_eq!(strip(&[tag]), Err(TooMuchMarkup), "{begin}");
        }
        let short = format!("<a x=\">\">{}", "y".repeat(1100));
        let stripped = format!(r#"["{}"]"#, "y".repeat(1100));
        assert_eq!(strip(&[short]), Ok(Some(stripped)));
        // What is no tag may be as long as it likes.
        let long = format!("1 < 2 {}", "x".repeat(1100));
        assert_eq!(
            strip(std::slice::from_ref(&long)),
            Ok(Some(format!(r#"["{}"]"#, long.replace('<', "&lt;"))))
        );
        assert_eq!(strip(&["x".repeat(100_000)]), Ok(None));
    }
}
