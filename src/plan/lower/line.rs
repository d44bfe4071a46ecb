//! Where the keys stand that decide who may do what.

use std::sync::Arc;

use crate::config::{Config, Endpoint, MayJoin, MessageRules, Read, Room};
use crate::diag::Span;
use crate::plan::{Clause, Line, Lines};

/// The keys of what is called `name` in `section`, gathered.
struct Gathering<'c> {
    section: &'static str,
    name: &'c str,
    found: &'c mut Vec<(Clause, Span)>,
}

/// The lines of what was read.
pub(super) fn lines(read: &Read) -> Lines {
    let mut found = Vec::new();
    gather(&read.config, &mut found);
    let mut files: Vec<Arc<str>> = Vec::new();
    for (_, source) in read.sources.iter() {
        files.push(source.path.display().to_string().into());
    }
    let line = |span: Span| {
        let index = read.sources.iter().position(|(id, _)| id == span.source)?;
        Some(Line {
            file: files[index].clone(),
            number: read.sources.line_column(span.source, span.start).line,
        })
    };
    found
        .into_iter()
        .filter_map(|(clause, span)| Some((clause, line(span)?)))
        .collect()
}

fn gather(config: &Config, found: &mut Vec<(Clause, Span)>) {
    for (name, _) in &config.auth {
        Gathering::begin("auth", &name.value, name.span, found);
    }
    for (name, _) in &config.rate_limits {
        Gathering::begin("rate_limits", &name.value, name.span, found);
    }
    for (name, message) in &config.messages {
        let mut keys = Gathering::begin("messages", &name.value, name.span, found);
        keys.add("schema", message.schema.as_ref().map(|schema| schema.span));
        keys.rules("", &message.rules);
    }
    for (name, room) in &config.rooms {
        Gathering::begin("rooms", &name.value, name.span, found).room(room);
    }
    for (name, endpoint) in &config.endpoints {
        Gathering::begin("endpoints", &name.value, name.span, found).endpoint(endpoint);
    }
}

impl<'c> Gathering<'c> {
    fn begin(
        section: &'static str,
        name: &'c str,
        span: Span,
        found: &'c mut Vec<(Clause, Span)>,
    ) -> Self {
        let mut keys = Self {
            section,
            name,
            found,
        };
        keys.add("", Some(span));
        keys
    }

    fn add(&mut self, key: &str, span: Option<Span>) {
        let clause = Clause::new(self.section, self.name, key);
        self.found.extend(span.map(|span| (clause, span)));
    }

    fn room(&mut self, room: &Room) {
        let may_join = room.may_join.as_ref().map(|may_join| match may_join {
            MayJoin::Rule(rule) => rule.span(),
            MayJoin::Http(call) => call.span,
            MayJoin::Token(token) => token.span,
        });
        self.add("may_join", may_join);
        self.add("limits.users", room.limits.users.map(|users| users.span));
        for (name, rule) in &room.audiences {
            self.add(&format!("audiences.{}", name.value), Some(rule.span()));
        }
        for taken in &room.messages {
            let key = format!("messages.{}", taken.name.as_str());
            self.add(&key, Some(taken.name.span()));
            self.rules(&format!("{key}."), &taken.overrides);
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.add("auth", endpoint.auth.first().map(|mode| mode.span()));
        self.add("allow", endpoint.allow.as_ref().map(|rule| rule.span()));
        let origins = endpoint.origins.as_ref();
        self.add(
            "origins",
            origins
                .and_then(|origins| origins.first())
                .map(|origin| origin.span()),
        );
        self.add("rooms", endpoint.rooms.first().map(|room| room.span()));
        for (index, automatic) in endpoint.auto_join.iter().enumerate() {
            self.add(&format!("auto_join.{index}"), Some(automatic.span));
        }
        for taken in &endpoint.messages {
            let key = format!("messages.{}", taken.name.as_str());
            self.add(&key, Some(taken.name.span()));
            self.rules(&format!("{key}."), &taken.overrides);
        }
    }

    /// The keys of a message type, each behind `before`.
    fn rules(&mut self, before: &str, rules: &MessageRules) {
        let sanitize = rules.sanitize.as_ref().and_then(|all| all.first());
        for (key, span) in [
            ("sent_by", rules.sent_by.as_ref().map(|by| by.span)),
            ("to", rules.to.as_ref().map(|to| to.span)),
            ("allow", rules.allow.as_ref().map(|rule| rule.span())),
            ("max_size", rules.max_size.as_ref().map(|size| size.span)),
            ("audience", rules.audience.as_ref().map(|name| name.span())),
            ("sanitize", sanitize.map(|(pointer, _)| pointer.span)),
        ] {
            self.add(&format!("{before}{key}"), span);
        }
    }
}
