//! What was written: files to a spanned [`Config`].
//!
//! [`read`] takes the main file, its includes, secrets, keys and JSON Schemas through [`Files`], expands `${NAME}` from an
//! [`Environment`] and collects every finding at once; a `Config` comes out even so, as complete as can be, for `plan` to find
//! the rest. Names are not resolved here, rules and schemas not compiled. No network, no clock; the environment is read nowhere else.

mod document;
mod files;
mod json;
mod keys;
mod lower;
mod model;
mod node;
mod quantity;
mod read;
mod reader;
mod scalar;
mod schema;
pub mod session_file;
mod spanned;
mod yaml;

use crate::diag::{Diagnostic, Sources};

pub use files::{DiskFiles, Entry, Environment, Files, MemoryFiles, ProcessEnvironment};
pub use model::{
    Acme, Announce, Anonymous, Api, ApiKey, ApiScope, AuthMethod, AuthMode, AutoJoin, Broker,
    Compression, Config, Conflate, Console, Credential, CredentialPlace, Endpoint, EndpointEvent,
    EndpointLimits, EndpointRateLimits, Expiry, Heartbeat, HeartbeatKind, History, HttpCall,
    Idempotency, Inbox, JoinToken, Jwt, JwtAlgorithm, JwtKey, KeyFile, Listener, Log, LogFormat,
    LogLevel, MayJoin, Message, MessageRules, MessageUse, OnExceed, OnTooMany, Overflow, Presence,
    PresenceTo, Protocol, RateKey, RateLimit, RawRoute, Receipt, RedisLookup, RejectStyle, Room,
    RoomEvent, RoomLimits, Route, Sanitizer, SentBy, Server, ServerLimits, Service, Session,
    SessionLookup, Shutdown, SignedCookie, Store, Tls, Webhook,
};
pub use read::{ReadError, read};
pub use schema::{Document, DocumentId, Json, Schema, SchemaSource};
pub use spanned::{Spanned, Text};

/// What came of reading.
#[derive(Debug)]
pub struct Read {
    /// Every text that findings point into.
    pub sources: Sources,
    /// What was written, as complete as can be: where a part of it is missing, a finding says so.
    pub config: Config,
    /// What is wrong with it.
    pub findings: Vec<Diagnostic>,
}
