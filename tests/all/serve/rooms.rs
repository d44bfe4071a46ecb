//! Joining, leaving, and what a connection is told of where it is.

use serde_json::json;

use crate::serve::client::{Incoming, fits};
use crate::serve::harness::Server;

const ROOMS: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "Name of {query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms:
  "room:{id}":
    may_join: "true"
    messages: [line]
    presence: {members: true, grace: 0s}
    history: {messages: 10, replay_on_join: 2}
  "plain:{id}": {may_join: "params.id != 'closed'", messages: [line], presence: {grace: 0s}}
  "tiny:{id}": {may_join: "true", limits: {users: 1}, presence: {grace: 0s}}
endpoints:
  /ws:
    auth: guest
    auto_join: ["room:1", {room: "plain:{query.p}", when_allowed: true}]
    rooms: ["room:{id}", "plain:{id}"]
    heartbeat: {idle: 45s, timeout: 15s}
    limits: {message_size: 2KiB, rooms_per_connection: 7}
  /free: {auth: guest, rooms: ["room:{id}", "plain:{id}"]}
  /tiny: {auth: guest, auto_join: ["tiny:1"]}
  /tiny/close: {auth: guest, auto_join: ["tiny:1"], reject: close}
  /tiny/perhaps: {auth: guest, auto_join: [{room: "tiny:1", when_allowed: true}]}
"#;

#[tokio::test]
async fn welcome_says_all_that_a_client_needs() {
    let server = Server::start(ROOMS);
    let mut ann = server.connect("/ws?u=ann&p=1").await;
    let welcome = ann
        .expect(json!({
            "type": "welcome",
            "protocol": 1,
            "user": {"user_id": "anon:ann", "username": "Name of ann"},
            "rooms": [
                {"room": "room:1", "users_count": 1, "seq": 0},
                {"room": "plain:1", "users_count": 1, "seq": "$absent", "epoch": "$absent"},
            ],
            "heartbeat": {"idle_ms": 45000, "timeout_ms": 15000},
            "limits": {"message_size": 2048, "rooms": 7},
            "timestamp": "2026-11-22T12:00:00.000Z",
        }))
        .await;
    assert_eq!(welcome["connection_id"].as_str().map(str::len), Some(32));
    assert_eq!(welcome["rooms"][0]["epoch"].as_str().map(str::len), Some(8));
    // A room that may not be joined, or has no valid name, is left out.
    for path in ["/ws?u=ben&p=closed", "/ws?u=ben"] {
        let mut ben = server.connect(path).await;
        ben.expect(json!({"type": "welcome", "rooms": [{"room": "room:1", "users_count": 2}]}))
            .await;
    }
}

#[tokio::test]
async fn the_subprotocol_is_selected_where_it_is_offered() {
    let server = Server::start(ROOMS);
    for (offered, selected) in [
        ("trunkline.v1.json", Some("trunkline.v1.json")),
        ("other, trunkline.v1.json", Some("trunkline.v1.json")),
        ("other", None),
    ] {
        let client = server
            .knock("/ws?u=ann", &[("Sec-WebSocket-Protocol", offered)])
            .await;
        let client = client.unwrap_or_else(|refused| panic!("{refused:?}"));
        let found = client
            .headers
            .get("sec-websocket-protocol")
            .map(String::as_str);
        assert_eq!(found, selected, "{offered}");
    }
}

#[tokio::test]
async fn joining_is_answered_before_what_is_replayed() {
    let server = Server::start(ROOMS);
    let mut ann = server.join("/free?u=ann").await;
    ann.ask(
        json!({"type": "join", "room": "room:5", "id": "1"}),
        json!({"type": "joined", "id": "1", "room": "room:5", "seq": 0, "users_count": 1}),
    )
    .await;
    for data in 1..=3 {
        ann.ask(
            json!({"type": "line", "data": data}),
            json!({"type": "line", "seq": data}),
        )
        .await;
    }
    let mut ben = server.join("/free?u=ben").await;
    ben.send(json!({"type": "join", "rooms": ["room:5", "plain:5"], "id": "2"}))
        .await;
    let mut frames = Vec::new();
    for _ in 0..4 {
        frames.push(ben.frame().await);
    }
    // Across rooms there is no order.
    frames.sort_by_key(|frame| frame["room"] == "plain:5");
    let expected = json!([
        {"type": "joined", "id": "2", "room": "room:5", "seq": 3, "users_count": 2},
        {"type": "line", "seq": 2},
        {"type": "line", "seq": 3},
        {"type": "joined", "id": "2", "room": "plain:5", "users_count": 1},
    ]);
    assert!(fits(&frames.clone().into(), &expected), "{frames:?}");
    assert_eq!(frames[0]["epoch"].as_str().map(str::len), Some(8));
    // Joining again changes nothing.
    ben.ask(
        json!({"type": "join", "room": "room:5", "id": "3"}),
        json!({"type": "joined", "id": "3", "users_count": 2}),
    )
    .await;
    ann.ask(json!({"type": "line", "data": 4}), json!({"seq": 4}))
        .await;
    ben.expect(json!({"seq": 4})).await;
    // Who has left hears no more.
    ben.ask(
        json!({"type": "leave", "room": "room:5", "id": "4"}),
        json!({"type": "left", "id": "4", "room": "room:5"}),
    )
    .await;
    ann.ask(json!({"type": "line", "data": 5}), json!({"seq": 5}))
        .await;
    ben.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    ben.ask(
        json!({"type": "join", "room": "room:5"}),
        json!({"type": "joined", "seq": 5}),
    )
    .await;
}

#[tokio::test]
async fn who_comes_and_goes_within_one_turn_is_gone() {
    let server = Server::start(ROOMS);
    let mut ann = server.join("/free?u=ann").await;
    let join = json!({"type": "join", "room": "plain:1"});
    let leave = json!({"type": "leave", "room": "plain:1"});
    ann.send_together(&[
        join.clone(),
        leave.clone(),
        join.clone(),
        leave.clone(),
        join,
        leave,
    ])
    .await;
    for name in ["joined", "left", "joined", "left", "joined", "left"] {
        ann.expect(json!({"type": name})).await;
    }
    let mut ben = server.join("/free?u=ben").await;
    ben.ask(
        json!({"type": "join", "room": "plain:1"}),
        json!({"type": "joined", "users_count": 1}),
    )
    .await;
    ben.ask(
        json!({"type": "line", "data": 1, "id": "x"}),
        json!({"type": "line"}),
    )
    .await;
    ben.expect(json!({"type": "ack"})).await;
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    ann.close().await;
    // What is said meanwhile is answered once, in its place.
    let say = |id: &str| json!({"type": "line", "data": id, "id": id});
    let [join, leave] = ["join", "leave"].map(|name| json!({"type": name, "room": "plain:1"}));
    let frames = [leave.clone(), join.clone(), say("1"), leave, join, say("2")];
    ben.send_together(&frames).await;
    for (name, id) in [
        ("left", "$absent"),
        ("joined", "$absent"),
        ("line", "$absent"),
        ("ack", "1"),
    ] {
        ben.expect(json!({"type": name, "id": id})).await;
    }
    for (name, id) in [
        ("left", "$absent"),
        ("joined", "$absent"),
        ("line", "$absent"),
        ("ack", "2"),
    ] {
        ben.expect(json!({"type": name, "id": id})).await;
    }
    ben.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    ben.close().await;
    server
        .until("no room remains", |engine| engine.rooms() == 0)
        .await;
}

#[tokio::test]
async fn members_come_in_pages() {
    let server = Server::start(ROOMS);
    let mut clients = Vec::new();
    for user in ["ann", "ben", "ben", "eve"] {
        clients.push(server.join(&format!("/ws?u={user}")).await);
    }
    let mut eve = clients.pop().expect("a client");
    let member = |user: &str, connections: u32| json!({"user_id": format!("anon:{user}"), "username": format!("Name of {user}"), "connections": connections, "joined_at": "2026-11-22T12:00:00.000Z"});
    eve.ask(
        json!({"type": "members", "room": "room:1", "id": "m", "limit": 2}),
        json!({"type": "members", "id": "m", "room": "room:1", "users": [member("ann", 1), member("ben", 2)], "users_count": 3, "next": "anon:ben"}),
    )
    .await;
    eve.ask(
        json!({"type": "members", "room": "room:1", "limit": 2, "after": "anon:ben"}),
        json!({"users": [member("eve", 1)], "next": "$absent"}),
    )
    .await;
    eve.ask(
        json!({"type": "members", "room": "room:1"}),
        json!({"users": [{}, {}, {}], "next": "$absent"}),
    )
    .await;
}

#[tokio::test]
async fn a_full_room_refuses_at_the_door() {
    let server = Server::start(ROOMS);
    let _ann = server.join("/tiny?u=ann").await;
    let refused = server.refusal("/tiny?u=ben", &[]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("tiny:1"), "{refused:?}");
    let mut closed = server.connect("/tiny/close?u=ben").await;
    let Incoming::Closed(1008, reason) = closed.next().await else {
        panic!("not 1008")
    };
    assert!(reason.contains("tiny:1"), "{reason}");
    let mut perhaps = server.connect("/tiny/perhaps?u=ben").await;
    perhaps
        .expect(json!({"type": "welcome", "rooms": []}))
        .await;
    // Another connection of who is in it takes no place.
    server.join("/tiny?u=ann").await;
}

#[tokio::test]
async fn nothing_remains_of_an_empty_room_without_history() {
    let server = Server::start(ROOMS);
    let mut ann = server.join("/free?u=ann").await;
    ann.ask(
        json!({"type": "join", "room": "plain:1"}),
        json!({"type": "joined"}),
    )
    .await;
    assert_eq!((server.engine().rooms(), server.engine().users()), (1, 1));
    ann.ask(
        json!({"type": "leave", "room": "plain:1"}),
        json!({"type": "left"}),
    )
    .await;
    server
        .until("the room is forgotten", |engine| engine.rooms() == 0)
        .await;
    ann.close().await;
    server
        .until("the user is forgotten", |engine| {
            (engine.users(), engine.connections()) == (0, 0)
        })
        .await;
}
