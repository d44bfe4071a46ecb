//! Where connections go: a URL with places in it.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::loadgen::BenchError;
use crate::loadgen::template::{Place, Template};

/// How long each address of a name has for its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// A `ws://` URL in which `{room}` and `{n}` are places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// With the port where it is not 80: what the Host header says (RFC 9110 §7.2).
    authority: Box<str>,
    port: u16,
    resource: Template,
}

impl Target {
    /// Reads a URL (RFC 6455 §3).
    ///
    /// # Errors
    /// Another scheme than `ws`, no host, a port that is none, or what may not stand in a URL.
    pub fn parse(url: &str) -> Result<Self, BenchError> {
        let wrong = |reason| BenchError::Url {
            url: without_secrets(url),
            reason,
        };
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("wss") => return Err(wrong(WSS)),
            _ => return Err(wrong("it has to begin with `ws://`")),
        };
        if rest
            .bytes()
            .any(|byte| byte <= b' ' || byte == 0x7F || byte == b'#')
        {
            return Err(wrong("it has a space, a control character or a `#` in it"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, resource) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("credentials go into --token or --header"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse()
                    .map_err(|_| wrong("its port is no number up to 65535"))?,
            ),
            _ => (authority, 80),
        };
        if host.is_empty() || host.contains(['{', '}']) {
            return Err(wrong("it names no host"));
        }
        let slash = if resource.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: authority.into(),
            port,
            resource: Template::text(&format!("{slash}{resource}")),
        })
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query for one connection.
    pub(super) fn resource(&self, place: Place) -> String {
        self.resource.expand(place)
    }

    /// Whether connections to different rooms get different URLs.
    pub(super) fn tells_rooms_apart(&self) -> bool {
        self.resource.tells_rooms_apart()
    }

    /// The first address of the host on which something listens.
    pub(super) fn resolve(&self) -> Result<SocketAddr, BenchError> {
        let host = self
            .authority
            .trim_end_matches(|c: char| c.is_ascii_digit());
        let host = match host.strip_suffix(':') {
            Some(host) if host.len() < self.authority.len() => host,
            _ => &self.authority,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |source| BenchError::Host {
            host: host.to_owned(),
            source,
        };
        let addresses = (host, self.port).to_socket_addrs().map_err(unknown)?;
        let mut failure = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect_timeout(&address, FIRST_ANSWER) {
                Ok(_) => return Ok(address),
                Err(error) => failure = error,
            }
        }
        Err(BenchError::Unreachable {
            authority: self.authority.to_string(),
            source: failure,
        })
    }
}

/// A URL that may be shown: without a password, and without the query, where tokens stand.
pub(super) fn without_secrets(url: &str) -> String {
    let (url, query) = match url.split_once('?') {
        Some((url, _)) => (url, "?…"),
        None => (url, ""),
    };
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}{query}"),
        None => format!("{url}{query}"),
    }
}

const WSS: &str = "`wss://` is not supported: encryption would be most of what is measured; aim behind the proxy that \
                   terminates TLS, or put one such as stunnel in front of this client";

#[cfg(test)]
mod tests {
    use super::Target;
    use crate::loadgen::template::Place;

    #[test]
    fn urls() {
        let place = Place {
            room: 3,
            number: 31,
        };
        for (url, authority, port, resource) in [
            (
                "ws://127.0.0.1:8000/ws/{room}",
                "127.0.0.1:8000",
                8000,
                "/ws/3",
            ),
            ("WS://localhost", "localhost", 80, "/"),
            ("ws://localhost?n={n}", "localhost", 80, "/?n=31"),
            ("ws://[::1]:9/x", "[::1]:9", 9, "/x"),
            ("ws://[::1]/x", "[::1]", 80, "/x"),
        ] {
            let target = Target::parse(url).expect(url);
            assert_eq!((target.authority(), target.port), (authority, port));
            assert_eq!(target.resource(place), resource, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (url, reason) in [
            ("127.0.0.1:8000/ws", "`ws://`"),
            ("http://127.0.0.1/ws", "`ws://`"),
            ("wss://example.org/ws", "not supported"),
            ("ws://", "host"),
            ("ws:///ws", "host"),
            ("ws://:80/ws", "host"),
            ("ws://{room}/ws", "host"),
            ("ws://a:99999/", "port"),
            ("ws://a:b/", "port"),
            ("ws://a/b c", "space"),
            ("ws://a/b#c", "`#`"),
            ("ws://ann:secret@a/", "--token"),
            ("http://a/?token=secret", "`ws://`"),
        ] {
            let message = Target::parse(url).expect_err(url).to_string();
            assert!(!message.contains("secret"), "{message}");
            assert!(message.contains(reason), "{url}: {message}");
        }
    }

    #[test]
    fn a_name_becomes_the_address_on_which_something_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("ws://{host}:{}/", address.port());
            let resolved = Target::parse(&url).expect("a URL").resolve();
            assert_eq!(resolved.expect("it listens"), address);
        }
        drop(listener);
        let url = format!("ws://{address}/");
        assert!(Target::parse(&url).expect("a URL").resolve().is_err());
    }
}
