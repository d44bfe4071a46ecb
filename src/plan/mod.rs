//! What a configuration means: checked, resolved, immutable. Once a [`Plan`] exists, only the outside world can fail.
//!
//! [`build`] makes it from what was read, and says all that is wrong with that; `check` shows its findings, `serve` runs its Plan.
//! Every name is resolved to an [`Arc`], every rule compiled, every bound filled in. `index` fields number the things of one kind
//! from 0, for tables beside the Plan (metrics, rate-limit state).

mod auth;
mod call;
mod endpoint;
pub mod key;
mod limit;
mod line;
mod lower;
mod message;
mod origin;
mod room;
mod secret;
mod server;
mod session;
mod webhook;

pub use auth::{
    AuthMethod, AuthMode, Credential, Expiry, IssuerKeys, Jwt, KeySource, Lifetime, Place,
    TokenKeys,
};
pub use call::{HttpCall, HttpUrl, HttpUrlError, Patience};
pub use endpoint::{
    AutoJoin, Compression, ConnectionLimits, Endpoint, Heartbeat, HeartbeatKind, OnTooMany,
    Protocol, RawRoute, RejectStyle, TextProtocol,
};
pub use key::JwtAlgorithm;
pub use limit::{CountLimit, OnExceed, RateKey, RateLimit};
pub use line::{Clause, Line, Lines};
pub use lower::{Outcome, build, build_at};
pub use message::{Conflate, Message, Overflow, PathStep, Route, Sanitized, Sanitizer, SentBy};
pub use origin::{HostName, Origin, Origins, Subdomains, split_authority};
pub use room::{AnnounceTo, Audience, History, Inbox, MayJoin, Presence, Receipt, RoomKind};
pub use server::{
    Acme, Address, Api, ApiKey, CertificateFiles, Listener, Log, LogFormat, LogLevel, Network,
    Page, Server, Serves, Tls, UNIX_PEER, UnixAddress,
};
pub use session::{Application, Forward, Hmac, Lookup, RedisLookup, Session, SignedCookie};
pub use webhook::{EndpointWebhooks, RoomWebhooks, Webhook};

use std::sync::Arc;

use crate::rule::Label;
use crate::vocab::{Parameters, RoomName};

/// The whole configuration.
#[derive(Debug)]
pub struct Plan {
    /// Where and how much.
    pub server: Server,
    /// Folders of static files, by URL path.
    pub pages: Vec<Page>,
    /// Ways to turn a credential into a user.
    pub auth: Vec<Arc<AuthMode>>,
    /// Token buckets.
    pub rate_limits: Vec<Arc<RateLimit>>,
    /// Every rule that may deny something, by its index.
    pub rules: Vec<Arc<Label>>,
    /// Message types as declared, without a room's overrides.
    pub messages: Vec<Arc<Message>>,
    /// Kinds of rooms, those with more literal segments first.
    pub rooms: Vec<Arc<RoomKind>>,
    /// Endpoints, those with more literal segments first.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// URLs of the application that are told what happens.
    pub webhooks: Vec<Arc<Webhook>>,
    /// Where in the file the keys stand that decide who may do what.
    pub lines: Lines,
}

impl Plan {
    /// The kind that `room` is an instance of, with the parameters of its name; none where the name fits no pattern or a
    /// parameter does not fit its schema.
    pub fn room_kind(&self, room: &RoomName) -> Option<(&Arc<RoomKind>, Parameters)> {
        self.rooms
            .iter()
            .find_map(|kind| Some((kind, kind.pattern.matches(room.as_str())?)))
            .filter(|(kind, parameters)| {
                kind.parameters.iter().all(|(name, schema)| {
                    parameters
                        .get(name)
                        .is_some_and(|value| schema.check(&value.into()).is_ok())
                })
            })
    }
}

#[cfg(test)]
mod tests;
