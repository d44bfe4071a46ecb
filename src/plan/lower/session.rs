//! Auth modes that ask somebody: sessions and the application.

use std::time::Duration;

use crate::config::{self, CredentialPlace, JwtAlgorithm, SessionLookup, Spanned, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::auth::is_token;
use crate::plan::lower::call::TIMEOUT;
use crate::plan::lower::server::{HANDSHAKE_TIMEOUT, value};
use crate::plan::lower::{Lowering, finding, shown};
use crate::plan::{
    Application, Forward, Hmac, HttpUrl, Lookup, RedisLookup, Session, SignedCookie,
};
use crate::vocab::format_duration;

const FILE_BYTES_MAX: usize = 16 << 20;
const REDIS_PREFIX: &str = "session:";

impl Lowering<'_> {
    /// `session`, without its claims.
    pub(super) fn session(&mut self, written: &config::Session) -> Option<Session> {
        let lookup = match written.lookup.as_ref()? {
            SessionLookup::Http(call) => self.session_call(&call.value),
            SessionLookup::Redis(redis) => self.redis_lookup(&redis.value),
            SessionLookup::Signed(signed) => self.signed_cookie(&signed.value),
            SessionLookup::File(file) => {
                self.session_file(file);
                Some(Lookup::File(file.value.clone()))
            }
        };
        let cookie = written.cookie.as_ref()?;
        self.credential_name(CredentialPlace::Cookie, cookie);
        Some(Session {
            cookie: cookie.as_str().into(),
            lookup: lookup?,
            claims: None,
        })
    }

    fn session_call(&mut self, written: &config::HttpCall) -> Option<Lookup> {
        self.is_within_handshake(written.timeout);
        if let Some(first) = written
            .forward
            .iter()
            .flat_map(|listed| &listed.value)
            .next()
        {
            let message = "`forward` has no effect: a session is looked up by its cookie alone, wherever it is used";
            let help = "remove it, or ask with `auth: {NAME: {http: {url: …, forward: […]}}}`";
            self.no_effect(first.span(), message.to_owned(), help);
        }
        self.http_call(written).map(Lookup::Http)
    }

    fn redis_lookup(&mut self, written: &config::RedisLookup) -> Option<Lookup> {
        let timeout = self.above_zero(written.timeout, TIMEOUT, "timeout");
        self.is_within_handshake(written.timeout);
        let patience = self.patience(written.cache, written.stale);
        let prefix = written.prefix.as_ref();
        if let Some(empty) = prefix.filter(|prefix| prefix.as_str().is_empty()) {
            let message = "the prefix is empty, so a cookie could name any key of this Redis";
            let help =
                "write the prefix that your framework gives its sessions, such as `session:`";
            self.find(finding(
                &codes::OPEN_PREFIX,
                empty.span(),
                message.to_owned(),
                help,
            ));
        }
        let url = written.url.as_ref()?;
        if !is_redis_url(url.value.expose()) {
            let message = "this URL is not one of Redis".to_owned();
            let help = "write it like `redis://127.0.0.1:6379/0`, or `rediss://…` over TLS";
            self.find(finding(&codes::BAD_URL, url.span, message, help));
        }
        Some(Lookup::Redis(RedisLookup {
            url: url.value.clone(),
            prefix: prefix.map_or(REDIS_PREFIX, Text::as_str).into(),
            timeout,
            patience,
        }))
    }

    fn signed_cookie(&mut self, written: &config::SignedCookie) -> Option<Lookup> {
        let algorithm = match written.algorithm {
            None => Some(Hmac::Sha256),
            Some(algorithm) => self.hmac(algorithm),
        };
        let secret = written.secret.as_ref()?;
        let signed_by = written
            .algorithm
            .map_or(JwtAlgorithm::Hs256, |algorithm| algorithm.value);
        self.strong(secret, signed_by);
        Some(Lookup::Signed(SignedCookie {
            secret: secret.value.clone(),
            algorithm: algorithm?,
        }))
    }

    fn hmac(&mut self, written: Spanned<JwtAlgorithm>) -> Option<Hmac> {
        match written.value {
            JwtAlgorithm::Hs256 => Some(Hmac::Sha256),
            JwtAlgorithm::Hs384 => Some(Hmac::Sha384),
            JwtAlgorithm::Hs512 => Some(Hmac::Sha512),
            other => {
                let name = other.as_str();
                let message =
                    format!("a cookie cannot be signed with `{name}`: it needs a pair of keys");
                let help =
                    "write `algorithm: HS256`, or use `jwt` with `credential: {cookie: NAME}`";
                self.find(finding(&codes::CONTRADICTION, written.span, message, help));
                None
            }
        }
    }

    fn session_file(&mut self, file: &Spanned<std::path::PathBuf>) {
        if self.files.read(&file.value, FILE_BYTES_MAX).is_err() {
            let message = format!(
                "the sessions file `{}` cannot be read",
                shown(self.config, &file.value)
            );
            let help = "files are relative to the one that names them: create it (an empty map `{}` will do), or correct the path";
            self.find(finding(&codes::MISSING_FILE, file.span, message, help));
        }
    }

    /// `http`, without its claims.
    pub(super) fn application(
        &mut self,
        written: &Spanned<config::HttpCall>,
    ) -> Option<Application> {
        let call = self.http_call(&written.value);
        self.is_within_handshake(written.value.timeout);
        let listed = written.value.forward.as_ref();
        let parts = listed.map_or(&[][..], |listed| &listed.value);
        if parts.is_empty() {
            let message = "`http` does not say what of the request the application is shown";
            let help = "write `forward: [cookie]`, or `authorization`, `cookie.NAME`, `header.NAME`, `query.NAME`";
            self.find(finding(
                &codes::MISSING_KEY,
                listed.map_or(written.span, |listed| listed.span),
                message.to_owned(),
                help,
            ));
        }
        self.repeated(parts);
        let forward: Vec<_> = parts.iter().map(|text| self.forward(text)).collect();
        Some(Application {
            call: call?,
            forward: forward.into_iter().collect::<Option<_>>()?,
            claims: None,
        })
    }

    /// Finds times that a handshake does not have.
    fn is_within_handshake(&mut self, timeout: Option<Spanned<Duration>>) {
        let handshake = self.config.server.limits.handshake;
        let whole = value(handshake, HANDSHAKE_TIMEOUT);
        let Some(timeout) = timeout.filter(|timeout| timeout.value > whole) else {
            return;
        };
        let message = format!(
            "`timeout` of {} is never over: a handshake ends after {}",
            format_duration(timeout.value),
            format_duration(whole)
        );
        let help = "write less, or more for `server.limits.handshake`";
        let mut diagnostic = Diagnostic::new(&codes::NO_EFFECT, timeout.span, message).help(help);
        if let Some(handshake) = handshake {
            diagnostic = diagnostic.also(handshake.span, "this bounds it");
        }
        self.find(diagnostic);
    }

    fn forward(&mut self, text: &Text) -> Option<Forward> {
        let (kind, name) = text.as_str().split_once('.').unwrap_or((text.as_str(), ""));
        match (kind, name) {
            ("cookie", "") if !text.as_str().ends_with('.') => Some(Forward::Cookies),
            ("authorization", "") if !text.as_str().ends_with('.') => {
                Some(Forward::Header("authorization".into()))
            }
            ("cookie", name) if !name.is_empty() => Some(Forward::Cookie(name.into())),
            ("query", name) if !name.is_empty() => Some(Forward::Query(name.into())),
            ("header", "cookie" | "Cookie") => {
                self.unknown_forward(text, "write `cookie`");
                None
            }
            ("header", name) if is_token(name) => {
                Some(Forward::Header(name.to_ascii_lowercase().into()))
            }
            _ => {
                let help =
                    "write `cookie`, `cookie.NAME`, `authorization`, `header.NAME` or `query.NAME`";
                self.unknown_forward(text, help);
                None
            }
        }
    }

    fn unknown_forward(&mut self, text: &Text, help: &str) {
        let message = format!("`{text}` is not a part of a request that can be forwarded");
        self.find(finding(&codes::UNKNOWN_FORWARD, text.span(), message, help));
    }
}

/// `redis://user:password@host:port/number`, where all but the host may be left out; `rediss` for TLS.
fn is_redis_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let as_http = HttpUrl::parse(&format!("http://{rest}"));
    let database = |url: HttpUrl| {
        let path = url.uri().path().trim_start_matches('/');
        url.uri().query().is_none() && path.bytes().all(|byte| byte.is_ascii_digit())
    };
    ["redis", "rediss"].contains(&scheme) && as_http.is_ok_and(database)
}
