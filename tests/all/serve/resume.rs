//! Between what is replayed and what is live there is neither a hole nor a message twice, whatever goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::serve::client::Client;
use crate::serve::harness::Server;

const ROOM: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line], presence: {grace: 0s}, history: {messages: 100000}}}
endpoints:
  /ws: {auth: guest, rooms: ["room:{id}"], limits: {queue_bytes: 16MiB, queue_frames: 100000}}
  /auto: {auth: guest, auto_join: ["room:1"], rooms: ["room:{id}"], limits: {queue_bytes: 16MiB, queue_frames: 100000}}
"#;

/// Sends as fast as acks come back, in windows of 32, until told to end; how many messages that were.
async fn publish(mut ann: Client, end: Arc<AtomicBool>) -> u64 {
    ann.ask(
        json!({"type": "join", "room": "room:1"}),
        json!({"type": "joined"}),
    )
    .await;
    let mut sent = 0;
    while !end.load(Ordering::Relaxed) {
        let window: Vec<Value> = (sent..sent + 32)
            .map(|data| json!({"type": "line", "data": data}))
            .collect();
        ann.send_together(&window).await;
        for _ in 0..window.len() {
            sent += 1;
            ann.expect(json!({"type": "line", "seq": sent})).await;
        }
    }
    sent
}

/// Reads `count` messages, which have to follow `seq` one by one; the last one's number.
async fn follow(client: &mut Client, seq: u64, count: u64) -> u64 {
    for expected in seq + 1..=seq + count {
        let frame = client.frame().await;
        assert_eq!(
            (&frame["type"], &frame["seq"]),
            (&json!("line"), &json!(expected)),
            "{frame}"
        );
    }
    seq + count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_comes_and_goes_misses_nothing() {
    let server = Server::start(ROOM);
    let end = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish(server.join("/ws?u=ann").await, end.clone()));
    let mut ben = server.join("/ws?u=ben").await;
    let joined = ben
        .ask(
            json!({"type": "join", "room": "room:1"}),
            json!({"type": "joined"}),
        )
        .await;
    let epoch = joined["epoch"].as_str().expect("an epoch").to_owned();
    let mut seq = joined["seq"].as_u64().expect("a number");
    for round in 0..60 {
        seq = follow(&mut ben, seq, 20 + round % 7).await;
        if round % 3 == 0 {
            // By leaving: what was on its way still comes, and nothing behind `left`.
            ben.send(json!({"type": "leave", "room": "room:1"})).await;
            loop {
                let frame = ben.frame().await;
                if frame["type"] == "left" {
                    break;
                }
                seq += 1;
                assert_eq!(frame["seq"], seq, "{frame}");
            }
            let since = json!({"epoch": epoch, "seq": seq});
            ben.ask(
                json!({"type": "join", "room": "room:1", "since": since}),
                json!({"type": "joined"}),
            )
            .await;
        } else if round % 3 == 1 {
            // By going without a word, and a frame.
            drop(ben);
            ben = server.join("/ws?u=ben").await;
            let since = json!({"room:1": {"epoch": epoch, "seq": seq}});
            ben.ask(
                json!({"type": "join", "rooms": ["room:1"], "since": since}),
                json!({"type": "joined"}),
            )
            .await;
        } else {
            // By going, and the URL.
            drop(ben);
            ben = server
                .join(&format!("/auto?u=ben&since=room:1@{epoch}-{seq}"))
                .await;
        }
    }
    end.store(true, Ordering::Relaxed);
    let sent = publisher.await.expect("it ends");
    follow(&mut ben, seq, sent - seq).await;
    ben.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_readers_hear_several_publishers_in_one_order() {
    let server = Server::start(ROOM);
    let mut clients = Vec::new();
    for user in ["ann", "ben", "eve"] {
        clients.push(server.join(&format!("/auto?u={user}")).await);
    }
    let publish = |mut client: Client| async move {
        for data in 0..500 {
            client.send(json!({"type": "line", "data": data})).await;
        }
        let mut heard = Vec::new();
        for seq in 1..=1500 {
            let frame = client.expect(json!({"seq": seq})).await;
            heard.push(frame["message_id"].as_str().expect("an id").to_owned());
        }
        heard
    };
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(publish(client)))
        .collect();
    let mut heard = Vec::new();
    for task in tasks {
        heard.push(task.await.expect("it ends"));
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]));
}

/// What is replayed at connect comes behind `welcome`, however large it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn welcome_comes_first() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line], presence: {grace: 0s}, history: {messages: 20, replay_on_join: 20}}}
endpoints:
  /auto: {auth: guest, auto_join: ["room:1", "room:2", "room:3", "room:4"]}
  /ws: {auth: guest, auto_join: ["room:1"]}
"#,
    );
    let mut ann = server.join("/ws").await;
    for seq in 1..=20 {
        ann.ask(
            json!({"type": "line", "data": "x".repeat(5000)}),
            json!({"seq": seq}),
        )
        .await;
    }
    for _ in 0..100 {
        let mut ben = server.join("/auto").await;
        follow(&mut ben, 0, 20).await;
    }
}
