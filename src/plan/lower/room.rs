//! `rooms`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Protocol, SchemaSource, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, nearest};
use crate::plan::lower::message::At;
use crate::plan::lower::schema::Of;
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{AnnounceTo, History, Inbox, Message, Overflow, Presence, Receipt, RoomKind};
use crate::rule::Known;
use crate::schema::Schema;
use crate::vocab::{MessageName, Pattern};

const GRACE: Duration = Duration::from_secs(5);
const HISTORY_MESSAGES_MAX: usize = 100;
const HISTORY_AGE: Duration = Duration::from_secs(24 * 3600);
const INBOX_MESSAGES_MAX: usize = 1000;
const INBOX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(300);
const IDEMPOTENCY_KEYS_MAX: usize = 1000;

impl Lowering<'_> {
    /// The kinds of rooms, in the order of the file.
    pub(super) fn rooms(&mut self) -> Vec<Option<Arc<RoomKind>>> {
        let config = self.config;
        let mut rooms = Vec::new();
        for (index, (_, room)) in config.rooms.iter().enumerate() {
            rooms.push(self.room(index, room).map(Arc::new));
        }
        rooms
    }

    fn room(&mut self, index: usize, written: &config::Room) -> Option<RoomKind> {
        let pattern = self.rooms.patterns[index].clone();
        let known = self.known_in_room(index);
        self.unsupported_room(written);
        let parameters = self.parameters(pattern.as_ref(), &written.params);
        let name = &self.config.rooms[index].0.value;
        let may_join = self.may_join(name, written.may_join.as_ref(), &known);
        let messages = self.messages_taken(&written.messages, &known, At::Room(index));
        let audiences = self.room_audiences(written, name, &known);
        let presence = self.presence(written.presence.as_ref());
        let history = written
            .history
            .as_ref()
            .map(|history| self.history(&history.value));
        let inbox = match &written.inbox {
            Some(inbox) => self.inbox(index, inbox).map(Some),
            None => Some(None),
        };
        let keeps = history.is_some() || matches!(&inbox, Some(Some(_)));
        if let Some(messages) = messages.as_ref().filter(|_| keeps) {
            self.dropped_and_stored(&written.messages, messages);
        }
        let idempotency = written
            .idempotency
            .as_ref()
            .map(|idempotency| &idempotency.value);
        let window = idempotency.and_then(|idempotency| idempotency.window);
        let keys = idempotency.and_then(|idempotency| idempotency.keys);
        let limits = &written.limits;
        let users = self.count_limit(limits.users, usize::MAX, "users", limits.dry_run);
        self.idle_dry_run(limits.dry_run, &[limits.users]);
        let idempotency_window = self.above_zero(window, IDEMPOTENCY_WINDOW, "window");
        let idempotency_keys_max = self.above_zero(keys, IDEMPOTENCY_KEYS_MAX, "keys");
        Some(RoomKind {
            index: self.rooms.rank(index),
            pattern: pattern?,
            parameters: parameters?,
            may_join: may_join?,
            audiences: audiences?,
            messages: messages?,
            presence: presence?,
            history,
            inbox: inbox?,
            users,
            idempotency_window,
            idempotency_keys_max,
            webhooks: self.room_webhooks(&written.webhooks),
        })
    }

    fn unsupported_room(&mut self, room: &config::Room) {
        let Some(presence) = &room.presence else {
            return;
        };
        if let Some((name, _)) = presence.value.state.first() {
            let instead = "send it as a message type `to: others`";
            self.unsupported(name.span, "`state`", instead);
        }
        let announce = presence.value.announce.as_ref();
        if let Some(every) = announce.and_then(|announce| announce.value.every) {
            self.unsupported(
                every.span,
                "`every`",
                "leave it out: each announcement is a frame",
            );
        }
    }

    fn parameters(
        &mut self,
        pattern: Option<&Pattern>,
        written: &[(Spanned<String>, SchemaSource)],
    ) -> Option<Vec<(Arc<str>, Arc<Schema>)>> {
        let mut parameters = Some(Vec::new());
        for (name, source) in written {
            let schema = self.schema(source, Of::Parameter);
            let mut declared = pattern.into_iter().flat_map(Pattern::parameters);
            if let Some(pattern) = pattern
                && !declared.any(|parameter| **parameter == *name.value)
            {
                let message = format!("`{pattern}` has no parameter `{}`", name.value);
                let names = pattern.parameters().map(|name| &**name);
                let help = match nearest(&name.value, names) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => "write `{name}` as a segment of the pattern, or remove it".to_owned(),
                };
                let diagnostic = Diagnostic::new(&codes::UNKNOWN_PARAMETER, name.span, message);
                self.find(diagnostic.help(help));
            }
            if let Some(schema) = &schema
                && let Some(kind) = schema
                    .value()
                    .get("type")
                    .and_then(serde_json::Value::as_str)
                && kind != "string"
            {
                let message = format!(
                    "`{}` is text, as every part of a name: `type: {kind}` never fits",
                    name.value
                );
                let help = "leave `type` out and say the form with a `pattern`, such as `^[0-9]+$`";
                let span = self.schema_span(source, "/type");
                self.find(finding(&codes::PARAMETER_IS_TEXT, span, message, help));
            }
            match (&mut parameters, schema) {
                (Some(list), Some(schema)) => list.push((name.value.as_str().into(), schema)),
                (parameters, _) => *parameters = None,
            }
        }
        parameters
    }

    /// Finds types that the room stores and that slow readers may go without: a gap that no position would show.
    fn dropped_and_stored(
        &mut self,
        written: &[config::MessageUse],
        messages: &HashMap<MessageName, Arc<Message>>,
    ) {
        for taken in written {
            let message = messages.get(taken.name.as_str());
            if message.is_none_or(|message| !message.stored || message.overflow == Overflow::Close)
            {
                continue;
            }
            let name = &taken.name;
            let message =
                format!("`{name}` is stored in this room, so no reader may go without one of it");
            let help = format!(
                "write `history: false` for `{name}` here, or leave its `overflow: drop` out"
            );
            self.find(finding(&codes::CONTRADICTION, name.span(), message, &help));
        }
    }

    /// The types that a room or an endpoint takes.
    pub(super) fn messages_taken(
        &mut self,
        written: &[config::MessageUse],
        known: &Known,
        at: At,
    ) -> Option<HashMap<MessageName, Arc<Message>>> {
        self.repeated(written.iter().map(|taken| &taken.name));
        let lowered: Vec<_> = written
            .iter()
            .map(|taken| self.message_use(taken, known, at))
            .collect();
        lowered
            .into_iter()
            .map(|message| message.map(|message| (message.name.clone(), message)))
            .collect()
    }

    fn presence(&mut self, written: Option<&Spanned<config::Presence>>) -> Option<Presence> {
        let written = written
            .map(|presence| presence.value.clone())
            .unwrap_or_default();
        let announce = written
            .announce
            .map(|announce| announce.value)
            .unwrap_or_default();
        let names = [&announce.joined, &announce.left, &announce.present];
        for (index, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            let mut earlier = names[..index].iter().filter_map(|other| other.as_ref());
            if let Some(other) = earlier.find(|other| other.as_str() == name.as_str()) {
                let message = format!("`{name}` announces two different things");
                let help = "give each its own name, so that clients can tell them apart";
                let finding = finding(&codes::NAME_COLLISION, name.span(), message, help);
                self.find(finding.also(other.span(), "the other"));
            }
        }
        let joined = self.announcement(announce.joined.as_ref());
        let left = self.announcement(announce.left.as_ref());
        let present = self.announcement(announce.present.as_ref());
        Some(Presence {
            members: written.members.is_some_and(|members| members.value),
            grace: value(written.grace, GRACE),
            joined: joined?,
            left: left?,
            present: present?,
            announce_to: match announce.to.map(|to| to.value) {
                Some(config::PresenceTo::Others) | None => AnnounceTo::Others,
                Some(config::PresenceTo::Room) => AnnounceTo::Room,
            },
        })
    }

    fn announcement(&mut self, name: Option<&Text>) -> Option<Option<MessageName>> {
        let Some(name) = name else {
            return Some(None);
        };
        let mut messages = self.config.messages.iter().map(|(message, _)| message);
        if let Some(message) = messages.find(|message| message.value == name.as_str()) {
            let text = format!("`{name}` is an announcement and a message type");
            let help =
                "give one of them another name: a client could not tell which of the two came";
            let finding = finding(&codes::NAME_COLLISION, name.span(), text, help);
            self.find(finding.also(message.span, "the message type"));
        }
        self.message_name(name.as_str(), name.span(), "an announcement")
            .map(Some)
    }

    fn history(&mut self, written: &config::History) -> History {
        let messages_max = self.above_zero(written.messages, HISTORY_MESSAGES_MAX, "messages");
        let replay = value(written.replay_on_join, 0);
        if let Some(asked) = written
            .replay_on_join
            .filter(|asked| asked.value > messages_max)
        {
            let message =
                format!("a newcomer cannot get {replay} messages: {messages_max} are kept");
            let help = format!(
                "write `replay_on_join: {messages_max}`, or keep more with `messages: {replay}`"
            );
            let diagnostic = Diagnostic::new(&codes::CONTRADICTION, asked.span, message);
            self.find(diagnostic.help(help));
        }
        History {
            messages_max,
            age: self.above_zero(written.age, HISTORY_AGE, "age"),
            replay_on_join: replay,
        }
    }

    fn inbox(&mut self, room: usize, written: &Spanned<config::Inbox>) -> Option<Inbox> {
        let inbox = &written.value;
        let known = Known {
            params: Some(self.rooms.parameters(room)),
            ..Known::default()
        };
        let owner = inbox
            .owner
            .as_ref()
            .and_then(|owner| self.expression(owner, &known));
        let receipt = match inbox.receipt.map(|receipt| receipt.value) {
            Some(config::Receipt::User) | None => Receipt::User,
            Some(config::Receipt::Device) => Receipt::Device,
            Some(config::Receipt::OnWrite) => Receipt::OnWrite,
        };
        if receipt != Receipt::OnWrite {
            self.inbox_is_emptied(
                room,
                inbox.receipt.map_or(written.span, |receipt| receipt.span),
            );
        }
        let messages_max = self.above_zero(inbox.messages, INBOX_MESSAGES_MAX, "messages");
        let age = self.above_zero(inbox.age, INBOX_AGE, "age");
        Some(Inbox {
            owner: owner?,
            receipt,
            messages_max,
            age,
        })
    }

    /// Finds endpoints whose clients cannot say that they have received something.
    fn inbox_is_emptied(&mut self, room: usize, span: crate::diag::Span) {
        let config = self.config;
        for index in self.reach.endpoints[room].clone() {
            let (path, endpoint) = &config.endpoints[index];
            let json = endpoint
                .protocol
                .is_none_or(|protocol| protocol.value == Protocol::Json);
            if !json || endpoint.every_frame.is_some() {
                let message = format!(
                    "the clients of `{}` have no `received` frame, so their inbox is never emptied",
                    path.value
                );
                let help = "write `receipt: on_write`";
                let finding = finding(&codes::NO_RECEIPT, span, message, help);
                self.find(finding.also(path.span, "the endpoint that leads here"));
            }
        }
    }
}
