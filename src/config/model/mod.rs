//! The `Config`: one struct for each section of the file, every key of the language in it.
//!
//! Shorthands stand here in their long form. `None` and empty lists mean "not written" (defaults are `plan`'s); a key that the
//! language requires is `None` only where a finding says so already. Maps keep the order of the file.

mod auth;
mod endpoint;
mod message;
mod room;
mod server;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Document, Spanned, Text};
use crate::diag::Span;
use crate::vocab::{Rate, Secret};

pub use auth::{
    Anonymous, AuthMethod, AuthMode, Credential, CredentialPlace, Expiry, HttpCall, Jwt,
    JwtAlgorithm, JwtKey, KeyFile, RedisLookup, Session, SessionLookup, SignedCookie,
};
pub use endpoint::{
    AutoJoin, Compression, Endpoint, EndpointEvent, EndpointLimits, EndpointRateLimits, Heartbeat,
    HeartbeatKind, OnTooMany, Protocol, RawRoute, RejectStyle,
};
pub use message::{
    Conflate, Message, MessageRules, MessageUse, Overflow, Route, Sanitizer, SentBy,
};
pub use room::{
    Announce, History, Idempotency, Inbox, JoinToken, MayJoin, Presence, PresenceTo, Receipt, Room,
    RoomEvent, RoomLimits,
};
pub use server::{
    Acme, Api, ApiKey, ApiScope, Broker, Console, Listener, Log, LogFormat, LogLevel, Server,
    ServerLimits, Service, Shutdown, Store, Tls,
};

/// Everything that the files say, merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The main file's folder: relative paths were resolved, and schemas may not leave it.
    pub folder: PathBuf,
    /// `version`, where the main file says it.
    pub version: Option<Span>,
    /// `description`: what this system is.
    pub description: Option<Text>,
    /// `server`: where and how much.
    pub server: Server,
    /// `pages`: folders of static files, by URL path.
    pub pages: Vec<(Spanned<String>, Spanned<PathBuf>)>,
    /// `auth`: ways to turn a credential into a user, by name.
    pub auth: Vec<(Spanned<String>, AuthMode)>,
    /// `rate_limits`: token buckets, by name.
    pub rate_limits: Vec<(Spanned<String>, RateLimit)>,
    /// `messages`: message types, by name.
    pub messages: Vec<(Spanned<String>, Message)>,
    /// `rooms`: kinds of rooms, by pattern.
    pub rooms: Vec<(Spanned<String>, Room)>,
    /// `endpoints`: URL paths, by pattern.
    pub endpoints: Vec<(Spanned<String>, Endpoint)>,
    /// `webhooks`: the application's URLs that are called, by name.
    pub webhooks: Vec<(Spanned<String>, Webhook)>,
    /// The schemas that stand in files of their own, and all that they refer to.
    pub documents: Vec<Document>,
}

/// `rate_limits.NAME`: a token bucket, shared by all that cite the name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateLimit {
    /// `description`.
    pub description: Option<Text>,
    /// `rate`, required: how fast the bucket fills.
    pub rate: Option<Spanned<Rate>>,
    /// `burst`: how much the bucket holds.
    pub burst: Option<Spanned<NonZeroU32>>,
    /// `per`, required: what has a bucket of its own.
    pub per: Option<Spanned<RateKey>>,
    /// `on_exceed`: what happens to who exceeds it.
    pub on_exceed: Option<Spanned<OnExceed>>,
    /// `dry_run`: only count and log what would be refused.
    pub dry_run: Option<Spanned<bool>>,
}

/// What has a token bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateKey {
    /// `connection`.
    Connection,
    /// `user`.
    User,
    /// `ip`.
    Ip,
    /// `room`.
    Room,
    /// `endpoint`.
    Endpoint,
    /// `server`.
    Server,
}

/// What happens to who exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExceed {
    /// `error`: an `error` frame.
    Error,
    /// `drop`: nothing, the message is gone.
    Drop,
    /// `close`: the connection ends.
    Close,
}

/// `webhooks.NAME`: a URL of the application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Webhook {
    /// `description`.
    pub description: Option<Text>,
    /// `url`, required.
    pub url: Option<Text>,
    /// `secret` or `secret_file`, required: what calls are signed with.
    pub secret: Option<Spanned<Secret>>,
    /// `timeout`: how long an answer may take.
    pub timeout: Option<Spanned<Duration>>,
    /// `retries`: how often a failed call is made again.
    pub retries: Option<Spanned<u32>>,
}
