//! `origins`: the pages that may connect, or call the HTTP API; and `hosts`, the names under which the server is reached.

use crate::config::{self, AuthMethod, Credential, CredentialPlace, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{HostName, Origin, Origins, Subdomains, split_authority};

/// One entry of `origins`.
#[derive(Debug, PartialEq)]
enum Written {
    Same,
    Any,
    Opaque,
    Listed(Box<str>),
    Below(Subdomains),
    Wrong(Wrong),
}

/// Why an entry is none.
#[derive(Debug, PartialEq)]
enum Wrong {
    /// It should probably be this.
    Spelling(String),
    /// A `*` that is not the first label as a whole.
    Wildcard,
    /// A name in letters that browsers translate.
    Letters,
    /// It is unlike any origin.
    Form,
}

impl Lowering<'_> {
    /// The pages that may connect; those of the same host and port where nothing is written.
    pub(super) fn origins(&mut self, endpoint: &config::Endpoint) -> Option<Origins> {
        let Some(written) = &endpoint.origins else {
            return Some(Origins {
                same: true,
                ..Origins::default()
            });
        };
        if let Some(any) = written.iter().find(|text| text.as_str() == "*") {
            self.cookies_for_all(endpoint, any);
        }
        self.origin_list(written)
    }

    /// The pages whose scripts may call the HTTP API.
    pub(super) fn cors(&mut self, api: &config::Api) -> Option<Origins> {
        let cors = api.cors.as_ref()?;
        for text in &cors.value.origins {
            if text.as_str() == "same-origin" {
                let message = "`same-origin` has no effect here: browsers ask nobody where a page calls its own server";
                let help = "leave it out, and list the pages of other origins";
                self.find(Diagnostic::new(&codes::NO_EFFECT, text.span(), message).help(help));
            }
        }
        self.origin_list(&cors.value.origins)
    }

    fn origin_list(&mut self, written: &[Text]) -> Option<Origins> {
        let mut origins = Origins::default();
        let mut good = true;
        for text in written {
            match read(text.as_str()) {
                Written::Same => origins.same = true,
                Written::Any => origins.any = true,
                Written::Opaque => {
                    origins.listed.push("null".into());
                    self.opaque(text);
                }
                Written::Listed(origin) => origins.listed.push(origin),
                Written::Below(below) => {
                    good &= self.below_a_domain(text, &below.suffix);
                    origins.subdomains.push(below);
                }
                Written::Wrong(wrong) => {
                    good = false;
                    self.wrong_origin(text, &wrong);
                }
            }
        }
        good.then_some(origins)
    }

    fn wrong_origin(&mut self, text: &Text, wrong: &Wrong) {
        let message = format!("`{text}` is not an origin as browsers send it");
        let help = match wrong {
            Wrong::Spelling(repair) if !text.is_expanded() => format!("write `{repair}`"),
            Wrong::Wildcard => "a `*` stands for whole names at the front, as in `https://*.example.com`; another port is an entry of its own".to_owned(),
            Wrong::Letters => "browsers send such names in punycode, as in `https://xn--bcher-kva.example`: a page says its own in its console, `location.origin`".to_owned(),
            _ => "write `https://app.example.com`, `https://*.example.com`, `same-origin` or `*`".to_owned(),
        };
        self.find(Diagnostic::new(&codes::BAD_ORIGIN, text.span(), message).help(help));
    }

    /// Pages that anybody can make: of a sandboxed frame, a `data:` URL, a file.
    fn opaque(&mut self, text: &Text) {
        let message =
            "any page on the web may connect: in a sandboxed frame its origin is `null` too";
        let help = "list the pages that may; files can be served by `pages` instead";
        self.find(Diagnostic::new(&codes::OPAQUE_ORIGIN, text.span(), message).help(help));
    }

    /// Whether nobody can have just any page below `suffix`, as far as the public suffix list knows.
    fn below_a_domain(&mut self, text: &Text, suffix: &str) -> bool {
        let name = suffix.trim_start_matches('.');
        let kind = psl::suffix(name.as_bytes())
            .filter(|known| known.as_bytes() == name.as_bytes())
            .and_then(|known| known.typ());
        let Some(kind) = kind else {
            return true;
        };
        let message = format!("anybody can have a page under `{text}`");
        let (code, help) = match kind {
            psl::Type::Icann => (
                &codes::BAD_ORIGIN,
                "name a domain of yours, as in `https://*.example.com`",
            ),
            psl::Type::Private => (
                &codes::SHARED_ORIGIN,
                "list the pages themselves: `*` lets in those of everyone who has an account there",
            ),
        };
        self.find(finding(code, text.span(), message, help));
        kind == psl::Type::Private
    }

    /// Browsers send cookies from any page: then any page acts for the user.
    fn cookies_for_all(&mut self, endpoint: &config::Endpoint, text: &Text) {
        let cookie = self.config.auth.iter().find(|(name, mode)| {
            let is_cited = |cited: &Text| cited.as_str() == name.value;
            endpoint.auth.iter().any(is_cited) && takes_cookie(mode.method.as_ref())
        });
        if let Some((name, _)) = cookie {
            let message = format!(
                "any page on the web may connect as the visitor: `{}` takes a cookie, which browsers send by themselves",
                name.value
            );
            let help = "list the pages that may, or leave `origins` out for pages of the same host";
            let finding = finding(&codes::COOKIE_FOR_ALL, text.span(), message, help);
            self.find(finding.also(name.span, "the auth mode"));
        }
    }

    /// The names under which the server is reached.
    pub(super) fn hosts(&mut self) -> Option<Vec<HostName>> {
        let config = self.config;
        let mut hosts = Some(Vec::new());
        for text in config.server.hosts.iter().flatten() {
            match host_name(text.as_str()) {
                Ok(name) => hosts.iter_mut().for_each(|all| all.push(name.clone())),
                Err(repair) => {
                    hosts = None;
                    let message = format!("`{text}` is not the name of a host");
                    let help = match repair {
                        Some(repair) if !text.is_expanded() => format!("write `{repair}`"),
                        _ => "write a name such as `rt.example.com` or `*.example.com`; addresses and `localhost` are always answered".to_owned(),
                    };
                    self.find(Diagnostic::new(&codes::BAD_HOST, text.span(), message).help(help));
                }
            }
        }
        hosts
    }
}

/// Whether a mode takes what browsers send by themselves.
pub(super) fn takes_cookie(method: Option<&AuthMethod>) -> bool {
    match method {
        Some(AuthMethod::Session(_)) => true,
        Some(AuthMethod::Http(call)) => {
            let mut forwarded = call.value.forward.iter().flat_map(|listed| &listed.value);
            forwarded.any(|part| part.as_str().split('.').next() == Some("cookie"))
        }
        Some(AuthMethod::Jwt(jwt)) => match jwt.value.credential.as_ref().map(|it| &it.value) {
            Some(Credential::Request(places)) => places
                .iter()
                .any(|(place, _)| place.value == CredentialPlace::Cookie),
            Some(Credential::FirstMessage(_)) | None => false,
        },
        _ => false,
    }
}

fn read(text: &str) -> Written {
    match text {
        "same-origin" => return Written::Same,
        "*" => return Written::Any,
        "null" => return Written::Opaque,
        _ if !text.is_ascii() => return Written::Wrong(Wrong::Letters),
        _ => {}
    }
    let repair = repaired(text);
    if let Some(repair) = &repair
        && repair != text
    {
        return Written::Wrong(Wrong::Spelling(repair.clone()));
    }
    if repair.is_none() {
        let has_wildcard = text.contains('*') && text.contains('.');
        return Written::Wrong(if has_wildcard {
            Wrong::Wildcard
        } else {
            Wrong::Form
        });
    }
    match subdomains(text) {
        Some(below) => Written::Below(below),
        None => Written::Listed(text.into()),
    }
}

/// `origin` as browsers write it; with one `*` as the first label it may also stand for subdomains. None where that cannot be told.
fn repaired(origin: &str) -> Option<String> {
    let lower = origin.to_ascii_lowercase();
    let (scheme, rest) = match lower.split_once("://") {
        Some(parts) => parts,
        None if lower.contains('.') || lower.starts_with("localhost") => ("https", &*lower),
        None => return None,
    };
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = match authority.strip_prefix("*.") {
        // A `*` in front of an address would be no name.
        Some(name) => (
            name,
            split_authority(name).filter(|(host, _)| is_name(host))?.1,
        ),
        None => (authority, split_authority(authority)?.1),
    };
    let host = split_authority(name)?.0;
    let host = host.strip_suffix('.').unwrap_or(host);
    let wildcard = if authority.starts_with("*.") {
        "*."
    } else {
        ""
    };
    let plain = format!("{scheme}://{host}");
    let port = match (port, Origin::parse(&plain)?.effective_port()) {
        (Some(port), usual) if Some(port) != usual => format!(":{port}"),
        _ => String::new(),
    };
    Some(format!("{scheme}://{wildcard}{host}{port}"))
}

fn subdomains(origin: &str) -> Option<Subdomains> {
    let (scheme, authority) = origin.split_once("://")?;
    let suffix = authority.strip_prefix('*')?;
    let (host, port) = split_authority(suffix)?;
    Some(Subdomains {
        scheme: scheme.into(),
        suffix: host.into(),
        port,
    })
}

/// The name, or what it should probably be.
pub(super) fn host_name(text: &str) -> Result<HostName, Option<String>> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.split_once("://").map_or(&*lower, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let bare = authority.strip_prefix("*.").unwrap_or(authority);
    let host = split_authority(bare).map(|(host, _)| host.trim_end_matches('.'));
    let Some(host) = host.filter(|host| is_name(host)) else {
        return Err(None);
    };
    let is_below = authority.starts_with("*.");
    let repair = if is_below {
        format!("*.{host}")
    } else {
        host.to_owned()
    };
    match (repair == text, is_below) {
        (true, true) => Ok(HostName::Below(format!(".{host}").into())),
        (true, false) => Ok(HostName::Exact(host.into())),
        (false, _) => Err(Some(repair)),
    }
}

/// Whether it is no address.
fn is_name(host: &str) -> bool {
    !host.is_empty() && !host.starts_with('[') && host.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::{Written, Wrong, host_name, read};
    use crate::plan::{HostName, Subdomains};

    #[test]
    fn origins_are_as_browsers_send_them() {
        let below = |scheme: &str, suffix: &str, port| {
            Written::Below(Subdomains {
                scheme: scheme.into(),
                suffix: suffix.into(),
                port,
            })
        };
        let spelled = |repair: &str| Written::Wrong(Wrong::Spelling(repair.to_owned()));
        let listed = |origin: &str| Written::Listed(origin.into());
        for (text, expected) in [
            ("https://app.example.com", listed("https://app.example.com")),
            ("http://localhost:3000", listed("http://localhost:3000")),
            ("http://[::1]:3000", listed("http://[::1]:3000")),
            ("app://x", listed("app://x")),
            ("null", Written::Opaque),
            (
                "https://app.example.com/",
                spelled("https://app.example.com"),
            ),
            (
                "https://App.example.com",
                spelled("https://app.example.com"),
            ),
            (
                "https://app.example.com.",
                spelled("https://app.example.com"),
            ),
            ("app.example.com", spelled("https://app.example.com")),
            ("wss://app.example.com", spelled("https://app.example.com")),
            (
                "https://app.example.com:443",
                spelled("https://app.example.com"),
            ),
            ("*.example.com", spelled("https://*.example.com")),
            (
                "https://*.Example.com:443/",
                spelled("https://*.example.com"),
            ),
            (
                "https://*.example.com",
                below("https", ".example.com", None),
            ),
            (
                "https://*.example.com:8443",
                below("https", ".example.com", Some(8443)),
            ),
            ("https://*.com", below("https", ".com", None)),
            ("https://*", Written::Wrong(Wrong::Form)),
            ("https://", Written::Wrong(Wrong::Form)),
            ("https://a@b.example", Written::Wrong(Wrong::Form)),
            ("https://*example.com", Written::Wrong(Wrong::Wildcard)),
            ("https://a.*.example.com", Written::Wrong(Wrong::Wildcard)),
            ("https://*.*.example.com", Written::Wrong(Wrong::Wildcard)),
            ("https://*.example.com:*", Written::Wrong(Wrong::Wildcard)),
            ("https://*.10.0.0.1", Written::Wrong(Wrong::Wildcard)),
            (
                "https://b\u{fc}cher.example",
                Written::Wrong(Wrong::Letters),
            ),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for (text, expected) in [
            (
                "rt.example.com",
                Ok(HostName::Exact("rt.example.com".into())),
            ),
            ("*.example.com", Ok(HostName::Below(".example.com".into()))),
            ("backend", Ok(HostName::Exact("backend".into()))),
            (
                "https://rt.example.com/",
                Err(Some("rt.example.com".to_owned())),
            ),
            (
                "RT.example.com:8000",
                Err(Some("rt.example.com".to_owned())),
            ),
            ("10.0.0.1", Err(None)),
            ("[::1]", Err(None)),
            ("*", Err(None)),
            ("", Err(None)),
            ("a b", Err(None)),
        ] {
            assert_eq!(host_name(text), expected, "{text}");
        }
    }
}
