//! What a request says: its path, its query, where it came from.

use std::net::IpAddr;
use std::sync::Arc;

use salvo::Request;
use salvo::http::header::{HeaderMap, HeaderValue};

use crate::plan::{AuthMethod, Credential, Endpoint, Forward, Network, Place, UNIX_PEER};
use crate::transport::proxied::speaks_for_others;
use crate::vocab::{Parameters, Position, RoomName};

/// The address that a request counts as: the peer's, or what a trusted proxy says of it. Over a Unix socket, where nobody says more,
/// it is [`UNIX_PEER`]. Of whom a PROXY header names nobody, headers are not believed either: nobody knows who wrote them.
pub(super) fn client_ip(request: &Request, trusted: &[Network]) -> IpAddr {
    let peer = request.remote_addr().clone().into_std();
    let ip = peer.map_or(UNIX_PEER, |peer| peer.ip().to_canonical());
    if speaks_for_others(peer) {
        forwarded_for(ip, request.headers(), trusted)
    } else {
        ip
    }
}

/// The last address in `X-Forwarded-For` that is no trusted proxy's: what stands before it, anyone may have written. `Forwarded`
/// (RFC 7239) is not read: proxies that add to the one pass on the other as the client wrote it.
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
        .filter(|address: &IpAddr| !address.to_canonical().is_unspecified())
}

/// The values of the headers that are not UTF-8, in their order, as far as they can be read. Next to no request has one, and this
/// allocates only then.
pub(super) fn odd_headers(headers: &HeaderMap) -> Vec<String> {
    let values = headers.values().map(HeaderValue::as_bytes);
    values
        .filter(|value| std::str::from_utf8(value).is_err())
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

/// All headers, with `odd` for the [`odd_headers`].
pub(super) fn headers<'r>(headers: &'r HeaderMap, odd: &'r [String]) -> Vec<(&'r str, &'r str)> {
    let mut odd = odd.iter();
    let mut all = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let text = std::str::from_utf8(value.as_bytes()).ok();
        if let Some(text) = text.or_else(|| odd.next().map(String::as_str)) {
            all.push((name.as_str(), text));
        }
    }
    all
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
    let mut names = Vec::new();
    match method {
        AuthMethod::Jwt(jwt) => {
            if let Credential::Request(places) = &jwt.credential {
                for place in places {
                    if let Place::Query(name) = place {
                        names.push(&**name);
                    }
                }
            }
        }
        AuthMethod::Http(application) => {
            for part in &application.forward {
                if let Forward::Query(name) = part {
                    names.push(&**name);
                }
            }
        }
        AuthMethod::Anonymous { .. } | AuthMethod::Session(_) => {}
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
    use std::net::IpAddr;

    use salvo::http::header::{HeaderMap, HeaderValue};

    use salvo::Request;
    use salvo::conn::SocketAddr;

    use super::{client_ip, forwarded_for, headers, odd_headers};
    use crate::plan::{Network, UNIX_PEER};

    fn network(address: &str, prefix: u8) -> Network {
        Network {
            address: address.parse().expect("an address"),
            prefix,
        }
    }

    #[test]
    fn headers_are_read_whatever_their_bytes() {
        let mut map = HeaderMap::new();
        let mut put = |name: &'static str, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("a value");
            map.append(name, value);
        };
        put("cookie", "sid=1; lang=français".as_bytes());
        put("x-old", b"fran\xe7ais");
        put("x-plain", b"a");
        put("x-old", b"\xff");
        let odd = odd_headers(&map);
        let mut found = headers(&map, &odd);
        found.sort_unstable();
        let expected = [
            ("cookie", "sid=1; lang=français"),
            ("x-old", "fran\u{fffd}ais"),
            ("x-old", "\u{fffd}"),
            ("x-plain", "a"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn of_whom_the_proxy_names_nobody_headers_are_not_believed() {
        let trusted = [network("10.0.0.0", 8)];
        for (peer, expected) in [("10.0.0.1:5", "1.2.3.4"), ("10.0.0.1:0", "10.0.0.1")] {
            let mut request = Request::new();
            let peer: std::net::SocketAddr = peer.parse().expect("an address");
            *request.remote_addr_mut() = SocketAddr::from(peer);
            let header = HeaderValue::from_static("1.2.3.4");
            request.headers_mut().insert("x-forwarded-for", header);
            assert_eq!(client_ip(&request, &trusted).to_string(), expected);
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
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
            ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
            // Several hops of ours; the client wrote the first itself.
            (
                "10.0.0.1",
                "6.6.6.6,1.2.3.4:9,10.0.0.3 , 10.0.0.2:443",
                "1.2.3.4",
            ),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // What is no address ends what can be believed.
            ("10.0.0.1", "1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "1.2.3.4, _hidden", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4,", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4, 0.0.0.0", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4, ::", "10.0.0.1"),
            // Of a Unix socket's peer nothing is believed unless it is trusted.
            ("0.0.0.0", "1.2.3.4", "0.0.0.0"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(header));
            let peer: IpAddr = peer.parse().expect("an address");
            let found = forwarded_for(peer.to_canonical(), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {header}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let trusted = [network("10.0.0.0", 8), network("0.0.0.0", 32)];
        for peer in [IpAddr::from([10, 0, 0, 1]), UNIX_PEER] {
            let mut headers = HeaderMap::new();
            for header in ["6.6.6.6", "7.7.7.7, 1.2.3.4", "10.0.0.3", "10.0.0.2"] {
                headers.append("x-forwarded-for", HeaderValue::from_static(header));
            }
            let other = HeaderValue::from_static("for=8.8.8.8");
            headers.append("forwarded", other);
            let found = forwarded_for(peer, &headers, &trusted);
            assert_eq!(found.to_string(), "1.2.3.4");
            let garbage = HeaderValue::from_bytes(b"1.2.3.4, \xff").expect("opaque");
            headers.append("x-forwarded-for", garbage);
            assert_eq!(forwarded_for(peer, &headers, &trusted), peer);
        }
    }
}
