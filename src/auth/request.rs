//! What a request says of its sender, without naming an HTTP library.

use std::sync::Arc;

use crate::auth::AuthError;
use crate::plan::{AuthMethod, AuthMode, Credential, Forward, Place};
use crate::rule::ConnectionFacts;
use crate::vocab::Parameters;

/// The subprotocol that the server selects where the client offers it.
pub const SUBPROTOCOL: &str = "trunkline.v1.json";

/// A handshake as `auth` sees it. `transport` builds it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The parameters of the endpoint's path.
    pub path: &'a Parameters,
    /// The query, percent-decoded.
    pub query: &'a Parameters,
    /// All headers, names in any case; a name may stand several times. What of a value is not UTF-8 is U+FFFD: a credential with
    /// that in it is a wrong one, not one that is missing, which another auth mode could make up for.
    pub headers: &'a [(&'a str, &'a str)],
    /// The subprotocols that the client offers, in its order.
    pub subprotocols: &'a [&'a str],
    /// The connection that is about to be.
    pub connection: ConnectionFacts<'a>,
}

impl<'a> Request<'a> {
    /// [`SUBPROTOCOL`] where it is offered. One that carries a credential is never selected: the answer would repeat it.
    pub fn chosen_subprotocol(&self) -> Option<&'static str> {
        self.subprotocols
            .contains(&SUBPROTOCOL)
            .then_some(SUBPROTOCOL)
    }

    /// The credential in the first of `places` that has one.
    pub(super) fn credential(&self, places: &[Place]) -> Result<Option<&'a str>, AuthError> {
        for place in places {
            if let Some(found) = self.look(place)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The value of the header `name`, whatever its scheme.
    pub(super) fn whole_header(&self, name: &str) -> Result<Option<&'a str>, AuthError> {
        let values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        only(values.map(|(_, value)| *value), &Place::Header(name.into()))
    }

    /// The value of the query parameter `name`.
    pub(super) fn query_value(&self, name: &str) -> Result<Option<&'a str>, AuthError> {
        let values = self.query.iter().filter(|(key, _)| *key == name);
        only(values.map(|(_, value)| value), &Place::Query(name.into()))
    }

    fn look(&self, place: &Place) -> Result<Option<&'a str>, AuthError> {
        match place {
            Place::Query(name) => self.query_value(name),
            Place::Header(name) => only(self.header(name), place),
            Place::Cookie(name) => Ok(self.cookie(name)),
            Place::Subprotocol(prefix) => {
                let tokens = self
                    .subprotocols
                    .iter()
                    .filter_map(|offered| offered.strip_prefix(&**prefix)?.strip_prefix('.'));
                only(tokens, place)
            }
        }
    }

    /// The credentials in the header `name`: of `authorization` only those of the scheme Bearer (RFC 6750 §2.1).
    fn header(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let bearer_only = name.eq_ignore_ascii_case("authorization");
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .filter_map(move |(_, value)| {
                if bearer_only {
                    bearer(value)
                } else {
                    Some(value)
                }
            })
    }

    /// The first cookie called `name`: browsers send the one with the longest path first (RFC 6265 §5.4).
    pub(super) fn cookie(&self, name: &str) -> Option<&'a str> {
        let found = self.cookies().find(|(key, _)| *key == name);
        found.map(|(_, value)| value)
    }

    /// All cookies, names and values, as they were sent.
    pub(super) fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case("cookie"))
            .flat_map(|(_, value)| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(key, value)| (key, unquoted(value)))
    }
}

/// The token of an `Authorization` header of the scheme Bearer, in any case (RFC 9110 §11.1).
pub(super) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
}

fn only<'a>(
    mut found: impl Iterator<Item = &'a str>,
    place: &Place,
) -> Result<Option<&'a str>, AuthError> {
    let first = found.next();
    if found.next().is_some() {
        let place = words(place);
        return Err(AuthError::Ambiguous { place });
    }
    Ok(first)
}

/// `place` as an error names it.
fn words(place: &Place) -> String {
    match place {
        Place::Query(name) => format!("the query parameter `{name}`"),
        Place::Header(name) if name.eq_ignore_ascii_case("authorization") => {
            format!("the header `{name}: Bearer …`")
        }
        Place::Header(name) => format!("the header `{name}`"),
        Place::Cookie(name) => format!("the cookie `{name}`"),
        Place::Subprotocol(prefix) => format!("the subprotocol `{prefix}.…`"),
    }
}

/// Where `part` stands, as an error names it.
fn forwarded(part: &Forward) -> String {
    match part {
        Forward::Cookies => "the cookies".to_owned(),
        Forward::Cookie(name) => words(&Place::Cookie(name.clone())),
        Forward::Header(name) => format!("the header `{name}`"),
        Forward::Query(name) => words(&Place::Query(name.clone())),
    }
}

/// Where `modes` look for credentials, in words.
pub(super) fn places(modes: &[Arc<AuthMode>]) -> String {
    let mut named: Vec<String> = Vec::new();
    for mode in modes {
        let places: Vec<String> = match &mode.method {
            AuthMethod::Jwt(jwt) => match &jwt.credential {
                Credential::Request(places) => places.iter().map(words).collect(),
                Credential::FirstMessage(_) => Vec::new(),
            },
            AuthMethod::Session(session) => {
                vec![words(&Place::Cookie(session.cookie.clone()))]
            }
            AuthMethod::Http(asked) => asked.forward.iter().map(forwarded).collect(),
            AuthMethod::Anonymous { .. } => Vec::new(),
        };
        for word in places {
            if !named.contains(&word) {
                named.push(word);
            }
        }
    }
    match named.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
