//! `messages`: the types as declared, and as rooms and endpoints change them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, MessageRules, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::diag::catalogue::rule as rule_codes;
use crate::plan::lower::limit::Limited;
use crate::plan::lower::schema::Of;
use crate::plan::lower::shape::Shape;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{Conflate, Message, Overflow, Route, SentBy};
use crate::rule::{Expression, Known, Rule};
use crate::schema::Schema;
use crate::vocab::{MessageName, NameError};

/// The interval of a `conflate` that says none, which is an error of its own.
const CONFLATE_EVERY: Duration = Duration::from_secs(1);

/// What is the same wherever a type stands.
pub(super) struct Declared {
    name: Option<MessageName>,
    schema: Option<Arc<Schema>>,
}

/// Where a type stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Under `messages`.
    Declared,
    /// In the room at this place in the file.
    Room(usize),
    /// At the endpoint at this place.
    Endpoint(usize),
}

impl Lowering<'_> {
    /// The types as declared.
    pub(super) fn base_messages(&mut self) -> Vec<Option<Arc<Message>>> {
        let config = self.config;
        for (name, message) in &config.messages {
            let schema = message.schema.as_ref();
            let schema = schema.and_then(|schema| self.schema(schema, Of::Data));
            if let Some(schema) = &schema {
                self.examples(&message.examples, schema);
            }
            let parsed = self.message_name(&name.value, name.span, "a message type");
            self.declared.push(Declared {
                name: parsed,
                schema,
            });
        }
        let mut messages = Vec::new();
        for (index, (name, message)) in config.messages.iter().enumerate() {
            let known = self.known_somewhere(&name.value);
            let taken = self.reach.taken_in_rooms.contains_key(&name.value)
                || self.reach.taken_at_endpoints.contains_key(&name.value);
            messages.push(self.message(index, &message.rules, &known, At::Declared, taken));
        }
        messages
    }

    /// The type that a room or an endpoint takes, with what is different there.
    pub(super) fn message_use(
        &mut self,
        taken: &config::MessageUse,
        known: &Known,
        at: At,
    ) -> Option<Arc<Message>> {
        let index = self.message_names.cite(&taken.name, &mut self.findings)?;
        let rules = merged(&self.config.messages[index].1.rules, &taken.overrides);
        if matches!(at, At::Endpoint(_)) {
            self.needs_no_room(&rules, &taken.name);
        }
        let before = self.findings.len();
        let message = self.message(index, &rules, known, at, false);
        let overrides = &taken.overrides;
        let own = overrides.allow.is_some() || overrides.reply.is_some() || overrides.to.is_some();
        for finding in self.findings[before..].iter_mut().filter(|_| !own) {
            if [&rule_codes::UNKNOWN_FIELD, &rule_codes::UNAVAILABLE_HERE].contains(&finding.code) {
                let label = "the type is taken here, where other names exist";
                finding.labels.push((taken.name.span(), label.to_owned()));
            }
        }
        message
    }

    /// The name of a message type or an announcement.
    pub(super) fn message_name(
        &mut self,
        text: &str,
        span: crate::diag::Span,
        what: &str,
    ) -> Option<MessageName> {
        MessageName::parse(text)
            .map_err(|error| {
                let message = format!("`{text}` cannot be the name of {what}: {error}");
                let help = match error {
                    NameError::SystemType(_) => {
                        let other = format!("{}_message", text.trim_start_matches("sys."));
                        format!("choose another name, such as `{other}`")
                    }
                    _ => {
                        let written = snake_case(text);
                        if MessageName::parse(&written).is_ok() {
                            format!("write `{written}`")
                        } else {
                            "names look like `message` or `user_joined`".to_owned()
                        }
                    }
                };
                self.find(Diagnostic::new(&codes::BAD_NAME, span, message).help(help));
            })
            .ok()
    }

    fn message(
        &mut self,
        index: usize,
        rules: &MessageRules,
        known: &Known,
        at: At,
        told_elsewhere: bool,
    ) -> Option<Arc<Message>> {
        let known = Known {
            data: true,
            ..known.clone()
        };
        let before = self.findings.len();
        let to = self.route(rules, &known);
        let allow_key = self.allow_key(index, rules, at);
        let allow = self.optional_rule(rules.allow.as_ref(), &known, &allow_key);
        let reply = self.optional_expression(rules.reply.as_ref(), &known);
        let conflate = self.conflate(rules, &known);
        let audience = self.audience_cited(rules, at);
        if let At::Endpoint(_) = at {
            let cited = rules.rate_limit.as_deref().unwrap_or_default();
            self.limits_fit(cited, Limited::SendingOutsideRooms);
        }
        if told_elsewhere {
            self.findings.truncate(before);
        }
        let rate_limits = self.cited_limits(rules.rate_limit.as_deref().unwrap_or_default());
        self.contradicting_rules(rules, at);
        let bytes_max = rules
            .max_size
            .map(|size| self.above_zero(Some(size), size.value, "max_size"));
        let sanitize = self.sanitize(index, rules.sanitize.as_deref().unwrap_or_default());
        let declared = &self.declared[index];
        Some(Arc::new(Message {
            index,
            name: declared.name.clone()?,
            schema: declared.schema.clone()?,
            sent_by: match rules.sent_by.map(|by| by.value) {
                Some(config::SentBy::Client) | None => SentBy::Client,
                Some(config::SentBy::Server) => SentBy::Server,
                Some(config::SentBy::Any) => SentBy::Any,
            },
            stored: matches!(to, Some(Route::Room))
                && rules.conflate.is_none()
                && rules.history.is_none_or(|kept| kept.value),
            to: to?,
            audience: audience?,
            ack: rules.ack.is_some_and(|ack| ack.value),
            rate_limits,
            allow: allow?,
            reply: reply?,
            bytes_max,
            sanitize,
            conflate: conflate?,
            overflow: match rules.overflow.map(|overflow| overflow.value) {
                Some(config::Overflow::Close) | None => Overflow::Close,
                Some(config::Overflow::Drop) => Overflow::Drop,
            },
        }))
    }

    fn conflate(&mut self, rules: &MessageRules, known: &Known) -> Option<Option<Conflate>> {
        let Some(written) = &rules.conflate else {
            return Some(None);
        };
        let key = self.optional_expression(written.value.key.as_ref(), known)?;
        let every = self.above_zero(written.value.every, CONFLATE_EVERY, "every");
        Some(Some(Conflate { key, every }))
    }

    /// The key that holds the `allow` of a type: of the type itself, unless the place where it is taken has its own.
    fn allow_key(&self, index: usize, rules: &MessageRules, at: At) -> String {
        let (name, declared) = &self.config.messages[index];
        let span = |rules: &MessageRules| rules.allow.as_ref().map(Text::span);
        let is_own = span(&declared.rules) != span(rules);
        let place = match at {
            At::Room(room) if is_own => format!("rooms.{}.", self.config.rooms[room].0.value),
            At::Endpoint(endpoint) if is_own => {
                format!("endpoints.{}.", self.config.endpoints[endpoint].0.value)
            }
            _ => String::new(),
        };
        format!("{place}messages.{}.allow", name.value)
    }

    /// The rule under the key `name`, where one is written; none where it does not compile.
    pub(super) fn optional_rule(
        &mut self,
        text: Option<&Text>,
        known: &Known,
        name: &str,
    ) -> Option<Option<Arc<Rule>>> {
        match text {
            Some(text) => self.rule(text, known, name).map(Some),
            None => Some(None),
        }
    }

    fn optional_expression(
        &mut self,
        text: Option<&Text>,
        known: &Known,
    ) -> Option<Option<Arc<Expression>>> {
        match text {
            Some(text) => self.expression(text, known).map(Some),
            None => Some(None),
        }
    }

    fn route(&mut self, rules: &MessageRules, known: &Known) -> Option<Route> {
        let to = rules.to.as_ref()?;
        match &to.value {
            config::Route::Room => Some(Route::Room),
            config::Route::Others => Some(Route::Others),
            config::Route::OtherConnections => Some(Route::OtherConnections),
            config::Route::Sender => Some(Route::Sender),
            config::Route::None => Some(Route::None),
            config::Route::User(text) => self.expression(text, known).map(Route::User),
            config::Route::OtherRoom(text) => {
                self.room_exists(text);
                self.template(text, known).map(Route::OtherRoom)
            }
            config::Route::Webhook(name) => {
                self.webhook_names.cite(name, &mut self.findings);
                let instead = "let the application join the room as a client, and publish its answer over the HTTP API";
                self.unsupported(to.span, "`to: {webhook: …}`", instead);
                None
            }
        }
    }

    /// Finds a template of a room's name that no declared pattern takes.
    pub(super) fn room_exists(&mut self, template: &Text) {
        let shape = Shape::of_template(template.as_str());
        let mut patterns = self.rooms.patterns.iter().flatten();
        if patterns.any(|pattern| shape.meets(&Shape::of_pattern(pattern)))
            || self.rooms.patterns.contains(&None)
        {
            return;
        }
        let message = format!("no declared room can be called `{template}`");
        let written: String = template.as_str().replace("path.", "").replace("user.", "");
        self.room_names.suspect(&written);
        let help = match crate::diag::nearest(&written, self.room_names.all()) {
            Some(close) => format!("did you mean a room of the pattern `{close}`?"),
            None if self.config.rooms.is_empty() => "declare its pattern under `rooms`".to_owned(),
            None => {
                let all: Vec<_> = self
                    .room_names
                    .all()
                    .take(6)
                    .map(|name| format!("`{name}`"))
                    .collect();
                format!(
                    "declare its pattern under `rooms`; there are {}",
                    all.join(", ")
                )
            }
        };
        let diagnostic = Diagnostic::new(&codes::NO_SUCH_ROOM, template.span(), message);
        self.find(diagnostic.help(help));
    }

    fn examples(&mut self, examples: &[config::Json], schema: &Schema) {
        for example in examples {
            for violation in schema.check(&example.value).err().into_iter().flatten() {
                let span = example.span_of(&violation.path);
                let what = match violation.path.as_str() {
                    "" => "it".to_owned(),
                    path => format!("`{path}`"),
                };
                let message = format!(
                    "the example does not fit the schema: {what} {}",
                    violation.message
                );
                let help = "examples are published with the schema: correct the one or the other";
                self.find(finding(&codes::BAD_EXAMPLE, span, message, help));
            }
        }
    }
}

/// `base` with what `over` says instead.
fn merged(base: &MessageRules, over: &MessageRules) -> MessageRules {
    fn or<T: Clone>(over: &Option<T>, base: &Option<T>) -> Option<T> {
        over.as_ref().or(base.as_ref()).cloned()
    }
    MessageRules {
        sent_by: or(&over.sent_by, &base.sent_by),
        to: or(&over.to, &base.to),
        ack: or(&over.ack, &base.ack),
        rate_limit: or(&over.rate_limit, &base.rate_limit),
        allow: or(&over.allow, &base.allow),
        sanitize: or(&over.sanitize, &base.sanitize),
        audience: or(&over.audience, &base.audience),
        conflate: or(&over.conflate, &base.conflate),
        reply: or(&over.reply, &base.reply),
        history: or(&over.history, &base.history),
        max_size: or(&over.max_size, &base.max_size),
        overflow: or(&over.overflow, &base.overflow),
    }
}

/// `text` in small letters, with `_` between words.
fn snake_case(text: &str) -> String {
    let mut snake = String::new();
    for c in text.chars().take(60) {
        match c {
            'A'..='Z' => {
                let joins = snake.ends_with(|last: char| last.is_ascii_alphanumeric());
                if joins && !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' | '.' | '-' => snake.push(c),
            _ => snake.push('_'),
        }
    }
    snake
}
