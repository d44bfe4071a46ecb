//! JSON Web Tokens (RFC 7519, RFC 8725): the Plan says which algorithm and key count; the token's header is never asked for a key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::plan::{Jwt, JwtAlgorithm};
use crate::vocab::json;
use crate::vocab::{Identity, Timestamp, User, UserId, is_username};

const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The last second of the year 9999: what is later is no date, most often milliseconds.
const SECONDS_MAX: f64 = 253_402_300_799.0;

type Claims = Map<String, Value>;

/// Checks the tokens of one auth mode.
pub(super) struct Verifier {
    key: DecodingKey,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

impl Verifier {
    pub(super) fn new(jwt: &Jwt) -> Self {
        Self {
            key: DecodingKey::from_secret(jwt.secret.expose().as_bytes()),
        }
    }

    /// Whose token it is, if it is good at the moment `now`.
    pub(super) fn verify(
        &self,
        jwt: &Jwt,
        token: &str,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        let claims = self.open(jwt, token)?;
        let expires_at = check_times(&claims, jwt.leeway, now)?;
        check_issuer(&claims, jwt.issuer.as_deref())?;
        check_audience(&claims, jwt.audience.as_deref())?;
        let claims = Value::Object(claims);
        check_schema(&claims, jwt)?;
        Ok(Identity {
            user: Arc::new(user(claims, jwt)?),
            expires_at: Some(expires_at),
        })
    }

    /// The claims of a token whose header and signature are good.
    fn open(&self, jwt: &Jwt, token: &str) -> Result<Claims, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have three parts"));
        };
        let algorithm = check_header(&part(header, "header")?, &jwt.algorithms)?;
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let algorithm = match algorithm {
            JwtAlgorithm::Hs256 => Algorithm::HS256,
        };
        let matches = jsonwebtoken::crypto::verify(signature, signed, &self.key, algorithm)
            .map_err(|_| malformed("the signature is not base64url"))?;
        if !matches {
            return Err(AuthError::Signature);
        }
        part(payload, "payload")
    }
}

fn malformed(cause: impl Into<String>) -> AuthError {
    AuthError::Malformed {
        cause: cause.into(),
    }
}

fn part(text: &str, name: &str) -> Result<Claims, AuthError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| malformed(format!("the {name} is not base64url")))?;
    let text = str::from_utf8(&bytes).map_err(|_| malformed(format!("the {name} is not UTF-8")))?;
    // Each key once: two readers of a token must not see two different tokens in it.
    match json::parse(text, json::DEPTH_MAX) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(malformed(format!("the {name} is not an object"))),
        Err(error) => Err(malformed(format!("the {name}: {error}"))),
    }
}

/// The algorithm of a header that may be trusted so far. Its `jwk`, `jku`, `x5u` and `kid` are not looked at.
fn check_header(header: &Claims, allowed: &[JwtAlgorithm]) -> Result<JwtAlgorithm, AuthError> {
    let named = match header.get("alg").and_then(Value::as_str) {
        Some("HS256") => JwtAlgorithm::Hs256,
        _ => return Err(AuthError::Algorithm),
    };
    if !allowed.contains(&named) {
        return Err(AuthError::Algorithm);
    }
    if header.contains_key("crit") {
        return Err(AuthError::Critical);
    }
    match header.get("typ") {
        None => Ok(named),
        Some(Value::String(typ)) if is_login_type(typ) => Ok(named),
        Some(_) => Err(AuthError::Type),
    }
}

/// Media types are compared without case, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_login_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let short = typ.strip_prefix("application/").unwrap_or(&typ);
    short == "jwt" || short == "at+jwt"
}

/// When the token ends, leeway included.
fn check_times(claims: &Claims, leeway: Duration, now: Timestamp) -> Result<Timestamp, AuthError> {
    let expires = date(claims, "exp")?.ok_or_else(|| AuthError::ClaimMissing("exp".into()))?;
    let ends = expires.after(leeway);
    if now >= ends {
        return Err(AuthError::Expired);
    }
    if date(claims, "nbf")?.is_some_and(|begins| now.after(leeway) < begins) {
        return Err(AuthError::NotYet);
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

fn check_issuer(claims: &Claims, expected: Option<&str>) -> Result<(), AuthError> {
    match expected {
        Some(expected) if claims.get("iss").and_then(Value::as_str) != Some(expected) => {
            Err(AuthError::Issuer)
        }
        _ => Ok(()),
    }
}

fn check_audience(claims: &Claims, expected: Option<&str>) -> Result<(), AuthError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let meant = match claims.get("aud") {
        Some(Value::String(audience)) => audience == expected,
        Some(Value::Array(audiences)) => audiences
            .iter()
            .any(|audience| audience.as_str() == Some(expected)),
        _ => false,
    };
    meant.then_some(()).ok_or(AuthError::Audience)
}

fn check_schema(claims: &Value, jwt: &Jwt) -> Result<(), AuthError> {
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

fn user(claims: Value, jwt: &Jwt) -> Result<User, AuthError> {
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
