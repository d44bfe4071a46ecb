//! `auth`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, CredentialPlace, JwtKey, SessionLookup, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::known::intersection;
use crate::plan::lower::schema::Of;
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, finding, shown};
use crate::plan::{AuthMethod, AuthMode, Credential, Expiry, Jwt, Lifetime, Place, Session};
use crate::rule::{Known, Template};

const LEEWAY: Duration = Duration::from_secs(30);
const LEEWAY_MAX: Duration = Duration::from_secs(5 * 60);
const SESSION_FILE_BYTES_MAX: usize = 16 << 20;

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
                    jwt.and_then(|jwt| {
                        let claims = match claims {
                            Some(claims) => Some(claims?),
                            None => None,
                        };
                        Some(AuthMethod::Jwt(Jwt { claims, ..jwt }))
                    })
                }
                Some(config::AuthMethod::Session(session)) => self.session(&session.value),
                Some(config::AuthMethod::Http(call)) => {
                    let instead = "use `jwt` with a token that the application signs";
                    self.unsupported(call.span, "`http`", instead);
                    None
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
        let keys = self.token_keys(&written.algorithms, written.key.as_ref());
        let leeway = self.leeway(written.leeway);
        let audiences = self.audiences(written.audience.as_ref());
        let lifetime = self.lifetime(written.require_exp);
        // Who the keys are asked of is who the tokens are from.
        let issuer = match (&written.issuer, &written.key) {
            (None, Some(JwtKey::IssuerDiscovery(issuer))) => Some(issuer),
            (issuer, _) => issuer.as_ref(),
        };
        Some(Jwt {
            keys: keys?,
            credential: self.credential(written.credential.as_ref()),
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

    fn audiences(&mut self, written: Option<&Spanned<Vec<Text>>>) -> Vec<Box<str>> {
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

    fn session(&mut self, written: &config::Session) -> Option<AuthMethod> {
        let instead =
            "write `lookup: {file: sessions.yaml}`, a map from the cookie's value to the user";
        let file = match written.lookup.as_ref()? {
            SessionLookup::Http(call) => {
                self.unsupported(call.span, "`lookup: {http: …}`", instead);
                return None;
            }
            SessionLookup::Redis(lookup) => {
                self.unsupported(lookup.span, "`lookup: {redis: …}`", instead);
                return None;
            }
            SessionLookup::File(file) => file,
        };
        if self
            .files
            .read(&file.value, SESSION_FILE_BYTES_MAX)
            .is_err()
        {
            let message = format!(
                "the sessions file `{}` cannot be read",
                shown(self.config, &file.value)
            );
            let help = "files are relative to the one that names them: create it (an empty map `{}` will do), or correct the path";
            self.find(finding(&codes::MISSING_FILE, file.span, message, help));
        }
        Some(AuthMethod::Session(Session {
            cookie: written.cookie.as_ref()?.as_str().into(),
            file: file.value.clone(),
        }))
    }
}
