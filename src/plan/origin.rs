//! Which pages may, and under which names the server is reached.

/// The pages that may open an endpoint, or call the HTTP API. A request without `Origin` is not from a browser's page and passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Pages of the same host and port.
    pub same: bool,
    /// Any page, also one whose origin is opaque.
    pub any: bool,
    /// Pages of these origins, as browsers write them; `null` stands for opaque ones.
    pub listed: Vec<Box<str>>,
    /// Pages of any name below another.
    pub subdomains: Vec<Subdomains>,
}

/// `https://*.example.com`: the origins of all names below `example.com`, one or more labels deep, and not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subdomains {
    /// In small letters, without `://`.
    pub scheme: Box<str>,
    /// What comes behind the `*`, dot included, in small letters.
    pub suffix: Box<str>,
    /// None: the scheme's usual one.
    pub port: Option<u16>,
}

/// A name under which the server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// This one, in small letters.
    Exact(Box<str>),
    /// `*.example.com`: those that end in this, dot included, in small letters.
    Below(Box<str>),
}

/// An origin as browsers write it (RFC 6454 §6.2), taken apart. Letters are compared without case.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Without `://`.
    pub scheme: &'a str,
    /// A name, or an address; one of IPv6 in brackets.
    pub host: &'a str,
    /// None: the scheme's usual one, whether or not it is written.
    pub port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Takes `text` apart. None for what is no origin of its own: `null`, lists, URLs with a path.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let begins = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_scheme = begins
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split_authority(authority)?;
        is_scheme.then_some(Self {
            scheme,
            host,
            port: port.filter(|port| Some(*port) != usual_port(scheme)),
        })
    }

    /// The port, where the scheme has a usual one or one is written.
    pub fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| usual_port(self.scheme))
    }

    /// Whether both are the same (RFC 6454 §5).
    pub fn is(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.port == other.port
    }
}

impl Subdomains {
    /// Whether `origin` is one of them.
    pub fn contain(&self, origin: &Origin<'_>) -> bool {
        origin.scheme.eq_ignore_ascii_case(&self.scheme)
            && origin.port == self.port
            && is_below(origin.host, &self.suffix)
    }
}

impl HostName {
    /// Whether `host`, without a port, is this name or one of these.
    pub fn fits(&self, host: &str) -> bool {
        // With the dot of the root it is the same name (RFC 1034 §3.1).
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => is_below(host, suffix),
        }
    }
}

/// Host and port of an authority without user information (RFC 3986 §3.2); none where it is no such thing.
pub fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_host = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(after_host);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The longest name of a host (RFC 1035 §2.3.4), with a dot at its end.
const HOST_BYTES_MAX: usize = 254;

/// One or more labels stand in front of `suffix`.
fn is_below(host: &str, suffix: &str) -> bool {
    let Some(at) = host.len().checked_sub(suffix.len()) else {
        return false;
    };
    let Some((labels, end)) = host.split_at_checked(at) else {
        return false;
    };
    end.eq_ignore_ascii_case(suffix)
        && !labels.is_empty()
        && labels.split('.').all(|label| !label.is_empty())
}

fn usual_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{HostName, Origin, Subdomains, split_authority};

    #[test]
    fn origins_are_taken_apart() {
        for (text, expected) in [
            (
                "https://app.example.com",
                Some(("https", "app.example.com", None)),
            ),
            (
                "https://app.example.com:443",
                Some(("https", "app.example.com", None)),
            ),
            (
                "https://app.example.com:8443",
                Some(("https", "app.example.com", Some(8443))),
            ),
            (
                "http://localhost:443",
                Some(("http", "localhost", Some(443))),
            ),
            ("http://[::1]:8000", Some(("http", "[::1]", Some(8000)))),
            ("app://x", Some(("app", "x", None))),
            (
                "chrome-extension://abcdef",
                Some(("chrome-extension", "abcdef", None)),
            ),
            ("null", None),
            ("", None),
            ("https://", None),
            ("https://a.example https://b.example", None),
            ("https://a.example, https://b.example", None),
            ("https://a.example/", None),
            ("https://a.example/path", None),
            ("https://user@a.example", None),
            ("https://a.example:", None),
            ("https://a.example:99999", None),
            ("https://a.example:8a", None),
            ("https://[::1", None),
            ("https://[nonsense]", None),
            ("https://[::1]x", None),
            ("https://b\u{fc}cher.example", None),
            ("://a.example", None),
            ("1http://a.example", None),
        ] {
            let found = Origin::parse(text).map(|origin| (origin.scheme, origin.host, origin.port));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more_and_never_for_none() {
        let below = |port| Subdomains {
            scheme: "https".into(),
            suffix: ".example.com".into(),
            port,
        };
        for (subdomains, text, expected) in [
            (below(None), "https://app.example.com", true),
            (below(None), "https://a.b.example.com", true),
            (below(None), "https://App.Example.COM", true),
            (below(None), "https://app.example.com:443", true),
            (below(None), "https://xn--bcher-kva.example.com", true),
            (below(None), "https://example.com", false),
            (below(None), "https://.example.com", false),
            (below(None), "https://a..example.com", false),
            (below(None), "https://evilexample.com", false),
            (below(None), "https://app.example.com.", false),
            (below(None), "https://app.example.com.evil.test", false),
            (below(None), "https://app.example.com:8443", false),
            (below(None), "http://app.example.com", false),
            (below(Some(8443)), "https://app.example.com:8443", true),
            (below(Some(8443)), "https://app.example.com", false),
        ] {
            let origin = Origin::parse(text).expect("an origin");
            assert_eq!(subdomains.contain(&origin), expected, "{text}");
        }
    }

    #[test]
    fn names_of_the_server() {
        let exact = HostName::Exact("rt.example.com".into());
        let below = HostName::Below(".example.com".into());
        for (name, host, expected) in [
            (&exact, "rt.example.com", true),
            (&exact, "RT.example.com.", true),
            (&exact, "example.com", false),
            (&below, "rt.example.com", true),
            (&below, "example.com", false),
        ] {
            assert_eq!(name.fits(host), expected, "{name:?} {host}");
        }
        assert_eq!(split_authority("h:1"), Some(("h", Some(1))));
        assert_eq!(split_authority("a@h"), None);
    }
}
