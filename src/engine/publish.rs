//! What the application publishes over HTTP: the same pipeline as for clients, with the key's scopes in place of its rules.

use std::borrow::Cow;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::pipeline::{Decoded, Origin, Place, Refused, too_fast};
use crate::plan::Message;
use crate::protocol::{Reject, RejectCode};
use crate::room::Outcome;
use crate::vocab::UserId;

/// A message of the application.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The name of the API key, as the owner of idempotency keys.
    pub key_name: &'a UserId,
    /// The message type's name.
    pub name: &'a str,
    /// The data, JSON.
    pub data: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

/// What became of it.
pub type Published = Outcome;

impl Engine {
    /// Publishes to a room, whoever is in it.
    ///
    /// # Errors
    /// There is no such room, or it does not take the type, or the pipeline refuses.
    pub fn publish_to_room(
        self: &Arc<Self>,
        room: &str,
        publication: Publication<'_>,
    ) -> Result<Published, Reject> {
        let target = self.target(room)?;
        let message = target
            .kind
            .messages
            .get(publication.name)
            .cloned()
            .ok_or_else(|| {
                let known = self
                    .plan
                    .messages
                    .iter()
                    .any(|message| message.name.as_str() == publication.name);
                let text = if known {
                    format!("`{}` is not taken in `{}`", publication.name, target.name)
                } else {
                    unknown(publication.name)
                };
                Reject::new(RejectCode::UnknownType, text)
            })?;
        self.publish(message, Place::Room(target), publication)
    }

    /// Publishes to every connection of a user.
    ///
    /// # Errors
    /// There is no such type, or the pipeline refuses. That the user is not connected is no error.
    pub fn publish_to_user(
        self: &Arc<Self>,
        user: UserId,
        publication: Publication<'_>,
    ) -> Result<Published, Reject> {
        let message = self
            .plan
            .messages
            .iter()
            .find(|message| message.name.as_str() == publication.name);
        let message = message
            .ok_or_else(|| Reject::new(RejectCode::UnknownType, unknown(publication.name)))?;
        self.publish(message.clone(), Place::User(user), publication)
    }

    fn publish(
        self: &Arc<Self>,
        message: Arc<Message>,
        place: Place,
        publication: Publication<'_>,
    ) -> Result<Published, Reject> {
        let decoded = Decoded {
            origin: Origin::Application(publication.key_name),
            id: None,
            key: publication.key.map(Cow::Borrowed),
            message,
            place,
            data: Cow::Borrowed(publication.data),
            read: None,
            bytes: publication.data.len(),
        };
        let result = self.run(decoded).map_err(|refused| match refused {
            Refused::Reject(reject) => reject,
            Refused::TooFast(exceeded) => too_fast(&exceeded),
        });
        if let Err(reject) = &result {
            self.metrics.rejects[reject.code as usize].inc();
        }
        result
    }
}

fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("`{shown}` is not a declared message type")
}
