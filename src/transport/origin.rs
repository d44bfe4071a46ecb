//! Which page sent a request, and whether it may.
//!
//! Browsers do not keep pages of strangers from opening a WebSocket, and send cookies along; the server has to look at `Origin`.
//! A handshake's headers are beyond a page's reach, so what they say of proxies can be believed as far as pages are concerned.

use salvo::Request;
use salvo::http::header::{HeaderMap, ORIGIN};
use salvo::http::uri::Scheme;

use crate::plan::{Network, Origin, Origins, Server, split_authority};
use crate::transport::host;

/// Why the page that sent a request may not, in words for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OriginRefusal {
    /// Which of them would be the page's?
    #[error("the request has several `Origin`s")]
    Twice,
    /// Nothing that a browser sends.
    #[error("`Origin` is not an origin")]
    Malformed,
    /// It is not listed.
    #[error("pages of this origin may not connect here: see `origins`")]
    NotListed,
    /// The name may be a stranger's, who has it lead to this machine.
    #[error(
        "this machine is not known by the name in `Host`: see `server.hosts`, or let the proxy send `X-Forwarded-For`"
    )]
    Rebound,
}

/// Whether the page that sent the request may; one without `Origin` is not from a browser's page.
pub(super) fn check(
    request: &Request,
    origins: &Origins,
    site: Site<'_>,
) -> Result<(), OriginRefusal> {
    let headers = request.headers();
    let mut values = headers.get_all(ORIGIN).iter();
    let Some(written) = values.next() else {
        return Ok(());
    };
    if values.next().is_some() {
        return Err(OriginRefusal::Twice);
    }
    let written = written.to_str().map_err(|_| OriginRefusal::Malformed)?;
    if origins.any || is_listed(written, origins) {
        return Ok(());
    }
    let origin = match Origin::parse(written) {
        Some(origin) => origin,
        None if written == "null" => return Err(OriginRefusal::NotListed),
        None => return Err(OriginRefusal::Malformed),
    };
    if !origins.same || !is_same(&origin, request, site) {
        return Err(OriginRefusal::NotListed);
    }
    if is_rebound(request, site) {
        return Err(OriginRefusal::Rebound);
    }
    Ok(())
}

/// What the Plan says of where the server stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    /// Whose word is believed.
    pub(super) trusted: &'a [Network],
    /// Whether `server.hosts` has been asked already.
    pub(super) hosts_are_listed: Listed,
}

impl<'a> Site<'a> {
    /// What `server` says.
    pub(super) fn of(server: &'a Server) -> Self {
        let hosts_are_listed = if server.hosts.is_empty() {
            Listed::No
        } else {
            Listed::Yes
        };
        Self {
            trusted: &server.trusted_proxies,
            hosts_are_listed,
        }
    }
}

/// The origin of a request, for the log. None where it is not written as browsers do: it may be anything, and meant for elsewhere.
pub(super) fn shown(request: &Request) -> Option<&str> {
    let written = request.headers().get(ORIGIN)?.to_str().ok()?;
    let is_usual = written == "null" || Origin::parse(written).is_some();
    let is_small = !written.contains(|letter: char| letter.is_ascii_uppercase());
    (is_usual && is_small).then_some(written)
}

/// Whether the names of the server are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Yes,
    No,
}

/// Whether `written` is one of the origins that are listed, or below one.
pub(super) fn is_listed(written: &str, origins: &Origins) -> bool {
    let Some(origin) = Origin::parse(written) else {
        // Opaque, where that is listed.
        return origins.listed.iter().any(|listed| **listed == *written);
    };
    let is_one = |listed: &str| Origin::parse(listed).is_some_and(|it| it.is(&origin));
    let below = |subdomains: &crate::plan::Subdomains| subdomains.contain(&origin);
    origins.listed.iter().any(|listed| is_one(listed)) || origins.subdomains.iter().any(below)
}

/// Whether `origin` is a page of the host that was asked, at the same port (RFC 6454 §4). Of the scheme only that an insecure page
/// is no page of a secure host can be told: a proxy that ends TLS need not say so.
fn is_same(origin: &Origin<'_>, request: &Request, site: Site<'_>) -> bool {
    let is_trusted = host::is_from(request, site.trusted);
    let headers = request.headers();
    let forwarded = |name| is_trusted.then(|| last_value(headers, name)).flatten();
    let is_secure = *request.scheme() == Scheme::HTTPS
        || forwarded("x-forwarded-proto").is_some_and(is_secure_scheme);
    if is_secure && origin.scheme.eq_ignore_ascii_case("http") {
        return false;
    }
    let asked = forwarded("x-forwarded-host").or_else(|| host::asked(request));
    let Some((host, port)) = asked.and_then(split_authority) else {
        return false;
    };
    let port = port.or_else(|| {
        Origin {
            port: None,
            ..*origin
        }
        .effective_port()
    });
    host.eq_ignore_ascii_case(origin.host)
        && origin.effective_port().is_some()
        && port == origin.effective_port()
}

fn is_secure_scheme(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// The last of a header's values: what stands before it, others than the nearest proxy may have written.
fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let value = value.rsplit(',').next()?.trim();
    (!value.is_empty()).then_some(value)
}

/// Whether this looks like DNS rebinding: a browser on this machine asks directly, under a name that others may have made. Behind a
/// proxy the names are the proxy's to know, and one that is listed in `hosts` is nobody else's.
fn is_rebound(request: &Request, site: Site<'_>) -> bool {
    site.hosts_are_listed == Listed::No
        && host::is_direct(request)
        && host::is_loopback(request)
        && !host::is_from(request, site.trusted)
        && host::asked(request).is_none_or(|host| !host::is_nobody_elses(host))
}

#[cfg(test)]
mod tests {
    use salvo::Request;
    use salvo::conn::SocketAddr;
    use salvo::http::header::{HeaderName, HeaderValue};
    use salvo::http::uri::Scheme;

    use super::OriginRefusal::{Malformed, NotListed, Rebound, Twice};
    use super::{Listed, OriginRefusal, Site, check};
    use crate::plan::{Network, Origins, Subdomains};

    fn request(peer: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new();
        let peer: std::net::SocketAddr = peer.parse().expect("an address");
        *request.remote_addr_mut() = SocketAddr::from(peer);
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        request
    }

    fn same() -> Origins {
        Origins {
            same: true,
            ..Origins::default()
        }
    }

    const FAR: &str = "203.0.113.7:1";
    const HERE: &str = "127.0.0.1:1";

    fn verdict(
        peer: &str,
        origins: &Origins,
        headers: &[(&'static str, &'static str)],
    ) -> Result<(), OriginRefusal> {
        let proxy = Network {
            address: [10, 0, 0, 1].into(),
            prefix: 32,
        };
        let site = Site {
            trusted: &[proxy],
            hosts_are_listed: Listed::No,
        };
        check(&request(peer, headers), origins, site)
    }

    #[test]
    fn pages_of_the_same_host_and_port() {
        for (origin, host, expected) in [
            ("http://localhost:8000", "localhost:8000", Ok(())),
            ("https://App.example.com", "app.example.com", Ok(())),
            ("http://app.example.com", "app.example.com", Ok(())),
            ("https://app.example.com:443", "app.example.com", Ok(())),
            ("https://app.example.com", "app.example.com:443", Ok(())),
            (
                "http://app.example.com",
                "app.example.com:443",
                Err(NotListed),
            ),
            ("https://app.example.com.", "app.example.com.", Ok(())),
            (
                "https://app.example.com.",
                "app.example.com",
                Err(NotListed),
            ),
            (
                "https://app.example.com.evil",
                "app.example.com",
                Err(NotListed),
            ),
            (
                "https://evil.app.example.com",
                "app.example.com",
                Err(NotListed),
            ),
            ("http://localhost:9000", "localhost:8000", Err(NotListed)),
            ("http://[::1]:8000", "[::1]:8000", Ok(())),
            ("app://localhost", "localhost", Err(NotListed)),
            ("null", "localhost", Err(NotListed)),
            ("null", "null", Err(NotListed)),
            ("", "localhost", Err(Malformed)),
            ("localhost", "localhost", Err(Malformed)),
            (
                "https://app.example.com/",
                "app.example.com",
                Err(Malformed),
            ),
            (
                "https://a.example https://b.example",
                "a.example",
                Err(Malformed),
            ),
        ] {
            let headers = [("origin", origin), ("host", host)];
            assert_eq!(verdict(FAR, &same(), &headers), expected, "{origin} {host}");
        }
        assert_eq!(verdict(FAR, &same(), &[]), Ok(()), "not a browser");
        let no_host = [("origin", "http://localhost")];
        assert_eq!(verdict(FAR, &same(), &no_host), Err(NotListed));
    }

    #[test]
    fn several_origins_are_none() {
        let headers = [
            ("origin", "https://app.example.com"),
            ("origin", "https://app.example.com"),
            ("host", "app.example.com"),
        ];
        for any in [false, true] {
            let origins = Origins { any, ..same() };
            assert_eq!(verdict(FAR, &origins, &headers), Err(Twice));
        }
    }

    #[test]
    fn listed_pages() {
        let origins = Origins {
            listed: vec!["https://app.example.com".into()],
            subdomains: vec![Subdomains {
                scheme: "https".into(),
                suffix: ".example.org".into(),
                port: None,
            }],
            ..Origins::default()
        };
        let opaque = Origins {
            listed: vec!["null".into()],
            ..Origins::default()
        };
        let any = Origins {
            any: true,
            ..Origins::default()
        };
        for (origins, origin, expected) in [
            (&origins, "https://app.example.com", Ok(())),
            (&origins, "https://APP.example.com:443", Ok(())),
            (&origins, "https://a.b.example.org", Ok(())),
            (&origins, "https://example.org", Err(NotListed)),
            (&origins, "http://app.example.com", Err(NotListed)),
            (&origins, "https://evil.example", Err(NotListed)),
            (&origins, "null", Err(NotListed)),
            (&opaque, "null", Ok(())),
            (&opaque, "https://app.example.com", Err(NotListed)),
            (&any, "null", Ok(())),
            (&any, "https://evil.example", Ok(())),
        ] {
            let headers = [("origin", origin), ("host", "evil.example")];
            assert_eq!(verdict(FAR, origins, &headers), expected, "{origin}");
        }
    }

    #[test]
    fn a_trusted_proxy_says_what_was_asked() {
        let behind = |origin, proto, host| {
            [
                ("origin", origin),
                ("host", "backend:8000"),
                ("x-forwarded-proto", proto),
                ("x-forwarded-host", host),
            ]
        };
        for (peer, origin, proto, host, expected) in [
            (
                "10.0.0.1:1",
                "https://a.example",
                "https",
                "a.example",
                Ok(()),
            ),
            (
                "10.0.0.1:1",
                "https://a.example",
                "https",
                "evil.example, a.example",
                Ok(()),
            ),
            (
                "10.0.0.1:1",
                "https://evil.example",
                "https",
                "evil.example, a.example",
                Err(NotListed),
            ),
            (
                "10.0.0.1:1",
                "http://a.example",
                "https",
                "a.example",
                Err(NotListed),
            ),
            (
                "10.0.0.1:1",
                "https://a.example",
                "http",
                "a.example",
                Ok(()),
            ),
            ("10.0.0.1:1", "http://backend:8000", "", "", Ok(())),
            (
                FAR,
                "https://a.example",
                "https",
                "a.example",
                Err(NotListed),
            ),
        ] {
            let headers = behind(origin, proto, host);
            assert_eq!(
                verdict(peer, &same(), &headers),
                expected,
                "{origin} {proto} {host}"
            );
        }
    }

    #[test]
    fn an_insecure_page_is_no_page_of_a_secure_host() {
        let headers = [("origin", "http://a.example"), ("host", "a.example:80")];
        let mut request = request(FAR, &headers);
        *request.scheme_mut() = Scheme::HTTPS;
        let site = Site {
            trusted: &[],
            hosts_are_listed: Listed::No,
        };
        assert_eq!(check(&request, &same(), site), Err(NotListed));
    }

    #[test]
    fn a_strangers_name_for_this_machine() {
        let page = |origin, host| vec![("origin", origin), ("host", host)];
        for (peer, headers, expected) in [
            (
                HERE,
                page("http://evil.example:8000", "evil.example:8000"),
                Err(Rebound),
            ),
            (
                HERE,
                page("http://evil.localhost.example", "evil.localhost.example"),
                Err(Rebound),
            ),
            (
                HERE,
                page("http://localhost:8000", "localhost:8000"),
                Ok(()),
            ),
            (
                HERE,
                page("http://app.localhost:8000", "app.localhost:8000"),
                Ok(()),
            ),
            (
                HERE,
                page("http://127.0.0.1:8000", "127.0.0.1:8000"),
                Ok(()),
            ),
            (HERE, page("http://[::1]:8000", "[::1]:8000"), Ok(())),
            (
                HERE,
                page("http://workstation:8000", "workstation:8000"),
                Ok(()),
            ),
            (
                FAR,
                page("http://evil.example:8000", "evil.example:8000"),
                Ok(()),
            ),
        ] {
            assert_eq!(verdict(peer, &same(), &headers), expected, "{headers:?}");
        }
        // A proxy on this machine says that it is one, and passes the name on.
        for header in ["x-forwarded-for", "x-real-ip", "forwarded", "via"] {
            let mut headers = page("https://rt.example.com", "rt.example.com");
            headers.push((header, "203.0.113.7"));
            assert_eq!(verdict(HERE, &same(), &headers), Ok(()), "{header}");
        }
        let listed = Site {
            trusted: &[],
            hosts_are_listed: Listed::Yes,
        };
        let headers = page("http://rt.example.com", "rt.example.com");
        assert_eq!(check(&request(HERE, &headers), &same(), listed), Ok(()));
    }
}
