//! Modes that ask the application, against one that says and does what it likes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{HIDDEN, Sent, clock, identification, means, mode, told};
use crate::auth::{Authenticator, Identification, Means, Outcome};
use crate::plan::{
    Application as Asked, AuthMethod, AuthMode, Forward, HttpCall, HttpUrl, Lookup, Patience,
    Session,
};
use crate::schema::{Documents, Schema};
use crate::vocab::VirtualClock;
use crate::webhook::application::{Application, Deed, answer};

const REFUSED: &str = "the credential is not accepted";
const UNAVAILABLE: &str = "the credential cannot be checked now";
const NO_SESSION: &str = "the session does not exist";
const NO_SESSIONS: &str = "sessions cannot be looked up now";
const EXPIRED: &str = "the session has expired";

fn call(application: &Application, patience: Patience) -> HttpCall {
    HttpCall {
        url: HttpUrl::parse(&format!("{}/ask", application.url)).expect("a URL"),
        secret: None,
        timeout: Duration::from_secs(60),
        patience,
    }
}

fn claims() -> Option<Arc<Schema>> {
    let claims = json!({"type": "object", "properties": {"role": {"type": "string"}}});
    let documents = Documents::new(std::iter::empty());
    let schema = Schema::compile(claims, "channels.yaml", &documents).expect("a schema");
    Some(Arc::new(schema))
}

fn http(application: &Application, patience: Patience) -> AuthMethod {
    AuthMethod::Http(Asked {
        call: call(application, patience),
        forward: vec![
            Forward::Cookie("session".into()),
            Forward::Header("authorization".into()),
            Forward::Query("token".into()),
        ],
        claims: claims(),
    })
}

fn session(application: &Application, patience: Patience) -> AuthMethod {
    AuthMethod::Session(Session {
        cookie: "session".into(),
        lookup: Lookup::Http(call(application, patience)),
        claims: claims(),
    })
}

/// One mode and who asks by it.
struct Bench {
    modes: [Arc<AuthMode>; 1],
    authenticator: Authenticator,
    clock: Arc<VirtualClock>,
    means: Means,
}

impl Bench {
    fn new(method: AuthMethod) -> Self {
        let clock = clock();
        let means = means(clock.clone());
        let modes = [mode(0, method)];
        Self {
            authenticator: Authenticator::new(&modes, &means),
            modes,
            clock,
            means,
        }
    }

    async fn outcome(&self, sent: &Sent<'_>) -> Outcome {
        let identification = identification(&self.authenticator, &self.modes, sent);
        identification.outcome().await
    }

    async fn told(&self, cookie: &str) -> String {
        let header = format!("session={cookie}");
        let sent = Sent {
            headers: &[("cookie", &header)],
            ..Sent::default()
        };
        told(self.outcome(&sent).await)
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn patience(cache: u64, stale: u64) -> Patience {
    Patience {
        cache: Duration::from_secs(cache),
        stale: Duration::from_secs(stale),
    }
}

#[tokio::test]
async fn what_the_application_says_is_believed_only_where_it_makes_sense() {
    let long = "x".repeat(129);
    let many: Vec<String> = (0..1001).map(|n| format!("room:{n}")).collect();
    for (status, body, expected) in [
        (200, json!({"user_id": "ann"}), "ann"),
        (
            201,
            json!({"user_id": 7, "username": null, "claims": null, "expires_at": null, "rooms": null, "more": 1}),
            "7",
        ),
        (
            200,
            json!({"user_id": "ann", "username": "Ann", "claims": {"role": "mod"}, "rooms": ["room:1"]}),
            "ann",
        ),
        (
            200,
            json!({"user_id": "ann", "expires_at": "2026-11-22T10:00:01Z"}),
            "ann",
        ),
        (
            200,
            json!({"user_id": "ann", "expires_at": "2026-11-22T10:00:00Z"}),
            EXPIRED,
        ),
        (401, json!({"user_id": "ann"}), REFUSED),
        (403, json!({"user_id": "ann"}), REFUSED),
        (400, json!({"user_id": "ann"}), UNAVAILABLE),
        (404, json!({"user_id": "ann"}), UNAVAILABLE),
        (302, json!({"user_id": "ann"}), UNAVAILABLE),
        (500, json!({"user_id": "ann"}), UNAVAILABLE),
        (200, json!({}), UNAVAILABLE),
        (200, json!([]), UNAVAILABLE),
        (200, json!(null), UNAVAILABLE),
        (200, json!({"user_id": null}), UNAVAILABLE),
        (200, json!({"user_id": ""}), UNAVAILABLE),
        (200, json!({"user_id": 7.5}), UNAVAILABLE),
        (200, json!({"user_id": true}), UNAVAILABLE),
        (200, json!({"user_id": ["ann"]}), UNAVAILABLE),
        (200, json!({"user_id": long}), UNAVAILABLE),
        (200, json!({"user_id": "a\nb"}), UNAVAILABLE),
        (200, json!({"user_id": "anon:7"}), UNAVAILABLE),
        (200, json!({"user_id": "ann", "username": 7}), UNAVAILABLE),
        (200, json!({"user_id": "ann", "username": ""}), UNAVAILABLE),
        (
            200,
            json!({"user_id": "ann", "claims": {"role": [HIDDEN]}}),
            UNAVAILABLE,
        ),
        (200, json!({"user_id": "ann", "claims": []}), UNAVAILABLE),
        (
            200,
            json!({"user_id": "ann", "expires_at": 1_795_341_700}),
            UNAVAILABLE,
        ),
        (
            200,
            json!({"user_id": "ann", "expires_at": "tomorrow"}),
            UNAVAILABLE,
        ),
        (
            200,
            json!({"user_id": "ann", "rooms": "room:1"}),
            UNAVAILABLE,
        ),
        (
            200,
            json!({"user_id": "ann", "rooms": ["a b"]}),
            UNAVAILABLE,
        ),
        (200, json!({"user_id": "ann", "rooms": [1]}), UNAVAILABLE),
        (200, json!({"user_id": "ann", "rooms": many}), UNAVAILABLE),
    ] {
        let body = body.to_string();
        let sent = answer(status, &body);
        let application = Application::start(move |_| Deed::Answer(sent.clone())).await;
        let asked = Bench::new(http(&application, Patience::default()));
        assert_eq!(asked.told("a").await, expected, "{status} {body}");
        let looked_up = Bench::new(session(&application, Patience::default()));
        let expected = match expected {
            REFUSED => NO_SESSION,
            UNAVAILABLE => NO_SESSIONS,
            other => other,
        };
        assert_eq!(looked_up.told("a").await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn an_application_that_lies_is_not_there() {
    let twice = r#"{"user_id":"ann","user_id":"eve"}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    for deed in [
        Deed::Answer(answer(200, "<!doctype html><title>Log in</title>")),
        Deed::Answer(answer(200, "")),
        Deed::Answer(answer(200, twice)),
        Deed::Close(
            format!("{head}content-length: 99\r\n\r\n{{\"user_id\":\"ann\"}}").into_bytes(),
        ),
        Deed::Close(format!("{head}content-length: 10000000\r\n\r\n{{").into_bytes()),
        Deed::Flood(
            format!("{head}\r\n{{\"user_id\":\"ann\",\"x\":\"").into_bytes(),
            &[b'x'; 4096],
        ),
        Deed::Close(Vec::new()),
    ] {
        let name = format!("{deed:?}");
        let application = Application::start(move |_| deed.clone()).await;
        let bench = Bench::new(http(&application, Patience::default()));
        assert_eq!(bench.told("a").await, UNAVAILABLE, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_hangs_is_not_there() {
    for deed in [
        Deed::Hang(Vec::new()),
        Deed::Drip(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            b"1\r\n \r\n",
        ),
    ] {
        let application = Application::start(move |_| deed.clone()).await;
        let bench = Bench::new(session(&application, Patience::default()));
        assert_eq!(bench.told("a").await, NO_SESSIONS);
    }
}

/// What was posted.
fn posted(application: &Application) -> Value {
    let requests = application.requests();
    let (_, body) = requests[0].split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn the_application_is_shown_what_forward_names_and_nothing_else() {
    let sent = Sent {
        query: &[("token", "t"), ("other", HIDDEN)],
        headers: &[
            ("cookie", "session=s; other=hunter2"),
            ("Authorization", "Basic YQ=="),
            ("x-other", HIDDEN),
        ],
        ..Sent::default()
    };
    let good = || {
        Deed::Answer(answer(
            200,
            r#"{"user_id":"ann","rooms":["room:1","room:2","room:1"]}"#,
        ))
    };
    let application = Application::start(move |_| good()).await;
    let bench = Bench::new(http(&application, Patience::default()));
    let Outcome::Identified { login, .. } = bench.outcome(&sent).await else {
        panic!("it is accepted");
    };
    let rooms: Vec<&str> = login.rooms.iter().map(|room| room.as_str()).collect();
    assert_eq!(rooms, ["room:1", "room:2"]);
    let expected = json!({
        "endpoint": "/ws/{client_id}", "path": {"client_id": "7"}, "query": {"token": "t"},
        "headers": {"authorization": "Basic YQ=="}, "cookies": {"session": "s"}, "ip": "127.0.0.1",
    });
    assert_eq!(posted(&application), expected);

    let application = Application::start(move |_| good()).await;
    let all = AuthMethod::Http(Asked {
        call: call(&application, Patience::default()),
        forward: vec![Forward::Cookies],
        claims: None,
    });
    assert_eq!(told(Bench::new(all).outcome(&sent).await), "ann");
    let cookies = json!({"session": "s", "other": HIDDEN});
    assert_eq!(posted(&application)["cookies"], cookies);

    let application = Application::start(move |_| good()).await;
    let looked_up = Bench::new(session(&application, Patience::default()));
    assert_eq!(told(looked_up.outcome(&sent).await), "ann");
    assert_eq!(posted(&application), json!({"cookies": {"session": "s"}}));
}

#[tokio::test]
async fn a_request_without_any_of_it_is_the_next_modes() {
    let application =
        Application::start(|_| Deed::Answer(answer(200, r#"{"user_id":"ann"}"#))).await;
    let modes = [
        mode(0, http(&application, Patience::default())),
        mode(1, session(&application, Patience::default())),
        mode(
            2,
            AuthMethod::Anonymous {
                user_id: None,
                username: None,
            },
        ),
    ];
    let authenticator = Authenticator::new(&modes, &means(clock()));
    let (nothing, foreign, cookie) = (
        Sent::default(),
        Sent {
            headers: &[("cookie", "other=a")],
            ..Sent::default()
        },
        Sent {
            headers: &[("cookie", "session=a")],
            ..Sent::default()
        },
    );
    let twice = Sent {
        query: &[("token", "a"), ("token", "b")],
        ..Sent::default()
    };
    for (list, sent, expected) in [
        (&[0, 1, 2][..], &nothing, "anon:~000000000000abcd"),
        (&[0, 1, 2], &foreign, "anon:~000000000000abcd"),
        (&[2, 0], &cookie, "anon:~000000000000abcd"),
        (&[0, 2], &cookie, "ann"),
        (&[1, 2], &cookie, "ann"),
        (
            &[0, 2],
            &twice,
            "the credential stands twice in the query parameter `token`",
        ),
        (
            &[0, 1],
            &foreign,
            "no credential was sent: it is looked for in the cookie `session`, the header `authorization` and the query parameter `token`",
        ),
    ] {
        let list: Vec<_> = list.iter().map(|index| modes[*index].clone()).collect();
        let outcome = identification(&authenticator, &list, sent).outcome().await;
        assert_eq!(told(outcome), expected);
    }
    let empty = Sent {
        headers: &[("cookie", "session=")],
        ..Sent::default()
    };
    let asked = application.requests().len();
    let outcome = identification(&authenticator, &modes[1..2], &empty)
        .outcome()
        .await;
    assert_eq!(told(outcome), NO_SESSION);
    assert_eq!(
        application.requests().len(),
        asked,
        "an empty cookie is nobody's"
    );
}

#[tokio::test]
async fn a_thousand_handshakes_with_one_cookie_make_one_call() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let good = answer(200, r#"{"user_id":"ann"}"#);
    let application =
        Application::start(move |_| Deed::AnswerWhen(waits.clone(), good.clone())).await;
    for method in [
        http(&application, patience(30, 0)),
        session(&application, patience(30, 0)),
    ] {
        let before = application.requests().len();
        let bench = Bench::new(method);
        let sent = Sent {
            headers: &[("cookie", "session=a")],
            ..Sent::default()
        };
        let asked: Vec<_> = (0..1000)
            .map(|_| {
                let asked = identification(&bench.authenticator, &bench.modes, &sent);
                assert!(matches!(asked, Identification::Asked(_)));
                Box::pin(asked.outcome())
            })
            .collect();
        gate.add_permits(1);
        for asked in asked {
            assert_eq!(told(asked.await), "ann");
        }
        assert_eq!(application.requests().len(), before + 1);
        bench.advance(29);
        assert_eq!(bench.told("a").await, "ann");
        assert_eq!(application.requests().len(), before + 1, "remembered");
        assert_eq!(bench.told("b").await, "ann");
        assert_eq!(application.requests().len(), before + 2, "somebody else");
        bench.advance(1);
        assert_eq!(bench.told("a").await, "ann");
        assert_eq!(application.requests().len(), before + 3, "asked again");
    }
}

/// The application is up, then down, then up again.
#[tokio::test]
async fn who_is_known_comes_in_while_the_application_is_down_where_that_was_asked_for() {
    for (stale, expected) in [(60, "ann"), (0, NO_SESSIONS)] {
        let up = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_up = up.clone();
        let application = Application::start(move |_| {
            if is_up.load(std::sync::atomic::Ordering::SeqCst) {
                Deed::Answer(answer(200, r#"{"user_id":"ann"}"#))
            } else {
                Deed::Answer(answer(503, ""))
            }
        })
        .await;
        let bench = Bench::new(session(&application, patience(30, stale)));
        assert_eq!(bench.told("a").await, "ann");
        up.store(false, std::sync::atomic::Ordering::SeqCst);
        bench.advance(30);
        for _ in 0..8 {
            assert_eq!(bench.told("a").await, expected);
            assert_eq!(bench.told("b").await, NO_SESSIONS);
        }
        assert_eq!(
            application.requests().len(),
            6,
            "five in vain: the breaker is open"
        );
        let shown = bench.means.metrics.encode();
        let open = r#"trunkline_question_breaker{asker="auth.mode0"} 2"#;
        assert!(shown.contains(open), "{shown}");
        up.store(true, std::sync::atomic::Ordering::SeqCst);
        bench.advance(2);
        assert_eq!(bench.told("b").await, "ann");
        assert_eq!(bench.told("a").await, "ann");
    }
}

#[tokio::test]
async fn a_login_is_seen_soon_after_a_refusal() {
    let application = Application::start(|request| {
        let status = if request.contains(r#""session":"out""#) {
            401
        } else {
            200
        };
        Deed::Answer(answer(status, r#"{"user_id":"ann"}"#))
    })
    .await;
    let bench = Bench::new(session(&application, patience(300, 0)));
    for (after, asked) in [(0, 1), (4, 1), (1, 2)] {
        bench.advance(after);
        assert_eq!(bench.told("out").await, NO_SESSION);
        assert_eq!(application.requests().len(), asked);
    }
    assert_eq!(bench.told("in").await, "ann");
}
