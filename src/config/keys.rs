//! Taking a section apart: each key by its name and kind, with a finding for everything that does not fit.
//!
//! A lowering function asks a [`Keys`] for every key that its section has; what nobody asked for is unknown.

use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::config::node::{Key, Kind, Node};
use crate::config::quantity::in_two_parts;
use crate::config::reader::{Reader, Word, listed};
use crate::config::{SchemaSource, Spanned, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, Span, nearest};
use crate::vocab::{QuantityError, Secret};

/// The keys of one section.
pub(super) struct Keys<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    /// Where the section is named: its key, or its beginning in a list.
    pub(super) span: Span,
    /// What the section is, for sentences: "an endpoint".
    what: &'static str,
    entries: &'r [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Lowers the section `node`, which is `what`; findings about the whole of it point to `span`.
    pub(super) fn section<T>(
        &mut self,
        node: &Node,
        span: Span,
        what: &'static str,
        lower: impl FnOnce(&mut Keys<'_, 'a>) -> T,
    ) -> Option<T> {
        let entries: &[(Key, Node)] = match &node.kind {
            Kind::Map(entries) => entries,
            _ if node.is_nothing() => &[],
            _ => {
                let message = format!("{what} is a map, and this is {}", node.noun());
                let help =
                    "write its keys in braces, `{key: value}`, or indented on lines of their own";
                self.wrong_kind(node.span, message, help);
                return None;
            }
        };
        let mut keys = Keys {
            reader: self,
            span,
            what,
            entries,
            // Every section may describe itself.
            known: vec!["description"],
        };
        let lowered = lower(&mut keys);
        keys.report_unknown();
        Some(lowered)
    }
}

impl<'r, 'a> Keys<'r, 'a> {
    /// The key `name` and its value, as they are written.
    pub(super) fn entry(&mut self, name: &'static str) -> Option<(Span, &'r Node)> {
        self.known.push(name);
        let (key, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some((key.span, node))
    }

    /// The key that stands first.
    pub(super) fn first(&self) -> Option<&Key> {
        self.entries.first().map(|(key, _)| key)
    }

    /// Reports that `name` is missing, where it is.
    pub(super) fn require(&mut self, name: &'static str, help: &str) {
        if self.entry(name).is_none() {
            let message = format!("{} needs the key `{name}`", self.what);
            let finding = Diagnostic::new(&codes::MISSING_KEY, self.span, message);
            self.reader.findings.push(finding.help(help));
        }
    }

    /// The only one of `names` that stands here; none where a finding says that there are none or several.
    pub(super) fn one_of(&mut self, names: &[&'static str], help: &str) -> Option<&'static str> {
        let found: Vec<(&'static str, Span)> = names
            .iter()
            .filter_map(|name| Some((*name, self.entry(name)?.0)))
            .collect();
        match found.as_slice() {
            [(name, _)] => Some(name),
            [] => {
                let message = format!("{} needs one of {}", self.what, listed(names));
                let finding = Diagnostic::new(&codes::MISSING_KEY, self.span, message);
                self.reader.findings.push(finding.help(help));
                None
            }
            [(one, first), (two, span), ..] => {
                let message = format!("`{one}` and `{two}` cannot stand together");
                let finding = Diagnostic::new(&codes::CONFLICTING_KEYS, *span, message)
                    .also(*first, format!("`{one}` stands here"))
                    .help(format!("keep one of {}", listed(names)));
                self.reader.findings.push(finding);
                None
            }
        }
    }

    /// A single value as text; `what` it is, for sentences.
    pub(super) fn text(&mut self, name: &'static str, what: &str) -> Option<Text> {
        let (_, node) = self.entry(name)?;
        self.reader.text(node, what)
    }

    /// `description`.
    pub(super) fn description(&mut self) -> Option<Text> {
        self.text("description", "a text")
    }

    /// A list of single values, or one alone.
    pub(super) fn texts(&mut self, name: &'static str, what: &str) -> Option<Vec<Text>> {
        let (_, node) = self.entry(name)?;
        Some(self.reader.texts(node, what))
    }

    /// One of the words of `T`.
    pub(super) fn word<T: Word>(&mut self, name: &'static str) -> Option<Spanned<T>> {
        let (_, node) = self.entry(name)?;
        self.reader.word(node)
    }

    /// A list of the words of `T`, or one alone.
    pub(super) fn words<T: Word>(&mut self, name: &'static str) -> Option<Vec<Spanned<T>>> {
        let (_, node) = self.entry(name)?;
        let items = node.items();
        Some(
            items
                .iter()
                .filter_map(|item| self.reader.word(item))
                .collect(),
        )
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<Spanned<bool>> {
        self.word(name)
    }

    /// A whole number.
    pub(super) fn count<T: TryFrom<u64>>(&mut self, name: &'static str) -> Option<Spanned<T>> {
        let (_, node) = self.entry(name)?;
        let text = self.reader.text(node, "a whole number")?;
        let digits = text.as_str();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| digits.parse::<u64>().ok()).flatten();
        let value = number.and_then(|number| T::try_from(number).ok());
        if value.is_none() {
            let message = if is_number {
                format!("`{text}` is too large")
            } else {
                format!("`{text}` is not a whole number")
            };
            let bare: String = digits.replace(['_', ','], "");
            let is_bare = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
            let help = if is_number {
                let bound = match T::try_from(1 << 32) {
                    Ok(_) => u64::MAX,
                    Err(_) => u64::from(u32::MAX),
                };
                format!("write `{bound}` or less")
            } else if is_bare && !text.is_expanded() {
                format!("write `{bare}`")
            } else {
                "write digits alone, such as `100`".to_owned()
            };
            let finding = Diagnostic::new(&codes::BAD_NUMBER, text.span(), message);
            self.reader.findings.push(finding.help(help));
        }
        Some(Spanned::new(value?, text.span()))
    }

    /// A whole number from 1 on.
    pub(super) fn positive(&mut self, name: &'static str) -> Option<Spanned<NonZeroU32>> {
        let count = self.count::<u32>(name)?;
        let value = NonZeroU32::new(count.value);
        if value.is_none() {
            let message = format!("`{name}` is at least 1");
            let finding = Diagnostic::new(&codes::BAD_NUMBER, count.span, message);
            self.reader.findings.push(finding.help("write `1` or more"));
        }
        Some(Spanned::new(value?, count.span))
    }

    /// A duration, size or rate, which `parse` reads.
    pub(super) fn quantity<T>(
        &mut self,
        name: &'static str,
        parse: fn(&str) -> Result<T, QuantityError>,
    ) -> Option<Spanned<T>> {
        let (_, node) = self.entry(name)?;
        let text = self
            .reader
            .text(node, "a single value such as `60s`, `64KiB` or `10/s`")?;
        match parse(text.as_str()) {
            Ok(value) => Some(Spanned::new(value, text.span())),
            Err(error) => {
                let (message, help) = if text.is_expanded() {
                    let message = format!("the value of `{text}` cannot be read as `{name}`");
                    (
                        message,
                        "quantities carry their unit: `60s`, `64KiB`, `10/s`".to_owned(),
                    )
                } else {
                    in_two_parts(&text, error)
                };
                let finding = Diagnostic::new(&codes::BAD_QUANTITY, text.span(), message);
                self.reader.findings.push(finding.help(help));
                None
            }
        }
    }

    /// A section.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        what: &'static str,
        lower: impl FnOnce(&mut Keys<'_, 'a>) -> T,
    ) -> Option<Spanned<T>> {
        let (span, node) = self.entry(name)?;
        let value = self.reader.section(node, span, what, lower)?;
        Some(Spanned::new(value, span))
    }

    /// A section that is as if empty where it is absent.
    pub(super) fn part<T: Default>(
        &mut self,
        name: &'static str,
        what: &'static str,
        lower: impl FnOnce(&mut Keys<'_, 'a>) -> T,
    ) -> T {
        self.section(name, what, lower)
            .map(|section| section.value)
            .unwrap_or_default()
    }

    /// A map of names that the user gives; `lower` gets the place of the name and the value.
    pub(super) fn pairs<T>(
        &mut self,
        name: &'static str,
        mut lower: impl FnMut(&mut Reader<'a>, Span, &Node) -> Option<T>,
    ) -> Vec<(Spanned<String>, T)> {
        let Some((_, node)) = self.entry(name) else {
            return Vec::new();
        };
        let entries: &[(Key, Node)] = match &node.kind {
            Kind::Map(entries) => entries,
            _ if node.is_nothing() => &[],
            _ => {
                let message = format!("`{name}` is a map, and this is {}", node.noun());
                let help = "write names with their values: `{name: value}`";
                self.reader.wrong_kind(node.span, message, help);
                &[]
            }
        };
        let mut pairs = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            self.reader.check_name(key);
            if let Some(lowered) = lower(self.reader, key.span, value) {
                pairs.push((Spanned::new(key.text.clone(), key.span), lowered));
            }
        }
        pairs
    }

    /// A map of sections by name. A name whose section is broken stays, so that what cites it is not called undeclared.
    pub(super) fn sections<T: Default>(
        &mut self,
        name: &'static str,
        what: &'static str,
        mut lower: impl FnMut(&mut Keys<'_, 'a>) -> T,
    ) -> Vec<(Spanned<String>, T)> {
        self.pairs(name, |reader, span, node| {
            let lowered = reader.section(node, span, what, &mut lower);
            Some(lowered.unwrap_or_default())
        })
    }

    /// A path, from the folder of this file.
    pub(super) fn path(&mut self, name: &'static str) -> Option<Spanned<PathBuf>> {
        let text = self.text(name, "a path")?;
        let path = self.reader.beside(text.as_str());
        Some(Spanned::new(path, text.span()))
    }

    /// A secret: in `name` itself, or in the file that `file` names; one of them has to be there.
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        file: &'static str,
    ) -> Option<Spanned<Secret>> {
        let help = format!("write `{name}: \"${{{}}}\"`", name.to_uppercase());
        let found = self.one_of(&[name, file], &help)?;
        self.secret_of(found, file)
    }

    /// The secret of the key `found`, which holds it unless it is called `file`.
    pub(super) fn secret_of(
        &mut self,
        found: &'static str,
        file: &'static str,
    ) -> Option<Spanned<Secret>> {
        let (_, node) = self.entry(found)?;
        if found == file {
            let (path, text) = self.reader.named_file(node)?;
            let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
            return Some(Spanned::new(secret, path.span));
        }
        self.reader.mask(node);
        let text = self.reader.text(node, "a secret")?;
        Some(Spanned::new(Secret::new(text.as_str()), text.span()))
    }

    /// A JSON Schema: `true`, a path, or the schema itself.
    pub(super) fn schema(&mut self, name: &'static str) -> Option<SchemaSource> {
        let (span, node) = self.entry(name)?;
        self.reader.schema(span, node)
    }

    /// Webhooks by event.
    pub(super) fn events<E: Word>(&mut self, name: &'static str) -> Vec<(Spanned<E>, Text)> {
        let pairs = self.pairs(name, |reader, _, node| {
            reader.text(node, "the name of a webhook")
        });
        let mut events = Vec::with_capacity(pairs.len());
        for (name, webhook) in pairs {
            if let Some(event) = self.reader.key_word(&name) {
                events.push((event, webhook));
            }
        }
        events
    }

    /// Reports that `name`, at `span`, has another key beside it, at `other`.
    pub(super) fn stands_alone(&mut self, name: &'static str, span: Span, other: Span) {
        let message = format!("`{name}` stands alone in {}", self.what);
        let finding = Diagnostic::new(&codes::CONFLICTING_KEYS, other, message)
            .also(span, format!("`{name}` stands here"))
            .help(format!("leave out either `{name}` or the other keys"));
        self.reader.findings.push(finding);
    }

    fn report_unknown(&mut self) {
        for (key, _) in self.entries {
            if self.known.contains(&key.text.as_str()) {
                continue;
            }
            let message = format!("`{}` is not a key of {}", key.text, self.what);
            let finding = Diagnostic::new(&codes::UNKNOWN_KEY, key.span, message);
            let help = match nearest(&key.text, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("its keys are `{}`", known.join("`, `"))
                }
            };
            self.reader.findings.push(finding.help(help));
        }
    }
}
