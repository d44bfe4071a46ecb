//! `audiences` of a room, and the message types that are for one of them.

use crate::config::{self, MessageRules};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, nearest};
use crate::plan::Audience;
use crate::plan::lower::message::At;
use crate::plan::lower::{Lowering, finding};
use crate::rule::Known;
use crate::vocab::AudienceSet;

impl Lowering<'_> {
    /// The audiences of the room `pattern`.
    pub(super) fn room_audiences(
        &mut self,
        room: &config::Room,
        pattern: &str,
        known: &Known,
    ) -> Option<Vec<Audience>> {
        if let Some((name, _)) = room.audiences.get(AudienceSet::MAX) {
            let max = AudienceSet::MAX;
            let message = format!("a room has at most {max} audiences");
            let help = "join some of them: what differs is which messages they read";
            self.find(finding(
                &codes::TOO_MANY_AUDIENCES,
                name.span,
                message,
                help,
            ));
        }
        let mut audiences = Some(Vec::new());
        for (name, text) in &room.audiences {
            self.audience_is_used(room, name);
            let parsed = self.message_name(&name.value, name.span, "an audience");
            let key = format!("rooms.{pattern}.audiences.{}", name.value);
            let rule = self.rule(text, known, &key);
            match (&mut audiences, parsed.and(rule)) {
                (Some(list), Some(rule)) => list.push(Audience {
                    name: name.value.as_str().into(),
                    rule,
                }),
                (list, _) => *list = None,
            }
        }
        audiences
    }

    fn audience_is_used(&mut self, room: &config::Room, name: &config::Spanned<String>) {
        let cited = room.messages.iter().filter_map(|taken| {
            let declared = self.config.messages.iter();
            let mut declared = declared.filter(|(message, _)| message.value == taken.name.as_str());
            let base = declared
                .next()
                .and_then(|(_, base)| base.rules.audience.as_ref());
            taken.overrides.audience.as_ref().or(base)
        });
        let is_declared = |cited: &str| {
            let mut declared = room.audiences.iter();
            declared.any(|(name, _)| name.value == cited)
        };
        // One that is not declared was probably meant to be this one: one slip, one finding.
        let is_used = cited
            .map(config::Text::as_str)
            .any(|cited| cited == name.value || !is_declared(cited));
        if !is_used {
            let message = format!(
                "no message of this room is for the audience `{}`",
                name.value
            );
            let help = format!(
                "write `audience: {}` at a type that the room takes, or remove it",
                name.value
            );
            self.find(finding(&codes::UNUSED, name.span, message, &help));
        }
    }

    /// Whom a type is for, as one of its room's audiences.
    pub(super) fn audience_cited(&mut self, rules: &MessageRules, at: At) -> Option<AudienceSet> {
        use config::Route as To;
        let Some(cited) = &rules.audience else {
            return Some(AudienceSet::NONE);
        };
        let elsewhere = |to: &&config::Spanned<To>| {
            !matches!(to.value, To::Room | To::Others | To::OtherConnections)
        };
        if let Some(to) = rules.to.as_ref().filter(elsewhere) {
            let message = format!(
                "`audience: {cited}` contradicts `to`: it does not go to the room's readers"
            );
            let help = "write `to: room` or `to: others`, or leave `audience` out";
            let finding = finding(&codes::CONTRADICTION, cited.span(), message, help);
            self.find(finding.also(to.span, "it goes here"));
        }
        let At::Room(index) = at else {
            return Some(AudienceSet::NONE);
        };
        let (pattern, room) = &self.config.rooms[index];
        if let Some(inbox) = &room.inbox {
            let message = format!(
                "`audience: {cited}` contradicts the `inbox` of `{}`: what waits there is for its owner",
                pattern.value
            );
            let help = "leave `audience` out, or take the type in a room without `inbox`";
            let finding = finding(&codes::CONTRADICTION, cited.span(), message, help);
            self.find(finding.also(inbox.span, "the inbox"));
        }
        let mut names = room.audiences.iter().map(|(name, _)| name.value.as_str());
        match names.position(|name| name == cited.as_str()) {
            // One that is too many is a finding of its own.
            Some(number) => AudienceSet::of(number),
            None => {
                self.unknown_audience(cited, index);
                None
            }
        }
    }

    fn unknown_audience(&mut self, cited: &config::Text, room: usize) {
        let (pattern, room) = &self.config.rooms[room];
        let names = room.audiences.iter().map(|(name, _)| name.value.as_str());
        let help = match nearest(cited.as_str(), names) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("declare it there: `audiences: {{{cited}: RULE}}`"),
        };
        let message = format!("the room `{}` has no audience `{cited}`", pattern.value);
        let finding = Diagnostic::new(&codes::UNKNOWN_AUDIENCE, cited.span(), message).help(help);
        self.find(finding.also(pattern.span, "it takes the type"));
    }
}
