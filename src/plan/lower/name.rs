//! Names: what is declared, what is cited, what is left over; patterns and which of them get in each other's way.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{SentBy, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Code, Diagnostic, closest, nearest};
use crate::plan::lower::{Lowering, finding};
use crate::vocab::{Pattern, Segment};

/// The names that one section declares.
pub(super) struct Names<'a> {
    section: &'static str,
    what: &'static str,
    unknown: &'static Code,
    entries: Vec<&'a Spanned<String>>,
    by_name: HashMap<&'a str, usize>,
    used: Vec<bool>,
    /// What was cited and is not declared.
    slips: Vec<String>,
}

impl<'a> Names<'a> {
    pub(super) fn new<T>(
        entries: &'a [(Spanned<String>, T)],
        section: &'static str,
        what: &'static str,
        unknown: &'static Code,
    ) -> Self {
        let entries: Vec<_> = entries.iter().map(|(name, _)| name).collect();
        let by_name = entries
            .iter()
            .enumerate()
            .rev()
            .map(|(index, name)| (name.value.as_str(), index))
            .collect();
        Self {
            section,
            what,
            unknown,
            used: vec![false; entries.len()],
            slips: Vec::new(),
            entries,
            by_name,
        }
    }

    /// The place of `name` in the section, which thereby is used.
    pub(super) fn index(&mut self, name: &str) -> Option<usize> {
        let index = *self.by_name.get(name)?;
        self.used[index] = true;
        Some(index)
    }

    /// The place of `name` in the section; a finding where it is not declared.
    pub(super) fn cite(&mut self, name: &Text, findings: &mut Vec<Diagnostic>) -> Option<usize> {
        let index = self.index(name.as_str());
        if index.is_none() {
            self.suspect(name.as_str());
            let message = format!("`{name}` is not {} of this file", self.what);
            findings
                .push(Diagnostic::new(self.unknown, name.span(), message).help(self.help(name)));
        }
        index
    }

    /// Notes that `name` is cited and not declared.
    pub(super) fn suspect(&mut self, name: &str) {
        if !self.slips.iter().any(|slip| slip == name) {
            self.slips.push(name.to_owned());
        }
    }

    /// Takes for used what the names that are not declared were probably meant to be: one slip, one finding. That is a close name
    /// that nothing else cites; where all close ones are cited it was one of them; and where none is close, whatever is left.
    fn settle(&mut self) {
        for slip in std::mem::take(&mut self.slips) {
            let entries = self.entries.iter().zip(&self.used);
            let unused: Vec<&str> = entries
                .filter(|(_, used)| !**used)
                .map(|(name, _)| name.value.as_str())
                .collect();
            let close = nearest(&slip, unused.iter().copied());
            let cited = nearest(&slip, self.all()).is_some();
            let rest = closest(&slip, unused).filter(|_| !cited);
            if let Some(meant) = close.or(rest) {
                self.index(meant);
            }
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn written(&self, index: usize) -> &'a Spanned<String> {
        self.entries[index]
    }

    pub(super) fn is_used(&self, index: usize) -> bool {
        self.used[index]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|name| name.value.as_str())
    }

    fn help(&self, name: &Text) -> String {
        if let Some(close) = nearest(name.as_str(), self.all()) {
            return format!("did you mean `{close}`?");
        }
        match self.entries.as_slice() {
            [] => format!("declare it under `{}`, which is empty", self.section),
            few if few.len() <= 6 => {
                let names: Vec<_> = few.iter().map(|name| format!("`{}`", name.value)).collect();
                format!(
                    "declare it under `{}`, or use one of {}",
                    self.section,
                    names.join(", ")
                )
            }
            _ => format!("declare it under `{}`", self.section),
        }
    }
}

/// The patterns of one section.
#[derive(Default)]
pub(super) struct Paths {
    /// In the order of the file; none where it is no pattern.
    pub(super) patterns: Vec<Option<Pattern>>,
    /// Places in the file, those with more literal segments first.
    pub(super) order: Vec<usize>,
}

impl Paths {
    fn new(patterns: Vec<Option<Pattern>>) -> Self {
        let literals = |pattern: &Option<Pattern>| {
            let segments = pattern.iter().flat_map(Pattern::segments);
            segments
                .filter(|segment| matches!(segment, Segment::Literal(_)))
                .count()
        };
        let mut order: Vec<usize> = (0..patterns.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(literals(&patterns[*index])));
        Self { patterns, order }
    }

    /// The place in the Plan of what is at `index` in the file.
    pub(super) fn rank(&self, index: usize) -> usize {
        self.order
            .iter()
            .position(|other| *other == index)
            .unwrap_or_default()
    }

    /// `things`, which stand in the order of the file, in the order of the Plan.
    pub(super) fn ordered<T>(&self, mut things: Vec<Option<T>>) -> Option<Vec<T>> {
        self.order
            .iter()
            .map(|index| things[*index].take())
            .collect()
    }

    pub(super) fn parameters(&self, index: usize) -> Vec<Arc<str>> {
        let pattern = self.patterns[index].as_ref();
        pattern
            .into_iter()
            .flat_map(Pattern::parameters)
            .cloned()
            .collect()
    }
}

impl Lowering<'_> {
    /// Reads the patterns of rooms and endpoints.
    pub(super) fn read_patterns(&mut self) {
        let config = self.config;
        let rooms: Vec<_> = config.rooms.iter().map(|(name, _)| name).collect();
        let patterns = self.patterns(
            &rooms,
            Pattern::parse_room,
            "room names look like `room:{room_id}`",
        );
        self.ambiguous(&rooms, &patterns, "room");
        self.rooms = Paths::new(patterns);
        let endpoints: Vec<_> = config.endpoints.iter().map(|(path, _)| path).collect();
        let patterns = self.patterns(
            &endpoints,
            Pattern::parse_path,
            "paths look like `/ws/room/{room_id}`",
        );
        self.ambiguous(&endpoints, &patterns, "path");
        self.endpoints = Paths::new(patterns);
    }

    fn patterns<E: std::fmt::Display>(
        &mut self,
        written: &[&Spanned<String>],
        parse: impl Fn(&str) -> Result<Pattern, E>,
        help: &str,
    ) -> Vec<Option<Pattern>> {
        let mut patterns = Vec::with_capacity(written.len());
        for name in written {
            // Reading has found that already.
            if name.value.contains("${") {
                patterns.push(None);
                continue;
            }
            let parsed = parse(&name.value).map_err(|error| {
                let message = format!("`{}` is not a pattern: {error}", name.value);
                let slash = format!("/{}", name.value);
                let help = if help.starts_with("paths") && parse(&slash).is_ok() {
                    format!("write `{slash}`")
                } else {
                    help.to_owned()
                };
                let finding = Diagnostic::new(&codes::BAD_PATTERN, name.span, message);
                self.find(finding.help(help));
            });
            patterns.push(parsed.ok());
        }
        patterns
    }

    /// Finds pairs of which neither has a literal segment wherever they differ.
    fn ambiguous(
        &mut self,
        written: &[&Spanned<String>],
        patterns: &[Option<Pattern>],
        what: &str,
    ) {
        for (second, later) in patterns.iter().enumerate() {
            for (first, earlier) in patterns[..second].iter().enumerate() {
                let (Some(earlier), Some(later)) = (earlier, later) else {
                    continue;
                };
                if earlier.as_str() == later.as_str()
                    || !earlier.overlaps(later)
                    || earlier.beats(later)
                    || later.beats(earlier)
                {
                    continue;
                }
                let common = common(earlier, later);
                let message = format!(
                    "`{later}` and `{earlier}` both match the {what} `{common}`, and neither is more exact"
                );
                let help = "literal segments beat parameters: give one of them a literal segment where the other has a parameter, and none the other way round";
                let finding = finding(
                    &codes::AMBIGUOUS_PATTERNS,
                    written[second].span,
                    message,
                    help,
                )
                .also(written[first].span, "the other pattern");
                self.find(finding);
            }
        }
    }

    /// Decides what the names that are cited and not declared were meant to be, when all citations are known.
    pub(super) fn slips(&mut self) {
        for (room, endpoints) in self.reach.endpoints.iter().enumerate() {
            if !endpoints.is_empty() {
                self.room_names.used[room] = true;
            }
        }
        let api = self.config.server.api.is_some();
        for (message, (_, declared)) in self.config.messages.iter().enumerate() {
            let sent_by = declared.rules.sent_by.map(|by| by.value);
            if api && sent_by.is_some_and(|by| by != SentBy::Client) {
                self.message_names.used[message] = true;
            }
        }
        self.auth_names.settle();
        self.limit_names.settle();
        self.message_names.settle();
        self.room_names.settle();
    }

    /// Finds what is declared and cited nowhere.
    pub(super) fn unused(&mut self) {
        let unused: Vec<_> = [&self.auth_names, &self.limit_names]
            .into_iter()
            .flat_map(|names| {
                let left = (0..names.used.len()).filter(|index| !names.is_used(*index));
                left.map(|index| (names.written(index), names.section))
            })
            .collect();
        for (name, section) in unused {
            let (message, help) = if section == "auth" {
                (
                    "no endpoint uses the auth mode",
                    "name it in an endpoint's `auth`, or remove it",
                )
            } else {
                (
                    "nothing uses the rate limit",
                    "name it in a `rate_limit`, or remove it",
                )
            };
            let message = format!("{message} `{}`", name.value);
            self.find(finding(&codes::UNUSED, name.span, message, help));
        }
    }
}

/// A text that both patterns match.
fn common(one: &Pattern, two: &Pattern) -> String {
    let separator = if one.as_str().starts_with('/') {
        "/"
    } else {
        ":"
    };
    let segments: Vec<&str> = one
        .segments()
        .iter()
        .zip(two.segments())
        .map(|pair| match pair {
            (Segment::Literal(text), _) | (_, Segment::Literal(text)) => &**text,
            _ => "1",
        })
        .collect();
    let lead = if separator == "/" { "/" } else { "" };
    format!("{lead}{}", segments.join(separator))
}
