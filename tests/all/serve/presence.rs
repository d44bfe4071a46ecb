//! Who came, who went, who is here: counted by user.

use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::harness::Server;

fn start(to: &str, grace: &str) -> Server {
    Server::start(&format!(
        r#"
auth:
  guest: {{anonymous: {{user_id: "{{query.u}}", username: "{{query.u}}"}}}}
  nobody: {{anonymous: {{}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms:
  "room:{{id}}":
    may_join: "true"
    messages: [line]
    presence: {{members: true, grace: {grace}, announce: {{joined: came, left: went, present: here, to: {to}}}}}
endpoints:
  /ws: {{auth: guest, auto_join: ["room:1"]}}
  /frames: {{auth: guest, rooms: ["room:{{id}}"]}}
  /nobody: {{auth: nobody, auto_join: ["room:1"]}}
"#
    ))
}

fn said(name: &str, user: &str, users_count: u64) -> Value {
    json!({
        "type": name,
        "room": "room:1",
        "user": {"user_id": format!("anon:{user}"), "username": user},
        "users_count": users_count,
    })
}

fn here(users: &[(&str, u32)]) -> Value {
    let users: Vec<Value> = users
        .iter()
        .map(|(user, connections)| json!({"user_id": format!("anon:{user}"), "username": user, "connections": connections}))
        .collect();
    json!({"type": "here", "room": "room:1", "users": users})
}

#[tokio::test]
async fn users_are_announced_once_whatever_their_connections() {
    let server = start("others", "0s");
    let mut ann = server.join("/ws?u=ann").await;
    ann.expect(here(&[("ann", 1)])).await;
    let mut ben = server.join("/ws?u=ben").await;
    ben.expect(here(&[("ann", 1), ("ben", 1)])).await;
    let frame = ann.expect(said("came", "ben", 2)).await;
    assert_eq!(frame["timestamp"], "2026-11-22T12:00:00.000Z");
    let mut again = server.join("/ws?u=ben").await;
    again.expect(here(&[("ann", 1), ("ben", 2)])).await;
    ben.close().await;
    let mut eve = server.join("/ws?u=eve").await;
    eve.expect(here(&[("ann", 1), ("ben", 1), ("eve", 1)]))
        .await;
    ann.expect(said("came", "eve", 3)).await;
    again.expect(said("came", "eve", 3)).await;
    again.close().await;
    ann.expect(said("went", "ben", 2)).await;
    eve.expect(said("went", "ben", 2)).await;
}

#[tokio::test]
async fn the_room_may_hear_of_the_newcomer_with_it() {
    let server = start("room", "0s");
    let mut ann = server.join("/ws?u=ann").await;
    ann.expect(here(&[("ann", 1)])).await;
    ann.expect(said("came", "ann", 1)).await;
    let mut ben = server.join("/ws?u=ben").await;
    ben.expect(here(&[("ann", 1), ("ben", 1)])).await;
    ben.expect(said("came", "ben", 2)).await;
    ann.expect(said("came", "ben", 2)).await;
    drop(ben);
    ann.expect(said("went", "ben", 1)).await;
}

#[tokio::test]
async fn who_comes_back_in_time_was_never_away() {
    let server = start("others", "5s");
    let mut ann = server.join("/ws?u=ann").await;
    ann.expect(here(&[("ann", 1)])).await;
    let mut ben = server.join("/ws?u=ben").await;
    ann.expect(said("came", "ben", 2)).await;
    // The second time the grace of his first absence ends, but he has been back since.
    for wait in [4_900, 4_900] {
        ben.close().await;
        server
            .until("ben's connection is gone", |engine| {
                engine.connections() == 1
            })
            .await;
        server.advance(Duration::from_millis(wait));
        let members = json!({"users_count": 2, "users": [{}, {"connections": 0}]});
        ann.ask(json!({"type": "members", "room": "room:1"}), members)
            .await;
        ben = server.join("/ws?u=ben").await;
    }
    ben.close().await;
    server
        .until("ben's connection is gone", |engine| {
            engine.connections() == 1
        })
        .await;
    server.advance(Duration::from_millis(4_900));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_millis(100));
    ann.expect(said("went", "ben", 1)).await;
    let ben = server.join("/ws?u=ben").await;
    ann.expect(said("came", "ben", 2)).await;
    drop(ben);
}

#[tokio::test]
async fn an_explicit_leave_does_not_wait() {
    let server = start("others", "5s");
    let mut ann = server.join("/ws?u=ann").await;
    ann.expect(here(&[("ann", 1)])).await;
    let mut ben = server.join("/frames?u=ben").await;
    ben.ask(
        json!({"type": "join", "room": "room:1"}),
        json!({"type": "joined"}),
    )
    .await;
    ben.expect(here(&[("ann", 1), ("ben", 1)])).await;
    ann.expect(said("came", "ben", 2)).await;
    ben.ask(
        json!({"type": "leave", "room": "room:1"}),
        json!({"type": "left"}),
    )
    .await;
    ann.expect(said("went", "ben", 1)).await;
    ann.close().await;
    ben.close().await;
    server
        .until("all are gone", |engine| engine.connections() == 0)
        .await;
    assert_eq!(server.engine().rooms(), 1, "ann may come back");
    server.advance(Duration::from_secs(5));
    server
        .until("nothing remains", |engine| engine.rooms() == 0)
        .await;
}

#[tokio::test]
async fn anonymous_connections_without_an_id_are_a_user_each() {
    let server = start("others", "0s");
    let mut first = server.join("/nobody").await;
    first.expect(json!({"type": "here", "users": [{}]})).await;
    let second = server.join("/nobody").await;
    let came = first
        .expect(json!({"type": "came", "users_count": 2}))
        .await;
    let id = came["user"]["user_id"].as_str().expect("an id");
    assert!(id.starts_with("anon:~") && id.len() == 22, "{id}");
    assert_eq!(came["user"]["username"], id);
    drop(second);
    first
        .expect(json!({"type": "went", "users_count": 1}))
        .await;
}
