//! Who can come where: which rooms the connections of an endpoint can be in, and which types can be sent there.

use std::collections::HashMap;

use crate::config::{Config, Endpoint, MessageUse, SentBy, Spanned};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::name::Paths;
use crate::plan::lower::shape::Shape;
use crate::plan::lower::{Lowering, finding};

/// Ways through the file, by places in it.
#[derive(Default)]
pub(super) struct Reach {
    /// By endpoint: the rooms that its connections can be in.
    pub(super) rooms: Vec<Vec<usize>>,
    /// By room: the endpoints whose connections can be in it.
    pub(super) endpoints: Vec<Vec<usize>>,
    /// By message type: the rooms that take it.
    pub(super) taken_in_rooms: HashMap<String, Vec<usize>>,
    /// By message type: the endpoints that take it, as what every frame is, too.
    pub(super) taken_at_endpoints: HashMap<String, Vec<usize>>,
}

impl Reach {
    pub(super) fn find(config: &Config, rooms: &Paths) -> Self {
        let shapes: Vec<_> = rooms
            .patterns
            .iter()
            .map(|pattern| pattern.as_ref().map(Shape::of_pattern))
            .collect();
        let by_name: HashMap<&str, usize> = config
            .rooms
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (name.value.as_str(), index))
            .collect();
        let mut reach = Self {
            endpoints: vec![Vec::new(); config.rooms.len()],
            ..Self::default()
        };
        for (index, (_, endpoint)) in config.endpoints.iter().enumerate() {
            let mut reached: Vec<usize> = endpoint
                .rooms
                .iter()
                .filter_map(|name| by_name.get(name.as_str()).copied())
                .collect();
            for template in endpoint
                .auto_join
                .iter()
                .filter_map(|auto| auto.room.as_ref())
            {
                let shape = Shape::of_template(template.as_str());
                reached.extend((0..shapes.len()).filter(|room| {
                    let pattern = shapes[*room].as_ref();
                    pattern.is_some_and(|pattern| shape.meets(pattern))
                }));
            }
            reached.sort_unstable();
            reached.dedup();
            for room in &reached {
                reach.endpoints[*room].push(index);
            }
            reach.rooms.push(reached);
            for name in names_taken(endpoint) {
                let taking = reach.taken_at_endpoints.entry(name.to_owned()).or_default();
                taking.push(index);
            }
        }
        for (index, (_, room)) in config.rooms.iter().enumerate() {
            for message in &room.messages {
                let name = message.name.as_str().to_owned();
                reach.taken_in_rooms.entry(name).or_default().push(index);
            }
        }
        reach
    }
}

/// The types that an endpoint takes itself.
fn names_taken(endpoint: &Endpoint) -> impl Iterator<Item = &str> {
    let own = endpoint.messages.iter().map(|message| &message.name);
    own.chain(&endpoint.every_frame)
        .chain(&endpoint.text_message)
        .map(|name| name.as_str())
}

impl Lowering<'_> {
    /// Finds rooms that nobody can be in and types that nobody can send.
    pub(super) fn unreachable(&mut self) {
        let config = self.config;
        for (index, (name, room)) in config.rooms.iter().enumerate() {
            if !self.reach.endpoints[index].is_empty() {
                self.unsendable(index, &room.messages);
                continue;
            }
            let meant = self.room_names.is_used(index) || self.rooms.patterns[index].is_none();
            if !meant {
                let message = format!("no endpoint lets anyone into `{}`", name.value);
                let help = "name the pattern in an endpoint's `rooms` or `auto_join`, or remove it";
                self.find(finding(&codes::UNREACHABLE_ROOM, name.span, message, help));
            }
        }
        for (index, (name, message)) in config.messages.iter().enumerate() {
            let sent_by = message.rules.sent_by.map(|sent_by| sent_by.value);
            self.untaken(index, name, sent_by.unwrap_or(SentBy::Client));
        }
    }

    /// Finds types of the room at `room` that its clients have no frame for.
    fn unsendable(&mut self, room: usize, taken: &[MessageUse]) {
        let config = self.config;
        for taken in taken {
            let mut messages = config.messages.iter();
            let Some((_, declared)) = messages.find(|(name, _)| name.value == taken.name.as_str())
            else {
                continue;
            };
            let sent_by = taken.overrides.sent_by.or(declared.rules.sent_by);
            let by_client = sent_by.is_none_or(|sent_by| sent_by.value == SentBy::Client);
            if by_client && !self.sendable(room, taken.name.as_str()) {
                let message = format!(
                    "no client can send `{}` to `{}`: the endpoints that lead there take other frames",
                    taken.name, config.rooms[room].0.value
                );
                let help = "let a JSON endpoint join the room, or say `sent_by: server`";
                let span = taken.name.span();
                self.find(finding(&codes::UNREACHABLE_MESSAGE, span, message, help));
            }
        }
    }

    /// Finds that no room and no endpoint takes a type, or that nobody is there to send it.
    fn untaken(&mut self, index: usize, name: &Spanned<String>, sent_by: SentBy) {
        let api = self.config.server.api.is_some();
        let taken = self.message_names.is_used(index)
            || self.reach.taken_in_rooms.contains_key(&name.value)
            || self.reach.taken_at_endpoints.contains_key(&name.value);
        let (message, help) = match sent_by {
            SentBy::Server if !api => (
                format!(
                    "only the server sends `{}`, and `server.api` is off",
                    name.value
                ),
                "declare `server.api` with a key that may publish, or say `sent_by: any`",
            ),
            // The application can publish it to a user, who needs no room.
            SentBy::Server | SentBy::Any if api => return,
            _ if taken => return,
            _ => (
                format!("no room and no endpoint takes `{}`", name.value),
                "name it in the `messages` of a room or an endpoint, or remove it",
            ),
        };
        self.find(finding(
            &codes::UNREACHABLE_MESSAGE,
            name.span,
            message,
            help,
        ));
    }

    /// Whether a connection can send the type `name` to the room at `room`.
    fn sendable(&self, room: usize, name: &str) -> bool {
        let mut endpoints = self.reach.endpoints[room].iter();
        endpoints.any(|endpoint| self.has_frame_for(*endpoint, name))
    }
}
