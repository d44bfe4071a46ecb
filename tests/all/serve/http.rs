//! The HTTP API's refusals, health and metrics.

use serde_json::{Value, json};

use crate::serve::client::Response;
use crate::serve::harness::Server;

const HTTP: &str = r#"
server:
  listen: "127.0.0.1:0"
  api:
    keys:
      all: {secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}
      some: {secret: some-secret-of-32-bytes-or-more!!, scopes: [publish], rooms: ["room:a*"]}
      reader: {secret: reader-secret-of-32-bytes-more!!!, scopes: [read]}
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
rate_limits: {slow: {rate: 1/s, burst: 1, per: room}}
messages:
  line: {schema: {type: object, properties: {text: {type: string}}, required: [text]}, to: room, rate_limit: [slow], max_size: 100B}
  big: {schema: true, to: room}
  other: {schema: true, to: room}
rooms: {"room:{id}": {may_join: "false", messages: [line, big]}, "mine:{id}": {may_join: "true", messages: [other], presence: {grace: 0s}}}
endpoints: {/ws: {auth: guest, auto_join: ["mine:1"]}}
"#;

const ALL: &str = "Bearer all-secret-of-32-bytes-and-more!!";
const SOME: &str = "Bearer some-secret-of-32-bytes-or-more!!";
const READER: &str = "Bearer reader-secret-of-32-bytes-more!!!";

async fn post(server: &Server, key: &str, target: &str, body: &str) -> Response {
    let mut headers = vec![("Content-Type", "application/json")];
    if !key.is_empty() {
        headers.push(("Authorization", key));
    }
    server
        .http("POST", &format!("/api/{target}/messages"), &headers, body)
        .await
}

#[tokio::test]
async fn refusals_are_problems_with_the_codes_of_the_wire() {
    let server = Server::start(HTTP);
    let good = r#"{"type":"line","data":{"text":"hi"}}"#;
    let large = format!(
        r#"{{"type":"line","data":{{"text":"{}"}}}}"#,
        "x".repeat(100)
    );
    let huge = format!(r#"{{"type":"big","data":"{}"}}"#, "x".repeat(1024 * 1024));
    let long_name = format!("rooms/room:{}", "x".repeat(65));
    let table = [
        ("", "rooms/room:1", good, 401, "unauthenticated"),
        ("Bearer wrong", "rooms/room:1", good, 401, "unauthenticated"),
        (
            "Basic all-secret-of-32-bytes-and-more!!",
            "rooms/room:1",
            good,
            401,
            "unauthenticated",
        ),
        (READER, "rooms/room:1", good, 403, "forbidden"),
        (SOME, "rooms/room:1", good, 403, "forbidden"),
        (SOME, "users/anon:ann", good, 403, "forbidden"),
        (SOME, "rooms/room:ab", good, 200, ""),
        (ALL, "rooms/nothing:1", good, 404, "bad_room"),
        (ALL, "rooms/a%20b", good, 404, "bad_room"),
        (ALL, &long_name, good, 404, "bad_room"),
        (ALL, "rooms/room:1", "", 400, "bad_json"),
        (ALL, "rooms/room:1", "nonsense", 400, "bad_json"),
        (ALL, "rooms/room:1", r#"{"data":1}"#, 400, "bad_frame"),
        (
            ALL,
            "rooms/room:1",
            r#"{"type":"line","type":"big"}"#,
            400,
            "bad_json",
        ),
        (
            ALL,
            "rooms/room:2",
            r#"{"type":"big","data":{"a":1,"a":2}}"#,
            400,
            "bad_json",
        ),
        (
            ALL,
            "rooms/room:1",
            r#"{"type":"nonsense"}"#,
            422,
            "unknown_type",
        ),
        (
            ALL,
            "rooms/room:1",
            r#"{"type":"other"}"#,
            422,
            "unknown_type",
        ),
        (
            ALL,
            "users/anon:ann",
            r#"{"type":"nonsense"}"#,
            422,
            "unknown_type",
        ),
        (
            ALL,
            "rooms/room:3",
            r#"{"type":"line","data":{"text":5}}"#,
            422,
            "schema",
        ),
        (ALL, "rooms/room:4", &large, 413, "too_large"),
        (ALL, "rooms/room:5", &huge, 413, "too_large"),
        (ALL, "rooms/room:6", good, 200, ""),
        (ALL, "rooms/room:6", good, 429, "rate_limited"),
    ];
    for (key, target, body, status, code) in table {
        let shown = &body[..body.len().min(60)];
        let answer = post(&server, key, target, body).await;
        assert_eq!(answer.status, status, "{key} {target} {shown}: {answer:?}");
        if code.is_empty() {
            assert!(answer.json()["message_id"].is_string(), "{answer:?}");
            continue;
        }
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status)),
            "{problem}"
        );
        assert!(
            problem["detail"].is_string() && problem["title"].is_string(),
            "{problem}"
        );
        if key == READER {
            assert_eq!(problem["detail"], "this key lacks the scope `publish`");
        }
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401
        );
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
        assert_eq!(
            problem["details"] != Value::Null,
            code == "schema",
            "{problem}"
        );
        if code == "schema" {
            assert_eq!(
                (
                    &problem["details"][0]["path"],
                    &problem["details"][0]["keyword"]
                ),
                (&json!("/text"), &json!("type"))
            );
        }
    }
    server
        .until("no room remains of a publish", |engine| engine.rooms() == 0)
        .await;
}

#[tokio::test]
async fn without_keys_there_is_no_api() {
    let server = Server::start(
        "auth: {guest: {anonymous: {}}}\nmessages: {a: {schema: true, to: none}}\nendpoints: {/ws: {auth: guest, messages: [a]}}",
    );
    assert_eq!(post(&server, ALL, "rooms/room:1", "{}").await.status, 404);
}

#[tokio::test]
async fn metrics_move_and_come_back() {
    let server = Server::start(HTTP);
    let health = server.http("GET", "/healthz", &[], "").await;
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    let connections = "trunkline_connections{endpoint=\"/ws\"}";
    let gauges = [connections, "trunkline_users", "trunkline_rooms"];
    let mut ann = server.join("/ws?u=ann").await;
    let ben = server.join("/ws?u=ben").await;
    for (gauge, value) in gauges.iter().zip([2.0, 2.0, 1.0]) {
        server.until_metric(gauge, value).await;
    }
    ann.ask(json!({"type": "other", "data": 1}), json!({"data": 1}))
        .await;
    ann.ask(json!({"type": "nonsense"}), json!({"code": "unknown_type"}))
        .await;
    server
        .refusal("/ws", &[("Origin", "http://evil.example")])
        .await;
    for (counter, value) in [
        ("trunkline_messages_received_total{type=\"other\"}", 1.0),
        ("trunkline_messages_delivered_total{type=\"other\"}", 2.0),
        ("trunkline_rejects_total{code=\"unknown_type\"}", 1.0),
        ("trunkline_handshakes_total{outcome=\"accepted\"}", 2.0),
        ("trunkline_handshakes_total{outcome=\"origin\"}", 1.0),
        ("trunkline_queue_bytes", 0.0),
        ("trunkline_store_bytes", 0.0),
    ] {
        server.until_metric(counter, value).await;
    }
    for counter in [
        "trunkline_frames_sent_total",
        "trunkline_socket_writes_total",
        "trunkline_bytes_sent_total",
        "trunkline_bytes_received_total",
    ] {
        assert!(server.metric(counter).await > 0.0, "{counter}");
    }
    ann.close().await;
    drop(ben);
    server
        .until("all are gone", |engine| {
            (engine.connections(), engine.rooms()) == (0, 0)
        })
        .await;
    for gauge in gauges {
        server.until_metric(gauge, 0.0).await;
    }
    server
        .until_metric("trunkline_closes_total{code=\"1000\"}", 1.0)
        .await;
}

#[tokio::test]
async fn what_is_told_of_a_wrong_body_is_short_however_long_it_is() {
    let server = Server::start(HTTP);
    let body = format!("\"{}\"", "x=".repeat(100_000));
    let answer = post(&server, ALL, "rooms/room:1", &body).await;
    assert_eq!(answer.status / 100, 4, "{answer:?}");
    let problem = answer.json();
    let detail = problem["detail"].as_str().expect("a text");
    assert!(
        detail.contains("string \"x=x=") && detail.len() < 512,
        "{detail}"
    );
}
