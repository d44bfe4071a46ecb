//! What is understood and yet does nothing: limits above other limits, promises that no place keeps, a file that nobody can use.

use crate::config::{MessageRules, MessageUse, Protocol, Route, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::endpoint::MESSAGE_SIZE;
use crate::plan::lower::{Lowering, finding};

impl Lowering<'_> {
    /// Finds that no endpoint is declared. Whatever else is there serves nobody, so this is told alone.
    pub(super) fn no_endpoint(&mut self) {
        let Some(span) = self.config.version else {
            return;
        };
        let message = match self.config.pages.first() {
            Some(_) => "the file declares no endpoint: only its pages are served",
            None => "the file declares no endpoint, so nobody can connect",
        };
        let help = "declare one under `endpoints`, such as `/ws: {auth: MODE, rooms: [PATTERN]}`";
        self.find(finding(&codes::NO_ENDPOINT, span, message.to_owned(), help));
    }

    /// Finds limits and promises of message types that have no effect wherever the type is taken.
    pub(super) fn idle_rules(&mut self) {
        let config = self.config;
        for (name, message) in &config.messages {
            let in_rooms = self.reach.taken_in_rooms.get(&name.value);
            let rooms: Vec<usize> = in_rooms.cloned().unwrap_or_default();
            let at_endpoints = self.reach.taken_at_endpoints.get(&name.value);
            let mut endpoints = at_endpoints.cloned().unwrap_or_default();
            for room in &rooms {
                endpoints.extend(&self.reach.endpoints[*room]);
            }
            self.idle_size(&name.value, &message.rules, &endpoints);
            self.idle_history(&message.rules, &message.rules, &rooms);
        }
        for (index, (_, room)) in config.rooms.iter().enumerate() {
            for taken in &room.messages {
                let endpoints = self.reach.endpoints[index].clone();
                self.idle_override(taken, &[index], &endpoints);
            }
        }
        for (index, (_, endpoint)) in config.endpoints.iter().enumerate() {
            for taken in &endpoint.messages {
                self.idle_override(taken, &[], &[index]);
            }
        }
    }

    fn idle_override(&mut self, taken: &MessageUse, rooms: &[usize], endpoints: &[usize]) {
        let mut messages = self.config.messages.iter();
        let declared = messages.find(|(name, _)| name.value == taken.name.as_str());
        if let Some((_, declared)) = declared {
            let (name, base) = (taken.name.as_str(), &declared.rules);
            self.idle_size(name, &taken.overrides, endpoints);
            self.idle_history(&taken.overrides, base, rooms);
        }
    }

    /// Finds a `max_size` that is above what a frame of `endpoints` can hold.
    fn idle_size(&mut self, name: &str, rules: &MessageRules, endpoints: &[usize]) {
        // The application may publish more than a frame holds.
        if self.config.server.api.is_some() {
            return;
        }
        let carrying = endpoints
            .iter()
            .filter(|endpoint| self.has_frame_for(**endpoint, name));
        let sizes = carrying.map(|endpoint| {
            let written = self.config.endpoints[*endpoint].1.limits.message_size;
            let span = written.map(|written| written.span);
            (written.map_or(MESSAGE_SIZE, |size| size.value), span)
        });
        let Some((largest, span)) = sizes.max_by_key(|(size, _)| size.bytes()) else {
            return;
        };
        let Some(max) = rules
            .max_size
            .filter(|max| max.value.bytes() > largest.bytes())
        else {
            return;
        };
        let message = format!(
            "`max_size` of {} has no effect: a frame that carries `{name}` has at most {largest}",
            max.value
        );
        let help = format!(
            "write `max_size: {largest}` or less, or raise `limits.message_size` of the endpoint"
        );
        let mut finding = Diagnostic::new(&codes::NO_EFFECT, max.span, message).help(help);
        if let Some(span) = span {
            finding = finding.also(span, "this bounds its frames");
        }
        self.find(finding);
    }

    /// Finds `history: true` where none of `rooms` keeps anything.
    fn idle_history(&mut self, rules: &MessageRules, base: &MessageRules, rooms: &[usize]) {
        let to = rules.to.as_ref().or(base.to.as_ref());
        let to_room = to.is_some_and(|to| matches!(to.value, Route::Room));
        let Some(history) = rules.history.filter(|kept| kept.value && to_room) else {
            return;
        };
        let keeps = |room: &usize| {
            let room = &self.config.rooms[*room].1;
            room.history.is_some() || room.inbox.is_some()
        };
        let Some(room) = rooms.first().filter(|_| !rooms.iter().any(keeps)) else {
            return;
        };
        let room = &self.config.rooms[*room].0;
        let message = match rooms {
            [_] => format!(
                "`history: true` has no effect: the room `{}` keeps nothing",
                room.value
            ),
            _ => "`history: true` has no effect: no room that takes the type keeps anything".into(),
        };
        let help = "give the room a `history`, as in `history: {messages: 100, age: 24h}`, or leave this out";
        let finding = finding(&codes::NO_EFFECT, history.span, message, help);
        self.find(finding.also(room.span, "a room that takes it"));
    }

    /// Whether clients of the endpoint at `endpoint` have a frame for the type `name`.
    pub(super) fn has_frame_for(&self, endpoint: usize, name: &str) -> bool {
        let endpoint = &self.config.endpoints[endpoint].1;
        let is = |text: &Option<Text>| text.as_ref().is_some_and(|text| text.as_str() == name);
        match endpoint.protocol.map(|protocol| protocol.value) {
            Some(Protocol::Raw) => false,
            Some(Protocol::Text) => is(&endpoint.text_message),
            Some(Protocol::Json) | None => {
                endpoint.every_frame.is_none() || is(&endpoint.every_frame)
            }
        }
    }
}
