//! Sessions that the cookie itself holds.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::{HIDDEN, NOW, SECRET, Sent, clock, identify, means, mode, told};
use crate::auth::{AuthError, Authenticator, Outcome};
use crate::plan::{AuthMethod, Hmac, Lookup, Session, SignedCookie};
use crate::schema::{Documents, Schema};
use crate::vocab::Secret;

const ENDS: &str = "2026-11-22T10:10:00Z";

fn signed(algorithm: Hmac) -> AuthMethod {
    let claims = json!({"type": "object", "properties": {"role": {"type": "string"}}});
    let documents = Documents::new(std::iter::empty());
    let claims = Schema::compile(claims, "channels.yaml", &documents).expect("a schema");
    AuthMethod::Session(Session {
        cookie: "session".into(),
        lookup: Lookup::Signed(SignedCookie {
            secret: Secret::new(SECRET),
            algorithm,
        }),
        claims: Some(Arc::new(claims)),
    })
}

/// As docs/configuration.md tells how to make one.
fn cookie(payload: &str) -> String {
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, payload.as_bytes());
    format!("{payload}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Who sends this cookie.
fn sent(algorithm: Hmac, cookie: &str) -> Outcome {
    let modes = [mode(0, signed(algorithm))];
    let authenticator = Authenticator::new(&modes, &means(clock()));
    let header = format!("session={cookie}");
    let sent = Sent {
        headers: &[("cookie", &header)],
        ..Sent::default()
    };
    identify(&authenticator, &modes, &sent)
}

#[test]
fn a_signed_cookie_says_who_it_is() {
    let good = cookie(
        &json!({"user_id": "ann", "username": "Ann", "claims": {"role": "mod"}, "expires_at": ENDS, "more": 1}).to_string(),
    );
    let Outcome::Identified { login, .. } = sent(Hmac::Sha256, &good) else {
        panic!("it is good");
    };
    let user = &login.identity.user;
    assert_eq!((user.id.as_str(), &*user.username), ("ann", "Ann"));
    assert_eq!(user.claims["role"], "mod");
    assert_eq!(
        login.identity.expires_at.map(|at| at.to_string()),
        Some("2026-11-22T10:10:00.000Z".to_owned())
    );
}

#[test]
fn a_cookie_that_is_not_as_it_has_to_be_says_nobody() {
    let forged = "the session's signature does not match";
    let nobody = "the session is not as it has to be";
    let good = json!({"user_id": "ann", "expires_at": ENDS}).to_string();
    let right = cookie(&good);
    let (payload, tag) = right.split_once('.').expect("a dot");
    let padded = format!("{}.{tag}==", URL_SAFE.encode(&good).trim_end_matches('='));
    let other = cookie(&json!({"user_id": "eve", "expires_at": ENDS}).to_string());
    let (other, _) = other.split_once('.').expect("a dot");
    let key = hmac::Key::new(hmac::HMAC_SHA256, HIDDEN.as_bytes());
    let foreign = hmac::sign(&key, payload.as_bytes());
    let long = json!({"user_id": "ann", "expires_at": ENDS, "claims": {"x": "x".repeat(4096)}});
    for (value, expected) in [
        (right.clone(), "ann"),
        (padded, "ann"),
        (format!("{other}.{tag}"), forged),
        (format!("{payload}."), forged),
        (format!("{payload}.{}", &tag[..tag.len() - 3]), forged),
        (
            format!("{payload}.{}", URL_SAFE_NO_PAD.encode(foreign)),
            forged,
        ),
        (format!(".{tag}"), forged),
        (format!("{payload}.{tag}.{tag}"), nobody),
        (format!("{payload}.*"), nobody),
        (payload.to_owned(), nobody),
        (String::new(), nobody),
        (cookie(&long.to_string()), nobody),
        (cookie(HIDDEN), nobody),
        (cookie("[]"), nobody),
        (cookie("{}"), nobody),
        (cookie(r#"{"user_id":"ann"}"#), nobody),
        (
            cookie(&format!(
                r#"{{"user_id":"ann","user_id":"eve","expires_at":"{ENDS}"}}"#
            )),
            nobody,
        ),
        (
            cookie(&json!({"user_id": "anon:1", "expires_at": ENDS}).to_string()),
            nobody,
        ),
        (
            cookie(
                &json!({"user_id": "ann", "expires_at": ENDS, "claims": {"role": 1}}).to_string(),
            ),
            nobody,
        ),
        (
            cookie(&json!({"user_id": "ann", "expires_at": "2026-11-22T10:00:00Z"}).to_string()),
            "the session has expired",
        ),
    ] {
        assert_eq!(told(sent(Hmac::Sha256, &value)), expected, "{value}");
    }
    assert_eq!(told(sent(Hmac::Sha512, &right)), forged);
    assert_eq!(told(sent(Hmac::Sha384, &right)), forged);
}

#[test]
fn the_log_says_what_is_wrong_with_it_and_no_value() {
    let Outcome::Refused(error) = sent(
        Hmac::Sha256,
        &cookie(
            &json!({"user_id": "ann", "expires_at": ENDS, "claims": {"role": [HIDDEN]}})
                .to_string(),
        ),
    ) else {
        panic!("it is not good");
    };
    for (session, cause) in [
        (json!({"user_id": "ann"}), "there is no `expires_at`"),
        (
            json!({"user_id": "ann", "expires_at": 4_000_000_000_u64}),
            "`expires_at` is not a moment like `2026-11-22T10:00:00Z`",
        ),
    ] {
        let Outcome::Refused(error) = sent(Hmac::Sha256, &cookie(&session.to_string())) else {
            panic!("it is not good");
        };
        assert_eq!(error.cause(), Some(cause));
    }
    let cause = "`claims` are not what the mode's schema says: `/role` (type)";
    assert_eq!(error.cause(), Some(cause));
    assert_eq!(
        error,
        AuthError::SessionUnusable {
            cause: cause.to_owned()
        }
    );
}

#[test]
fn a_signed_cookie_ends_at_its_moment() {
    let clock = clock();
    let modes = [mode(0, signed(Hmac::Sha256))];
    let authenticator = Authenticator::new(&modes, &means(clock.clone()));
    let value = cookie(&json!({"user_id": "ann", "expires_at": ENDS}).to_string());
    let header = format!("session={value}");
    let look = || {
        let sent = Sent {
            headers: &[("cookie", &header)],
            ..Sent::default()
        };
        told(identify(&authenticator, &modes, &sent))
    };
    assert_eq!(NOW, 1_795_341_600, "ten o'clock");
    clock.advance(Duration::from_millis(599_999));
    assert_eq!(look(), "ann");
    clock.advance(Duration::from_millis(1));
    assert_eq!(look(), "the session has expired");
}
