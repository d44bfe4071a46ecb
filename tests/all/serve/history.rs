//! What a room keeps, and coming back to it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::client::Client;
use crate::serve::harness::{API, Server};

const HISTORY: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages: {line: {schema: true, to: room}, live: {schema: true, to: room, history: false}}
rooms:
  "room:{id}":
    may_join: "true"
    messages: [line, live]
    presence: {grace: 0s}
    history: {messages: 5, age: 1h}
  "replay:{id}": {may_join: "true", messages: [line], history: {messages: 5, replay_on_join: 3}, presence: {grace: 0s}}
endpoints:
  /ws: {auth: guest, rooms: ["room:{id}", "replay:{id}"]}
  /auto/{id}: {auth: guest, auto_join: ["room:{path.id}", "replay:{path.id}"]}
"#;

async fn publish(server: &Server, room: &str, count: u64) {
    for _ in 0..count {
        let answer = server
            .publish(&format!("rooms/{room}"), json!({"type": "line", "data": 0}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

async fn join(client: &mut Client, room: &str, since: Value) -> Value {
    let mut frame = json!({"type": "join", "room": room});
    if since != Value::Null {
        frame["since"] = since;
    }
    client
        .ask(frame, json!({"type": "joined", "room": room}))
        .await
}

async fn expect_seqs(client: &mut Client, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        client.expect(json!({"type": "line", "seq": seq})).await;
    }
    client
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn since_gives_what_was_missed_or_says_that_there_is_a_gap() {
    let server = Server::start(&format!("{API}{HISTORY}"));
    publish(&server, "room:1", 8).await;
    let mut ann = server.join("/ws?u=ann").await;
    let epoch = join(&mut ann, "room:1", Value::Null).await["epoch"].clone();
    expect_seqs(&mut ann, []).await;
    let other = if epoch == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    // Five are kept: 4 to 8.
    let table = [
        (&epoch, 8, false, vec![]),
        (&epoch, 6, false, vec![7, 8]),
        (&epoch, 3, false, vec![4, 5, 6, 7, 8]),
        (&epoch, 2, true, vec![4, 5, 6, 7, 8]),
        (&epoch, 0, true, vec![4, 5, 6, 7, 8]),
        (&epoch, 9, true, vec![]),
        (&json!(other), 8, true, vec![]),
    ];
    for (epoch, seq, gap, replayed) in table {
        ann.ask(
            json!({"type": "leave", "room": "room:1"}),
            json!({"type": "left"}),
        )
        .await;
        join(&mut ann, "room:1", json!({"epoch": epoch, "seq": seq})).await;
        if gap {
            let frame = ann
                .expect(json!({"type": "gap", "room": "room:1", "seq": 8}))
                .await;
            assert_ne!(&frame["epoch"], other);
        }
        expect_seqs(&mut ann, replayed.clone()).await;
        // The same by the URL.
        let epoch = epoch.as_str().expect("a text");
        let mut ben = server
            .join(&format!(
                "/auto/1?u=ben&since=room:1@{epoch}-{seq}&since=other:1@{epoch}-1"
            ))
            .await;
        if gap {
            ben.expect(json!({"type": "gap", "room": "room:1", "seq": 8}))
                .await;
        }
        expect_seqs(&mut ben, replayed).await;
        ben.close().await;
    }
    for since in ["room:1", "room:1@xyz-1", "room:1@0000000-1", "@00000000-1"] {
        let refused = server
            .refusal(&format!("/auto/1?u=ben&since={since}"), &[])
            .await;
        assert_eq!(refused.status, 400, "{since}");
    }
}

#[tokio::test]
async fn live_only_messages_leave_no_hole() {
    let server = Server::start(&format!("{API}{HISTORY}"));
    let mut ann = server.join("/ws?u=ann").await;
    let epoch = join(&mut ann, "room:1", Value::Null).await["epoch"].clone();
    ann.ask(json!({"type": "line", "data": 1}), json!({"seq": 1}))
        .await;
    ann.ask(
        json!({"type": "live", "data": 1}),
        json!({"type": "live", "seq": "$absent"}),
    )
    .await;
    ann.ask(json!({"type": "line", "data": 1}), json!({"seq": 2}))
        .await;
    let mut ben = server.join("/ws?u=ben").await;
    join(&mut ben, "room:1", json!({"epoch": epoch, "seq": 0})).await;
    expect_seqs(&mut ben, 1..=2).await;
}

#[tokio::test]
async fn a_newcomer_gets_the_newest() {
    let server = Server::start(&format!("{API}{HISTORY}"));
    publish(&server, "replay:1", 2).await;
    let mut ann = server.join("/ws?u=ann").await;
    join(&mut ann, "replay:1", Value::Null).await;
    expect_seqs(&mut ann, 1..=2).await;
    publish(&server, "replay:1", 4).await;
    expect_seqs(&mut ann, 3..=6).await;
    let mut ben = server.join("/auto/1?u=ben").await;
    expect_seqs(&mut ben, 4..=6).await;
}

#[tokio::test]
async fn history_is_read_page_by_page() {
    let server = Server::start(&format!("{API}{HISTORY}"));
    publish(&server, "room:1", 8).await;
    let mut ann = server.join("/ws?u=ann").await;
    join(&mut ann, "room:1", Value::Null).await;
    let page = |seqs: &[u64], more: bool| {
        let messages: Vec<Value> = seqs
            .iter()
            .map(|seq| json!({"type": "line", "seq": seq, "room": "room:1"}))
            .collect();
        json!({"type": "history", "room": "room:1", "messages": messages, "more": more})
    };
    let table = [
        (json!({}), page(&[4, 5, 6, 7, 8], false)),
        (json!({"limit": 2}), page(&[7, 8], true)),
        (json!({"limit": 2, "before": 7}), page(&[5, 6], true)),
        (json!({"limit": 2, "before": 5}), page(&[4], false)),
        (json!({"before": 4}), page(&[], false)),
        (json!({"before": 100, "limit": 1}), page(&[8], true)),
        (json!({"limit": 0}), page(&[8], true)),
    ];
    for (mut query, expected) in table {
        (query["type"], query["room"], query["id"]) =
            ("history".into(), "room:1".into(), "h".into());
        let answer = ann.ask(query, expected).await;
        assert_eq!(answer["id"], "h");
    }
}

#[tokio::test]
async fn a_log_lives_to_its_age_and_a_forgotten_one_numbers_on() {
    let server = Server::start(&format!("{API}{HISTORY}"));
    publish(&server, "room:1", 2).await;
    server.advance(Duration::from_secs(1800));
    publish(&server, "room:1", 1).await;
    assert_eq!(server.engine().rooms(), 1);
    server.advance(Duration::from_secs(1800));
    let mut ann = server.join("/ws?u=ann").await;
    let before = join(&mut ann, "room:1", Value::Null).await;
    ann.ask(
        json!({"type": "history", "room": "room:1"}),
        json!({"messages": [{"seq": 3}]}),
    )
    .await;
    ann.ask(
        json!({"type": "leave", "room": "room:1"}),
        json!({"type": "left"}),
    )
    .await;
    server.advance(Duration::from_secs(1800));
    server
        .until("the log is forgotten", |engine| engine.rooms() == 0)
        .await;
    assert_eq!(server.engine().stored_bytes(), 0);
    publish(&server, "room:1", 4).await;
    let since = json!({"epoch": before["epoch"], "seq": before["seq"]});
    let after = join(&mut ann, "room:1", since).await;
    assert_eq!(
        (&after["epoch"], &after["seq"]),
        (&before["epoch"], &json!(7))
    );
    for seq in 4..=7 {
        ann.expect(json!({"type": "line", "seq": seq})).await;
    }
    // Who had not seen the last of what was forgotten has missed it.
    let mut ben = server.join("/ws?u=ben").await;
    let since = json!({"epoch": before["epoch"], "seq": 2});
    join(&mut ben, "room:1", since).await;
    ben.expect(json!({"type": "gap", "epoch": before["epoch"], "seq": 7}))
        .await;
}

#[tokio::test]
async fn a_replay_may_be_larger_than_the_queue() {
    let server = Server::start(&format!(
        r#"{API}
auth: {{guest: {{anonymous: {{}}}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms: {{"room:{{id}}": {{may_join: "true", messages: [line], history: {{messages: 200, replay_on_join: 200}}, presence: {{grace: 0s}}}}}}
endpoints:
  /auto: {{auth: guest, auto_join: ["room:1"], limits: {{message_size: 4KiB, queue_bytes: 4KiB, queue_frames: 16}}}}
  /ws: {{auth: guest, rooms: ["room:{{id}}"], limits: {{message_size: 4KiB, queue_bytes: 4KiB, queue_frames: 16}}}}
"#
    ));
    for _ in 0..100 {
        let body = json!({"type": "line", "data": "x".repeat(60_000)});
        assert_eq!(server.publish("rooms/room:1", body).await.status, 200);
    }
    let mut auto = server.join("/auto").await;
    let mut asked = server.join("/ws").await;
    join(&mut asked, "room:1", Value::Null).await;
    for client in [&mut auto, &mut asked] {
        expect_seqs(client, 1..=100).await;
    }
}
