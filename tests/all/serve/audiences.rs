//! What is for an audience reaches it, in the room's one order, and nobody else in any way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_websockets::Message;

use crate::serve::client::{Client, Incoming};
use crate::serve::harness::Server;

const DESK: &str = r#"
server:
  listen: "127.0.0.1:0"
  api: {keys: {all: {secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}}}
auth: {member: {jwt: {algorithms: [HS256], secret: "${SECRET}"}}}
messages:
  line: {schema: true, to: room}
  note: {schema: true, to: room, audience: staff}
  aside: {schema: true, to: others, audience: staff}
  price: {schema: true, to: room, audience: staff, conflate: {every: 100ms}}
rooms:
  "desk:{ticket}":
    may_join: "true"
    audiences: {staff: "user.claims.role == 'agent'"}
    messages: [line, note, aside, price]
    presence: {members: true, grace: 0s}
    history: {messages: 4, age: 1h, replay_on_join: 3}
  "pair:{id}":
    may_join: "true"
    audiences: {first: "user.id == 'ann'", second: "user.id == 'ben'"}
    messages: {line: {audience: first}, note: {audience: second}}
    presence: {grace: 0s}
endpoints:
  /ws: {auth: member, rooms: ["desk:{ticket}", "pair:{id}"]}
  /plain:
    auth: member
    protocol: text
    text_message: note
    auto_join: ["desk:1"]
    render: {note: "note {data}", line: "line {data}", reply: "ok"}
  /raw: {auth: member, protocol: raw, raw: {to: room}, auto_join: ["desk:1"]}
"#;

async fn come(server: &Server, path: &str, user: &str, role: &str) -> Client {
    let token = server.token(user, json!({"role": role}), Duration::from_secs(3600));
    server.connect(&format!("{path}?token={token}")).await
}

async fn member(server: &Server, user: &str, role: &str, room: &str) -> Client {
    let mut client = come(server, "/ws", user, role).await;
    client.expect(json!({"type": "welcome"})).await;
    client
        .ask(
            json!({"type": "join", "room": room}),
            json!({"type": "joined", "room": room}),
        )
        .await;
    client
}

fn say(name: &str, data: &str) -> Value {
    json!({"type": name, "room": "desk:1", "id": data, "data": data})
}

#[tokio::test]
async fn notes_reach_the_staff_in_the_rooms_one_order() {
    let server = Server::start(DESK);
    let mut agent = member(&server, "ann", "agent", "desk:1").await;
    let mut second = member(&server, "ben", "agent", "desk:1").await;
    let mut customer = member(&server, "cat", "customer", "desk:1").await;
    // Who may send is not the audience's business: the customer hears the ack, and not its note.
    let frames = [
        say("line", "1"),
        say("note", "2"),
        say("aside", "3"),
        say("line", "4"),
    ];
    customer.send_together(&frames).await;
    customer
        .expect(json!({"type": "line", "data": "1", "seq": 1}))
        .await;
    customer
        .expect(json!({"type": "ack", "id": "1", "seq": 1}))
        .await;
    customer
        .expect(json!({"type": "ack", "id": "2", "seq": 2}))
        .await;
    customer
        .expect(json!({"type": "ack", "id": "3", "seq": "$absent"}))
        .await;
    customer
        .expect(json!({"type": "line", "data": "4", "seq": 3}))
        .await;
    customer
        .expect(json!({"type": "ack", "id": "4", "seq": 3}))
        .await;
    for reader in [&mut agent, &mut second] {
        for (data, seq) in [
            ("1", json!(1)),
            ("2", json!(2)),
            ("3", json!("$absent")),
            ("4", json!(3)),
        ] {
            reader.expect(json!({"data": data, "seq": seq})).await;
        }
    }
    // `others` of an audience: not its own sender either.
    agent.send(say("aside", "5")).await;
    agent.expect(json!({"type": "ack", "id": "5"})).await;
    second.expect(json!({"type": "aside", "data": "5"})).await;
    server
        .publish("rooms/desk:1", json!({"type": "note", "data": "6"}))
        .await;
    server
        .publish("rooms/desk:1", json!({"type": "price", "data": "7"}))
        .await;
    agent.expect(json!({"type": "note", "data": "6"})).await;
    agent.expect(json!({"type": "price", "data": "7"})).await;
    customer
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    for (name, count) in [("line", 6.0), ("note", 4.0), ("price", 2.0)] {
        let metric = format!("trunkline_messages_delivered_total{{type=\"{name}\"}}");
        server.until_metric(&metric, count).await;
    }
}

#[tokio::test]
async fn history_replay_and_more_know_nothing_of_what_is_hidden() {
    let server = Server::start(DESK);
    let mut agent = member(&server, "ann", "agent", "desk:1").await;
    let epoch = agent
        .ask(
            json!({"type": "join", "room": "desk:1"}),
            json!({"type": "joined"}),
        )
        .await["epoch"]
        .clone();
    for (name, data) in [("line", "1"), ("line", "2")] {
        agent.send(say(name, data)).await;
    }
    // More notes than the room keeps of each: they drive out nothing that the customer reads.
    for number in 3..=9 {
        agent.send(say("note", &number.to_string())).await;
    }
    for _ in 0..18 {
        agent.frame().await;
    }
    let mut customer = come(&server, "/ws", "cat", "customer").await;
    customer.expect(json!({"type": "welcome"})).await;
    let join =
        |seq: u64| json!({"type": "join", "room": "desk:1", "since": {"epoch": epoch, "seq": seq}});
    // A hole is no gap.
    customer
        .ask(join(1), json!({"type": "joined", "seq": 9}))
        .await;
    customer.expect(json!({"type": "line", "data": "2"})).await;
    for (query, messages, more) in [
        (json!({}), vec!["1", "2"], false),
        (json!({"limit": 1}), vec!["2"], true),
        (json!({"limit": 2}), vec!["1", "2"], false),
        (json!({"before": 2}), vec!["1"], false),
        (json!({"before": 8, "limit": 1}), vec!["2"], true),
    ] {
        let mut frame = json!({"type": "history", "room": "desk:1"});
        for (name, value) in query.as_object().into_iter().flatten() {
            frame[name] = value.clone();
        }
        let messages: Vec<Value> = messages.iter().map(|data| json!({"data": data})).collect();
        customer
            .ask(
                frame,
                json!({"type": "history", "messages": messages, "more": more}),
            )
            .await;
    }
    customer
        .ask(
            json!({"type": "leave", "room": "desk:1"}),
            json!({"type": "left"}),
        )
        .await;
    customer
        .ask(
            json!({"type": "join", "room": "desk:1"}),
            json!({"type": "joined"}),
        )
        .await;
    customer.expect(json!({"type": "line", "data": "1"})).await;
    customer.expect(json!({"type": "line", "data": "2"})).await;
    customer
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    // To the staff messages are missing.
    agent
        .ask(
            json!({"type": "leave", "room": "desk:1"}),
            json!({"type": "left"}),
        )
        .await;
    agent.ask(join(1), json!({"type": "joined"})).await;
    agent.expect(json!({"type": "gap", "seq": 9})).await;
    for data in ["2", "6", "7", "8", "9"] {
        agent.expect(json!({"data": data})).await;
    }
}

#[tokio::test]
async fn each_room_has_its_own_audiences() {
    let server = Server::start(DESK);
    let mut ann = member(&server, "ann", "", "pair:1").await;
    let mut ben = member(&server, "ben", "", "pair:1").await;
    for (name, data) in [("line", "1"), ("note", "2")] {
        ben.send(json!({"type": name, "room": "pair:1", "data": data}))
            .await;
    }
    ben.expect(json!({"type": "note", "data": "2"})).await;
    ann.expect(json!({"type": "line", "data": "1"})).await;
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn text_endpoints_have_audiences_too() {
    let server = Server::start(DESK);
    let mut agent = come(&server, "/plain", "ann", "agent").await;
    let mut customer = come(&server, "/plain", "cat", "customer").await;
    customer.send_text("help").await;
    assert_eq!(customer.text().await, "ok");
    assert_eq!(agent.text().await, "note help");
    server
        .publish("rooms/desk:1", json!({"type": "line", "data": "all"}))
        .await;
    assert_eq!(agent.text().await, "line all");
    assert_eq!(customer.text().await, "line all");
    // What passes unread has no audience.
    let mut raw = come(&server, "/raw", "dan", "customer").await;
    raw.send_message(Message::binary(vec![7])).await;
    assert_eq!(raw.next().await, Incoming::Binary(vec![7]));
}

#[tokio::test]
async fn nobody_is_told_who_is_of_an_audience() {
    let server = Server::start(DESK);
    let _agent = member(&server, "ann", "agent", "desk:1").await;
    let mut customer = member(&server, "cat", "customer", "desk:1").await;
    let members = customer
        .ask(
            json!({"type": "members", "room": "desk:1"}),
            json!({"type": "members", "users_count": 2}),
        )
        .await;
    assert!(!members.to_string().contains("staff"), "{members}");
}
