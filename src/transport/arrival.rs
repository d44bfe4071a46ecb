//! What a request says: its path, its query, where it came from, which page sent it.

use std::net::IpAddr;
use std::sync::Arc;

use salvo::Request;
use salvo::http::header::{HOST, HeaderMap, ORIGIN};

use crate::plan::{AuthMethod, Credential, Endpoint, Network, Origins, Place};
use crate::vocab::{Parameters, Position, RoomName};

/// The address that a request counts as: the peer's, or what a trusted proxy says of it.
pub(super) fn client_ip(request: &Request, trusted: &[Network]) -> Option<IpAddr> {
    let peer = request
        .remote_addr()
        .clone()
        .into_std()?
        .ip()
        .to_canonical();
    Some(forwarded_for(peer, request.headers(), trusted))
}

/// The last address in `X-Forwarded-For` that is no trusted proxy's: what stands before it, anyone may have written.
fn forwarded_for(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    let values = headers.get_all("x-forwarded-for").iter().rev();
    for value in values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',')) {
        let Some(address) = address_of(value.trim()) else {
            return nearest;
        };
        nearest = address.to_canonical();
        if !is_trusted(&nearest) {
            return nearest;
        }
    }
    nearest
}

/// An address, perhaps with a port as some proxies write it.
fn address_of(text: &str) -> Option<IpAddr> {
    let with_port = || {
        text.parse::<std::net::SocketAddr>()
            .map(|address| address.ip())
    };
    let in_brackets = || text.trim_matches(['[', ']']).parse();
    text.parse()
        .or_else(|_| with_port())
        .or_else(|_| in_brackets())
        .ok()
}

/// The query of the URL. salvo's own reading makes a map of maps of it, which costs a handshake a microsecond.
pub(super) fn query(request: &Request) -> Parameters {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (Arc::<str>::from(name), Box::<str>::from(value)))
        .collect()
}

/// The query without credentials and positions: what rules may see, and what is kept.
pub(in crate::transport) fn harmless(query: &Parameters, endpoint: &Endpoint) -> Parameters {
    let secret: Vec<&str> = endpoint
        .auth
        .iter()
        .flat_map(|mode| query_places(&mode.method))
        .collect();
    query
        .iter()
        .filter(|(name, _)| !["since", JOIN_TOKEN].contains(name) && !secret.contains(name))
        .collect()
}

fn query_places(method: &AuthMethod) -> Vec<&str> {
    let AuthMethod::Jwt(jwt) = method else {
        return Vec::new();
    };
    let Credential::Request(places) = &jwt.credential else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for place in places {
        if let Place::Query(name) = place {
            names.push(&**name);
        }
    }
    names
}

/// The query parameter that brings a join token.
const JOIN_TOKEN: &str = "join_token";

/// The tokens that let into automatic rooms: as many as there are such rooms, since each may be verified for each.
pub(super) fn join_tokens(query: &Parameters, endpoint: &Endpoint) -> Vec<Box<str>> {
    let values = query.iter().filter(|(name, _)| *name == JOIN_TOKEN);
    let tokens = values.map(|(_, value)| value.into());
    tokens.take(endpoint.auto_join.len()).collect()
}

/// The positions that `since` names, of as many rooms as a connection may be in.
///
/// # Errors
/// One of them is no position.
pub(super) fn since(
    query: &Parameters,
    rooms_max: usize,
) -> Result<Vec<(RoomName, Position)>, String> {
    let values = query
        .iter()
        .filter(|(name, _)| *name == "since")
        .take(rooms_max);
    values
        .map(|(_, value)| {
            let shown: String = value.chars().take(128).collect();
            Position::parse_of_room(value)
                .map_err(|error| format!("`since={shown}` is not ROOM@EPOCH-SEQ: {error}"))
        })
        .collect()
}

/// Whether the page that sent the request may; one without `Origin` is not from a browser's page.
pub(in crate::transport) fn origin_is_allowed(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if origins.any
        || origins
            .listed
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origins.same && host.is_some_and(|host| is_same(origin, host))
}

/// Whether an origin is a page of `host`, whose scheme a proxy may have changed (RFC 6454 §4, §6.2).
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let bare = |authority: &str| {
        authority
            .strip_suffix(port)
            .unwrap_or(authority)
            .to_ascii_lowercase()
    };
    bare(authority) == bare(host)
}

impl Network {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u32| bits - u32::from(self.prefix).min(bits);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let difference = network.to_bits() ^ address.to_bits();
                difference.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use salvo::http::header::{HeaderMap, HeaderValue};

    use super::{forwarded_for, is_same, origin_is_allowed};
    use crate::plan::{Network, Origins};

    fn network(address: &str, prefix: u8) -> Network {
        Network {
            address: address.parse().expect("an address"),
            prefix,
        }
    }

    #[test]
    fn networks_contain_by_prefix() {
        for (network_of, address, expected) in [
            (network("10.0.0.0", 8), "10.200.3.4", true),
            (network("10.0.0.0", 8), "11.0.0.1", false),
            (network("0.0.0.0", 0), "8.8.8.8", true),
            (network("127.0.0.1", 32), "127.0.0.1", true),
            (network("127.0.0.1", 32), "127.0.0.2", false),
            (network("fd00::", 8), "fd12::1", true),
            (network("fd00::", 8), "10.0.0.1", false),
        ] {
            assert_eq!(
                network_of.contains(address.parse().expect("an address")),
                expected,
                "{address}"
            );
        }
    }

    #[test]
    fn forwarded_addresses_are_believed_of_trusted_proxies_alone() {
        let trusted = [network("10.0.0.0", 8)];
        for (peer, header, expected) in [
            ("8.8.8.8", "1.2.3.4", "8.8.8.8"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
            ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
            ("10.0.0.1", "[2001:db8::1]:5678", "2001:db8::1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(header));
            let found = forwarded_for(peer.parse().expect("an address"), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {header}");
        }
    }

    #[test]
    fn origins() {
        for (origin, host, same) in [
            ("http://localhost:8000", "localhost:8000", true),
            ("https://App.example.com", "app.example.com", true),
            ("https://app.example.com:443", "app.example.com", true),
            ("https://app.example.com", "app.example.com:443", true),
            ("https://app.example.com.evil", "app.example.com", false),
            ("http://localhost:9000", "localhost:8000", false),
            ("null", "localhost", false),
        ] {
            assert_eq!(is_same(origin, host), same, "{origin} {host}");
        }
        let listed = Origins {
            same: false,
            any: false,
            listed: vec!["https://app.example.com".into()],
        };
        let mut headers = HeaderMap::new();
        assert!(origin_is_allowed(&headers, &listed), "not a browser");
        headers.insert(
            "origin",
            HeaderValue::from_static("https://app.example.com"),
        );
        assert!(origin_is_allowed(&headers, &listed));
        headers.insert("origin", HeaderValue::from_static("https://evil.example"));
        assert!(!origin_is_allowed(&headers, &listed));
    }
}
