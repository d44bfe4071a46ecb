//! `server` and `pages`: where and how much.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::vocab::{ByteSize, Secret};

/// `server`.
#[derive(Debug)]
pub struct Server {
    /// The addresses to listen on.
    pub listen: Vec<Listener>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time; IPv6 counts by /64.
    pub connections_per_ip_max: usize,
    /// Connections that speak HTTP at a time: handshakes under way, calls of the API, those kept alive.
    pub http_connections_max: usize,
    /// Connections whose user is not known yet at a time: those that wait for their first message or for the application.
    pub unauthenticated_max: usize,
    /// The ceiling of the process's memory; none for a share of the machine's.
    pub memory_max: Option<ByteSize>,
    /// How long a handshake may take, credential included.
    pub handshake_timeout: Duration,
    /// How long a shutdown waits for connections to end by themselves.
    pub shutdown_grace: Duration,
    /// Within which clients are told to come back at a random moment.
    pub shutdown_spread: Duration,
    /// What the memory store may keep in all.
    pub store_bytes_max: ByteSize,
    /// The HTTP API, where it is on.
    pub api: Option<Api>,
    /// What is logged.
    pub log: Log,
}

/// One address and what is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Host and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether `/metrics` answers peers that are not on this machine.
    pub metrics_for_all: bool,
}

/// A range of addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// `server.api`.
#[derive(Debug)]
pub struct Api {
    /// Its keys.
    pub keys: Vec<ApiKey>,
}

/// One key of the HTTP API.
#[derive(Debug)]
pub struct ApiKey {
    /// The key's name, for logs.
    pub name: Arc<str>,
    /// What the application sends.
    pub secret: Secret,
    /// It may publish.
    pub publish: bool,
    /// It may read.
    pub read: bool,
    /// It may disconnect.
    pub disconnect: bool,
    /// The rooms it may use: `*` stands for any text within a name. Empty: all.
    pub rooms: Vec<Box<str>>,
}

/// `server.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The lowest level that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// Levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults.
    Error,
    /// What deserves a look.
    Warn,
    /// The life of the server.
    Info,
    /// The life of connections and every refusal.
    Debug,
    /// Everything.
    Trace,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// A folder of static files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The URL path below which they stand.
    pub path: Box<str>,
    /// The folder.
    pub folder: PathBuf,
}
