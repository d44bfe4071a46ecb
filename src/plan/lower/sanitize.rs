//! `sanitize`: places in the data and what is done to the texts there.

use std::collections::VecDeque;

use serde_json::Value;

use crate::config::{self, Spanned};
use crate::diag::catalogue::plan as codes;
use crate::diag::nearest;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{PathStep, Sanitized, Sanitizer};
use crate::schema::{EVERY, TextAt, text_at};

/// How many places of a schema a finding offers.
const PLACES_OFFERED_MAX: usize = 4;
/// How many places of a schema are looked at for them.
const PLACES_LOOKED_AT_MAX: usize = 200;

impl Lowering<'_> {
    /// What is done to texts of the type at `index`; findings where there is no text.
    pub(super) fn sanitize(
        &mut self,
        index: usize,
        written: &[config::Sanitized],
    ) -> Vec<Sanitized> {
        let mut lowered = Vec::new();
        for (pointer, acts) in written {
            let Some(path) = self.pointer(pointer) else {
                continue;
            };
            self.text_is_there(index, pointer, &path);
            if acts.is_empty() && self.complete {
                let message = format!("nothing is done to the text at `{}`", pointer.value);
                let help = "say what, as in `escape_html`, or remove the line";
                self.no_effect(pointer.span, message, help);
            }
            self.escapes_once(acts);
            let step = |name: String| match name.as_str() {
                EVERY => PathStep::Every,
                name => PathStep::Named(name.into()),
            };
            lowered.push(Sanitized {
                path: path.into_iter().map(step).collect(),
                acts: acts.iter().map(|act| sanitizer(act.value)).collect(),
            });
        }
        lowered
    }

    /// The segments of a JSON Pointer (RFC 6901 §3).
    fn pointer(&mut self, written: &Spanned<String>) -> Option<Vec<String>> {
        let text = written.value.as_str();
        let is_escaped = |segment: &str| {
            let mut tildes = segment.split('~').skip(1);
            tildes.all(|rest| rest.starts_with(['0', '1']))
        };
        let message = match text.strip_prefix('/') {
            None if text.is_empty() => return Some(Vec::new()),
            Some(rest) if rest.split('/').all(is_escaped) => {
                let plain = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
                return Some(rest.split('/').map(plain).collect());
            }
            Some(_) => format!("in `{text}` a `~` stands before something other than `0` or `1`"),
            None => format!("`{text}` is not a JSON Pointer: it does not begin with `/`"),
        };
        let help = match text.strip_prefix('/') {
            Some(_) => "write `~` in a name as `~0`, and `/` as `~1`".to_owned(),
            None => {
                let bare = text.strip_prefix("data.").unwrap_or(text);
                format!("write `/{}`", bare.replace('.', "/"))
            }
        };
        self.find(finding(&codes::BAD_POINTER, written.span, message, &help));
        None
    }

    /// Finds a pointer at which data that fits the schema has no text.
    fn text_is_there(&mut self, index: usize, pointer: &Spanned<String>, path: &[String]) {
        let config = self.config;
        let (name, message) = &config.messages[index];
        let Some(source) = &message.schema else {
            return;
        };
        let Some(schema) = self.schema_value(source) else {
            return;
        };
        let shown = match pointer.value.as_str() {
            "" => "the data".to_owned(),
            pointer => format!("`{pointer}`"),
        };
        let name = &name.value;
        match text_at(&schema, path) {
            TextAt::Possible => {}
            TextAt::Undeclared(known) => {
                let message = format!("the schema of `{name}` does not declare {shown}");
                let last = path.last().map_or("", String::as_str);
                let help = match nearest(last, known.iter().map(String::as_str)) {
                    Some(close) => {
                        let parent = pointer
                            .value
                            .rsplit_once('/')
                            .map_or("", |(parent, _)| parent);
                        format!("did you mean `{parent}/{close}`?")
                    }
                    None => "declare it among the schema's `properties`, or remove it".to_owned(),
                };
                let finding = finding(&codes::NO_EFFECT, pointer.span, message, &help);
                self.find(finding.also(source.span, "the schema"));
            }
            TextAt::Never(found) => {
                let message = match found {
                    Some(kind) => {
                        format!("{shown} of `{name}` is never a text: its type is `{kind}`")
                    }
                    None => format!("{shown} cannot be in the data of `{name}`"),
                };
                let help = match texts(&schema).as_slice() {
                    [] => "declare a text in the schema, or remove the line".to_owned(),
                    places => format!(
                        "write {}, where the schema has a text; `*` is every element",
                        places.join(" or ")
                    ),
                };
                let finding = finding(&codes::NO_TEXT_THERE, pointer.span, message, &help);
                self.find(finding.also(source.span, "the schema"));
            }
        }
    }

    /// What `strip_html` leaves is HTML, with entities: escaping it shows those to people.
    fn escapes_once(&mut self, acts: &[Spanned<config::Sanitizer>]) {
        let find = |act| acts.iter().find(|written| written.value == act);
        let escape = find(config::Sanitizer::EscapeHtml);
        let strip = find(config::Sanitizer::StripHtml);
        if let Some((escape, strip)) = escape.zip(strip) {
            let message = "`escape_html` and `strip_html` together escape twice".to_owned();
            let help = "keep one of them: what `strip_html` leaves is safe in HTML";
            let finding = finding(&codes::CONTRADICTION, escape.span, message, help);
            self.find(finding.also(strip.span, "this writes entities too"));
        }
    }
}

/// The first places at which a schema says that there is a text, as pointers in quotes.
fn texts(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = VecDeque::from([(schema, Vec::new())]);
    for _ in 0..PLACES_LOOKED_AT_MAX {
        let Some((part, path)) = waiting.pop_front() else {
            break;
        };
        if text_at(schema, &path) == TextAt::Possible {
            found.push(pointer_of(&path));
        }
        if found.len() == PLACES_OFFERED_MAX {
            break;
        }
        let below = |name: &str| {
            let mut path = path.clone();
            path.push(name.to_owned());
            path
        };
        if let Some(Value::Object(properties)) = part.get("properties") {
            let named = properties.iter();
            waiting.extend(named.map(|(name, part)| (part, below(name))));
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(every @ Value::Object(_)) = part.get(keyword) {
                waiting.push_back((every, below(EVERY)));
            }
        }
    }
    found
}

fn pointer_of(path: &[String]) -> String {
    let escaped = |segment: &String| format!("/{}", segment.replace('~', "~0").replace('/', "~1"));
    let pointer: String = path.iter().map(escaped).collect();
    format!("`\"{pointer}\"`")
}

fn sanitizer(written: config::Sanitizer) -> Sanitizer {
    match written {
        config::Sanitizer::EscapeHtml => Sanitizer::EscapeHtml,
        config::Sanitizer::StripHtml => Sanitizer::StripHtml,
        config::Sanitizer::Trim => Sanitizer::Trim,
        config::Sanitizer::NormalizeUnicode => Sanitizer::NormalizeUnicode,
    }
}
