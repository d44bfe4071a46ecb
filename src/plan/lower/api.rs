//! `server.api`: keys, what they are good for, and which rooms they may use.

use crate::config::{self, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::lower::shape::Shape;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{Api, ApiKey};

/// What cannot be guessed, as long as it is random.
pub(super) const API_SECRET_BYTES_MIN: usize = 16;

impl Lowering<'_> {
    pub(super) fn api(&mut self, api: &config::Api) -> Api {
        let mut keys: Vec<(Span, ApiKey)> = Vec::new();
        for (name, written) in &api.keys {
            for room in written.rooms.iter().flatten() {
                self.api_room(room);
            }
            let Some(secret) = &written.secret else {
                continue;
            };
            let bytes = secret.value.expose();
            if bytes.len() < API_SECRET_BYTES_MIN {
                let message = format!("the key `{}` is short enough to be guessed", name.value);
                let help =
                    "use at least 16 random characters, for example from `openssl rand -base64 24`";
                self.find(finding(&codes::SHORT_API_KEY, secret.span, message, help));
            }
            if let Some((span, other)) = keys.iter().find(|(_, key)| key.secret.expose() == bytes) {
                let message = format!(
                    "the keys `{}` and `{}` have the same secret",
                    other.name, name.value
                );
                let help = "give each its own secret: a request could not be told to be the one or the other";
                let finding = finding(&codes::SAME_API_KEY, secret.span, message, help);
                let finding = finding.also(*span, "the other key");
                self.find(finding);
            }
            let has = |scope| written.scopes.iter().any(|written| written.value == scope);
            let rooms = written.rooms.iter().flatten();
            let key = ApiKey {
                name: name.value.as_str().into(),
                secret: secret.value.clone(),
                publish: has(config::ApiScope::Publish),
                read: has(config::ApiScope::Read),
                disconnect: has(config::ApiScope::Disconnect),
                rooms: rooms.map(|room| room.as_str().into()).collect(),
            };
            keys.push((secret.span, key));
        }
        Api {
            keys: keys.into_iter().map(|(_, key)| key).collect(),
            cors: self.cors(api),
        }
    }

    fn api_room(&mut self, glob: &Text) {
        let shape = Shape::of_glob(glob.as_str());
        let mut patterns = self.rooms.patterns.iter().flatten();
        if patterns.any(|pattern| shape.meets(&Shape::of_pattern(pattern))) {
            return;
        }
        let message = format!("no declared room fits `{glob}`");
        let close = crate::diag::nearest(glob.as_str(), self.room_names.all());
        let help = match close.or_else(|| self.room_names.all().next()) {
            Some(close) => {
                let prefix = close.split('{').next().unwrap_or_default();
                format!("`*` stands for any text: did you mean `{prefix}*`?")
            }
            None => "declare rooms under `rooms`".to_owned(),
        };
        self.find(Diagnostic::new(&codes::NO_SUCH_ROOM, glob.span(), message).help(help));
    }
}
