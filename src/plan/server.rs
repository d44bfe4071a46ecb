//! `server` and `pages`: where and how much.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{CountLimit, HostName, Origins};
use crate::vocab::{ByteSize, Secret};

/// `server`.
#[derive(Debug)]
pub struct Server {
    /// The addresses to listen on.
    pub listen: Vec<Listener>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The names under which it is reached; empty: any. Addresses and `localhost` always are.
    pub hosts: Vec<HostName>,
    /// Connections at a time.
    pub connections: CountLimit,
    /// Connections of one address at a time; IPv6 counts by /64.
    pub connections_per_ip: CountLimit,
    /// Connections that speak HTTP at a time: handshakes under way, calls of the API, those kept alive.
    pub http_connections_max: usize,
    /// Users, tokens and addresses that the application keeps out at a time.
    pub blocks_max: usize,
    /// Users, addresses and rooms that rate limits keep buckets for, all limits together.
    pub tracked_keys_max: usize,
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
    /// Where.
    pub address: Address,
    /// Whether `/metrics` answers peers that are not on this machine.
    pub metrics_for_all: bool,
    /// What else it serves.
    pub serves: Serves,
    /// TLS, where it is spoken; listeners that share one share its certificates.
    pub tls: Option<Arc<Tls>>,
    /// Whether connections begin with a PROXY header of one of the trusted proxies.
    pub proxy_protocol: bool,
}

/// What a listener serves, as far as the file declares it. Health, and metrics for this machine, are everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// The endpoints.
    pub endpoints: bool,
    /// The pages.
    pub pages: bool,
    /// The HTTP API.
    pub api: bool,
}

impl Serves {
    /// All there is.
    pub const ALL: Self = Self {
        endpoints: true,
        pages: true,
        api: true,
    };
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// The path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixAddress {
    /// Where its file stands.
    pub path: Box<Path>,
    /// The file's mode: whoever may write to it may connect.
    pub mode: u32,
}

/// As the file writes it: `127.0.0.1:8000`, `unix:/run/trunkline.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(address) => write!(f, "unix:{}", address.path.display()),
        }
    }
}

/// The address that a client counts as who comes over a Unix socket and of whom no trusted proxy says more: one that no client can
/// have. It is limited by no limit for addresses, and `trusted_proxies: [unix]` is the network of it alone.
pub const UNIX_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// `tls`: where the certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From files, the first for clients that name no host.
    Files(Vec<CertificateFiles>),
    /// From an authority.
    Acme(Acme),
}

/// `tls.acme`: a certificate that an authority gives to whoever answers under its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names, at least one, in small letters.
    pub domains: Vec<Box<str>>,
    /// Whom the authority may write to.
    pub email: Option<Box<str>>,
    /// The URL of the authority's directory. Its terms are agreed to.
    pub directory: Box<str>,
    /// The folder that accounts and certificates are kept in.
    pub cache: PathBuf,
    /// The roots to trust at the authority; none: the system's.
    pub ca_file: Option<PathBuf>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
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
    /// The pages whose scripts may call it; none: none may, as browsers have it.
    pub cors: Option<Origins>,
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
    /// Headers that go with every file, by name: those of the file, and the defaults that it leaves.
    pub headers: Vec<(Box<str>, Box<str>)>,
}
