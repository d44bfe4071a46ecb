//! The same key within the window is one message.

use std::time::Duration;

use serde_json::json;

use crate::serve::client::Client;
use crate::serve::harness::{API, Server};

const KEYS: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages:
  line: {schema: true, to: room}
  other: {schema: true, to: room}
  note: {schema: true, to: none}
  mail: {schema: true, to: {user: data.to}}
rooms:
  "room:{id}": {may_join: "true", messages: [line, other], history: {messages: 10}, idempotency: {window: 1m}, presence: {grace: 0s}}
endpoints:
  /ws: {auth: guest, auto_join: ["room:1", "room:2"], messages: [note, mail]}
"#;

async fn line(client: &mut Client, key: &str, data: i32) {
    let frame = json!({"type": "line", "room": "room:1", "id": "i", "key": key, "data": data});
    client.send(frame).await;
}

#[tokio::test]
async fn a_key_is_delivered_once_and_acknowledged_each_time() {
    let server = Server::start(KEYS);
    let mut ann = server.join("/ws?u=ann").await;
    line(&mut ann, "k", 1).await;
    ann.expect(json!({"type": "line", "seq": 1, "data": 1}))
        .await;
    let first = ann.expect(json!({"type": "ack", "seq": 1})).await;
    // Again, from another connection of the same user too.
    line(&mut ann, "k", 1).await;
    ann.expect(first.clone()).await;
    let mut again = server.join("/ws?u=ann").await;
    line(&mut again, "k", 1).await;
    again.expect(first.clone()).await;
    // Another body, or another type of the same body, is a mistake.
    line(&mut ann, "k", 2).await;
    ann.expect(json!({"type": "error", "id": "i", "code": "key_reused"}))
        .await;
    let other = json!({"type": "other", "room": "room:1", "key": "k", "data": 1});
    ann.ask(other, json!({"code": "key_reused"})).await;
    // Another user's key and another room's are others.
    let mut ben = server.join("/ws?u=ben").await;
    line(&mut ben, "k", 3).await;
    for client in [&mut ann, &mut again, &mut ben] {
        client
            .expect(json!({"type": "line", "seq": 2, "data": 3}))
            .await;
    }
    ben.expect(json!({"type": "ack", "seq": 2})).await;
    let elsewhere = json!({"type": "line", "room": "room:2", "key": "k", "data": 4});
    ann.ask(
        elsewhere,
        json!({"type": "line", "room": "room:2", "seq": 1}),
    )
    .await;
    // When the window is over it is a new message.
    server.advance(Duration::from_millis(59_999));
    line(&mut ann, "k", 1).await;
    ann.expect(first).await;
    server.advance(Duration::from_millis(1));
    line(&mut ann, "k", 1).await;
    ann.expect(json!({"type": "line", "seq": 3})).await;
    ann.expect(json!({"type": "ack", "seq": 3})).await;
}

#[tokio::test]
async fn a_refused_message_uses_no_key() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {n: {schema: {type: integer}, to: none}}
endpoints: {/ws: {auth: guest, messages: [n]}}
"#,
    );
    let mut client = server.join("/ws").await;
    client
        .ask(
            json!({"type": "n", "key": "k", "data": "x"}),
            json!({"code": "schema"}),
        )
        .await;
    client
        .ask(
            json!({"type": "n", "key": "k", "id": "1", "data": 1}),
            json!({"type": "ack"}),
        )
        .await;
}

#[tokio::test]
async fn keys_count_for_what_goes_to_no_room_too() {
    let server = Server::start(KEYS);
    let mut ann = server.join("/ws?u=ann").await;
    let mut ben = server.join("/ws?u=ben").await;
    let note = |data: i32| json!({"type": "note", "id": "n", "key": "k", "data": data});
    let ack = ann.ask(note(1), json!({"type": "ack"})).await;
    ann.ask(note(1), ack.clone()).await;
    ann.ask(note(2), json!({"code": "key_reused"})).await;
    let other = ben.ask(note(1), json!({"type": "ack"})).await;
    assert_ne!(other["message_id"], ack["message_id"]);
    let mail = json!({"type": "mail", "id": "m", "key": "mail", "data": {"to": "anon:ben"}});
    let ack = ann.ask(mail.clone(), json!({"type": "ack"})).await;
    ann.ask(mail, ack.clone()).await;
    ben.expect(json!({"type": "mail", "message_id": ack["message_id"]}))
        .await;
    ben.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn keys_over_http_come_in_the_body_or_the_header() {
    let server = Server::start(&format!("{API}{KEYS}"));
    let mut ann = server.join("/ws?u=ann").await;
    let body = json!({"type": "line", "key": "k", "data": 1});
    let first = server.publish("rooms/room:1", body.clone()).await;
    let second = server.publish("rooms/room:1", body).await;
    assert_eq!((first.status, first.body), (200, second.body));
    let reused = server
        .publish(
            "rooms/room:1",
            json!({"type": "line", "key": "k", "data": 2}),
        )
        .await;
    assert_eq!(
        (reused.status, &reused.json()["code"]),
        (422, &json!("key_reused"))
    );
    let headers = [
        ("Authorization", "Bearer all-secret-of-32-bytes-and-more!!"),
        ("Idempotency-Key", "k"),
    ];
    let path = "/api/rooms/room:1/messages";
    let third = server
        .http("POST", path, &headers, r#"{"type":"line","data":1}"#)
        .await;
    assert_eq!(third.json()["seq"], 1, "the same key: {third:?}");
    ann.expect(json!({"type": "line", "seq": 1})).await;
    // To users a key counts for each of them.
    let mut ben = server.join("/ws?u=ben").await;
    for user in ["anon:ann", "anon:ben", "anon:ann"] {
        let target = format!("users/{user}");
        let answer = server
            .publish(&target, json!({"type": "line", "key": "u", "data": 5}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for client in [&mut ann, &mut ben] {
        client
            .expect(json!({"type": "line", "data": 5, "room": "$absent"}))
            .await;
        client
            .ask(json!({"type": "ping"}), json!({"type": "pong"}))
            .await;
    }
    let long = "x".repeat(129);
    for (headers, body) in [
        (
            vec![headers[0], ("Idempotency-Key", &*long)],
            json!({"type": "line"}),
        ),
        (vec![headers[0]], json!({"type": "line", "key": long})),
    ] {
        let refused = server.http("POST", path, &headers, &body.to_string()).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (400, &json!("bad_frame"))
        );
    }
}
