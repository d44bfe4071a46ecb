//! `sanitize`: texts in the data are cleaned, and every other byte of it stays as it came.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use ammonia::Builder;
use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::plan::{PathStep, Sanitized, Sanitizer};

/// `data`, which is JSON, with the texts at the `places` cleaned; none where they are clean.
pub(super) fn sanitized(data: &str, places: &[Sanitized]) -> Option<String> {
    let mut cleaning = Cleaning {
        data,
        edits: Vec::new(),
    };
    let here: Vec<Ahead<'_>> = places
        .iter()
        .map(|place| (&*place.path, &*place.acts))
        .collect();
    // What cannot be read again was never read: nothing is changed then, and whoever reads it next says so.
    cleaning.value(data.trim_ascii(), &here).ok()?;
    cleaning.finish()
}

/// The rest of the way to a text, and what is done to it there.
type Ahead<'p> = (&'p [PathStep], &'p [Sanitizer]);

struct Cleaning<'d> {
    data: &'d str,
    /// What is written in place of which bytes, from the front to the back.
    edits: Vec<(Range<usize>, String)>,
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
        let cleaned = acts.fold(came.clone(), |text, act| clean(text, *act));
        if cleaned != came {
            let from = raw.as_ptr().addr() - self.data.as_ptr().addr();
            let written = serde_json::to_string(&cleaned)?;
            self.edits.push((from..from + raw.len(), written));
        }
        Ok(())
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

fn clean(text: Cow<'_, str>, act: Sanitizer) -> Cow<'_, str> {
    match act {
        Sanitizer::EscapeHtml => escaped(text),
        Sanitizer::StripHtml if text.contains(['<', '>', '&', '\0', '\r', '\u{a0}']) => {
            Cow::Owned(Builder::empty().clean(&text).to_string())
        }
        Sanitizer::Trim if text.trim().len() < text.len() => Cow::Owned(text.trim().to_owned()),
        Sanitizer::NormalizeUnicode if !is_nfc(&text) => Cow::Owned(text.nfc().collect()),
        Sanitizer::StripHtml | Sanitizer::Trim | Sanitizer::NormalizeUnicode => text,
    }
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
    use super::sanitized;
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
            let found = sanitized(data, &[place(pointer, acts)]);
            assert_eq!(found.as_deref(), expected, "{pointer} {acts:?} {data}");
        }
    }

    #[test]
    fn places_may_meet() {
        let places = [
            place("/a", &[Sanitizer::Trim]),
            place("/*", &[Sanitizer::EscapeHtml]),
        ];
        assert_eq!(
            sanitized(r#"{"a":" < ","b":" < "}"#, &places).as_deref(),
            Some(r#"{"a":"&lt;","b":" &lt; "}"#)
        );
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
            let once = sanitized(&data, &places).expect("it changes");
            assert!(!once.contains('<') && !once.contains('>'), "{once}");
            assert_eq!(sanitized(&once, &places), None, "{once}");
        }
    }
}
