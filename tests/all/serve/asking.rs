//! Who connects is for somebody else to say; and those of whom nobody has said anything yet.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::serve::application::{Application, Deed, answer};
use crate::serve::harness::Server;

const HOUR: Duration = Duration::from_secs(3600);

/// Says who `cookie: who=NAME` is.
async fn application() -> Application {
    Application::start(|request| {
        let known = [
            ("ann", 200, json!({"user_id": "ann", "username": "Ann", "rooms": ["desk:1", "room:a", "desk:1"], "expires_at": "2026-11-22T12:00:10Z"})),
            ("ben", 200, json!({"user_id": "ben", "rooms": ["cellar:1"]})),
            ("bob", 200, json!({"user_id": "bob", "rooms": ["desk:1", "desk:2", "desk:3"]})),
            ("gus", 200, json!({"user_id": "gus", "rooms": ["nowhere:1"]})),
            ("dan", 200, json!({"user_id": "anon:dan"})),
            ("eve", 401, Value::Null),
            ("fay", 500, Value::Null),
        ];
        let who = |name: &str| request.contains(&format!(r#""who":"{name}""#));
        let found = known.iter().find(|(name, _, _)| who(name));
        let (_, status, body) = found.expect("one of those");
        Deed::Answer(answer(*status, &body.to_string()))
    })
    .await
}

fn start(url: &str, server: &str) -> Server {
    Server::start(&format!(
        r#"
server: {{listen: "127.0.0.1:0", {server}}}
auth:
  asked: {{http: {{url: "{url}/connect", forward: [cookie.who]}}}}
  later: {{jwt: {{algorithms: [HS256], secret: "${{SECRET}}", credential: {{first_message: 10s}}}}}}
  member: {{jwt: {{algorithms: [HS256], secret: "${{SECRET}}"}}}}
  guest: {{anonymous: {{}}}}
messages: {{who: {{schema: true, to: sender, reply: user.id}}, say: {{schema: true, to: room}}}}
rooms:
  "room:{{id}}": {{may_join: "true", messages: [say]}}
  "desk:{{id}}": {{may_join: "false", messages: [say]}}
  "cellar:{{id}}": {{may_join: "true", messages: [say]}}
endpoints:
  /asked: {{auth: asked, messages: [who], auto_join: ["room:a"], rooms: ["desk:{{id}}"], limits: {{rooms_per_connection: 3}}}}
  /close: {{auth: asked, messages: [who], rooms: ["desk:{{id}}"], reject: close}}
  /either: {{auth: [asked, guest], messages: [who]}}
  /both: {{auth: [asked, member], rooms: ["desk:{{id}}", "room:{{id}}"]}}
  /later: {{auth: later, messages: [who]}}
  /later/close: {{auth: later, messages: [who], reject: close}}
"#
    ))
}

fn cookie(name: &str) -> String {
    format!("who={name}")
}

#[tokio::test]
async fn the_application_says_who_it_is_where_it_is_and_until_when() {
    let application = application().await;
    let server = start(&application.url, "");
    let client = server.knock("/asked", &[("Cookie", &cookie("ann"))]).await;
    let mut ann = client.unwrap_or_else(|refused| panic!("{refused:?}"));
    let welcome = ann
        .expect(json!({"type": "welcome", "user": {"user_id": "ann", "username": "Ann"}}))
        .await;
    let rooms: Vec<&str> = welcome["rooms"]
        .as_array()
        .expect("rooms")
        .iter()
        .filter_map(|room| room["room"].as_str())
        .collect();
    // Its own rule lets nobody into a desk; the application does.
    assert_eq!(rooms, ["room:a", "desk:1"]);
    ann.ask(
        json!({"type": "say", "room": "desk:1", "data": 1, "id": "a"}),
        json!({"type": "say", "room": "desk:1", "data": 1}),
    )
    .await;
    ann.expect(json!({"type": "ack", "id": "a"})).await;
    server.advance(Duration::from_secs(10));
    ann.expect_close(4001).await;
    let guest = server.join("/either").await;
    drop(guest);
    assert_eq!(application.requests().len(), 1, "a guest asks nobody");
}

#[tokio::test]
async fn a_fresh_token_takes_nobody_out_of_what_the_application_granted() {
    let application = application().await;
    let server = start(&application.url, "");
    let client = server.knock("/both", &[("Cookie", &cookie("ann"))]).await;
    let mut ann = client.unwrap_or_else(|refused| panic!("{refused:?}"));
    ann.expect(json!({"type": "welcome"})).await;
    let token = server.token("ann", json!({}), HOUR);
    ann.ask(
        json!({"type": "token", "id": "t", "token": token}),
        json!({"type": "ack", "id": "t"}),
    )
    .await;
    // The rule of a desk lets in nobody, and was not asked.
    ann.ask(
        json!({"type": "say", "room": "desk:1", "data": 1, "id": "a"}),
        json!({"type": "say", "room": "desk:1", "data": 1}),
    )
    .await;
}

#[tokio::test]
async fn what_the_application_refuses_or_cannot_say_looks_like_any_refusal() {
    let application = application().await;
    let server = start(&application.url, "");
    for (name, status, close) in [
        ("ben", 503, 1011),
        ("gus", 503, 1011),
        ("dan", 503, 1011),
        ("eve", 401, 1008),
        ("fay", 503, 1011),
    ] {
        let cookie = cookie(name);
        let headers = [("Cookie", &*cookie)];
        let refused = server.refusal("/asked", &headers).await;
        assert_eq!(refused.status, status, "{name} {refused:?}");
        let comes_again = refused.headers.contains_key("retry-after");
        assert_eq!(comes_again, status == 503, "{name} {refused:?}");
        assert!(!refused.body.contains(name), "{refused:?}");
        // What was brought and is bad does not become a guest.
        let refused = server.refusal("/either", &headers).await;
        assert_eq!(refused.status, status, "{name} {refused:?}");
        let client = server.knock("/close", &headers).await;
        let mut client = client.unwrap_or_else(|refused| panic!("{refused:?}"));
        client.expect_close(close).await;
    }
    // Another site's cookie beside it, in whatever letters, does not hide it.
    let refused = server.refusal("/either", &[("Cookie", "lang=français; who=eve")]);
    assert_eq!(refused.await.status, 401);
    // With the room of `auto_join` that is one too many.
    let refused = server.refusal("/asked", &[("Cookie", "who=bob")]).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let asked = r#"trunkline_questions_total{asker="auth.asked",outcome="refused"}"#;
    server.until_metric(asked, 4.0).await;
    server
        .until("places are free", |engine| engine.connections() == 0)
        .await;
    let waiting = "trunkline_unauthenticated_connections";
    server.until_metric(waiting, 0.0).await;
}

#[tokio::test]
async fn a_handshake_does_not_wait_longer_than_it_may() {
    let application = Application::start(|_| Deed::Hang(Vec::new())).await;
    let server = start(&application.url, "limits: {handshake: 100ms}");
    let refused = server.refusal("/asked", &[("Cookie", "who=ann")]).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let timeouts = r#"trunkline_handshakes_total{outcome="timeout"}"#;
    server.until_metric(timeouts, 1.0).await;
}

#[tokio::test]
async fn those_whom_nobody_knows_yet_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let good = answer(200, r#"{"user_id":"ann"}"#);
    let application =
        Application::start(move |_| Deed::AnswerWhen(waits.clone(), good.clone())).await;
    let server = start(&application.url, "limits: {unauthenticated: 2}");
    let waiting = "trunkline_unauthenticated_connections";
    let mut silent = server.connect("/later").await;
    let headers = [("Cookie", "who=ann")];
    let (mut asked, ()) = tokio::join!(
        async {
            server
                .knock("/asked", &headers)
                .await
                .map_err(|refused| refused.status)
                .expect("it is let in")
        },
        async {
            server.until_metric(waiting, 2.0).await;
            for path in ["/later", "/asked"] {
                let refused = server.refusal(path, &headers).await;
                assert_eq!(refused.status, 503, "{path} {refused:?}");
                assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
            }
            server
                .connect("/later/close")
                .await
                .expect_close(1013)
                .await;
            // Who needs no waiting is not in their way.
            server.join("/either").await;
            gate.add_permits(1);
        }
    );
    asked.expect(json!({"type": "welcome"})).await;
    server.until_metric(waiting, 1.0).await;
    let another = server.connect("/later").await;
    server.until_metric(waiting, 2.0).await;
    let token = server.token("ann", Value::Null, HOUR);
    silent.send(json!({"type": "token", "token": token})).await;
    silent.expect(json!({"type": "welcome"})).await;
    server.until_metric(waiting, 1.0).await;
    drop(another);
    server.until_metric(waiting, 0.0).await;
}

#[tokio::test]
async fn one_address_has_half_of_their_places() {
    let server = start(
        "http://127.0.0.1:1",
        "trusted_proxies: [127.0.0.1/32], limits: {unauthenticated: 4}",
    );
    let from = |address| [("X-Forwarded-For", address)];
    let mut waiting = Vec::new();
    for (address, has_place) in [
        ("192.0.2.7", true),
        ("192.0.2.7", true),
        ("192.0.2.7", false),
        ("2001:db8::1", true),
        ("2001:db8::2", true),
        ("2001:db8::3", false),
    ] {
        let client = server.knock("/later", &from(address)).await;
        assert_eq!(client.is_ok(), has_place, "{address}");
        waiting.extend(client);
    }
    let refused = server.refusal("/later", &from("198.51.100.1")).await;
    assert_eq!(refused.status, 503, "all are taken: {refused:?}");
    drop(waiting);
    server
        .until_metric("trunkline_unauthenticated_connections", 0.0)
        .await;
    let again = server.knock("/later", &from("192.0.2.7")).await;
    assert!(again.is_ok());
}
