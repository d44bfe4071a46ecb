//! Where messages go, and what their sender gets back.

use serde_json::json;

use crate::serve::harness::{API, Server};

const ROUTES: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages:
  all: {schema: true, to: room}
  others: {schema: true, to: others}
  tabs: {schema: true, to: other_connections}
  echo: {schema: true, to: sender}
  gone: {schema: true, to: none}
  sure: {schema: true, to: none, ack: true}
  direct: {schema: true, to: {user: data.to}}
  cross: {schema: true, to: {room: "room:{data.to}"}}
  said: {schema: true, to: room, reply: "{'length': size(data.text), 'users': room.users_count, 'by': user.id}"}
rooms:
  "room:{id}":
    may_join: "true"
    messages: [all, others, tabs, echo, gone, sure, cross, said]
    presence: {grace: 0s}
    history: {messages: 10}
endpoints:
  /ws/{id}: {auth: guest, protocol: json, auto_join: ["room:{path.id}"], messages: [direct]}
"#;

/// Two connections of ann, one of ben, one of eve in another room.
#[tokio::test]
async fn each_route_reaches_whom_it_names() {
    let server = Server::start(ROUTES);
    let names = ["ann", "ann's other", "ben", "eve"];
    let table = [
        ("all", json!({}), vec!["ann", "ann's other", "ben"]),
        ("others", json!({}), vec!["ben"]),
        ("tabs", json!({}), vec!["ann's other", "ben"]),
        ("echo", json!({}), vec!["ann"]),
        ("gone", json!({}), vec![]),
        ("sure", json!({}), vec![]),
        ("direct", json!({"to": "anon:ben"}), vec!["ben"]),
        (
            "direct",
            json!({"to": "anon:ann"}),
            vec!["ann", "ann's other"],
        ),
        ("direct", json!({"to": "anon:nobody"}), vec![]),
        ("cross", json!({"to": "2"}), vec!["eve"]),
    ];
    let mut clients = [
        server.join("/ws/1?u=ann").await,
        server.join("/ws/1?u=ann").await,
        server.join("/ws/1?u=ben").await,
        server.join("/ws/2?u=eve").await,
    ];
    for (name, data, reached) in table {
        clients[0].send(json!({"type": name, "data": data})).await;
        if name == "sure" {
            clients[0]
                .expect(json!({"type": "ack", "id": "$absent"}))
                .await;
        }
        // What everyone in each room gets next shows that nothing else came before.
        clients[0]
            .send(json!({"type": "all", "data": "fence"}))
            .await;
        clients[3]
            .send(json!({"type": "all", "data": "fence"}))
            .await;
        for (client, who) in clients.iter_mut().zip(names) {
            if reached.contains(&who) {
                client.expect(json!({"type": name, "data": data})).await;
            }
            let fence = client.frame().await;
            assert_eq!(fence["data"], "fence", "{name} to {who}: {fence}");
        }
    }
}

#[tokio::test]
async fn a_message_tells_where_from_whom_and_when() {
    let server = Server::start(ROUTES);
    let mut ann = server.join("/ws/1?u=ann").await;
    let frame = ann
        .ask(
            json!({"type": "all", "data": {"text": "hi"}}),
            json!({"room": "room:1", "seq": 1, "sender": {"user_id": "anon:ann", "username": "ann"}, "id": "$absent"}),
        )
        .await;
    assert_eq!(frame["timestamp"], "2026-11-22T12:00:00.000Z");
    assert_eq!(frame["message_id"].as_str().map(str::len), Some(24));
    let next = ann
        .ask(
            json!({"type": "others", "data": 1, "id": "x"}),
            json!({"seq": "$absent"}),
        )
        .await;
    assert_ne!(next["message_id"], frame["message_id"]);
}

#[tokio::test]
async fn an_id_is_answered_once() {
    let server = Server::start(ROUTES);
    let mut ann = server.join("/ws/1?u=ann").await;
    let table = [
        (
            "others",
            json!(1),
            json!({"type": "ack", "room": "room:1", "seq": "$absent"}),
        ),
        ("gone", json!(1), json!({"type": "ack", "room": "room:1"})),
        (
            "echo",
            json!([1, null]),
            json!({"type": "echo", "data": [1, null], "room": "room:1"}),
        ),
        (
            "direct",
            json!({"to": "x"}),
            json!({"type": "ack", "room": "$absent"}),
        ),
        (
            "cross",
            json!({"to": "2"}),
            json!({"type": "ack", "room": "room:2", "seq": "$absent"}),
        ),
    ];
    for (name, data, answer) in table {
        let frame = ann
            .ask(json!({"type": name, "id": "7", "data": data}), answer)
            .await;
        assert_eq!(frame["id"], "7", "{frame}");
    }
    // The ack comes behind what it acknowledges.
    ann.send(json!({"type": "all", "id": "8", "data": 1})).await;
    let heard = ann
        .expect(json!({"type": "all", "seq": 1, "id": "$absent"}))
        .await;
    let ack = ann
        .expect(json!({"type": "ack", "id": "8", "room": "room:1", "seq": 1}))
        .await;
    assert_eq!(ack["message_id"], heard["message_id"]);
    // Without an id nothing comes back.
    ann.send(json!({"type": "gone", "data": 1})).await;
    ann.ask(
        json!({"type": "ping", "id": "p"}),
        json!({"type": "pong", "id": "p"}),
    )
    .await;
}

#[tokio::test]
async fn a_reply_is_computed_and_stands_in_for_the_ack() {
    let server = Server::start(ROUTES);
    let mut ann = server.join("/ws/1?u=ann").await;
    let mut ben = server.join("/ws/1?u=ben").await;
    let data = json!({"text": "four"});
    ann.send(json!({"type": "said", "id": "1", "data": data}))
        .await;
    ann.expect(json!({"type": "said", "seq": 1, "data": data, "id": "$absent"}))
        .await;
    let reply = json!({"length": 4, "users": 2, "by": "anon:ann"});
    ann.expect(json!({"type": "said", "id": "1", "data": reply}))
        .await;
    ben.expect(json!({"type": "said", "seq": 1, "data": data}))
        .await;
}

#[tokio::test]
async fn the_application_reaches_rooms_and_users() {
    let yaml = format!("{API}{ROUTES}");
    let server = Server::start(&yaml);
    let mut ann = server.join("/ws/1?u=ann").await;
    let mut again = server.join("/ws/2?u=ann").await;
    let mut ben = server.join("/ws/1?u=ben").await;
    let to_room = server
        .publish("rooms/room:1", json!({"type": "others", "data": 1}))
        .await;
    assert_eq!((to_room.status, to_room.json().get("seq")), (200, None));
    for client in [&mut ann, &mut ben] {
        client
            .expect(json!({"type": "others", "data": 1, "sender": "$absent", "room": "room:1"}))
            .await;
    }
    let stored = server
        .publish("rooms/room%3A1", json!({"type": "all", "data": 2}))
        .await;
    assert_eq!(stored.json()["seq"], 1);
    let to_user = server
        .publish("users/anon:ann", json!({"type": "all", "data": 3}))
        .await;
    assert_eq!(to_user.status, 200, "{to_user:?}");
    ann.expect(json!({"data": 2, "message_id": stored.json()["message_id"]}))
        .await;
    ann.expect(json!({"data": 3, "room": "$absent", "message_id": to_user.json()["message_id"]}))
        .await;
    again.expect(json!({"data": 3})).await;
    ben.expect(json!({"data": 2})).await;
}

#[tokio::test]
async fn a_type_without_a_room_names_its_own() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {a: {schema: true, to: others}, b: {schema: true, to: none}, c: {schema: true, to: none}}
rooms:
  "x:{id}": {may_join: "true", messages: [a, b]}
  "y:{id}": {may_join: "true", messages: [a]}
endpoints: {/ws: {auth: guest, auto_join: ["x:1", "y:1"], rooms: ["x:{id}"], messages: [c]}}
"#,
    );
    let mut client = server.join("/ws").await;
    let table = [
        (
            json!({"type": "a"}),
            json!({"type": "error", "code": "bad_room"}),
        ),
        (
            json!({"type": "a", "room": "y:1"}),
            json!({"type": "ack", "room": "y:1"}),
        ),
        (json!({"type": "b"}), json!({"type": "ack", "room": "x:1"})),
        (
            json!({"type": "b", "room": "y:1"}),
            json!({"type": "error", "code": "unknown_type"}),
        ),
        (
            json!({"type": "c"}),
            json!({"type": "ack", "room": "$absent"}),
        ),
        (
            json!({"type": "join", "room": "x:2"}),
            json!({"type": "joined", "room": "x:2"}),
        ),
        (
            json!({"type": "b"}),
            json!({"type": "error", "code": "bad_room"}),
        ),
        (
            json!({"type": "b", "room": "x:2"}),
            json!({"type": "ack", "room": "x:2"}),
        ),
        (
            json!({"type": "leave", "room": "x:1"}),
            json!({"type": "left", "room": "x:1"}),
        ),
        (json!({"type": "b"}), json!({"type": "ack", "room": "x:2"})),
        (
            json!({"type": "b", "room": "x:1"}),
            json!({"type": "error", "code": "not_joined"}),
        ),
    ];
    for (mut frame, answer) in table {
        frame["id"] = "q".into();
        let found = client.ask(frame, answer).await;
        assert_eq!(found["id"], "q", "{found}");
    }
}
