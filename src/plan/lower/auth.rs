//! `auth`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, CredentialPlace, JwtKey, Spanned, Text};
use crate::diag::Span;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::known::intersection;
use crate::plan::lower::schema::Of;
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{
    Application, AuthMethod, AuthMode, Credential, Expiry, Jwt, Lifetime, Place, Session,
};
use crate::rule::{Known, Template};
use crate::schema::Schema;

const LEEWAY: Duration = Duration::from_secs(30);
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);

impl Lowering<'_> {
    pub(super) fn auth(&mut self) -> Vec<Option<Arc<AuthMode>>> {
        let mut modes = Vec::new();
        for (index, (name, mode)) in self.config.auth.iter().enumerate() {
            let claims = mode.claims.as_ref();
            let claims = claims.map(|claims| self.schema(claims, Of::Claims));
            let method = match mode.method.as_ref() {
                Some(config::AuthMethod::Anonymous(anonymous)) => {
                    if let Some(claims) = &mode.claims {
                        let message =
                            "`claims` has no effect: anonymous users have none".to_owned();
                        self.no_effect(claims.span, message, "remove it");
                    }
                    self.anonymous(&name.value, &anonymous.value)
                }
                Some(config::AuthMethod::Jwt(jwt)) => {
                    self.refresh_is_heard(&name.value, &jwt.value);
                    let jwt = self.jwt(&jwt.value);
                    jwt.zip(needed(claims))
                        .map(|(jwt, claims)| AuthMethod::Jwt(Jwt { claims, ..jwt }))
                }
                Some(config::AuthMethod::Session(session)) => {
                    let session = self.session(&session.value);
                    session
                        .zip(needed(claims))
                        .map(|(session, claims)| AuthMethod::Session(Session { claims, ..session }))
                }
                Some(config::AuthMethod::Http(call)) => {
                    let application = self.application(call);
                    application
                        .zip(needed(claims))
                        .map(|(application, claims)| {
                            AuthMethod::Http(Application {
                                claims,
                                ..application
                            })
                        })
                }
                None => None,
            };
            modes.push(method.map(|method| {
                Arc::new(AuthMode {
                    index,
                    name: name.value.as_str().into(),
                    method,
                })
            }));
        }
        modes
    }

    fn anonymous(&mut self, mode: &str, written: &config::Anonymous) -> Option<AuthMethod> {
        let config = self.config;
        let users: Vec<usize> = (0..config.endpoints.len())
            .filter(|index| {
                let cited = &config.endpoints[*index].1.auth;
                cited.iter().any(|name| name.as_str() == mode)
            })
            .collect();
        let paths: Vec<_> = users
            .iter()
            .map(|index| self.endpoints.parameters(*index))
            .collect();
        let known = Known {
            path: Some(intersection(&paths)),
            query: true,
            connection: true,
            ..Known::default()
        };
        let before = self.findings.len();
        let user_id = self.anonymous_text(written.user_id.as_ref(), &known);
        let username = self.anonymous_text(written.username.as_ref(), &known);
        if users.is_empty() {
            // The mode is reported as unused; which path it would see cannot be known.
            self.findings.truncate(before);
        }
        for finding in &mut self.findings[before..] {
            for (index, names) in users.iter().zip(&paths) {
                let path = &config.endpoints[*index].0;
                let label = match names.as_slice() {
                    [] => "used by this endpoint, whose path has no parameters".to_owned(),
                    names => format!(
                        "used by this endpoint, whose path has `{}`",
                        names.join("`, `")
                    ),
                };
                finding.labels.push((path.span, label));
            }
        }
        Some(AuthMethod::Anonymous {
            user_id: user_id?,
            username: username?,
        })
    }

    fn anonymous_text(&mut self, text: Option<&Text>, known: &Known) -> Option<Option<Template>> {
        match text {
            Some(text) => self.own_template(text, known).map(Some),
            None => Some(None),
        }
    }

    fn jwt(&mut self, written: &config::Jwt) -> Option<Jwt> {
        let keys = self.token_keys(written.algorithms.as_ref(), written.key.as_ref());
        let credential = self.credential(written.credential.as_ref());
        let leeway = self.leeway(written.leeway);
        let audiences = self.token_audiences(written.audience.as_ref());
        let lifetime = self.lifetime(written.require_exp);
        // Who the keys are asked of is who the tokens are from.
        let issuer = match (&written.issuer, &written.key) {
            (None, Some(JwtKey::IssuerDiscovery(issuer))) => Some(issuer),
            (issuer, _) => issuer.as_ref(),
        };
        if let (Some(other), Some(JwtKey::IssuerDiscovery(asked))) = (issuer, &written.key) {
            self.one_issuer(other, asked);
        }
        Some(Jwt {
            keys: keys?,
            credential,
            issuer: issuer.map(|text| text.as_str().into()),
            audiences,
            leeway,
            lifetime,
            user_id: written.user_id.as_ref().map_or("sub", Text::as_str).into(),
            username: written.username.as_ref().map(|text| text.as_str().into()),
            claims: None,
            expiry: match written.expiry.map(|expiry| expiry.value) {
                Some(config::Expiry::Refresh) => Expiry::Refresh,
                Some(config::Expiry::Close) | None => Expiry::Close,
            },
        })
    }

    /// Finds an issuer that is not the one whose keys are asked for.
    fn one_issuer(&mut self, other: &Text, asked: &Text) {
        if other.as_str() == asked.as_str() {
            return;
        }
        let message =
            "`issuer` is another than that of `issuer_discovery`, so every token is refused";
        let help = "leave `issuer` out: tokens have to be from the issuer whose keys are asked for";
        let code = &codes::CONTRADICTION;
        let finding = finding(code, other.span(), message.to_owned(), help);
        self.find(finding.also(asked.span(), "its keys are asked for"));
    }

    /// Finds `expiry: refresh` where no client of the mode has a frame to bring a fresh token with.
    fn refresh_is_heard(&mut self, mode: &str, jwt: &config::Jwt) {
        let Some(expiry) = jwt
            .expiry
            .filter(|expiry| expiry.value == config::Expiry::Refresh)
        else {
            return;
        };
        let endpoints = self.config.endpoints.iter().map(|(_, endpoint)| endpoint);
        let mut users = endpoints
            .filter(|endpoint| endpoint.auth.iter().any(|name| name.as_str() == mode))
            .peekable();
        let brings = |endpoint: &config::Endpoint| {
            let protocol = endpoint.protocol.map(|protocol| protocol.value);
            matches!(protocol, None | Some(config::Protocol::Json))
                && endpoint.every_frame.is_none()
        };
        if users.peek().is_some() && !users.any(brings) {
            let message =
                "`expiry: refresh` has no effect: no client with this mode has a `token` frame";
            let help = "leave it out: the client comes back with a new token after 4001";
            self.no_effect(expiry.span, message.to_owned(), help);
        }
    }

    fn leeway(&mut self, written: Option<Spanned<Duration>>) -> Duration {
        if let Some(long) = written.filter(|written| written.value > LEEWAY_MAX) {
            let message =
                "`leeway` is longer than 5 minutes: tokens would work long after their end";
            let help = "write `5m` or less, and keep the clocks right";
            self.find(finding(
                &codes::LONG_LEEWAY,
                long.span,
                message.to_owned(),
                help,
            ));
        }
        value(written, LEEWAY)
    }

    fn token_audiences(&mut self, written: Option<&Spanned<Vec<Text>>>) -> Vec<Box<str>> {
        let Some(written) = written else {
            return Vec::new();
        };
        if written.value.is_empty() {
            let message = "`audience` is empty: it would have to mean that every token is refused";
            let help = "name who tokens are meant for, or remove the key to take those for anybody";
            self.find(finding(
                &codes::CONTRADICTION,
                written.span,
                message.to_owned(),
                help,
            ));
        }
        self.repeated(&written.value);
        written
            .value
            .iter()
            .map(|text| text.as_str().into())
            .collect()
    }

    fn lifetime(&mut self, written: Option<Spanned<bool>>) -> Lifetime {
        match written {
            Some(required) if !required.value => {
                let message =
                    "tokens without `exp` are good for ever, in whoever's hands they fall";
                let help = "have the issuer set `exp`, and remove `require_exp: false`";
                let code = &codes::TOKENS_WITHOUT_EXPIRY;
                self.find(finding(code, required.span, message.to_owned(), help));
                Lifetime::MayBeEndless
            }
            _ => Lifetime::Ends,
        }
    }

    fn credential(&mut self, written: Option<&Spanned<config::Credential>>) -> Credential {
        match written.map(|credential| &credential.value) {
            Some(config::Credential::FirstMessage(within)) => {
                let within = self.above_zero(Some(*within), within.value, "first_message");
                Credential::FirstMessage(within)
            }
            Some(config::Credential::Request(places)) => {
                self.credential_places(written.map(|written| written.span), places);
                let place = |(kind, name): &(Spanned<CredentialPlace>, Text)| {
                    let name = name.as_str();
                    match kind.value {
                        CredentialPlace::Query => Place::Query(name.into()),
                        CredentialPlace::Header => Place::Header(name.to_ascii_lowercase().into()),
                        CredentialPlace::Cookie => Place::Cookie(name.into()),
                        CredentialPlace::Subprotocol => Place::Subprotocol(name.into()),
                    }
                };
                Credential::Request(places.iter().map(place).collect())
            }
            None => Credential::Request(vec![
                Place::Query("token".into()),
                Place::Header("authorization".into()),
                Place::Subprotocol("bearer".into()),
            ]),
        }
    }

    fn credential_places(
        &mut self,
        section: Option<Span>,
        places: &[(Spanned<CredentialPlace>, Text)],
    ) {
        if let Some(section) = section.filter(|_| places.is_empty() && self.complete) {
            let message = "`credential` names no place, so that no token is ever found".to_owned();
            let help = "write `credential: {query: token}`, or `header`, `cookie`, `subprotocol` or `first_message`; without the key the usual places are looked at";
            self.find(finding(&codes::BAD_CREDENTIAL, section, message, help));
        }
        for (kind, name) in places {
            self.credential_name(kind.value, name);
        }
    }

    /// Finds a name that nothing in a request can have.
    pub(super) fn credential_name(&mut self, kind: CredentialPlace, name: &Text) {
        let text = name.as_str();
        let is_cookie = |c: char| !c.is_whitespace() && !c.is_control() && !"=;,\"".contains(c);
        let (is_possible, what, example) = match kind {
            CredentialPlace::Query => (!text.is_empty(), "a query parameter", "token"),
            CredentialPlace::Header => (is_token(text), "a header", "X-Auth-Token"),
            CredentialPlace::Cookie => {
                let is_name = !text.is_empty() && text.chars().all(is_cookie);
                (is_name, "a cookie", "session_id")
            }
            CredentialPlace::Subprotocol => (is_token(text), "a subprotocol", "bearer"),
        };
        if !is_possible {
            let message = if text.is_empty() {
                format!("the name of {what} is empty")
            } else {
                format!("`{name}` cannot be the name of {what}")
            };
            let help = format!("write a name without spaces, such as `{example}`");
            self.find(finding(&codes::BAD_CREDENTIAL, name.span(), message, &help));
        }
    }
}

/// Whether a text is a token of HTTP, which names of headers and subprotocols are (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Nothing where a schema is written and cannot be used.
fn needed(claims: Option<Option<Arc<Schema>>>) -> Option<Option<Arc<Schema>>> {
    match claims {
        Some(claims) => claims.map(Some),
        None => Some(None),
    }
}
