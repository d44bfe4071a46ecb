//! `protocol`: what frames mean on an endpoint, and the keys that go with it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{self, HeartbeatKind, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span, nearest};
use crate::plan::lower::message::At;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{Message, Protocol, RawRoute, TextProtocol};
use crate::rule::{Known, Template};
use crate::vocab::MessageName;

type Messages = HashMap<MessageName, Arc<Message>>;

impl Lowering<'_> {
    /// What frames mean on the endpoint at `index`.
    pub(super) fn protocol(
        &mut self,
        index: usize,
        written: &config::Endpoint,
        known: &Known,
        messages: Option<&Messages>,
    ) -> Option<Protocol> {
        let protocol = written
            .protocol
            .map_or(config::Protocol::Json, |protocol| protocol.value);
        self.keys_of_other_protocols(written, protocol);
        match protocol {
            config::Protocol::Json => match &written.every_frame {
                None => Some(Protocol::Json),
                Some(name) => {
                    self.frames_are_data(index, written, "every_frame");
                    let message = self.whole_frame(index, name, known, messages)?;
                    Some(Protocol::EveryFrame(message))
                }
            },
            config::Protocol::Text => {
                self.frames_are_data(index, written, "protocol: text");
                self.text(index, written, known, messages)
                    .map(Protocol::Text)
            }
            config::Protocol::Raw => {
                self.frames_are_data(index, written, "protocol: raw");
                self.raw(index, written).map(Protocol::Raw)
            }
        }
    }

    /// Finds keys that belong to another protocol.
    fn keys_of_other_protocols(&mut self, written: &config::Endpoint, protocol: config::Protocol) {
        let first_template = written.render.first().map(|(name, _)| name.span);
        let keys = [
            (
                "every_frame",
                written.every_frame.as_ref().map(Text::span),
                config::Protocol::Json,
            ),
            (
                "text_message",
                written.text_message.as_ref().map(Text::span),
                config::Protocol::Text,
            ),
            ("render", first_template, config::Protocol::Text),
            (
                "raw",
                written.raw.map(|raw| raw.span),
                config::Protocol::Raw,
            ),
        ];
        for (key, span, belongs) in keys {
            if let Some(span) = span.filter(|_| belongs != protocol) {
                let word = match belongs {
                    config::Protocol::Json => "json",
                    config::Protocol::Text => "text",
                    config::Protocol::Raw => "raw",
                };
                let message = format!(
                    "`{key}` belongs to `protocol: {word}`, which this endpoint does not speak"
                );
                let help = format!("write `protocol: {word}`, or remove `{key}`");
                let diagnostic = Diagnostic::new(&codes::CONTRADICTION, span, message);
                self.find(diagnostic.help(help));
            }
        }
    }

    /// Finds what needs frames of ours on an endpoint whose frames are all data.
    fn frames_are_data(&mut self, index: usize, written: &config::Endpoint, because: &str) {
        let path = self.config.endpoints[index].0.span;
        let place = written.protocol.map_or(path, |protocol| protocol.span);
        if let Some(room) = written.rooms.first() {
            let message =
                format!("nobody can join by a frame here: with `{because}` every frame is data");
            let help =
                "put connections into the room with `auto_join`, or use plain `protocol: json`";
            let finding = finding(&codes::CONTRADICTION, room.span(), message, help);
            self.find(finding.also(place, "every frame is data"));
        }
        let is_whole = |name: &Text| {
            [&written.every_frame, &written.text_message]
                .into_iter()
                .flatten()
                .any(|whole| whole.as_str() == name.as_str())
        };
        for taken in written
            .messages
            .iter()
            .filter(|taken| !is_whole(&taken.name))
        {
            let message = format!(
                "no frame can be `{}` here: with `{because}` every frame is data",
                taken.name
            );
            let help = "remove it, or use plain `protocol: json`, where frames have a `type`";
            let finding = finding(&codes::CONTRADICTION, taken.name.span(), message, help);
            self.find(finding.also(place, "every frame is data"));
        }
        if because != "every_frame"
            && let Some(kind) = written.heartbeat.kind
            && kind.value == HeartbeatKind::Message
        {
            let message = format!(
                "a `ping` message cannot be sent here: with `{because}` every frame is data"
            );
            let help = "write `kind: frame`: the WebSocket ping";
            self.find(finding(&codes::CONTRADICTION, kind.span, message, help));
        }
    }

    /// The type whose data each frame is: as the endpoint takes it, or as the one room does that its connections are in.
    fn whole_frame(
        &mut self,
        index: usize,
        name: &Text,
        known: &Known,
        messages: Option<&Messages>,
    ) -> Option<Arc<Message>> {
        let declared = self.message_names.cite(name, &mut self.findings)?;
        if let Some(own) = messages.and_then(|messages| messages.get(name.as_str())) {
            return Some(own.clone());
        }
        let config = self.config;
        let taking = self.reach.rooms[index].iter().find_map(|room| {
            let taken = &config.rooms[*room].1.messages;
            let taken = taken
                .iter()
                .find(|taken| taken.name.as_str() == name.as_str());
            taken.map(|taken| (*room, taken))
        });
        if let Some((room, taken)) = taking {
            let known = self.known_in_room(room);
            return self.message_use(taken, &known, At::Room(room));
        }
        let listed = config.endpoints[index].1.messages.iter();
        if listed
            .clone()
            .any(|taken| taken.name.as_str() == name.as_str())
        {
            return None;
        }
        let to = config.messages[declared].1.rules.to.as_ref();
        if let Some(to) = to.filter(|to| goes_to_a_room(&to.value)) {
            let message =
                format!("`{name}` goes to a room, but no room that this endpoint joins takes it");
            let help = format!(
                "name `{name}` in the `messages` of the room, and join the room with `auto_join`"
            );
            let diagnostic = Diagnostic::new(&codes::CONTRADICTION, name.span(), message);
            self.find(diagnostic.help(help).also(to.span, "it goes to a room"));
            return None;
        }
        let taken = config::MessageUse {
            name: name.clone(),
            overrides: config::MessageRules::default(),
        };
        self.message_use(&taken, known, At::Endpoint(index))
    }

    fn text(
        &mut self,
        index: usize,
        written: &config::Endpoint,
        known: &Known,
        messages: Option<&Messages>,
    ) -> Option<TextProtocol> {
        let message = match &written.text_message {
            Some(name) => self.whole_frame(index, name, known, messages),
            None => {
                let help = "name the message type whose data each frame is: `text_message: TYPE`";
                self.missing(
                    index,
                    written.protocol.map(|p| p.span),
                    "`protocol: text` needs `text_message`",
                    help,
                );
                None
            }
        };
        let mut render = Some(HashMap::new());
        let (mut reply, mut error) = (Some(None), Some(None));
        for (name, text) in &written.render {
            match name.value.as_str() {
                "reply" => reply = self.template(text, &of_message()).map(Some),
                "error" => {
                    let known = Known {
                        error: true,
                        ..Known::default()
                    };
                    error = self.template(text, &known).map(Some);
                }
                other => {
                    let template = self.rendered(other, name.span, text);
                    let key = MessageName::parse(other).ok();
                    match (&mut render, template.zip(key)) {
                        (Some(render), Some((template, key))) => {
                            render.insert(key, template);
                        }
                        (render, _) => *render = None,
                    }
                }
            }
        }
        Some(TextProtocol {
            message: message?,
            render: render?,
            reply: reply?,
            error: error?,
        })
    }

    /// The template of a message type or an announcement.
    fn rendered(&mut self, name: &str, span: Span, text: &Text) -> Option<Arc<Template>> {
        let announcements = || {
            self.config
                .rooms
                .iter()
                .filter_map(|(_, room)| room.presence.as_ref()?.value.announce.as_ref())
                .flat_map(|announce| {
                    let announce = &announce.value;
                    [&announce.joined, &announce.left, &announce.present]
                })
                .flatten()
                .map(Text::as_str)
        };
        if self.message_names.contains(name) {
            return self.template(text, &of_message());
        }
        if announcements().any(|announcement| announcement == name) {
            let known = Known {
                user: true,
                room: true,
                ..Known::default()
            };
            return self.template(text, &known);
        }
        let candidates = self
            .message_names
            .all()
            .chain(announcements())
            .chain(["reply", "error"]);
        let help = match nearest(name, candidates) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "name a message type, an announcement of a room, `reply` or `error`".to_owned(),
        };
        let message = format!("`{name}` is neither a message type nor an announcement");
        self.find(Diagnostic::new(&codes::UNKNOWN_RENDER, span, message).help(help));
        None
    }

    fn raw(&mut self, index: usize, written: &config::Endpoint) -> Option<RawRoute> {
        let Some(raw) = written.raw else {
            let help = "say where frames go: `raw: {to: sender}`, `room` or `others`";
            self.missing(
                index,
                written.protocol.map(|p| p.span),
                "`protocol: raw` needs `raw`",
                help,
            );
            return None;
        };
        let route = match raw.value {
            config::RawRoute::Sender => RawRoute::Sender,
            config::RawRoute::Room => RawRoute::Room,
            config::RawRoute::Others => RawRoute::Others,
        };
        if route != RawRoute::Sender && written.auto_join.is_empty() {
            let message =
                "frames go to a room, but connections of this endpoint are in none".to_owned();
            let help = "put them into one with `auto_join`, or write `to: sender`";
            self.find(finding(&codes::CONTRADICTION, raw.span, message, help));
        }
        Some(route)
    }

    fn missing(&mut self, endpoint: usize, span: Option<Span>, message: &str, help: &str) {
        let span = span.unwrap_or(self.config.endpoints[endpoint].0.span);
        self.find(finding(&codes::MISSING_KEY, span, message.to_owned(), help));
    }
}

/// In the template of a message type, or of a reply.
fn of_message() -> Known {
    Known {
        data: true,
        sender: true,
        ..Known::default()
    }
}

fn goes_to_a_room(to: &config::Route) -> bool {
    matches!(
        to,
        config::Route::Room | config::Route::Others | config::Route::OtherConnections
    )
}
