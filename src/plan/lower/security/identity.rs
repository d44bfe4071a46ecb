//! Who can be somebody else, or so many that nobody else gets a word in.

use crate::config::{
    AuthMethod, Endpoint, JwtKey, MayJoin, MessageRules, RawRoute, Route, SentBy, Text,
};
use crate::diag::Diagnostic;
use crate::diag::catalogue::security as codes;
use crate::plan::lower::Lowering;
use crate::plan::lower::security::{is_exposed, modes_of};

impl Lowering<'_> {
    /// Finds modes that take an issuer's tokens for whomever they are meant.
    pub(super) fn any_audience(&mut self) {
        let config = self.config;
        for (name, mode) in &config.auth {
            let Some(AuthMethod::Jwt(jwt)) = &mode.method else {
                continue;
            };
            let (Some(JwtKey::JwksUrl(keys) | JwtKey::IssuerDiscovery(keys)), None) =
                (&jwt.value.key, &jwt.value.audience)
            else {
                continue;
            };
            let message = format!(
                "`{}` takes tokens that this issuer signed for any other application",
                name.value
            );
            let help = "write `audience:`, the `aud` that the issuer puts into tokens for this application";
            let finding = Diagnostic::new(&codes::ANY_AUDIENCE, keys.span(), message);
            self.find(finding.help(help));
        }
    }

    /// Finds endpoints where anyone may send to others as fast as the line carries, if others than this machine come there.
    pub(super) fn guests_without_limits(&mut self) {
        let config = self.config;
        if !is_exposed(config) {
            return;
        }
        for (index, (path, endpoint)) in config.endpoints.iter().enumerate() {
            let mut modes = modes_of(config, endpoint);
            let guest =
                modes.find(|(_, mode)| matches!(mode.method, Some(AuthMethod::Anonymous(_))));
            let Some((guest, _)) = guest.filter(|_| endpoint.rate_limit.messages.is_empty()) else {
                continue;
            };
            let Some(what) = self.unlimited(index, endpoint) else {
                continue;
            };
            let message = format!(
                "anyone may send {what} by `{}` as fast as the line carries: `{guest}` asks for no credential",
                path.value
            );
            let help = "add `rate_limit: {messages: [NAME]}` to the endpoint, or `rate_limit: [NAME]` to the type";
            let finding = Diagnostic::new(&codes::UNLIMITED_GUESTS, path.span, message);
            self.find(finding.help(help));
        }
    }

    /// What connections of an endpoint may send to others without a limit of its own.
    fn unlimited(&self, index: usize, endpoint: &Endpoint) -> Option<String> {
        let raw = endpoint.raw.map(|raw| raw.value);
        if matches!(raw, Some(RawRoute::Room | RawRoute::Others)) {
            return Some("frames".to_owned());
        }
        let config = self.config;
        let own = endpoint.messages.iter();
        let rooms = self.reach.rooms.get(index).into_iter().flatten();
        let of_rooms = rooms.flat_map(|room| &config.rooms[*room].1.messages);
        let plain = endpoint.text_message.iter().chain(&endpoint.every_frame);
        let nothing = MessageRules::default();
        let taken = own
            .chain(of_rooms)
            .map(|taken| (&taken.name, &taken.overrides))
            .chain(plain.map(|name| (name, &nothing)));
        let mut unlimited = taken.filter(|(name, overrides)| {
            let mut declared = config.messages.iter();
            let declared = declared.find(|(declared, _)| declared.value == name.as_str());
            declared.is_some_and(|(_, declared)| is_unlimited(overrides, &declared.rules))
        });
        let (name, _) = unlimited.next()?;
        Some(format!("`{name}`"))
    }

    /// Finds anonymous ids that clients choose, where a rule or an inbox trusts them.
    pub(super) fn chosen_identities(&mut self) {
        let config = self.config;
        for (name, mode) in &config.auth {
            let Some(AuthMethod::Anonymous(anonymous)) = &mode.method else {
                continue;
            };
            let Some(chosen) = anonymous.value.user_id.as_ref().filter(|id| is_chosen(id)) else {
                continue;
            };
            let users = config
                .endpoints
                .iter()
                .enumerate()
                .filter(|(_, (_, endpoint))| {
                    endpoint
                        .auth
                        .iter()
                        .any(|cited| cited.as_str() == name.value)
                });
            let mut rooms =
                users.flat_map(|(index, _)| self.reach.rooms.get(index).into_iter().flatten());
            let Some((room, trusting)) = rooms.find_map(|room| {
                let (pattern, room) = &config.rooms[*room];
                Some((pattern, trusting(room)?))
            }) else {
                continue;
            };
            let message = format!(
                "clients choose the id of `{}`, and `{}` trusts it: who names another guest's id is that guest",
                name.value, room.value
            );
            let help =
                "leave `user_id` out for ids that nobody can choose, or ask for a credential";
            let finding = Diagnostic::new(&codes::CHOSEN_IDENTITY, chosen.span(), message);
            self.find(finding.help(help).also(trusting, "trusted here"));
        }
    }

    /// Finds inboxes that anyone may read along.
    pub(super) fn open_inboxes(&mut self) {
        let config = self.config;
        for (pattern, room) in &config.rooms {
            let Some(MayJoin::Rule(rule)) = &room.may_join else {
                continue;
            };
            let Some(inbox) = room.inbox.as_ref() else {
                continue;
            };
            if rule.as_str().trim() != "true" {
                continue;
            }
            let message = format!(
                "anyone may join `{}` and read what is meant for the owner of its inbox",
                pattern.value
            );
            let help = match inbox.value.owner.as_ref().map(Text::shown) {
                Some(owner) if is_path(&owner) => {
                    format!("let in the owner, as in `may_join: user.id == {owner}`")
                }
                Some(owner) => format!("let in the owner: user.id == ({owner})"),
                None => "name the owner of the inbox, and let in that user alone".to_owned(),
            };
            let finding = Diagnostic::new(&codes::OPEN_INBOX, rule.span(), message);
            self.find(finding.help(help));
        }
    }
}

/// Whether an expression is names and dots alone, which stand in a rule and in YAML as they are.
fn is_path(expression: &str) -> bool {
    let mut bytes = expression.bytes();
    bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
}

/// Whether clients may send this to others, and nothing says how often.
fn is_unlimited(over: &MessageRules, base: &MessageRules) -> bool {
    let sent_by = over.sent_by.or(base.sent_by).map(|by| by.value);
    let to = over.to.as_ref().or(base.to.as_ref()).map(|to| &to.value);
    let limits = over.rate_limit.as_ref().or(base.rate_limit.as_ref());
    sent_by != Some(SentBy::Server)
        && !matches!(to, None | Some(Route::Sender | Route::None))
        && limits.is_none_or(Vec::is_empty)
}

/// Whether a client writes what this is made of.
fn is_chosen(user_id: &Text) -> bool {
    let text = user_id.as_str();
    text.contains('{') && (text.contains("query") || text.contains("path"))
}

/// Where a room relies on who somebody is.
fn trusting(room: &crate::config::Room) -> Option<crate::diag::Span> {
    if let Some(MayJoin::Rule(rule)) = &room.may_join
        && rule.as_str().contains("user.id")
    {
        return Some(rule.span());
    }
    let inbox = room.inbox.as_ref()?;
    inbox.value.owner.as_ref().map(|owner| owner.span())
}
