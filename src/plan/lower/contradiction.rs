//! Rules of a message type that cannot both hold.

use crate::config::{self, MessageRules, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::message::At;
use crate::plan::lower::{Lowering, finding};

impl Lowering<'_> {
    /// Thinning needs readers that share an order: those of a room.
    fn contradicting_conflate(&mut self, rules: &MessageRules) {
        use config::Route as To;
        let elsewhere = |to: &&Spanned<To>| {
            matches!(
                to.value,
                To::Sender | To::None | To::User(_) | To::Webhook(_)
            )
        };
        let to = rules.to.as_ref().filter(elsewhere);
        if let Some((conflate, to)) = rules.conflate.as_ref().zip(to) {
            let message =
                "`conflate` contradicts `to`: what goes to a room is thinned, nothing else";
            let help = "write `to: room`, or leave `conflate` out";
            let finding = finding(
                &codes::CONTRADICTION,
                conflate.span,
                message.to_owned(),
                help,
            );
            self.find(finding.also(to.span, "it goes here"));
        }
    }

    pub(super) fn contradicting_rules(&mut self, rules: &MessageRules, at: At) {
        use config::Route as To;
        let by_server = rules
            .sent_by
            .filter(|by| by.value == config::SentBy::Server);
        if let Some((history, to)) = rules
            .history
            .filter(|kept| kept.value)
            .zip(rules.to.as_ref())
            && !matches!(to.value, To::Room)
        {
            let message = "`history: true` contradicts `to`: only what goes `to: room` is stored";
            let help = "write `to: room`, or leave `history` out";
            let finding = finding(
                &codes::CONTRADICTION,
                history.span,
                message.to_owned(),
                help,
            );
            self.find(finding.also(to.span, "it goes here"));
        }
        if let Some((history, conflate)) = rules
            .history
            .filter(|kept| kept.value)
            .zip(rules.conflate.as_ref())
        {
            let message = "`history: true` contradicts `conflate`: what is thinned is not stored";
            let help = "leave one of them out";
            let finding = finding(
                &codes::CONTRADICTION,
                history.span,
                message.to_owned(),
                help,
            );
            self.find(finding.also(conflate.span, "it is thinned here"));
        }
        self.contradicting_conflate(rules);
        let Some(by_server) = by_server else {
            return;
        };
        if let Some(to) = rules
            .to
            .as_ref()
            .filter(|to| matches!(to.value, To::Sender))
        {
            let message =
                "`to: sender` contradicts `sent_by: server`: the application has no connection";
            let help = "write `to: room` or `to: {user: …}`";
            let finding = finding(&codes::CONTRADICTION, to.span, message.to_owned(), help);
            self.find(finding.also(by_server.span, "it is sent by the server"));
        }
        for (key, text) in [("allow", &rules.allow), ("reply", &rules.reply)] {
            if let Some(text) = text.as_ref().filter(|_| !matches!(at, At::Room(_))) {
                let message = format!("`{key}` has no effect: no client sends this type");
                let help = "remove it, or say `sent_by: any`; what the application may publish is said by its API key";
                self.no_effect(text.span(), message, help);
            }
        }
    }

    /// Finds a type of an endpoint that goes to a room.
    pub(super) fn needs_no_room(&mut self, rules: &MessageRules, name: &Text) {
        use config::Route as To;
        let Some(to) = rules.to.as_ref() else {
            return;
        };
        let word = match to.value {
            To::Room => "room",
            To::Others => "others",
            To::OtherConnections => "other_connections",
            _ => return,
        };
        let message =
            format!("`{name}` goes `to: {word}`, but belongs to an endpoint, which is no room");
        let help = "name it in the `messages` of a room instead, or send it `to: sender`, `to: {user: …}` or `to: {room: …}`";
        let finding = finding(&codes::CONTRADICTION, name.span(), message, help);
        self.find(finding.also(to.span, "it goes to a room"));
    }
}
