//! `auth`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, CredentialPlace, JwtKey, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::known::intersection;
use crate::plan::lower::schema::Of;
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{
    Application, AuthMethod, AuthMode, Credential, Jwt, JwtAlgorithm, Place, Session,
};
use crate::rule::{Known, Template};
use crate::schema::Schema;
use crate::vocab::Secret;

const LEEWAY: Duration = Duration::from_secs(30);
const HMAC_SECRET_BYTES_MIN: usize = 32;

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
        self.unsupported_jwt(written);
        let secret = match written.key.as_ref()? {
            JwtKey::Secret(secret) => {
                self.strong(secret);
                secret.value.clone()
            }
            _ => return None,
        };
        Some(Jwt {
            algorithms: vec![JwtAlgorithm::Hs256],
            secret,
            credential: self.credential(written.credential.as_ref()),
            issuer: written.issuer.as_ref().map(|text| text.as_str().into()),
            audience: written.audience.as_ref().map(|text| text.as_str().into()),
            leeway: value(written.leeway, LEEWAY),
            user_id: written.user_id.as_ref().map_or("sub", Text::as_str).into(),
            username: written.username.as_ref().map(|text| text.as_str().into()),
            claims: None,
        })
    }

    fn unsupported_jwt(&mut self, written: &config::Jwt) {
        let secret_instead = "use `algorithms: [HS256]` with a `secret` that the issuer shares";
        for algorithm in &written.algorithms {
            if algorithm.value != config::JwtAlgorithm::Hs256 {
                let what = format!("`{}`", algorithm_name(algorithm.value));
                self.unsupported(algorithm.span, &what, secret_instead);
            }
        }
        let key = match &written.key {
            Some(JwtKey::PublicKey(file)) => Some((file.path.span, "`public_key_file`")),
            Some(JwtKey::JwksFile(file)) => Some((file.path.span, "`jwks_file`")),
            Some(JwtKey::JwksUrl(url)) => Some((url.span(), "`jwks_url`")),
            Some(JwtKey::IssuerDiscovery(url)) => Some((url.span(), "`issuer_discovery`")),
            Some(JwtKey::Secret(_)) | None => None,
        };
        if let Some((span, what)) = key {
            self.unsupported(span, what, secret_instead);
        }
        if let Some(expiry) = written
            .expiry
            .filter(|expiry| expiry.value == config::Expiry::Refresh)
        {
            let instead =
                "write `expiry: close`: the client comes back with a new token after 4001";
            self.unsupported(expiry.span, "`expiry: refresh`", instead);
        }
    }

    pub(super) fn strong(&mut self, secret: &Spanned<Secret>) {
        if secret.value.expose().len() < HMAC_SECRET_BYTES_MIN {
            let message =
                "the secret has fewer than 32 bytes: tokens could be forged by guessing it";
            let help = "use at least 32 random bytes, for example from `openssl rand -base64 32`";
            self.find(finding(
                &codes::WEAK_SECRET,
                secret.span,
                message.to_owned(),
                help,
            ));
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
}

/// Nothing where a schema is written and cannot be used.
fn needed(claims: Option<Option<Arc<Schema>>>) -> Option<Option<Arc<Schema>>> {
    match claims {
        Some(claims) => claims.map(Some),
        None => Some(None),
    }
}

pub(super) fn algorithm_name(algorithm: config::JwtAlgorithm) -> &'static str {
    match algorithm {
        config::JwtAlgorithm::Hs256 => "HS256",
        config::JwtAlgorithm::Hs384 => "HS384",
        config::JwtAlgorithm::Hs512 => "HS512",
        config::JwtAlgorithm::Rs256 => "RS256",
        config::JwtAlgorithm::Rs384 => "RS384",
        config::JwtAlgorithm::Rs512 => "RS512",
        config::JwtAlgorithm::Ps256 => "PS256",
        config::JwtAlgorithm::Ps384 => "PS384",
        config::JwtAlgorithm::Ps512 => "PS512",
        config::JwtAlgorithm::Es256 => "ES256",
        config::JwtAlgorithm::Es384 => "ES384",
        config::JwtAlgorithm::EdDsa => "EdDSA",
    }
}
