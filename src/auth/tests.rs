//! Tables: a request or token, and what comes of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::auth::{AuthError, Authenticator, Mint, MintError, Outcome, RefusalKind, Request, mint};
use crate::plan::key::Key;
use crate::plan::{
    AuthMethod, AuthMode, Credential, Expiry, Jwt, JwtAlgorithm, KeySource, Lifetime, Place,
    Session, TokenKeys,
};
use crate::rule::{ConnectionFacts, Known, Template};
use crate::vocab::{Clock, ConnectionId, Identity, Parameters, Secret, Timestamp, VirtualClock};

pub(in crate::auth) const NOW: u64 = 1_795_341_600;
const SECRET: &str = "a-test-secret-of-at-least-32-bytes!!";
/// What no error may repeat.
const HIDDEN: &str = "hunter2";

fn shared(secret: &str) -> TokenKeys {
    TokenKeys {
        algorithms: vec![JwtAlgorithm::Hs256],
        source: KeySource::Fixed(vec![Key::secret(&Secret::new(secret))]),
    }
}

pub(in crate::auth) fn jwt() -> Jwt {
    Jwt {
        keys: shared(SECRET),
        credential: Credential::Request(vec![
            Place::Query("token".into()),
            Place::Header("authorization".into()),
            Place::Header("x-token".into()),
            Place::Cookie("token".into()),
            Place::Subprotocol("bearer".into()),
        ]),
        issuer: None,
        audiences: Vec::new(),
        leeway: Duration::from_secs(30),
        lifetime: Lifetime::Ends,
        user_id: "sub".into(),
        username: Some("name".into()),
        claims: None,
        expiry: Expiry::Close,
    }
}

pub(in crate::auth) fn mode(index: usize, method: AuthMethod) -> Arc<AuthMode> {
    Arc::new(AuthMode {
        index,
        name: format!("mode{index}").into(),
        method,
    })
}

pub(in crate::auth) fn clock() -> Arc<VirtualClock> {
    Arc::new(VirtualClock::new(Timestamp::from_millis(NOW * 1000)))
}

fn authenticator(modes: &[Arc<AuthMode>]) -> Authenticator {
    Authenticator::new(modes, clock(), || 0xabcd)
}

fn sign(header: &str, payload: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn token(claims: &Value) -> String {
    sign(HEADER, &claims.to_string())
}

fn good() -> String {
    token(&json!({"sub": "ann", "name": "Ann", "exp": NOW + 60}))
}

/// Whose token it is, by keys that are there: nothing is waited for.
pub(in crate::auth) fn identify_token(
    authenticator: &Authenticator,
    mode: &AuthMode,
    token: &str,
) -> Result<Identity, AuthError> {
    let identified = authenticator.identify_token(mode, token);
    identified.now_or_never().expect("it does not wait")
}

/// The public text of what comes of `token`, or the user's id and name.
fn verdict(jwt: Jwt, token: &str) -> String {
    let mode = mode(0, AuthMethod::Jwt(jwt));
    match identify_token(&authenticator(std::slice::from_ref(&mode)), &mode, token) {
        Ok(identity) => format!("{} {}", identity.user.id, identity.user.username),
        Err(error) => {
            let told = format!("{error} {error:?} {:?}", error.cause());
            assert!(!told.contains(HIDDEN), "{told}");
            assert_eq!(error.kind(), RefusalKind::Unauthenticated);
            error.to_string()
        }
    }
}

#[test]
fn a_token_is_good_by_its_header_and_signature() {
    let claims = json!({"sub": "ann", "exp": NOW + 60, "secret": HIDDEN}).to_string();
    let typed = |typ: &str| sign(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), &claims);
    let named = |alg: &str| sign(&format!(r#"{{"alg":"{alg}"}}"#), &claims);
    let not_a_token = "the token is not a JSON Web Token";
    let algorithm = "the token is signed with an algorithm that is not accepted here";
    let typ = "the token's `typ` says that it is not for logging in";
    let signature = "the token's signature does not match";
    let right = sign(HEADER, &claims);
    let (signed, tag) = right.rsplit_once('.').expect("three parts");
    let embedded = json!({"alg": "HS256", "kid": "../../x", "jku": "https://evil.example/jwks", "x5u": "https://evil.example",
        "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode("evil")}});
    let foreign = {
        let head = URL_SAFE_NO_PAD.encode(embedded.to_string());
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(&claims));
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, b"evil"),
            signed.as_bytes(),
        );
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let padding = json!({"sub": "ann", "exp": NOW + 60, "pad": "x".repeat(8 * 1024)});
    for (token, expected) in [
        (right.clone(), "ann ann"),
        (sign(r#"{"alg":"HS256"}"#, &claims), "ann ann"),
        (typed("jwt"), "ann ann"),
        (typed("at+jwt"), "ann ann"),
        (typed("application/at+JWT"), "ann ann"),
        (typed("trunkline-join+jwt"), typ),
        (typed(""), typ),
        (sign(r#"{"alg":"HS256","typ":7}"#, &claims), typ),
        (sign(&embedded.to_string(), &claims), "ann ann"),
        (foreign, signature),
        (named("none"), algorithm),
        (
            format!(
                "{}.{}.",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
                URL_SAFE_NO_PAD.encode(&claims)
            ),
            algorithm,
        ),
        (named("None"), algorithm),
        (named("hs256"), algorithm),
        (named("HS384"), algorithm),
        (named("HS512"), algorithm),
        (named("RS256"), algorithm),
        (named("ES256"), algorithm),
        (sign(r#"{"typ":"JWT"}"#, &claims), algorithm),
        (sign(r#"{"alg":["HS256"]}"#, &claims), algorithm),
        (
            sign(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, &claims),
            "the token demands an extension that is not supported",
        ),
        (
            sign(r#"{"alg":"HS256","crit":[]}"#, &claims),
            "the token demands an extension that is not supported",
        ),
        (
            sign(r#"{"alg":"HS256","alg":"HS256"}"#, &claims),
            not_a_token,
        ),
        (
            sign(HEADER, r#"{"sub":"ann","exp":9999999999,"sub":"eve"}"#),
            not_a_token,
        ),
        (
            sign(
                HEADER,
                r#"{"sub":"ann","exp":9999999999,"a":{"b":1,"b":2}}"#,
            ),
            not_a_token,
        ),
        (sign(HEADER, &format!("[{claims}]")), not_a_token),
        (sign(HEADER, &format!("{claims} {HIDDEN}")), not_a_token),
        (sign(HEADER, HIDDEN), not_a_token),
        (sign(HIDDEN, &claims), not_a_token),
        (token(&padding), "the token is longer than 8 KiB"),
        (format!("{signed}."), signature),
        (format!("{signed}.{}", &tag[..tag.len() - 4]), signature),
        (format!("{signed}.AAAA{}", &tag[4..]), signature),
        (format!("{signed}.{tag}="), not_a_token),
        (format!("{signed}.?{tag}"), not_a_token),
        (format!("{right}.{tag}"), not_a_token),
        (signed.to_owned(), not_a_token),
        (right.replacen('.', "", 1), not_a_token),
        (format!(" {right}"), not_a_token),
        (HIDDEN.to_owned(), not_a_token),
        (String::new(), not_a_token),
        ("..".to_owned(), not_a_token),
        ("\u{1f4a3}.\u{1f4a3}.\u{1f4a3}".to_owned(), not_a_token),
    ] {
        assert_eq!(verdict(jwt(), &token), expected, "{token}");
    }
}

#[test]
fn another_key_is_another_key() {
    let other = Jwt {
        keys: shared("another-secret-of-at-least-32-bytes!"),
        ..jwt()
    };
    assert_eq!(
        verdict(other, &good()),
        "the token's signature does not match"
    );
}

#[test]
fn a_token_is_good_for_a_time() {
    let date = |claim| format!("the token's `{claim}` is not a date in seconds since 1970");
    for (claims, expected) in [
        (json!({"exp": NOW + 60}), "ann ann".to_owned()),
        (json!({"exp": NOW as f64 + 60.5}), "ann ann".into()),
        (json!({"exp": NOW - 29}), "ann ann".into()),
        (json!({"exp": NOW - 30}), "the token has expired".into()),
        (json!({"exp": 0}), "the token has expired".into()),
        (json!({"exp": NOW + 60, "nbf": NOW + 30}), "ann ann".into()),
        (
            json!({"exp": NOW + 60, "nbf": NOW + 31}),
            "the token is not valid yet".into(),
        ),
        (json!({"exp": NOW + 60, "iat": NOW + 30}), "ann ann".into()),
        (
            json!({"exp": NOW + 60, "iat": NOW + 31}),
            "the token is not valid yet".into(),
        ),
        (json!({"exp": NOW + 60, "iat": 0}), "ann ann".into()),
        (json!({"exp": NOW + 60, "iat": "now"}), date("iat")),
        (json!({"exp": NOW + 60, "nbf": "soon"}), date("nbf")),
        (json!({"exp": NOW + 60, "nbf": null}), date("nbf")),
        (json!({}), "the token has no `exp`".into()),
        (json!({"exp": null}), date("exp")),
        (json!({"exp": "9999999999"}), date("exp")),
        (json!({"exp": -1}), date("exp")),
        (json!({"exp": NOW * 1000}), date("exp")),
        (json!({"exp": u64::MAX}), date("exp")),
        (json!({"exp": 1e300}), date("exp")),
        (json!({"exp": [9_999_999_999_u64]}), date("exp")),
        (json!({"exp": true}), date("exp")),
    ] {
        let mut claims = claims;
        claims["sub"] = "ann".into();
        assert_eq!(verdict(jwt(), &token(&claims)), expected, "{claims}");
    }
}

#[test]
fn an_identity_ends_with_its_token_and_the_leeway() {
    let mode = mode(0, AuthMethod::Jwt(jwt()));
    let clock = clock();
    let modes = [mode.clone()];
    let authenticator = Authenticator::new(&modes, clock.clone(), || 0);
    let identity = identify_token(&authenticator, &mode, &good()).expect("good");
    let ends = Timestamp::from_millis((NOW + 90) * 1000);
    assert_eq!(identity.expires_at, Some(ends));
    assert_eq!(identity.user.claims["name"], "Ann");
    assert!(identity.user.authenticated);
    clock.advance(Duration::from_millis(89_999));
    assert!(identify_token(&authenticator, &mode, &good()).is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(
        identify_token(&authenticator, &mode, &good()),
        Err(AuthError::Expired)
    );
}

#[test]
fn issuer_and_audience_are_compared() {
    let strict = || Jwt {
        issuer: Some("https://id.example.com".into()),
        audiences: vec!["chat".into()],
        ..jwt()
    };
    let issuer = "the token is from another issuer";
    let audience = "the token is meant for another audience";
    for (claims, expected) in [
        (
            json!({"iss": "https://id.example.com", "aud": "chat"}),
            "ann ann",
        ),
        (
            json!({"iss": "https://id.example.com", "aud": ["x", "chat"]}),
            "ann ann",
        ),
        (
            json!({"iss": "https://id.example.com/", "aud": "chat"}),
            issuer,
        ),
        (
            json!({"iss": ["https://id.example.com"], "aud": "chat"}),
            issuer,
        ),
        (json!({"aud": "chat"}), issuer),
        (
            json!({"iss": "https://id.example.com", "aud": "chat2"}),
            audience,
        ),
        (
            json!({"iss": "https://id.example.com", "aud": []}),
            audience,
        ),
        (
            json!({"iss": "https://id.example.com", "aud": [["chat"]]}),
            audience,
        ),
        (json!({"iss": "https://id.example.com"}), audience),
    ] {
        let mut claims = claims;
        claims["sub"] = "ann".into();
        claims["exp"] = (NOW + 60).into();
        assert_eq!(verdict(strict(), &token(&claims)), expected, "{claims}");
    }
    let anywhere = token(&json!({"sub": "ann", "exp": NOW + 60, "iss": "x", "aud": "y"}));
    assert_eq!(verdict(jwt(), &anywhere), "ann ann");
    let several = || Jwt {
        audiences: vec!["chat".into(), "desk".into()],
        ..jwt()
    };
    for (claims, expected) in [
        (json!({"aud": "desk"}), "ann ann"),
        (json!({"aud": ["x", "chat"]}), "ann ann"),
        (json!({"aud": "chat desk"}), audience),
        (json!({"aud": ""}), audience),
        (json!({"aud": {"chat": true}}), audience),
    ] {
        let mut claims = claims;
        claims["sub"] = "ann".into();
        claims["exp"] = (NOW + 60).into();
        assert_eq!(verdict(several(), &token(&claims)), expected, "{claims}");
    }
}

#[test]
fn a_token_may_be_endless_where_the_file_says_so() {
    let mode = mode(
        0,
        AuthMethod::Jwt(Jwt {
            lifetime: Lifetime::MayBeEndless,
            ..jwt()
        }),
    );
    let authenticator = authenticator(std::slice::from_ref(&mode));
    let ends = |claims: Value| {
        let found = identify_token(&authenticator, &mode, &token(&claims));
        found.map(|identity| identity.expires_at)
    };
    assert_eq!(ends(json!({"sub": "ann"})), Ok(None));
    let ended = json!({"sub": "ann", "exp": NOW - 30});
    assert_eq!(ends(ended), Err(AuthError::Expired));
    let later = Timestamp::from_millis((NOW + 90) * 1000);
    let ending = json!({"sub": "ann", "exp": NOW + 60});
    assert_eq!(ends(ending), Ok(Some(later)));
    assert!(ends(json!({"sub": "ann", "exp": "never"})).is_err());
}

#[test]
fn claims_become_the_user() {
    let id = "the token's `sub` is not a user id of 1 to 128 bytes without control characters";
    let name = "the token's `name` is not a name of 1 to 256 bytes without control characters";
    for (claims, expected) in [
        (json!({"sub": "ann"}), "ann ann"),
        (json!({"sub": 7, "name": "Ann B."}), "7 Ann B."),
        (json!({"sub": -7}), "-7 -7"),
        (
            json!({"sub": u64::MAX}),
            "18446744073709551615 18446744073709551615",
        ),
        (json!({"sub": "ann", "name": null}), "ann ann"),
        (json!({}), "the token has no `sub`"),
        (json!({"sub": null}), "the token has no `sub`"),
        (
            json!({"sub": 7.5}),
            "the token's `sub` is not a text or a whole number",
        ),
        (
            json!({"sub": true}),
            "the token's `sub` is not a text or a whole number",
        ),
        (
            json!({"sub": ["ann"]}),
            "the token's `sub` is not a text or a whole number",
        ),
        (json!({"sub": ""}), id),
        (json!({"sub": "a\nb"}), id),
        (json!({"sub": "a".repeat(129)}), id),
        (
            json!({"sub": "anon:7"}),
            "the token's `sub` is not the id of an authenticated user",
        ),
        (json!({"sub": "ann", "name": 7}), name),
        (json!({"sub": "ann", "name": ""}), name),
        (json!({"sub": "ann", "name": "a\r\nb"}), name),
    ] {
        let mut claims = claims;
        claims["exp"] = (NOW + 60).into();
        assert_eq!(verdict(jwt(), &token(&claims)), expected, "{claims}");
    }
}

/// One request, as a table writes it.
#[derive(Default)]
struct Sent<'a> {
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, &'a str)],
    subprotocols: &'a [&'a str],
}

fn identify(authenticator: &Authenticator, modes: &[Arc<AuthMode>], sent: &Sent<'_>) -> Outcome {
    let path = [("client_id", "7")].into_iter().collect();
    let query: Parameters = sent.query.iter().copied().collect();
    let request = Request {
        path: &path,
        query: &query,
        headers: sent.headers,
        subprotocols: sent.subprotocols,
        connection: ConnectionFacts {
            id: ConnectionId::from_random(1),
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            endpoint: "/ws/{client_id}",
            age: Duration::ZERO,
        },
    };
    let identified = authenticator.identify(modes, &request);
    identified.now_or_never().expect("it does not wait")
}

fn told(outcome: Outcome) -> String {
    match outcome {
        Outcome::Identified(identity, None) => identity.user.id.to_string(),
        Outcome::Identified(identity, Some(chosen)) => format!("{} {chosen}", identity.user.id),
        Outcome::AwaitFirstMessage { mode, deadline } => {
            format!("{} until {}", mode.name, deadline.as_millis())
        }
        Outcome::Refused(error) => {
            assert!(!format!("{error:?}").contains(HIDDEN), "{error:?}");
            error.to_string()
        }
    }
}

#[test]
fn a_credential_is_found_in_its_places() {
    let modes = [mode(0, AuthMethod::Jwt(jwt()))];
    let authenticator = authenticator(&modes);
    let ann = good();
    let ben = token(&json!({"sub": "ben", "exp": NOW + 60}));
    let header = |scheme: &str| format!("{scheme} {ann}");
    let (bearer, lower, basic) = (header("Bearer"), header("bEaReR"), header("Basic"));
    let cookies = format!("a=b; token={ann}; token={ben}; c");
    let quoted = format!("token=\"{ann}\"");
    let offered = format!("bearer.{ann}");
    let not_a_token = "the token is not a JSON Web Token";
    let missing = "no credential was sent: it is looked for in the query parameter `token`, \
        the header `authorization: Bearer …`, the header `x-token`, the cookie `token` and the subprotocol `bearer.…`";
    let query = |query| Sent {
        query,
        ..Sent::default()
    };
    let headers = |headers| Sent {
        headers,
        ..Sent::default()
    };
    let subprotocols = |subprotocols| Sent {
        subprotocols,
        ..Sent::default()
    };
    for (sent, expected) in [
        (Sent::default(), missing),
        (query(&[("token", &ann)]), "ann"),
        (query(&[("Token", &ann)]), missing),
        (query(&[("token", "")]), not_a_token),
        (query(&[("token", HIDDEN)]), not_a_token),
        (
            query(&[("token", &ann), ("token", &ben)]),
            "the credential stands twice in the query parameter `token`",
        ),
        (headers(&[("Authorization", &bearer)]), "ann"),
        (headers(&[("authorization", &lower)]), "ann"),
        (headers(&[("authorization", &basic)]), missing),
        (headers(&[("authorization", &ann)]), missing),
        (headers(&[("authorization", "Bearer")]), not_a_token),
        (
            headers(&[("authorization", &bearer), ("authorization", &bearer)]),
            "the credential stands twice in the header `authorization: Bearer …`",
        ),
        (headers(&[("X-Token", &ann)]), "ann"),
        (headers(&[("x-token", &bearer)]), not_a_token),
        (headers(&[("cookie", &cookies)]), "ann"),
        (headers(&[("cookie", "a=b"), ("Cookie", &quoted)]), "ann"),
        (headers(&[("cookie", "nottoken=x; token")]), missing),
        (
            subprotocols(&["trunkline.v1.json", &offered]),
            "ann trunkline.v1.json",
        ),
        (subprotocols(&[&offered]), "ann"),
        (subprotocols(&["trunkline.v1.json"]), missing),
        (subprotocols(&["bearer"]), missing),
        (
            Sent {
                query: &[("token", &ben)],
                headers: &[("authorization", &bearer)],
                subprotocols: &["x", "trunkline.v1.json"],
            },
            "ben trunkline.v1.json",
        ),
        (
            Sent {
                query: &[("token", "bad")],
                headers: &[("authorization", &bearer)],
                ..Sent::default()
            },
            not_a_token,
        ),
    ] {
        assert_eq!(told(identify(&authenticator, &modes, &sent)), expected);
    }
}

#[test]
fn the_first_mode_whose_credential_is_present_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.yaml");
    std::fs::write(&file, format!("good: {{user_id: sid}}\n{HIDDEN}-old: {{user_id: sid, expires_at: 2020-01-01T00:00:00Z}}"))
        .expect("writes");
    let session = |file| {
        AuthMethod::Session(Session {
            cookie: "session".into(),
            file,
        })
    };
    let late = Jwt {
        credential: Credential::FirstMessage(Duration::from_secs(5)),
        ..jwt()
    };
    let anonymous = AuthMethod::Anonymous {
        user_id: None,
        username: None,
    };
    let modes = [
        mode(0, AuthMethod::Jwt(jwt())),
        mode(1, session(file)),
        mode(2, AuthMethod::Jwt(late)),
        mode(3, anonymous),
        mode(4, session(folder.path().join("missing.yaml"))),
    ];
    let authenticator = authenticator(&modes);
    let token = good();
    let both = Sent {
        query: &[("token", &token)],
        headers: &[("cookie", "session=good")],
        ..Sent::default()
    };
    let cookie = Sent {
        headers: &[("cookie", "session=good")],
        ..Sent::default()
    };
    let old = format!("session={HIDDEN}-old");
    let expired = Sent {
        headers: &[("cookie", &old)],
        ..Sent::default()
    };
    let unknown = Sent {
        headers: &[("cookie", "session=hunter2")],
        ..Sent::default()
    };
    let nothing = Sent::default();
    for (list, sent, expected) in [
        (&[0, 1, 3][..], &both, "ann"),
        (&[1, 0], &both, "sid"),
        (&[0, 1, 3], &cookie, "sid"),
        (&[0, 1, 3], &unknown, "the session does not exist"),
        (&[0, 1, 3], &expired, "the session has expired"),
        (&[4], &cookie, "sessions cannot be looked up now"),
        (&[0, 1, 3], &nothing, "anon:~000000000000abcd"),
        (&[3, 0], &both, "anon:~000000000000abcd"),
        (&[0, 2], &nothing, "mode2 until 5000"),
        (&[0, 2], &both, "ann"),
        (
            &[1],
            &nothing,
            "no credential was sent: it is looked for in the cookie `session`",
        ),
    ] {
        let list: Vec<_> = list.iter().map(|index| modes[*index].clone()).collect();
        assert_eq!(told(identify(&authenticator, &list, sent)), expected);
    }
    for index in [1, 3] {
        let refused = identify_token(&authenticator, &modes[index], &token);
        assert_eq!(refused, Err(AuthError::NoTokens));
    }
    assert!(identify_token(&authenticator, &modes[2], &token).is_ok());
    assert_eq!(
        AuthError::SessionsUnavailable.kind(),
        RefusalKind::Unavailable
    );
}

#[test]
fn anonymous_users_never_have_the_id_of_another() {
    let known = Known {
        path: Some(vec!["client_id".into()]),
        query: true,
        connection: true,
        ..Known::default()
    };
    let template = |text: &str| Template::compile(text, &known).expect("a template");
    let long = "x".repeat(128);
    let unsaid = "the request does not say who the user is";
    for (user_id, username, expected) in [
        (Some("ann"), None, "anon:ann anon:ann"),
        (Some("anon:ann"), None, "anon:anon:ann anon:anon:ann"),
        (Some("ann"), Some("Client"), "anon:ann Client"),
        (None, Some("Client"), "anon:~000000000000abcd Client"),
        (Some(""), None, unsaid),
        (Some("~000000000000abcd"), None, unsaid),
        (Some("a\nb"), None, unsaid),
        (Some(long.as_str()), None, unsaid),
        (Some("ann"), Some(""), unsaid),
        (Some("ann"), Some("a\u{7}b"), unsaid),
        (
            Some("{path.client_id}"),
            Some("Client #{path.client_id}"),
            "anon:7 Client #7",
        ),
        (Some("{query.id}"), None, "anon:8 anon:8"),
        (Some("{query.lines}"), None, unsaid),
        (Some("{query.absent}"), None, unsaid),
        (None, Some("{query.lines}"), unsaid),
        (None, Some("{query.absent}"), unsaid),
    ] {
        let method = AuthMethod::Anonymous {
            user_id: user_id.map(template),
            username: username.map(template),
        };
        let modes = [mode(0, method)];
        let sent = Sent {
            query: &[("id", "8"), ("lines", "a\nb")],
            ..Sent::default()
        };
        let outcome = identify(&authenticator(&modes), &modes, &sent);
        let told = match outcome {
            Outcome::Identified(identity, _) => {
                assert!(!identity.user.authenticated);
                assert_eq!(identity.expires_at, None);
                format!("{} {}", identity.user.id, identity.user.username)
            }
            other => told(other),
        };
        assert_eq!(told, expected, "{user_id:?} {username:?}");
    }
}

#[test]
fn a_minted_token_is_accepted() {
    let strict = mode(
        0,
        AuthMethod::Jwt(Jwt {
            issuer: Some("https://id.example.com".into()),
            audiences: vec!["chat".into()],
            user_id: "uid".into(),
            ..jwt()
        }),
    );
    let nameless = mode(
        1,
        AuthMethod::Jwt(Jwt {
            username: None,
            ..jwt()
        }),
    );
    let anonymous = mode(
        2,
        AuthMethod::Anonymous {
            user_id: None,
            username: None,
        },
    );
    let modes = [strict, nameless, anonymous];
    let now = clock().now();
    let claims = json!({"roles": ["mod"]})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let wanted = |user_id, username| Mint {
        user_id,
        username,
        claims: claims.clone(),
        expires: Duration::from_secs(60),
    };
    let token = mint(&modes[0], &wanted("7", Some("Ann")), now).expect("a token");
    let identity = identify_token(&authenticator(&modes), &modes[0], &token).expect("good");
    assert_eq!(
        (identity.user.id.as_str(), &*identity.user.username),
        ("7", "Ann")
    );
    assert_eq!(identity.user.claims["roles"], json!(["mod"]));
    assert_eq!(
        identity.expires_at,
        Some(now.after(Duration::from_secs(90)))
    );
    for (mode, wanted, expected) in [
        (
            &modes[0],
            wanted("anon:7", None),
            "the server would refuse this token: the token's `uid` is not the id of an authenticated user",
        ),
        (
            &modes[1],
            wanted("7", Some("Ann")),
            "the auth mode `mode1` has no `username`: no claim is read as the name to show",
        ),
        (
            &modes[2],
            wanted("7", None),
            "the auth mode `mode2` does not take tokens: only `jwt` modes do",
        ),
    ] {
        let refused = mint(mode, &wanted, now).map_err(|error: MintError| error.to_string());
        assert_eq!(refused, Err(expected.to_owned()));
    }
}
