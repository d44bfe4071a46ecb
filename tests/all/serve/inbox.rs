//! What waits for the owner of an inbox, and what takes it out.

use serde_json::{Value, json};

use crate::serve::client::Client;
use crate::serve::harness::{API, Server};

fn start(receipt: &str) -> Server {
    Server::start(&format!(
        r#"{API}
auth: {{guest: {{anonymous: {{user_id: "{{query.u}}", username: "{{query.u}}"}}}}}}
messages: {{news: {{schema: true, to: room, sent_by: server}}}}
rooms:
  "inbox:anon:{{id}}":
    may_join: "user.id == 'anon:' + params.id || user.id == 'anon:boss'"
    messages: [news]
    presence: {{grace: 0s}}
    inbox: {{owner: "'anon:' + params.id", receipt: {receipt}, messages: 5}}
endpoints:
  /ws/{{id}}: {{auth: guest, auto_join: ["inbox:anon:{{path.id}}"]}}
"#
    ))
}

/// Publishes these numbers.
async fn publish(server: &Server, numbers: impl Iterator<Item = u64>) {
    for data in numbers {
        let answer = server
            .publish(
                "rooms/inbox:anon:ann",
                json!({"type": "news", "data": data}),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// A connection to ann's inbox, which has to begin with these pending messages.
async fn open(server: &Server, query: &str, pending: impl ExactSizeIterator<Item = u64>) -> Client {
    let mut client = server.connect(&format!("/ws/ann?u={query}")).await;
    client.expect(json!({"type": "welcome", "rooms": [{"room": "inbox:anon:ann", "unread": pending.len()}]})).await;
    expect(&mut client, pending).await;
    client
}

async fn expect(client: &mut Client, numbers: impl Iterator<Item = u64>) {
    for data in numbers {
        client
            .expect(json!({"type": "news", "data": data, "sender": "$absent"}))
            .await;
    }
    client
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

async fn received(client: &mut Client, seq: u64, answer: Value) {
    client
        .ask(json!({"type": "received", "seq": seq, "id": "r"}), answer)
        .await;
}

#[tokio::test]
async fn pending_messages_come_first_and_stay_until_received() {
    let server = start("user");
    publish(&server, 1..=3).await;
    let mut ann = open(&server, "ann", [1, 2, 3].into_iter()).await;
    publish(&server, 4..=4).await;
    expect(&mut ann, 4..=4).await;
    received(
        &mut ann,
        2,
        json!({"type": "ack", "id": "r", "room": "inbox:anon:ann"}),
    )
    .await;
    // Going back takes nothing in again, and nobody receives what was not sent yet.
    received(&mut ann, 1, json!({"type": "ack"})).await;
    drop(ann);
    let mut ann = open(&server, "ann", [3, 4].into_iter()).await;
    received(&mut ann, 1000, json!({"type": "ack"})).await;
    ann.close().await;
    publish(&server, 5..=5).await;
    let mut other = open(&server, "ann", [5].into_iter()).await;
    received(&mut other, 1000, json!({"type": "ack"})).await;
    open(&server, "ann", [].into_iter()).await;
    let room = server.engine().stored_bytes();
    assert_eq!(room, 0, "what was received is kept nowhere");
}

#[tokio::test]
async fn only_the_owner_receives() {
    let server = start("user");
    publish(&server, 1..=2).await;
    let mut boss = open(&server, "boss", [1, 2].into_iter()).await;
    received(
        &mut boss,
        2,
        json!({"type": "error", "id": "r", "code": "forbidden"}),
    )
    .await;
    let refused = server.refusal("/ws/ann?u=ben", &[]).await;
    assert_eq!(refused.status, 403);
    open(&server, "ann", [1, 2].into_iter()).await;
}

#[tokio::test]
async fn past_its_bound_an_inbox_says_that_messages_are_missing() {
    let server = start("user");
    publish(&server, 1..=7).await;
    let mut ann = server.join("/ws/ann?u=ann").await;
    ann.expect(json!({"type": "gap", "room": "inbox:anon:ann", "seq": 7}))
        .await;
    expect(&mut ann, 3..=7).await;
}

#[tokio::test]
async fn each_device_receives_by_itself() {
    let server = start("device");
    publish(&server, 1..=2).await;
    let mut phone = open(&server, "ann&device=phone", [1, 2].into_iter()).await;
    let mut desk = open(&server, "ann&device=desk", [1, 2].into_iter()).await;
    received(&mut phone, 2, json!({"type": "ack"})).await;
    publish(&server, 3..=3).await;
    expect(&mut phone, 3..=3).await;
    expect(&mut desk, 3..=3).await;
    received(&mut desk, 1, json!({"type": "ack"})).await;
    phone.close().await;
    desk.close().await;
    let mut phone = open(&server, "ann&device=phone", [3].into_iter()).await;
    open(&server, "ann&device=desk", [2, 3].into_iter()).await;
    received(&mut phone, 3, json!({"type": "ack"})).await;
    open(&server, "ann&device=phone", [].into_iter()).await;
}

#[tokio::test]
async fn what_is_written_to_its_owner_is_gone() {
    let server = start("on_write");
    publish(&server, 1..=2).await;
    // Not its owner: that it was written to somebody else counts for nothing.
    open(&server, "boss", [1, 2].into_iter())
        .await
        .close()
        .await;
    let mut ann = open(&server, "ann", [1, 2].into_iter()).await;
    publish(&server, 3..=3).await;
    expect(&mut ann, 3..=3).await;
    ann.close().await;
    server
        .until("ann is gone", |engine| engine.connections() == 0)
        .await;
    publish(&server, 4..=5).await;
    let ann = open(&server, "ann", [4, 5].into_iter()).await;
    ann.close().await;
    open(&server, "ann", [].into_iter()).await;
}

/// Connections that come and go while messages come in: with `on_write` none is lost and none comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_away() {
    let server = start("on_write");
    let mut last = 0;
    for round in 0..40 {
        let mut ann = server.join("/ws/ann?u=ann").await;
        let now = last + round % 4;
        publish(&server, last + 1..=now).await;
        expect(&mut ann, last + 1..=now).await;
        ann.close().await;
        publish(&server, now + 1..=now + 1).await;
        let mut ann = server.join("/ws/ann?u=ann").await;
        expect(&mut ann, now + 1..=now + 1).await;
        ann.close().await;
        last = now + 1;
    }
}
