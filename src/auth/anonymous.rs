//! Users without a credential.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::{AuthError, Request};
use crate::rule::{Facts, Template};
use crate::vocab::{Identity, Timestamp, User, UserId, is_username};

/// What random ids begin with, and ids that clients choose may not: nobody can become a random user by naming it.
const RANDOM: char = '~';

/// The user of a request without a credential: `anon:` and what the template yields, or 64 random bits.
pub(super) fn identify(
    templates: (Option<&Template>, Option<&Template>),
    request: &Request<'_>,
    now: Timestamp,
    random: impl Fn() -> u64,
    no_claims: &Arc<Value>,
) -> Result<Identity, AuthError> {
    let facts = Facts {
        user: None,
        sender: None,
        path: Some(request.path),
        query: Some(request.query),
        params: None,
        room: None,
        connection: Some(request.connection),
        data: None,
        error: None,
        now,
    };
    let (user_id, username) = templates;
    let own = match user_id {
        Some(template) => render(template, &facts)?,
        None => format!("{RANDOM}{:016x}", random()),
    };
    if own.is_empty() {
        return Err(unusable("`user_id` yields nothing"));
    }
    if user_id.is_some() && own.starts_with(RANDOM) {
        return Err(unusable("`user_id` yields an id that random users have"));
    }
    let id = UserId::parse(&format!("{}{own}", UserId::ANONYMOUS_PREFIX))
        .map_err(|error| unusable(format!("`user_id` yields no id: {error}")))?;
    let username = match username {
        Some(template) => render(template, &facts)?.into(),
        None => id.to_shared(),
    };
    if !is_username(&username) {
        return Err(unusable("`username` yields no name"));
    }
    let user = User {
        id,
        username,
        authenticated: false,
        claims: no_claims.clone(),
    };
    Ok(Identity {
        user: Arc::new(user),
        expires_at: None,
    })
}

fn render(template: &Template, facts: &Facts<'_>) -> Result<String, AuthError> {
    template
        .render(facts)
        .map_err(|failure| unusable(failure.to_string()))
}

fn unusable(cause: impl Into<String>) -> AuthError {
    AuthError::Anonymous {
        cause: cause.into(),
    }
}
