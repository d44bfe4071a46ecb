//! `origins`: the pages that may connect.

use crate::config::{self, AuthMethod, Credential, CredentialPlace, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::Origins;
use crate::plan::lower::{Lowering, finding};

impl Lowering<'_> {
    /// The pages that may connect; those of the same host and port where nothing is written.
    pub(super) fn origins(&mut self, endpoint: &config::Endpoint) -> Option<Origins> {
        let Some(written) = &endpoint.origins else {
            return Some(Origins {
                same: true,
                any: false,
                listed: Vec::new(),
            });
        };
        let mut origins = Origins {
            same: false,
            any: false,
            listed: Vec::new(),
        };
        let mut good = true;
        for text in written {
            match text.as_str() {
                "same-origin" => origins.same = true,
                "*" => {
                    origins.any = true;
                    self.cookies_for_all(endpoint, text);
                }
                origin => match repaired(origin) {
                    None => origins.listed.push(origin.into()),
                    Some(repair) => {
                        good = false;
                        let message = format!("`{text}` is not an origin as browsers send it");
                        let help = match repair {
                            Some(repair) if !text.is_expanded() => format!("write `{repair}`"),
                            _ => "write `https://app.example.com`, `same-origin` or `*`".to_owned(),
                        };
                        let diagnostic = Diagnostic::new(&codes::BAD_ORIGIN, text.span(), message);
                        self.find(diagnostic.help(help));
                    }
                },
            }
        }
        good.then_some(origins)
    }

    /// Browsers send cookies from any page: then any page acts for the user.
    fn cookies_for_all(&mut self, endpoint: &config::Endpoint, text: &Text) {
        let cookie = self.config.auth.iter().find(|(name, mode)| {
            endpoint
                .auth
                .iter()
                .any(|cited| cited.as_str() == name.value)
                && match &mode.method {
                    Some(AuthMethod::Session(_)) => true,
                    Some(AuthMethod::Http(call)) => call
                        .value
                        .forward
                        .iter()
                        .any(|part| part.as_str().split('.').next() == Some("cookie")),
                    Some(AuthMethod::Jwt(jwt)) => match jwt.value.credential.as_ref() {
                        Some(credential) => match &credential.value {
                            Credential::Request(places) => places
                                .iter()
                                .any(|(place, _)| place.value == CredentialPlace::Cookie),
                            Credential::FirstMessage(_) => false,
                        },
                        None => false,
                    },
                    _ => false,
                }
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
}

/// Nothing where `origin` is one; otherwise what it probably should be, where that can be said.
fn repaired(origin: &str) -> Option<Option<String>> {
    let lower = origin.to_ascii_lowercase();
    let (scheme, rest) = match lower.split_once("://") {
        Some(parts) => parts,
        None if lower.contains('.') || lower.starts_with("localhost") => {
            return Some(Some(format!("https://{lower}")));
        }
        None => return Some(None),
    };
    let scheme_fits = match scheme {
        "ws" => "http",
        "wss" => "https",
        other => other,
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = match scheme_fits {
        "https" => ":443",
        "http" => ":80",
        _ => "\0",
    };
    let host = host.strip_suffix(default_port).unwrap_or(host);
    if host.is_empty() || host.contains(['*', '@', ' ']) {
        return Some(None);
    }
    let repair = format!("{scheme_fits}://{host}");
    (repair != origin).then_some(Some(repair))
}

#[cfg(test)]
mod tests {
    use super::repaired;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for good in [
            "https://app.example.com",
            "http://localhost:3000",
            "app://x",
        ] {
            assert_eq!(repaired(good), None, "{good}");
        }
        for (bad, repair) in [
            ("https://app.example.com/", Some("https://app.example.com")),
            ("https://App.example.com", Some("https://app.example.com")),
            ("app.example.com", Some("https://app.example.com")),
            ("wss://app.example.com", Some("https://app.example.com")),
            (
                "https://app.example.com:443",
                Some("https://app.example.com"),
            ),
            ("https://*.example.com", None),
            ("null", None),
        ] {
            assert_eq!(repaired(bad), Some(repair.map(str::to_owned)), "{bad}");
        }
    }
}
