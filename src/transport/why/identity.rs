//! Who comes: which auth mode decides, and why a credential is refused.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::{AuthError, ConnectionFacts, Identification, Outcome, RefusalKind, Request};
use crate::decision::{Inquiry, Step, Verdict};
use crate::plan::{AuthMethod, AuthMode, Clause, Credential, Place};
use crate::transport::why::{Answering, Knock, Who};
use crate::vocab::{Identity, Parameters, User, UserId};

/// The claims that a step shows, in bytes.
const CLAIMS_BYTES_MAX: usize = 400;

/// A request as the question's credential would be sent.
struct Sent {
    query: Parameters,
    headers: Vec<(String, String)>,
    subprotocols: Vec<String>,
}

/// The user; nothing where a mode refuses, or no mode finds a credential.
pub(super) async fn identify(
    answering: &Answering<'_>,
    knock: &Knock<'_>,
    inquiry: &mut Inquiry<'_>,
) -> Option<Identity> {
    if let Who::User {
        id,
        username,
        claims,
    } = &knock.question.who
    {
        return assume(knock, inquiry, id, username.as_deref(), claims);
    }
    let sent = sent(knock);
    let headers: Vec<(&str, &str)> = sent
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let subprotocols: Vec<&str> = sent.subprotocols.iter().map(|text| &**text).collect();
    let request = Request {
        path: &knock.path,
        query: &sent.query,
        headers: &headers,
        subprotocols: &subprotocols,
        connection: ConnectionFacts {
            id: knock.id,
            ip: knock.ip,
            endpoint: knock.endpoint.path.as_str(),
            age: Duration::ZERO,
        },
    };
    let modes = &knock.endpoint.auth;
    for (index, mode) in modes.iter().enumerate() {
        let alone = std::slice::from_ref(mode);
        let settled = match answering.authenticator.identify(alone, &request) {
            Identification::Asked(_) => Settled::Unknown(
                "the application is asked who it is, and it is not asked here".to_owned(),
            ),
            Identification::Awaited(_) if !answering.around.is_running() => keys_are_fetched(),
            identification => {
                let outcome = identification.outcome().await;
                settle(answering, knock, mode, outcome).await
            }
        };
        match settled {
            Settled::Somebody(identity) => {
                take(inquiry, mode, passed(mode, knock, &identity))?;
                return Some(identity);
            }
            Settled::PassedOver(error) if index + 1 < modes.len() => {
                let detail = format!("it does not decide: {error}");
                take(inquiry, mode, Step::new("auth", &*mode.name).detail(detail))?;
            }
            Settled::PassedOver(error) | Settled::Refused(error) => {
                take(inquiry, mode, refused(mode, &error))?;
                return None;
            }
            Settled::Unknown(detail) => {
                let step = Step::new("auth", &*mode.name).detail(detail);
                take(inquiry, mode, step.verdict(Verdict::Unknown))?;
                return None;
            }
        }
    }
    None
}

/// What a mode makes of the request.
enum Settled {
    Somebody(Identity),
    /// Its credential is not there.
    PassedOver(AuthError),
    Refused(AuthError),
    /// It takes somebody else to say.
    Unknown(String),
}

/// The token has the right form, and nobody here has the keys.
fn keys_are_fetched() -> Settled {
    Settled::Unknown("its keys are fetched, which a running server does".to_owned())
}

async fn settle(
    answering: &Answering<'_>,
    knock: &Knock<'_>,
    mode: &Arc<AuthMode>,
    outcome: Outcome,
) -> Settled {
    let refused = |error: AuthError| match error.kind() {
        RefusalKind::Unavailable => Settled::Unknown(format!("{error}: this could not be told")),
        RefusalKind::Unauthenticated => Settled::Refused(error),
    };
    match outcome {
        Outcome::Identified { login, .. } => Settled::Somebody(login.identity),
        Outcome::Refused(error @ AuthError::Missing { .. }) => Settled::PassedOver(error),
        Outcome::Refused(error) => refused(error),
        Outcome::AwaitFirstMessage { .. } => match &knock.question.who {
            Who::Token(token) => {
                let authenticator = answering.authenticator;
                let identified = match answering.around.is_running() {
                    true => Some(authenticator.identify_token(mode, token).await),
                    false => authenticator.identify_token_now(mode, token),
                };
                match identified {
                    Some(Ok(identity)) => Settled::Somebody(identity),
                    Some(Err(error)) => refused(error),
                    None => keys_are_fetched(),
                }
            }
            _ => Settled::PassedOver(AuthError::Missing {
                places: "the first frame, a `token`".to_owned(),
            }),
        },
    }
}

fn take(inquiry: &mut Inquiry<'_>, mode: &AuthMode, step: Step) -> Option<()> {
    inquiry
        .trail
        .take(step, &[Clause::new("auth", &mode.name, "")])
}

fn passed(mode: &AuthMode, knock: &Knock<'_>, identity: &Identity) -> Step {
    let user = &identity.user;
    let mut detail = format!("the user is `{}`", user.id);
    if *user.username != *user.id.as_str() {
        detail += &format!(" ({})", user.username);
    }
    let claims = user.claims.to_string();
    if claims.len() <= CLAIMS_BYTES_MAX && claims != "{}" {
        detail += &format!(", with the claims {claims}");
    }
    let unused =
        matches!(knock.question.who, Who::Token(_)) && !matches!(mode.method, AuthMethod::Jwt(_));
    if unused {
        detail += "; the token is not looked at";
    }
    Step::new("auth", &*mode.name).detail(detail)
}

fn refused(mode: &AuthMode, error: &AuthError) -> Step {
    let detail = match error.cause() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Step::new("auth", &*mode.name)
        .refused_with(401)
        .detail(detail)
}

/// The request with the question's credentials where the endpoint's first mode that takes tokens looks for them.
fn sent(knock: &Knock<'_>) -> Sent {
    let mut sent = Sent {
        query: knock.query.clone(),
        headers: Vec::new(),
        subprotocols: Vec::new(),
    };
    let mut cookies: Vec<String> = knock
        .question
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if let Who::Token(token) = &knock.question.who {
        match place_of_tokens(knock) {
            Some(Place::Query(name)) => {
                let pairs = sent.query.iter().chain([(&**name, &**token)]);
                sent.query = pairs.collect();
            }
            Some(Place::Header(name)) if name.eq_ignore_ascii_case("authorization") => {
                sent.headers
                    .push((name.to_string(), format!("Bearer {token}")));
            }
            Some(Place::Header(name)) => sent.headers.push((name.to_string(), token.to_string())),
            Some(Place::Cookie(name)) => cookies.push(format!("{name}={token}")),
            Some(Place::Subprotocol(prefix)) => {
                sent.subprotocols.push(format!("{prefix}.{token}"));
            }
            None => {}
        }
    }
    if !cookies.is_empty() {
        sent.headers.push(("cookie".to_owned(), cookies.join("; ")));
    }
    sent
}

fn place_of_tokens<'k>(knock: &'k Knock<'_>) -> Option<&'k Place> {
    knock
        .endpoint
        .auth
        .iter()
        .find_map(|mode| match &mode.method {
            AuthMethod::Jwt(jwt) => match &jwt.credential {
                Credential::Request(places) => places.first(),
                Credential::FirstMessage(_) => None,
            },
            _ => None,
        })
}

/// A user whose credential nobody has to show: the first mode that could yield it does.
fn assume(
    knock: &Knock<'_>,
    inquiry: &mut Inquiry<'_>,
    id: &UserId,
    username: Option<&str>,
    claims: &Map<String, Value>,
) -> Option<Identity> {
    let modes = &knock.endpoint.auth;
    let mut why_not = None;
    for mode in modes {
        match assumed_claims(mode, id, username, claims) {
            Ok(claims) => {
                let user = User {
                    id: id.clone(),
                    username: username.map_or_else(|| id.to_shared(), Into::into),
                    authenticated: !id.is_anonymous(),
                    claims: Arc::new(Value::Object(claims)),
                };
                let detail =
                    format!("taken as given: the user `{id}`; no credential was looked at");
                take(inquiry, mode, Step::new("auth", &*mode.name).detail(detail))?;
                return Some(Identity {
                    user: Arc::new(user),
                    expires_at: None,
                });
            }
            Err(reason) => why_not = Some((mode, reason)),
        }
    }
    let (mode, reason) = why_not?;
    let step = Step::new("auth", &*mode.name).refused_with(401);
    take(inquiry, mode, step.detail(reason))?;
    None
}

/// The claims of a user that `mode` could yield.
fn assumed_claims(
    mode: &AuthMode,
    id: &UserId,
    username: Option<&str>,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let name = &mode.name;
    match &mode.method {
        AuthMethod::Anonymous { .. } if id.is_anonymous() => Ok(Map::new()),
        AuthMethod::Anonymous { .. } => Err(format!(
            "`{name}` yields anonymous users alone, whose ids begin with `{}`",
            UserId::ANONYMOUS_PREFIX
        )),
        _ if id.is_anonymous() => Err(format!("`{name}` yields no anonymous users")),
        AuthMethod::Jwt(jwt) => {
            let mut claims = Map::new();
            claims.insert(jwt.user_id.to_string(), id.as_str().into());
            if let (Some(claim), Some(username)) = (jwt.username.as_deref(), username) {
                claims.insert(claim.to_owned(), username.into());
            }
            claims.extend(given.clone());
            let claims = Value::Object(claims);
            if let Some(Err(violations)) = jwt.claims.as_ref().map(|schema| schema.check(&claims)) {
                let first = violations.first();
                let (path, message) =
                    first.map_or(("", ""), |first| (&*first.path, &*first.message));
                return Err(format!(
                    "`{name}` refuses a token with these claims: claims{path} {message}"
                ));
            }
            match claims {
                Value::Object(claims) => Ok(claims),
                _ => Ok(Map::new()),
            }
        }
        _ => Ok(given.clone()),
    }
}
