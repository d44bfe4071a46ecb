//! `server.listen`: where, and what is served there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::{self, Service, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::lower::{Lowering, finding};
use crate::plan::{Address, Listener, Serves, Tls, UnixAddress};

/// Whoever is in the group of the server, such as a proxy's user, may connect.
const SOCKET_MODE: u32 = 0o660;
/// What the kernel takes for a Unix socket's path (unix(7)), less a character for making it under another name.
const PATH_BYTES_MAX: usize = 106;

impl Lowering<'_> {
    pub(super) fn listeners(&mut self, server: &config::Server) -> Vec<Option<Listener>> {
        let common = server.tls.as_ref().and_then(|tls| self.tls(tls));
        if server.listen.is_empty() {
            return vec![Some(Listener {
                address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000))),
                metrics_for_all: false,
                serves: Serves::ALL,
                tls: common,
                proxy_protocol: false,
            })];
        }
        let mut listeners: Vec<Option<Listener>> = Vec::new();
        for written in &server.listen {
            let listener = self.listener(written, common.as_ref());
            if let Some(listener) = &listener {
                self.listened_twice(listener, written.span, &listeners);
            }
            listeners.push(listener);
        }
        self.served_nowhere(server);
        self.unix_is_listened_on(server);
        if let Some(tls) = &server.tls
            && common.is_some()
            && !listeners.iter().any(|listener| {
                listener
                    .as_ref()
                    .is_none_or(|listener| listener.tls == common)
            })
        {
            let message = "no listener uses this `tls`".to_owned();
            self.no_effect(
                tls.span,
                message,
                "listen on an address of TCP, or remove it",
            );
        }
        listeners
    }

    fn listener(
        &mut self,
        written: &config::Listener,
        common: Option<&Arc<Tls>>,
    ) -> Option<Listener> {
        let own = written.tls.as_ref().map(|tls| (tls, self.tls(tls)));
        let address = written.address.as_ref().and_then(|text| self.address(text));
        let mode = written.mode.as_ref().map(|text| (text, self.mode(text)));
        let proxy_protocol = written.proxy_protocol.filter(|proxied| proxied.value);
        if let Some(proxied) = proxy_protocol
            && self.config.server.trusted_proxies.is_empty()
        {
            let message =
                "`proxy_protocol` is on, and `trusted_proxies` names nobody who may speak it";
            let help = "name the proxy, as in `trusted_proxies: [10.0.0.5]`, or `unix` for one that comes over a Unix socket";
            let message = message.to_owned();
            self.find(finding(&codes::CONTRADICTION, proxied.span, message, help));
        }
        let (address, tls) = match address? {
            Address::Unix(address) => {
                if let Some((tls, Some(_))) = own {
                    let message =
                        "a Unix socket has no TLS: what is said over it does not leave the machine";
                    let help = "remove `tls` here, or listen on an address of TCP";
                    self.find(finding(
                        &codes::CONTRADICTION,
                        tls.span,
                        message.to_owned(),
                        help,
                    ));
                }
                let mode = mode.and_then(|(_, mode)| mode).unwrap_or(address.mode);
                (Address::Unix(UnixAddress { mode, ..address }), None)
            }
            tcp @ Address::Tcp(_) => {
                if let Some((text, _)) = mode {
                    let message =
                        "an address of TCP has no file whose `mode` could be set".to_owned();
                    self.no_effect(text.span(), message, "remove it");
                }
                let tls = own.map_or_else(|| common.cloned(), |(_, own)| own);
                (tcp, tls)
            }
        };
        let names = |service| {
            let serve = written.serve.as_ref();
            serve.map(|serve| serve.iter().any(|named| named.value == service))
        };
        Some(Listener {
            address,
            metrics_for_all: names(Service::Metrics).unwrap_or(false),
            serves: Serves {
                endpoints: names(Service::Endpoints).unwrap_or(true),
                pages: names(Service::Pages).unwrap_or(true),
                api: names(Service::Api).unwrap_or(true),
            },
            tls,
            proxy_protocol: proxy_protocol.is_some(),
        })
    }

    fn listened_twice(&mut self, listener: &Listener, span: Span, others: &[Option<Listener>]) {
        let address = &listener.address;
        let is_same = |other: &&Listener| match (address, &other.address) {
            (Address::Tcp(one), Address::Tcp(other)) => overlap(*one, *other),
            (Address::Unix(one), Address::Unix(other)) => one.path == other.path,
            _ => false,
        };
        if let Some(other) = others.iter().flatten().find(is_same) {
            let other = &other.address;
            let message = format!("`{address}` is listened on twice");
            let help = if address == other {
                "remove one of them".to_owned()
            } else {
                format!(
                    "remove `{other}` or `{address}`: one of them is every address of this machine"
                )
            };
            self.find(finding(&codes::BAD_ADDRESS, span, message, &help));
        }
    }

    /// Finds trust in who comes over Unix sockets where there are none.
    fn unix_is_listened_on(&mut self, server: &config::Server) {
        let mut addresses = server.listen.iter().filter_map(|one| one.address.as_ref());
        let has_socket = addresses.any(|address| address.as_str().starts_with("unix:"));
        if has_socket || !self.complete {
            return;
        }
        let trusted = server.trusted_proxies.iter();
        for trusted in trusted.filter(|trusted| trusted.as_str() == "unix") {
            let message = "`unix` has no effect: no listener is a Unix socket".to_owned();
            let help = "listen on one, as in `listen: unix:t.sock`, or name the proxy's address";
            self.no_effect(trusted.span(), message, help);
        }
    }

    /// Finds what is declared and served by no listener, and what a listener names that is declared nowhere.
    fn served_nowhere(&mut self, server: &config::Server) {
        let config = self.config;
        let endpoints = config.endpoints.first().map(|(path, _)| path.span);
        let pages = config.pages.first().map(|(path, _)| path.span);
        let api = server.api.as_ref().map(|api| api.span);
        let declared = [
            (Service::Endpoints, endpoints, "endpoints", "`endpoints`"),
            (Service::Pages, pages, "pages", "`pages`"),
            (Service::Api, api, "api", "`server.api`"),
        ];
        let served = server.listen.iter().flat_map(|listener| &listener.serve);
        for console in served
            .flatten()
            .filter(|named| named.value == Service::Console)
        {
            let instead = "take `console` out of this list, and read `/metrics`";
            self.unsupported(console.span, "`console`", instead);
        }
        for (service, declared, word, section) in declared {
            let mut naming = None;
            let mut is_served = false;
            for listener in &server.listen {
                let Some(serve) = &listener.serve else {
                    is_served = true;
                    continue;
                };
                if let Some(named) = serve.iter().find(|named| named.value == service) {
                    naming.get_or_insert(named.span);
                    is_served = true;
                }
            }
            match (declared, naming) {
                (Some(span), _) if !is_served => {
                    let message = format!("no listener serves {section}");
                    let help = format!("add `{word}` to the `serve` of a listener");
                    self.find(finding(&codes::SERVED_NOWHERE, span, message, &help));
                }
                (None, Some(span)) if self.complete => {
                    let message = format!("`{word}` is served here, and the file has no {section}");
                    let help = format!("declare {section}, or take `{word}` out of this list");
                    self.find(finding(&codes::SERVED_NOWHERE, span, message, &help));
                }
                _ => {}
            }
        }
    }

    fn mode(&mut self, text: &Text) -> Option<u32> {
        let digits = text.as_str().strip_prefix("0o").unwrap_or(text.as_str());
        let is_octal =
            (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(digits, 8).ok();
        let mode = mode.filter(|mode| is_octal && *mode <= 0o777);
        if mode.is_none() {
            let message = format!("`{text}` is not a file's mode");
            let help =
                "write it as `chmod` takes it: `0660` for this user and group, `0666` for all";
            self.find(finding(&codes::BAD_ADDRESS, text.span(), message, help));
        }
        mode
    }

    fn address(&mut self, text: &Text) -> Option<Address> {
        let written = text.as_str();
        if let Some(path) = written.strip_prefix("unix:") {
            return self.unix_address(text, path);
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
                _ if written.starts_with('/') => {
                    format!("write `unix:{written}` for a Unix socket")
                }
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
        parsed.map(Address::Tcp)
    }

    /// A path, from the folder of the main file.
    fn unix_address(&mut self, text: &Text, path: &str) -> Option<Address> {
        let full = self.config.folder.join(Path::new(path));
        let len = full.as_os_str().len();
        let message = if path.is_empty() || path.ends_with('/') {
            format!("`{text}` names no file")
        } else if len > PATH_BYTES_MAX {
            format!("the path of `{text}` has {len} bytes; the system takes {PATH_BYTES_MAX}")
        } else {
            return Some(Address::Unix(UnixAddress {
                path: full.into(),
                mode: SOCKET_MODE,
            }));
        };
        let help = "write the path of the socket, such as `unix:/run/trunkline.sock`";
        self.find(finding(&codes::BAD_ADDRESS, text.span(), message, help));
        None
    }
}

/// Whether two listeners cannot both have what they ask for: where one is every address of its family, it is the other's too.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_wide = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same_family = one.is_ipv4() == other.is_ipv4();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (is_wide && is_same_family))
}
