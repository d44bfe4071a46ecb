//! Rate limits: exactly the declared rate, under the test's time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::client::Client;
use crate::serve::harness::{API, Server};

/// A server whose type `a` is limited twice a second, three at once.
fn limited(limit: &str) -> Server {
    Server::start(&format!(
        r#"{API}
auth: {{guest: {{anonymous: {{user_id: "{{query.u}}"}}}}}}
rate_limits: {{twice: {{rate: 2/s, burst: 3, {limit}}}}}
messages: {{a: {{schema: {{type: integer}}, to: none, rate_limit: [twice]}}, b: {{schema: true, to: none}}}}
rooms: {{"room:{{id}}": {{may_join: "true", messages: [a]}}}}
endpoints:
  /one: {{auth: guest, auto_join: ["room:1", "room:2"]}}
  /two: {{auth: guest, auto_join: ["room:1"]}}
"#
    ))
}

async fn send(client: &mut Client, room: &str, data: Value) -> Value {
    client
        .send(json!({"type": "a", "room": room, "id": "i", "data": data}))
        .await;
    client.frame().await
}

async fn passes(client: &mut Client, room: &str) -> bool {
    let answer = send(client, room, json!(1)).await;
    match answer["type"].as_str() {
        Some("ack") => true,
        _ => {
            assert_eq!(
                (&answer["code"], &answer["id"]),
                (&json!("rate_limited"), &json!("i")),
                "{answer}"
            );
            false
        }
    }
}

#[tokio::test]
async fn the_rate_is_exactly_the_declared_one() {
    let server = limited("per: connection");
    let mut ann = server.join("/one?u=ann").await;
    for _ in 0..3 {
        assert!(passes(&mut ann, "room:1").await);
    }
    let refused = send(&mut ann, "room:1", json!(1)).await;
    assert_eq!(refused["retry_after_ms"], 500, "{refused}");
    server.advance(Duration::from_millis(499));
    assert_eq!(
        send(&mut ann, "room:1", json!(1)).await["retry_after_ms"],
        1
    );
    server.advance(Duration::from_millis(1));
    assert!(passes(&mut ann, "room:1").await);
    assert!(!passes(&mut ann, "room:1").await);
    let mut passed = 0;
    for _ in 0..100 {
        server.advance(Duration::from_millis(100));
        passed += u32::from(passes(&mut ann, "room:1").await);
    }
    assert_eq!(passed, 20, "ten seconds at two a second");
    // What is invalid pays too.
    server.advance(Duration::from_secs(10));
    for _ in 0..3 {
        assert_eq!(send(&mut ann, "room:1", json!("x")).await["code"], "schema");
    }
    assert!(!passes(&mut ann, "room:1").await);
}

#[tokio::test]
async fn each_key_has_a_bucket_of_its_own() {
    // Who shares the bucket that ann's first connection empties in room:1: her second one at /one and at /two, ben, her room:2.
    let table = [
        ("connection", [false, false, false, true]),
        ("user", [true, true, false, true]),
        ("ip", [true, true, true, true]),
        ("room", [true, true, true, false]),
        ("endpoint", [true, false, true, true]),
        ("server", [true, true, true, true]),
    ];
    for (per, shared) in table {
        let server = limited(&format!("per: {per}"));
        let mut first = server.join("/one?u=ann").await;
        for _ in 0..3 {
            assert!(passes(&mut first, "room:1").await, "{per}");
        }
        assert!(!passes(&mut first, "room:1").await, "{per}");
        let mut second = server.join("/one?u=ann").await;
        let mut elsewhere = server.join("/two?u=ann").await;
        let mut ben = server.join("/one?u=ben").await;
        let found = [
            !passes(&mut second, "room:1").await,
            !passes(&mut elsewhere, "room:1").await,
            !passes(&mut ben, "room:1").await,
            !passes(&mut first, "room:2").await,
        ];
        assert_eq!(found, shared, "{per}");
    }
}

#[tokio::test]
async fn what_exceeds_may_be_dropped_or_end_the_connection() {
    let server = limited("per: connection, on_exceed: drop");
    let mut ann = server.join("/two?u=ann").await;
    for data in 0..5 {
        ann.send(json!({"type": "a", "data": data})).await;
    }
    // Silence, but a frame with an id is always answered.
    assert!(!passes(&mut ann, "room:1").await);
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;

    let server = limited("per: connection, on_exceed: close");
    let mut ann = server.join("/two?u=ann").await;
    for _ in 0..4 {
        ann.send(json!({"type": "a", "data": 1})).await;
    }
    ann.expect_close(4029).await;
}

#[tokio::test]
async fn a_dry_run_only_counts() {
    let server = limited("per: user, on_exceed: close, dry_run: true");
    let mut ann = server.join("/two?u=ann").await;
    for _ in 0..5 {
        assert!(passes(&mut ann, "room:1").await);
    }
    let metric = "trunkline_rate_limited_total{limit=\"twice\",dry_run=\"true\"}";
    assert_eq!(server.metric(metric).await, 2.0);
}

#[tokio::test]
async fn a_bucket_cited_twice_is_spent_once() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
rate_limits: {chatty: {rate: 2/s, burst: 4, per: user}, own: {rate: 1/s, burst: 2, per: connection}}
messages: {a: {schema: true, to: none, rate_limit: [chatty, own]}, b: {schema: true, to: none}}
rooms: {"room:{id}": {may_join: "true"}}
endpoints: {/ws: {auth: guest, messages: [a, b], rooms: ["room:{id}"], rate_limit: {messages: [chatty]}}}
"#,
    );
    let mut client = server.join("/ws").await;
    for (name, answer) in [
        ("b", "ack"),
        ("a", "ack"),
        ("b", "ack"),
        ("a", "ack"),
        ("a", "error"),
        ("b", "error"),
    ] {
        client
            .ask(json!({"type": name, "id": "1"}), json!({"type": answer}))
            .await;
    }
    // Frames that are no messages: what cannot be decoded pays at the endpoint, a ping does not.
    server.advance(Duration::from_millis(500));
    client.send_text("nonsense").await;
    client.expect(json!({"code": "bad_json"})).await;
    client.send_text("nonsense").await;
    client.expect(json!({"code": "rate_limited"})).await;
    client
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn joins_have_limits_of_their_own() {
    for (on_exceed, ends) in [("error", false), ("close", true)] {
        let server = Server::start(&format!(
            r#"
auth: {{guest: {{anonymous: {{}}}}}}
rate_limits: {{joining: {{rate: 1/s, burst: 2, per: connection, on_exceed: {on_exceed}}}}}
rooms: {{"room:{{id}}": {{may_join: "true"}}}}
endpoints: {{/ws: {{auth: guest, rooms: ["room:{{id}}"], rate_limit: {{join: [joining]}}}}}}
"#
        ));
        let mut client = server.join("/ws").await;
        for room in ["room:1", "room:2"] {
            client
                .ask(
                    json!({"type": "join", "room": room}),
                    json!({"type": "joined"}),
                )
                .await;
        }
        client
            .send(json!({"type": "join", "room": "room:3", "id": "j"}))
            .await;
        if ends {
            assert_eq!(client.end().await.0, 4029);
        } else {
            client
                .expect(json!({"id": "j", "code": "rate_limited", "retry_after_ms": 1000}))
                .await;
        }
    }
}

#[tokio::test]
async fn the_application_is_bound_by_rooms_and_the_server_alone() {
    for (per, bound) in [
        ("room", true),
        ("server", true),
        ("user", false),
        ("ip", false),
        ("connection", false),
        ("endpoint", false),
    ] {
        let server = limited(&format!("per: {per}"));
        for _ in 0..3 {
            let answer = server
                .publish("rooms/room:1", json!({"type": "a", "data": 1}))
                .await;
            assert_eq!(answer.status, 200, "{per}: {answer:?}");
        }
        let answer = server
            .publish("rooms/room:1", json!({"type": "a", "data": 1}))
            .await;
        assert_eq!(
            answer.status,
            if bound { 429 } else { 200 },
            "{per}: {answer:?}"
        );
        if bound {
            assert_eq!(answer.headers["retry-after"], "1");
            let problem = answer.json();
            assert_eq!(
                (&problem["code"], &problem["retry_after_ms"]),
                (&json!("rate_limited"), &json!(500))
            );
        }
    }
}
