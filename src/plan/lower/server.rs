//! `server`, `pages` and `webhooks`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::{self, Broker, Service, Spanned, Store, Text, Tls};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::lower::shape::Shape;
use crate::plan::lower::{Lowering, finding, shown};
use crate::plan::{Api, ApiKey, Listener, Log, LogFormat, LogLevel, Network, Page, Server};
use crate::vocab::{ByteSize, Pattern};

const CONNECTIONS_MAX: usize = 100_000;
const CONNECTIONS_PER_IP_MAX: usize = 1000;
const HTTP_CONNECTIONS_MAX: usize = 4000;
const BLOCKS_MAX: usize = 100_000;
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
const SHUTDOWN_SPREAD: Duration = Duration::from_secs(5);
const STORE_BYTES_MAX: ByteSize = ByteSize::from_bytes(256 << 20);
const API_SECRET_BYTES_MIN: usize = 16;
/// Paths that the server itself answers.
const OWN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

impl Lowering<'_> {
    pub(super) fn server(&mut self) -> Option<Server> {
        let server = &self.config.server;
        self.unsupported_server(server);
        let listen = self.listeners(server);
        let trusted_proxies: Vec<_> = server
            .trusted_proxies
            .iter()
            .map(|text| self.network(text))
            .collect();
        let limits = &server.limits;
        let store_max = match server.store.as_ref().map(|store| &store.value) {
            Some(Store::Memory { max }) => *max,
            _ => None,
        };
        Some(Server {
            connections_max: self.above_zero(limits.connections, CONNECTIONS_MAX, "connections"),
            connections_per_ip_max: self.above_zero(
                limits.connections_per_ip,
                CONNECTIONS_PER_IP_MAX,
                "connections_per_ip",
            ),
            blocks_max: self.above_zero(limits.blocks, BLOCKS_MAX, "blocks"),
            http_connections_max: self.above_zero(
                limits.http_connections,
                HTTP_CONNECTIONS_MAX,
                "http_connections",
            ),
            memory_max: limits
                .memory
                .map(|memory| self.above_zero(Some(memory), memory.value, "memory")),
            handshake_timeout: self.above_zero(limits.handshake, HANDSHAKE_TIMEOUT, "handshake"),
            shutdown_grace: value(server.shutdown.grace, SHUTDOWN_GRACE),
            shutdown_spread: value(server.shutdown.spread, SHUTDOWN_SPREAD),
            store_bytes_max: self.above_zero(store_max, STORE_BYTES_MAX, "max"),
            api: server.api.as_ref().map(|api| self.api(&api.value)),
            log: log(&server.log),
            listen: listen.into_iter().collect::<Option<_>>()?,
            trusted_proxies: trusted_proxies.into_iter().collect::<Option<_>>()?,
        })
    }

    fn unsupported_server(&mut self, server: &config::Server) {
        if let Some(tls) = &server.tls {
            self.unsupported_tls(tls);
        }
        if let Some(broker) = &server.broker {
            let what = match broker.value {
                Broker::Memory => None,
                Broker::Redis { .. } => Some("`broker: redis`"),
                Broker::Nats { .. } => Some("`broker: nats`"),
            };
            if let Some(what) = what {
                self.unsupported(broker.span, what, "write `broker: memory` and run one node");
            }
        }
        if let Some(store) = &server.store
            && matches!(store.value, Store::Disk { .. })
        {
            let instead = "write `store: memory`: it survives a client's disconnect, not a restart";
            self.unsupported(store.span, "`store: disk`", instead);
        }
        if let Some(console) = &server.console {
            let instead = "read `/metrics`";
            self.unsupported(console.span, "`console`", instead);
        }
    }

    fn unsupported_tls(&mut self, tls: &Spanned<Tls>) {
        let what = match tls.value {
            Tls::Files { .. } => "`tls`",
            Tls::Acme(_) => "`tls` with `acme`",
        };
        let instead = "let a proxy in front (Caddy, nginx, a load balancer) end TLS, and name it in `trusted_proxies`";
        self.unsupported(tls.span, what, instead);
    }

    fn listeners(&mut self, server: &config::Server) -> Vec<Option<Listener>> {
        if server.listen.is_empty() {
            return vec![Some(Listener {
                address: SocketAddr::from(([127, 0, 0, 1], 8000)),
                metrics_for_all: false,
            })];
        }
        let mut listeners: Vec<Option<Listener>> = Vec::new();
        let api = server.api.is_some();
        for written in &server.listen {
            if let Some(tls) = &written.tls {
                self.unsupported_tls(tls);
            }
            if let Some(proxied) = written.proxy_protocol.filter(|proxied| proxied.value) {
                let instead =
                    "let the proxy send `X-Forwarded-For`, and name it in `trusted_proxies`";
                self.unsupported(proxied.span, "`proxy_protocol`", instead);
            }
            let metrics_for_all = self.served(written, api);
            let address = written.address.as_ref().and_then(|text| self.address(text));
            if let Some(address) = address
                && address.port() != 0
                && listeners
                    .iter()
                    .flatten()
                    .any(|other| other.address == address)
            {
                let message = format!("`{address}` is listened on twice");
                self.find(finding(
                    &codes::BAD_ADDRESS,
                    written.span,
                    message,
                    "remove one of them",
                ));
            }
            listeners.push(address.map(|address| Listener {
                address,
                metrics_for_all,
            }));
        }
        listeners
    }

    /// Whether metrics are for all; a finding where something is left out that every listener serves.
    fn served(&mut self, listener: &config::Listener, api: bool) -> bool {
        let Some(serve) = &listener.serve else {
            return false;
        };
        let names = |service| serve.iter().any(|named| named.value == service);
        let complete = names(Service::Endpoints) && (!api || names(Service::Api));
        if !complete {
            let span = serve.first().map_or(listener.span, |first| first.span);
            let instead = "every listener serves all: leave `serve` out, or write `serve: [endpoints, api, metrics]` to show metrics to all";
            self.unsupported(span, "a `serve` that leaves something out", instead);
        }
        names(Service::Metrics)
    }

    fn address(&mut self, text: &Text) -> Option<SocketAddr> {
        let written = text.as_str();
        if written.starts_with("unix:") {
            let instead = "listen on a port of this machine, such as `127.0.0.1:8000`";
            self.unsupported(text.span(), "`unix:`", instead);
            return None;
        }
        let local = written
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        let parsed = local.as_deref().unwrap_or(written).parse().ok();
        if parsed.is_none() {
            let port = written.rsplit(':').next().unwrap_or_default();
            let host = written.strip_suffix(port).unwrap_or_default();
            let named = host.contains(|c: char| c.is_ascii_alphabetic()) && !text.is_expanded();
            let help = match port.parse::<u16>() {
                Ok(_) if named => format!(
                    "names are not looked up here: write `127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for all, or one of this machine's addresses"
                ),
                Ok(_) if !text.is_expanded() => format!(
                    "write `127.0.0.1:{port}` for this machine alone, or `0.0.0.0:{port}` for all"
                ),
                _ => "write an address and a port, such as `127.0.0.1:8000`".to_owned(),
            };
            let message = format!("`{text}` is not an address to listen on");
            let diagnostic = Diagnostic::new(&codes::BAD_ADDRESS, text.span(), message);
            self.find(diagnostic.help(help));
        }
        parsed
    }

    fn network(&mut self, text: &Text) -> Option<Network> {
        let (network, exact) = match read_network(text.as_str()) {
            Some(network) => (Some(network), network.address == first_address(network)),
            None => (None, false),
        };
        match network {
            Some(network) if exact => Some(network),
            Some(network) => {
                let first = first_address(network);
                let message = format!("`{text}` is an address within a range, not a range");
                let help = format!(
                    "write `{first}/{}` for the range, or the address alone for one machine",
                    network.prefix
                );
                self.find(Diagnostic::new(&codes::BAD_NETWORK, text.span(), message).help(help));
                None
            }
            None => {
                let message = format!("`{text}` is not a range of addresses");
                let help = "write it as `10.0.0.0/8`, `fd00::/8` or one address";
                self.find(finding(&codes::BAD_NETWORK, text.span(), message, help));
                None
            }
        }
    }

    fn api(&mut self, api: &config::Api) -> Api {
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

    pub(super) fn pages(&mut self) -> Vec<Page> {
        let config = self.config;
        let mut pages = Vec::new();
        for (path, folder) in &config.pages {
            let parsed = Pattern::parse_path(&path.value);
            let plain = parsed
                .as_ref()
                .is_ok_and(|path| path.parameters().next().is_none());
            if !plain {
                let message = format!("`{}` is not a path without parameters", path.value);
                let help = "write the path below which the files stand, such as `/` or `/demo`";
                self.find(finding(&codes::BAD_PATTERN, path.span, message, help));
            }
            let mut endpoints = config.endpoints.iter().map(|(endpoint, _)| endpoint);
            if let Some(other) = endpoints.find(|endpoint| endpoint.value == path.value) {
                let message = format!("`{}` is an endpoint and a folder of pages", path.value);
                let help = "move one of them: pages may stand around an endpoint, not on it";
                let finding = finding(&codes::PATH_COLLISION, path.span, message, help);
                self.find(finding.also(other.span, "the endpoint"));
            }
            if self.files.list(&folder.value).is_err() {
                let message = format!(
                    "the folder `{}` does not exist",
                    shown(config, &folder.value)
                );
                let help = "folders are relative to the file that names them: create it, or correct the path";
                self.find(finding(&codes::MISSING_FOLDER, folder.span, message, help));
            }
            pages.push(Page {
                path: path.value.as_str().into(),
                folder: folder.value.clone(),
            });
        }
        self.own_paths();
        pages
    }

    /// Finds endpoints on paths that the server itself answers.
    fn own_paths(&mut self) {
        let config = self.config;
        let api = config.server.api.is_some();
        for (path, _) in &config.endpoints {
            let below = path
                .value
                .strip_prefix("/api")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let (taken, by) = match path.value.as_str() {
                own if OWN_PATHS.contains(&own) => (true, "the server itself"),
                _ => (api && below, "the HTTP API"),
            };
            if taken {
                let message = format!("`{}` is answered by {by}", path.value);
                let help = format!("choose another path, such as `/ws{}`", path.value);
                let diagnostic = Diagnostic::new(&codes::PATH_COLLISION, path.span, message);
                self.find(diagnostic.help(help));
            }
        }
    }

    /// Finds that webhooks do not run, at each that is declared.
    pub(super) fn webhooks(&mut self) {
        for (name, _) in &self.config.webhooks {
            let what = format!("the webhook `{}`", name.value);
            let instead = "let the application join the room as a client, which hears the same";
            self.unsupported(name.span, &what, instead);
        }
    }
}

pub(super) fn value<T: Copy>(written: Option<Spanned<T>>, default: T) -> T {
    written.map_or(default, |written| written.value)
}

fn read_network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        "" if !text.contains('/') => bits,
        prefix => prefix.parse().ok().filter(|prefix| *prefix <= bits)?,
    };
    Some(Network { address, prefix })
}

/// The address of `network` whose bits behind the prefix are zero.
fn first_address(network: Network) -> IpAddr {
    match network.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(network.prefix))
                .unwrap_or(0);
            IpAddr::from((u32::from(address) & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(network.prefix))
                .unwrap_or(0);
            IpAddr::from((u128::from(address) & mask).to_be_bytes())
        }
    }
}

fn log(log: &config::Log) -> Log {
    Log {
        level: match log.level.map(|level| level.value) {
            Some(config::LogLevel::Error) => LogLevel::Error,
            Some(config::LogLevel::Warn) => LogLevel::Warn,
            Some(config::LogLevel::Info) | None => LogLevel::Info,
            Some(config::LogLevel::Debug) => LogLevel::Debug,
            Some(config::LogLevel::Trace) => LogLevel::Trace,
        },
        format: match log.format.map(|format| format.value) {
            Some(config::LogFormat::Pretty) | None => LogFormat::Pretty,
            Some(config::LogFormat::Json) => LogFormat::Json,
        },
    }
}
