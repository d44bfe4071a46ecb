//! Secrets that stand in the file itself.

use crate::config::{
    AuthMethod, Broker, Config, HttpCall, JwtKey, MayJoin, Read, SessionLookup, Spanned,
};
use crate::diag::catalogue::security as codes;
use crate::diag::{Diagnostic, Span};
use crate::vocab::Secret;

const LEAVE_DEFAULT_OUT: &str = "leave the default out: the variable has to be set then";

/// A URL that may hold a password, whose it is, and how else that can be given.
struct Url {
    what: String,
    span: Span,
    help: &'static str,
}

/// Finds secrets whose text is the file's own.
pub(in crate::plan::lower) fn secrets_in_file(read: &Read) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (what, secret) in secrets(&read.config) {
        let written = read.sources.text(secret.span);
        if secret.value.expose().is_empty() || !written.contains(secret.value.expose()) {
            continue;
        }
        let message =
            format!("the secret of {what} stands in the file: whoever reads the file has it");
        let help = match written.contains("${") {
            true => LEAVE_DEFAULT_OUT,
            false => {
                "take it from the environment, `secret: \"${NAME}\"`, or from a file, `secret_file: PATH`"
            }
        };
        findings.push(Diagnostic::new(&codes::SECRET_IN_FILE, secret.span, message).help(help));
    }
    for Url { what, span, help } in urls(&read.config) {
        let written = read.sources.text(span);
        let default = |inside: &str| match inside.split_once(":-") {
            Some((_, default)) => default.to_owned(),
            None => String::new(),
        };
        if !has_password(&replaced(written, default)) {
            continue;
        }
        let message = format!(
            "the password in the URL of {what} stands in the file: whoever reads the file has it"
        );
        let help = match has_password(&replaced(written, |_| String::new())) {
            true => help,
            false => LEAVE_DEFAULT_OUT,
        };
        findings.push(Diagnostic::new(&codes::SECRET_IN_FILE, span, message).help(help));
    }
    findings
}

fn secrets(config: &Config) -> Vec<(String, &Spanned<Secret>)> {
    let mut found = Vec::new();
    for (name, mode) in &config.auth {
        let secret = match &mode.method {
            Some(AuthMethod::Jwt(jwt)) => shared(jwt.value.key.as_ref()),
            Some(AuthMethod::Session(session)) => match &session.value.lookup {
                Some(SessionLookup::Signed(signed)) => signed.value.secret.as_ref(),
                _ => None,
            },
            _ => None,
        };
        found.extend(secret.map(|secret| (format!("`{}`", name.value), secret)));
    }
    for (pattern, room) in &config.rooms {
        if let Some(MayJoin::Token(token)) = &room.may_join {
            let secret = shared(token.value.key.as_ref());
            found.extend(secret.map(|secret| (format!("`{}`", pattern.value), secret)));
        }
    }
    for (what, call) in calls(config) {
        found.extend(call.secret.iter().map(|secret| (what.clone(), secret)));
    }
    let keys = config.server.api.iter().flat_map(|api| &api.value.keys);
    for (name, key) in keys {
        let what = || format!("the API key `{}`", name.value);
        found.extend(key.secret.iter().map(|secret| (what(), secret)));
    }
    for (name, webhook) in &config.webhooks {
        let what = || format!("the webhook `{}`", name.value);
        found.extend(webhook.secret.iter().map(|secret| (what(), secret)));
    }
    found
}

fn shared(key: Option<&JwtKey>) -> Option<&Spanned<Secret>> {
    match key {
        Some(JwtKey::Secret(secret)) => Some(secret),
        _ => None,
    }
}

/// The questions to the application, by whose they are.
fn calls(config: &Config) -> Vec<(String, &HttpCall)> {
    let mut found = Vec::new();
    for (name, mode) in &config.auth {
        let call = match &mode.method {
            Some(AuthMethod::Http(call)) => call,
            Some(AuthMethod::Session(session)) => match &session.value.lookup {
                Some(SessionLookup::Http(call)) => call,
                _ => continue,
            },
            _ => continue,
        };
        found.push((format!("`{}`", name.value), &call.value));
    }
    for (pattern, room) in &config.rooms {
        if let Some(MayJoin::Http(call)) = &room.may_join {
            found.push((format!("`{}`", pattern.value), &call.value));
        }
    }
    found
}

fn urls(config: &Config) -> Vec<Url> {
    let of_http = |what: String, span: Span| Url {
        what,
        span,
        help: "take it from the environment, as in `https://user:${PASSWORD}@app.example.com`",
    };
    let of_server = |what: String, span: Span| Url {
        what,
        span,
        help: "take the URL from the environment, `url: \"${NAME}\"`, or from a file, `url_file: PATH`",
    };
    let mut found = Vec::new();
    for (what, call) in calls(config) {
        found.extend(call.url.as_ref().map(|url| of_http(what, url.span())));
    }
    let rooms = config.rooms.iter().filter_map(|(pattern, room)| {
        let Some(MayJoin::Token(token)) = &room.may_join else {
            return None;
        };
        Some((pattern, token.value.key.as_ref()?))
    });
    let modes = config.auth.iter().filter_map(|(name, mode)| {
        let Some(AuthMethod::Jwt(jwt)) = &mode.method else {
            return None;
        };
        Some((name, jwt.value.key.as_ref()?))
    });
    for (name, key) in modes.chain(rooms) {
        if let JwtKey::JwksUrl(url) = key {
            found.push(of_http(format!("`{}`", name.value), url.span()));
        }
    }
    for (name, mode) in &config.auth {
        if let Some(AuthMethod::Session(session)) = &mode.method
            && let Some(SessionLookup::Redis(redis)) = &session.value.lookup
            && let Some(url) = &redis.value.url
        {
            found.push(of_server(format!("`{}`", name.value), url.span));
        }
    }
    let broker = config.server.broker.as_ref().map(|broker| &broker.value);
    if let Some(Broker::Redis { url: Some(url) } | Broker::Nats { url: Some(url) }) = broker {
        found.push(of_server("`server.broker`".to_owned(), url.span));
    }
    found
}

/// `written` with what `stands_for` makes of the inside of each `${…}`.
fn replaced(written: &str, stands_for: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let mut rest = written;
    while let Some((before, behind)) = rest.split_once("${") {
        let (inside, after) = behind.split_once('}').unwrap_or((behind, ""));
        text.push_str(before);
        text.push_str(&stands_for(inside));
        rest = after;
    }
    text + rest
}

/// Whether a password stands before the host of a URL.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    let password = user.and_then(|(user, _)| user.split_once(':'));
    password.is_some_and(|(_, password)| !password.is_empty())
}
