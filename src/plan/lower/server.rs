//! `server`.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::{self, Broker, Spanned, Store, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{Log, LogFormat, LogLevel, Network, Server, UNIX_PEER};
use crate::vocab::ByteSize;

const CONNECTIONS_MAX: usize = 100_000;
const CONNECTIONS_PER_IP_MAX: usize = 1000;
const HTTP_CONNECTIONS_MAX: usize = 4000;
const TRACKED_KEYS_MAX: usize = 1_000_000;
const BLOCKS_MAX: usize = 100_000;
const UNAUTHENTICATED_MAX: usize = 1000;
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
const SHUTDOWN_SPREAD: Duration = Duration::from_secs(5);
const STORE_BYTES_MAX: ByteSize = ByteSize::from_bytes(256 << 20);

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
        self.idle_dry_run(
            limits.dry_run,
            &[limits.connections, limits.connections_per_ip],
        );
        let store_max = match server.store.as_ref().map(|store| &store.value) {
            Some(Store::Memory { max }) => *max,
            _ => None,
        };
        let hosts = self.hosts();
        Some(Server {
            connections: self.count_limit(
                limits.connections,
                CONNECTIONS_MAX,
                "connections",
                limits.dry_run,
            ),
            connections_per_ip: self.count_limit(
                limits.connections_per_ip,
                CONNECTIONS_PER_IP_MAX,
                "connections_per_ip",
                limits.dry_run,
            ),
            tracked_keys_max: self.above_zero(
                limits.tracked_keys,
                TRACKED_KEYS_MAX,
                "tracked_keys",
            ),
            blocks_max: self.above_zero(limits.blocks, BLOCKS_MAX, "blocks"),
            http_connections_max: self.above_zero(
                limits.http_connections,
                HTTP_CONNECTIONS_MAX,
                "http_connections",
            ),
            unauthenticated_max: self.above_zero(
                limits.unauthenticated,
                UNAUTHENTICATED_MAX,
                "unauthenticated",
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
            hosts: hosts?,
        })
    }

    fn unsupported_server(&mut self, server: &config::Server) {
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

    fn network(&mut self, text: &Text) -> Option<Network> {
        if text.as_str() == "unix" {
            return Some(Network {
                address: UNIX_PEER,
                prefix: 32,
            });
        }
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
                let help = "write it as `10.0.0.0/8`, `fd00::/8` or one address, or `unix` for those that come over Unix sockets";
                self.find(finding(&codes::BAD_NETWORK, text.span(), message, help));
                None
            }
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
