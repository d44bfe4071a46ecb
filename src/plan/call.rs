//! Questions to the application: which URL is asked, and for how long its answers are good.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::Uri;

use crate::vocab::Secret;

/// A URL of the scheme `http` or `https`. Neither `Display` nor `Debug` shows its query or the credentials before its host.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    uri: Uri,
    /// What stood before the host, as the value of an `Authorization` header (RFC 7617).
    basic: Option<Secret>,
    passwords: Vec<Secret>,
}

/// Why a text is no [`HttpUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpUrlError {
    /// It has no scheme, or another.
    #[error("it does not begin with `http://` or `https://`")]
    Scheme,
    /// It names no host.
    #[error("it names no host")]
    Host,
    /// It has characters or parts that a URL cannot have.
    #[error("it is not a URL as RFC 3986 writes it; spaces and such are written like `%20`")]
    Form,
    /// It has a fragment, which servers never see.
    #[error("it has a part behind `#`, which servers never see")]
    Fragment,
}

impl HttpUrl {
    /// Reads a URL. `user:password@` before the host becomes the [`basic`](Self::basic) credential.
    ///
    /// # Errors
    /// The text is no URL of HTTP.
    pub fn parse(text: &str) -> Result<Self, HttpUrlError> {
        if text.contains('#') {
            return Err(HttpUrlError::Fragment);
        }
        let (scheme, rest) = text.split_once("://").ok_or(HttpUrlError::Scheme)?;
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(HttpUrlError::Scheme);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with(':') {
            return Err(HttpUrlError::Host);
        }
        let bare = format!("{scheme}://{host}{path}");
        let uri: Uri = bare.parse().map_err(|_| HttpUrlError::Form)?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(HttpUrlError::Host);
        }
        // A port that is no number parses as an authority, but names no port.
        let port_is_written = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']'));
        if port_is_written && uri.port_u16().is_none() {
            return Err(HttpUrlError::Form);
        }
        let (basic, passwords) = match user {
            Some(user) => (Some(basic(user)?), passwords(user)),
            None => (None, Vec::new()),
        };
        Ok(Self(Arc::new(Parts {
            uri,
            basic,
            passwords,
        })))
    }

    /// The URL without credentials.
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// The value of the `Authorization` header that its credentials make, where it has some.
    pub fn basic(&self) -> Option<&Secret> {
        self.0.basic.as_ref()
    }

    /// What no log may show of it: the password before its host, as it was written and decoded, and what is sent of it.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.0.passwords.iter().chain(&self.0.basic).cloned()
    }

    /// Whether what is sent there can be read on the way: plain HTTP to another machine.
    pub fn is_exposed(&self) -> bool {
        let local = self.0.uri.host().is_some_and(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let address = bare.parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        self.0.uri.scheme_str() == Some("http") && !local
    }
}

fn basic(user: &str) -> Result<Secret, HttpUrlError> {
    let mut decoded = decoded(user).ok_or(HttpUrlError::Form)?;
    if !decoded.contains(&b':') {
        decoded.push(b':');
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(decoded);
    Ok(Secret::new(format!("Basic {encoded}")))
}

/// The password of a URL's `user:password`, as it is written and decoded; a user without one is a credential itself.
pub(super) fn passwords(user: &str) -> Vec<Secret> {
    let written = user.split_once(':').map_or(user, |(_, password)| password);
    let decoded = decoded(written).and_then(|decoded| String::from_utf8(decoded).ok());
    let decoded = decoded.filter(|decoded| decoded != written);
    let mut passwords = vec![Secret::new(written)];
    passwords.extend(decoded.map(Secret::new));
    passwords
}

fn decoded(user: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(user.len());
    let mut rest = user.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || (rest.next()? as char).to_digit(16);
        let (high, low) = digit().zip(digit())?;
        decoded.push((high * 16 + low) as u8);
    }
    Some(decoded)
}

/// Without query and credentials, for logs and errors.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = &self.0.uri;
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map_or("", |found| found.as_str());
        write!(f, "{scheme}://{authority}{}", uri.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// A question to the application: `auth.NAME.http`, `lookup.http`, `may_join.http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// Where it is asked.
    pub url: HttpUrl,
    /// What proves to the application that trunkline asks: sent as `Authorization: Bearer …`.
    pub secret: Option<Secret>,
    /// From connecting to the answer's last byte.
    pub timeout: Duration,
    /// For how long answers are good.
    pub patience: Patience,
}

/// For how long answers are good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// Without asking again; zero: each question is asked, those under way are shared.
    pub cache: Duration,
    /// Beyond that, while nobody can be asked.
    pub stale: Duration,
}

#[cfg(test)]
mod tests {
    use super::HttpUrl;

    #[test]
    fn urls_are_read() {
        let form = "it is not a URL as RFC 3986 writes it; spaces and such are written like `%20`";
        let scheme = "it does not begin with `http://` or `https://`";
        for (text, expected) in [
            (
                "http://127.0.0.1:9000/session",
                "http://127.0.0.1:9000/session",
            ),
            ("https://app.example.com", "https://app.example.com/"),
            ("HTTPS://app.example.com/a", "https://app.example.com/a"),
            ("http://[::1]:9000/a?key=hunter2", "http://[::1]:9000/a"),
            ("http://[::1]/a", "http://[::1]/a"),
            ("http://ann:hunter2@host/a", "http://host/a"),
            ("http://ann:hunter2@x@host/a", "http://host/a"),
            ("http://host?hunter2", "http://host/"),
            ("host/a", scheme),
            ("ftp://host/a", scheme),
            ("http:/host", scheme),
            ("", scheme),
            ("http://", "it names no host"),
            ("http:///a", "it names no host"),
            ("http://:80/a", "it names no host"),
            ("http://ann@/a", "it names no host"),
            ("http://host/a b", form),
            ("http://ho st/", form),
            ("http://host:x/", form),
            ("http://host:99999/", form),
            ("http://host:/", form),
            ("http://a%2@host/", form),
            (
                "http://host/a#b",
                "it has a part behind `#`, which servers never see",
            ),
        ] {
            let told = match HttpUrl::parse(text) {
                Ok(url) => {
                    assert!(!format!("{url:?} {url}").contains("hunter2"), "{text}");
                    url.to_string()
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(told, expected, "{text}");
        }
    }

    #[test]
    fn credentials_before_the_host_become_a_header() {
        for (text, expected) in [
            ("http://host/", None),
            ("http://ann:secret@host/", Some("Basic YW5uOnNlY3JldA==")),
            ("http://ann@host/", Some("Basic YW5uOg==")),
            ("http://ann:a%40b@host/", Some("Basic YW5uOmFAYg==")),
        ] {
            let url = HttpUrl::parse(text).expect(text);
            assert_eq!(url.basic().map(|basic| basic.expose()), expected, "{text}");
        }
    }

    #[test]
    fn plain_http_to_elsewhere_is_exposed() {
        for (text, exposed) in [
            ("http://localhost:1/", false),
            ("http://127.3.2.1/", false),
            ("http://[::1]:80/", false),
            ("https://app.example.com/", false),
            ("http://app.example.com/", true),
            ("http://10.0.0.1/", true),
        ] {
            let url = HttpUrl::parse(text).expect(text);
            assert_eq!(url.is_exposed(), exposed, "{text}");
        }
    }
}
