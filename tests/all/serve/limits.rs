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
        ("type", [true, true, true, true]),
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
        ("type", true),
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

#[tokio::test]
async fn types_have_buckets_of_their_own() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
rate_limits: {each: {rate: 1/s, burst: 1, per: type}}
messages: {a: {schema: true, to: none}, b: {schema: true, to: none}}
endpoints: {/ws: {auth: guest, messages: [a, b], rate_limit: {messages: [each]}}}
"#,
    );
    let mut ann = server.join("/ws").await;
    let mut ben = server.join("/ws").await;
    for (client, name, answer) in [(&mut ann, "a", "ack"), (&mut ben, "a", "error")] {
        client
            .ask(json!({"type": name, "id": "1"}), json!({"type": answer}))
            .await;
    }
    ann.ask(json!({"type": "b", "id": "2"}), json!({"type": "ack"}))
        .await;
    ben.ask(
        json!({"type": "b", "id": "2"}),
        json!({"code": "rate_limited"}),
    )
    .await;
}

#[tokio::test]
async fn bytes_of_frames_are_counted() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
rate_limits: {volume: {rate: 100B/s, burst: 200B, per: connection}}
messages: {a: {schema: true, to: none}, line: {schema: {type: string}, to: sender}}
endpoints:
  /ws: {auth: guest, messages: [a], rate_limit: {messages: [volume]}}
  /text: {auth: guest, protocol: text, text_message: line, render: {line: "{data}", error: "{code}"}, rate_limit: {messages: [volume]}}
  /raw: {auth: guest, protocol: raw, raw: {to: sender}, rate_limit: {messages: [volume]}}
"#,
    );
    let mut client = server.join("/ws").await;
    let frame = |len: usize| {
        let empty = json!({"type": "a", "id": "1", "data": ""})
            .to_string()
            .len();
        json!({"type": "a", "id": "1", "data": "x".repeat(len - empty)})
    };
    client.ask(frame(150), json!({"type": "ack"})).await;
    client
        .ask(
            frame(100),
            json!({"code": "rate_limited", "retry_after_ms": 500}),
        )
        .await;
    client.ask(frame(50), json!({"type": "ack"})).await;
    server.advance(Duration::from_secs(2));
    // One larger than the burst passes when the bucket is full, and is paid for.
    client.ask(frame(500), json!({"type": "ack"})).await;
    client
        .ask(frame(50), json!({"retry_after_ms": 3_500}))
        .await;
    // What cannot be decoded pays as well.
    server.advance(Duration::from_millis(4_000));
    client.send_text(&"x".repeat(100)).await;
    client.expect(json!({"code": "bad_json"})).await;
    client.ask(frame(50), json!({"retry_after_ms": 500})).await;

    let mut text = server.connect("/text").await;
    let long = "x".repeat(200);
    text.send_text(&long).await;
    assert_eq!(text.text().await, long);
    text.send_text("more").await;
    assert_eq!(text.text().await, "rate_limited");
    let mut raw = server.connect("/raw").await;
    raw.send_text(&long).await;
    assert_eq!(raw.text().await, long);
    raw.send_text("more").await;
    let refusals = "trunkline_rate_limited_total{limit=\"volume\",dry_run=\"false\"}";
    server.until_metric(refusals, 5.0).await;
    server.advance(Duration::from_secs(2));
    raw.send_text("again").await;
    assert_eq!(raw.text().await, "again");
}

#[tokio::test]
async fn a_room_may_be_joined_so_often() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
rate_limits: {joining: {rate: 1/s, burst: 1, per: room}}
rooms: {"room:{id}": {may_join: "user.id != 'anon:eve'"}}
endpoints: {/ws: {auth: guest, rooms: ["room:{id}"], rate_limit: {join: [joining]}}}
"#,
    );
    let mut eve = server.join("/ws?u=eve").await;
    let join = |room| json!({"type": "join", "room": room});
    // Who may not join it does not use up what those have who may.
    eve.ask(join("room:1"), json!({"code": "forbidden"})).await;
    let mut ann = server.join("/ws?u=ann").await;
    ann.ask(join("room:1"), json!({"type": "joined"})).await;
    let mut ben = server.join("/ws?u=ben").await;
    ben.ask(join("room:1"), json!({"code": "rate_limited"}))
        .await;
    ben.ask(join("room:2"), json!({"type": "joined"})).await;
}

#[tokio::test]
async fn dry_runs_of_rooms_and_strikes_only_count() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
rooms: {"room:{id}": {may_join: "true", limits: {users: 1, dry_run: true}}}
endpoints: {/ws: {auth: guest, rooms: ["room:{id}"], auto_join: ["room:1"], limits: {rooms_per_connection: 1, strikes: 1, dry_run: true}}}
"#,
    );
    let _ann = server.join("/ws?u=ann").await;
    let mut ben = server.join("/ws?u=ben").await;
    ben.ask(
        json!({"type": "join", "room": "room:2"}),
        json!({"type": "joined"}),
    )
    .await;
    for _ in 0..3 {
        ben.send_text("nonsense").await;
        ben.expect(json!({"code": "bad_json"})).await;
    }
    for (limit, count) in [
        ("room_users", 1.0),
        ("rooms_per_connection", 1.0),
        ("strikes", 3.0),
    ] {
        let name = format!("trunkline_limits_exceeded_total{{limit=\"{limit}\",dry_run=\"true\"}}");
        assert_eq!(server.metric(&name).await, count, "{limit}");
    }
}
