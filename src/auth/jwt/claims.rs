//! Claims of a token whose signature is good: times, issuer, audience, schema, and the user that they make.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::plan::{Jwt, Lifetime};
use crate::vocab::{Timestamp, User, UserId, is_username};

/// The last second of the year 9999: what is later is no date, most often milliseconds.
const SECONDS_MAX: f64 = 253_402_300_799.0;

type Claims = Map<String, Value>;

/// When the token ends, leeway included; never where it may be endless and is.
pub(in crate::auth) fn check_times(
    claims: &Claims,
    lifetime: Lifetime,
    leeway: Duration,
    now: Timestamp,
) -> Result<Option<Timestamp>, AuthError> {
    let ends = date(claims, "exp")?.map(|expires| expires.after(leeway));
    if ends.is_none() && lifetime == Lifetime::Ends {
        return Err(AuthError::ClaimMissing("exp".into()));
    }
    if ends.is_some_and(|ends| now >= ends) {
        return Err(AuthError::Expired);
    }
    // A token from the future is one whose issuer's clock is wrong, and then its end is wrong as well.
    for begins in ["nbf", "iat"] {
        if date(claims, begins)?.is_some_and(|begins| now.after(leeway) < begins) {
            return Err(AuthError::NotYet);
        }
    }
    Ok(ends)
}

fn date(claims: &Claims, name: &str) -> Result<Option<Timestamp>, AuthError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            // In range, so the product fits 48 bits.
            Ok(Some(Timestamp::from_millis((seconds * 1000.0) as u64)))
        }
        _ => Err(AuthError::ClaimUnusable {
            claim: name.into(),
            expected: "a date in seconds since 1970",
        }),
    }
}

pub(super) fn check_issuer(claims: &Claims, expected: Option<&str>) -> Result<(), AuthError> {
    match expected {
        Some(expected) if claims.get("iss").and_then(Value::as_str) != Some(expected) => {
            Err(AuthError::Issuer)
        }
        _ => Ok(()),
    }
}

pub(super) fn check_audience(claims: &Claims, expected: &[Box<str>]) -> Result<(), AuthError> {
    if expected.is_empty() {
        return Ok(());
    }
    let is_expected = |audience: &str| expected.iter().any(|one| **one == *audience);
    let meant = match claims.get("aud") {
        Some(Value::String(audience)) => is_expected(audience),
        Some(Value::Array(audiences)) => {
            audiences.iter().filter_map(Value::as_str).any(is_expected)
        }
        _ => false,
    };
    meant.then_some(()).ok_or(AuthError::Audience)
}

pub(super) fn check_schema(claims: &Value, jwt: &Jwt) -> Result<(), AuthError> {
    let Some(schema) = &jwt.claims else {
        return Ok(());
    };
    schema.check(claims).map_err(|violations| {
        let places: Vec<String> = violations
            .iter()
            .map(|violation| format!("`{}` ({})", violation.path, violation.keyword))
            .collect();
        AuthError::Claims {
            cause: places.join(", "),
        }
    })
}

pub(super) fn user(claims: Value, jwt: &Jwt) -> Result<User, AuthError> {
    let id = user_id(&claims, &jwt.user_id)?;
    let name = jwt
        .username
        .as_deref()
        .and_then(|name| Some((name, claims.get(name).filter(|value| !value.is_null())?)));
    let username = match name {
        None => id.as_str().into(),
        Some((_, Value::String(name))) if is_username(name) => name.as_str().into(),
        Some((claim, _)) => {
            return Err(AuthError::ClaimUnusable {
                claim: claim.into(),
                expected: "a name of 1 to 256 bytes without control characters",
            });
        }
    };
    Ok(User {
        id,
        username,
        authenticated: true,
        claims: Arc::new(claims),
    })
}

fn user_id(claims: &Value, claim: &str) -> Result<UserId, AuthError> {
    let unusable = |expected| AuthError::ClaimUnusable {
        claim: claim.into(),
        expected,
    };
    let id = match claims.get(claim) {
        None | Some(Value::Null) => return Err(AuthError::ClaimMissing(claim.into())),
        Some(Value::String(text)) => UserId::parse(text),
        Some(Value::Number(number)) if !number.is_f64() => UserId::parse(&number.to_string()),
        Some(_) => return Err(unusable("a text or a whole number")),
    };
    match id {
        Ok(id) if id.is_anonymous() => Err(unusable("the id of an authenticated user")),
        Ok(id) => Ok(id),
        Err(_) => Err(unusable(
            "a user id of 1 to 128 bytes without control characters",
        )),
    }
}
