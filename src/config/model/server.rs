//! `server`: where and how much.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{OnExceed, Spanned, Text};
use crate::diag::Span;
use crate::vocab::{ByteSize, Secret};

/// `server`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Where the section is written.
    pub span: Option<Span>,
    /// `description`.
    pub description: Option<Text>,
    /// `listen`: one address or a list.
    pub listen: Vec<Listener>,
    /// `tls`: for every listener that has none of its own.
    pub tls: Option<Spanned<Tls>>,
    /// `trusted_proxies`: whose `X-Forwarded-For` and PROXY protocol are believed.
    pub trusted_proxies: Vec<Text>,
    /// `limits`.
    pub limits: ServerLimits,
    /// `shutdown`.
    pub shutdown: Shutdown,
    /// `broker`: what carries rooms across nodes.
    pub broker: Option<Spanned<Broker>>,
    /// `store`: what keeps logs and inboxes.
    pub store: Option<Spanned<Store>>,
    /// `api`: HTTP for application servers; absent: off.
    pub api: Option<Spanned<Api>>,
    /// `console`: the operator's page; absent: off.
    pub console: Option<Spanned<Console>>,
    /// `log`.
    pub log: Log,
    /// `on_exceed`: what a limit does unless it says otherwise.
    pub on_exceed: Option<Spanned<OnExceed>>,
}

/// `server.listen`: one address and what is served there. `HOST:PORT` alone is `{address: HOST:PORT}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where it is written.
    pub span: Span,
    /// `address`, required: `HOST:PORT` or `unix:PATH`.
    pub address: Option<Text>,
    /// `tls`.
    pub tls: Option<Spanned<Tls>>,
    /// `serve`: absent: everything that is on, metrics and console only for loopback.
    pub serve: Option<Vec<Spanned<Service>>>,
    /// `proxy_protocol`: connections begin with the PROXY protocol.
    pub proxy_protocol: Option<Spanned<bool>>,
}

/// What an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `endpoints`: the endpoints and pages.
    Endpoints,
    /// `api`.
    Api,
    /// `metrics`.
    Metrics,
    /// `console`.
    Console,
}

/// `tls`.
#[derive(Clone, Debug, PartialEq)]
pub enum Tls {
    /// `{certificate, key}`: PEM files.
    Files {
        /// `certificate`, required: the chain.
        certificate: Option<Spanned<PathBuf>>,
        /// `key`, required.
        key: Option<Spanned<PathBuf>>,
    },
    /// `{acme}`: certificates that are fetched.
    Acme(Acme),
}

/// `tls.acme`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acme {
    /// `domains`, required.
    pub domains: Vec<Text>,
    /// `email`.
    pub email: Option<Text>,
}

/// `server.limits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerLimits {
    /// `connections`: at a time.
    pub connections: Option<Spanned<usize>>,
    /// `connections_per_ip`: of one address at a time.
    pub connections_per_ip: Option<Spanned<usize>>,
    /// `http_connections`: those that are no WebSockets, or not yet.
    pub http_connections: Option<Spanned<usize>>,
    /// `unauthenticated`: those whose user is not known yet.
    pub unauthenticated: Option<Spanned<usize>>,
    /// `memory`: above it new connections are refused.
    pub memory: Option<Spanned<ByteSize>>,
    /// `handshake`: how long a handshake may take, credential included.
    pub handshake: Option<Spanned<Duration>>,
}

/// `server.shutdown`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shutdown {
    /// `grace`: how long connections may take to end by themselves.
    pub grace: Option<Spanned<Duration>>,
    /// `spread`: within which clients are told to come back at a random moment.
    pub spread: Option<Spanned<Duration>>,
}

/// `server.broker`. `memory` alone is `{memory: {}}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Broker {
    /// One node.
    Memory,
    /// `redis`.
    Redis {
        /// `url` or `url_file`, required; it may hold a password.
        url: Option<Spanned<Secret>>,
    },
    /// `nats`.
    Nats {
        /// `url` or `url_file`, required; it may hold a password.
        url: Option<Spanned<Secret>>,
    },
}

/// `server.store`. `memory` alone is `{memory: {}}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    /// `memory`.
    Memory {
        /// `max`: bytes in all.
        max: Option<Spanned<ByteSize>>,
    },
    /// `disk`.
    Disk {
        /// `path`, required: the folder.
        path: Option<Spanned<PathBuf>>,
    },
}

/// `server.api`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Api {
    /// `description`.
    pub description: Option<Text>,
    /// `keys`, required: by name.
    pub keys: Vec<(Spanned<String>, ApiKey)>,
}

/// `server.api.keys.NAME`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiKey {
    /// `description`.
    pub description: Option<Text>,
    /// `secret` or `secret_file`, required: what the application sends.
    pub secret: Option<Spanned<Secret>>,
    /// `scopes`, required: what the key is good for.
    pub scopes: Vec<Spanned<ApiScope>>,
    /// `rooms`: names with `*` for any text; absent: all.
    pub rooms: Option<Vec<Text>>,
}

/// What a key of the HTTP API is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiScope {
    /// `publish`.
    Publish,
    /// `read`.
    Read,
    /// `disconnect`.
    Disconnect,
}

/// `server.console`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Console {
    /// `path`: where the page is; default `/console`.
    pub path: Option<Text>,
    /// `key` or `key_file`, required.
    pub key: Option<Spanned<Secret>>,
}

/// `server.log`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// `level`: the lowest that is written.
    pub level: Option<Spanned<LogLevel>>,
    /// `format`: how lines look.
    pub format: Option<Spanned<LogFormat>>,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `error`.
    Error,
    /// `warn`.
    Warn,
    /// `info`.
    Info,
    /// `debug`.
    Debug,
    /// `trace`.
    Trace,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `pretty`.
    Pretty,
    /// `json`.
    Json,
}
