//! Under which name the server was asked, and by whom.
//!
//! A stranger can have a name of theirs lead to any address, also to 127.0.0.1 (DNS rebinding): for a visitor's browser the stranger's
//! page and what listens there are then of one origin. Only the name tells. [`HostGuard`] refuses names that `server.hosts`
//! does not list.

use std::net::{IpAddr, Ipv6Addr};

use salvo::http::StatusCode;
use salvo::http::header::{HOST, HeaderMap};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::plan::{HostName, Network, UNIX_PEER, split_authority};

/// What proxies say of themselves, one or the other.
const PROXIED: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The authority that was asked: of the request's target, or `Host` (RFC 9112 §3.2.2, §3.3). None where there is none.
pub(super) fn asked(request: &Request) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(HOST)?.to_str().ok(),
    }
}

/// Whether the peer is one of `networks`.
pub(super) fn is_from(request: &Request, networks: &[Network]) -> bool {
    let peer = peer(request).unwrap_or(UNIX_PEER);
    networks.iter().any(|network| network.contains(peer))
}

/// Whether the peer is on this machine.
pub(super) fn is_loopback(request: &Request) -> bool {
    peer(request).is_some_and(|peer| peer.is_loopback())
}

/// Whether no proxy says that it stands between.
pub(super) fn is_direct(request: &Request) -> bool {
    let headers: &HeaderMap = request.headers();
    !PROXIED.iter().any(|name| headers.contains_key(*name))
}

fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.remote_addr().clone().into_std()?;
    Some(peer.ip().to_canonical())
}

/// Whether no stranger can have `authority` lead here: an address, `localhost` and what is below it (RFC 6761 §6.3), or a name
/// without a dot, which only this network gives.
pub(super) fn is_nobody_elses(authority: &str) -> bool {
    let Some((host, _)) = split_authority(authority) else {
        return false;
    };
    is_address(host) || is_localhost(host) || !host.contains('.')
}

fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok()
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Refuses requests for names that are not the server's, and those that name several.
pub(super) struct HostGuard {
    /// Empty: any name is.
    pub(super) hosts: Vec<HostName>,
}

impl HostGuard {
    fn refusal(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        let mut named = request.headers().get_all(HOST).iter();
        let first = named.next();
        if named.next().is_some() {
            return Some((StatusCode::BAD_REQUEST, "a request has one `Host`\n"));
        }
        if self.hosts.is_empty() || (first.is_none() && request.uri().authority().is_none()) {
            return None;
        }
        let host = asked(request)
            .and_then(split_authority)
            .map(|(host, _)| host);
        let is_ours = host.is_some_and(|host| {
            is_address(host) || is_localhost(host) || self.hosts.iter().any(|name| name.fits(host))
        });
        (!is_ours).then_some((
            StatusCode::MISDIRECTED_REQUEST,
            "nothing is served under this name: see `server.hosts`\n",
        ))
    }
}

#[async_trait]
impl Handler for HostGuard {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        control: &mut FlowCtrl,
    ) {
        if let Some((status, text)) = self.refusal(request) {
            response.status_code(status);
            response.render(Text::Plain(text));
            control.skip_rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use salvo::Request;
    use salvo::http::StatusCode;
    use salvo::http::header::{HOST, HeaderValue};

    use super::{HostGuard, is_nobody_elses};
    use crate::plan::HostName;

    #[test]
    fn what_nobody_else_can_be_called() {
        for (authority, expected) in [
            ("localhost", true),
            ("LOCALHOST.:8000", true),
            ("app.localhost:8000", true),
            ("127.0.0.1:8000", true),
            ("[::1]:8000", true),
            ("workstation:8000", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8000", false),
            ("a@b", false),
            ("", false),
        ] {
            assert_eq!(is_nobody_elses(authority), expected, "{authority}");
        }
    }

    #[test]
    fn names_that_are_not_ours_are_misdirected() {
        let guard = HostGuard {
            hosts: vec![
                HostName::Exact("rt.example.com".into()),
                HostName::Below(".apps.example.com".into()),
            ],
        };
        let misdirected = Some(StatusCode::MISDIRECTED_REQUEST);
        let cases: [(&[&'static str], _); 10] = [
            (&[], None),
            (&["rt.example.com"], None),
            (&["RT.Example.com.:8000"], None),
            (&["a.apps.example.com"], None),
            (&["apps.example.com"], misdirected),
            (&["evil.example"], misdirected),
            (&["not a host"], misdirected),
            (&["10.0.0.1:8000"], None),
            (&["localhost:8000"], None),
            (
                &["rt.example.com", "rt.example.com"],
                Some(StatusCode::BAD_REQUEST),
            ),
        ];
        for (hosts, expected) in cases {
            let mut request = Request::new();
            request.headers_mut().remove(HOST);
            for host in hosts {
                let value = HeaderValue::from_static(host);
                request.headers_mut().append(HOST, value);
            }
            let found = guard.refusal(&request).map(|(status, _)| status);
            assert_eq!(found, expected, "{hosts:?}");
        }
    }
}
