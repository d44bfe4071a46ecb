//! What slow readers go without on purpose, and what leaves together.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::serve::client::upgrade;
use crate::serve::harness::Server;

const PRICES: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages:
  price: {schema: true, to: room, conflate: {key: data.symbol, every: 300ms}}
  line: {schema: true, to: room}
rooms: {all: {may_join: "true", messages: [price, line], history: {messages: 10}}}
endpoints: {/ws: {auth: guest, auto_join: [all]}}
"#;

fn price(symbol: &str, value: u32) -> Value {
    json!({"type": "price", "id": "p", "data": {"symbol": symbol, "value": value}})
}

#[tokio::test]
async fn of_each_key_readers_get_one_in_an_interval_the_newest() {
    let server = Server::start(PRICES);
    let mut ann = server.join("/ws?u=ann").await;
    let mut ben = server.join("/ws?u=ben").await;
    let ack = || json!({"type": "ack", "id": "p"});
    ann.send(price("A", 1)).await;
    ann.expect(json!({"data": {"symbol": "A", "value": 1}}))
        .await;
    ann.expect(ack()).await;
    for value in [2, 3] {
        // What is kept back is acknowledged: it was taken.
        ann.ask(price("A", value), ack()).await;
    }
    ann.send(price("B", 9)).await;
    ann.expect(json!({"data": {"symbol": "B", "value": 9}}))
        .await;
    ann.expect(ack()).await;
    for value in [
        json!({"symbol": "A", "value": 1}),
        json!({"symbol": "B", "value": 9}),
    ] {
        ben.expect(json!({"type": "price", "data": value})).await;
    }
    server.advance(Duration::from_millis(300));
    ben.expect(json!({"type": "price", "data": {"symbol": "A", "value": 3}}))
        .await;
    // The next interval began with that.
    ann.expect(json!({"data": {"symbol": "A", "value": 3}}))
        .await;
    ann.ask(price("A", 4), ack()).await;
    server.advance(Duration::from_millis(200));
    ann.send(json!({"type": "line", "data": "between"})).await;
    ben.expect(json!({"type": "line"})).await;
    server.advance(Duration::from_millis(100));
    ben.expect(json!({"type": "price", "data": {"symbol": "A", "value": 4}}))
        .await;
    // Nothing is left to be said.
    server.advance(Duration::from_secs(3));
    ann.send(json!({"type": "line", "data": "end"})).await;
    ben.expect(json!({"type": "line", "data": "end"})).await;
}

#[tokio::test]
async fn what_is_thinned_is_not_stored() {
    let server = Server::start(PRICES);
    let mut ann = server.join("/ws?u=ann").await;
    ann.send(price("A", 1)).await;
    ann.expect(json!({"type": "price"})).await;
    ann.expect(json!({"type": "ack"})).await;
    ann.ask(
        json!({"type": "history", "room": "all"}),
        json!({"type": "history", "messages": []}),
    )
    .await;
}

#[tokio::test]
async fn a_key_that_cannot_be_made_is_told() {
    let yaml = PRICES.replace("key: data.symbol", "key: data.symbol + 1");
    let server = Server::start(&yaml);
    let mut ann = server.join("/ws?u=ann").await;
    ann.ask(
        price("A", 1),
        json!({"type": "error", "id": "p", "code": "bad_frame"}),
    )
    .await;
}

const TYPING: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages:
  typing: {schema: true, to: room, overflow: drop}
  line: {schema: true, to: room}
rooms: {all: {may_join: "true", messages: [typing, line], presence: {grace: 0s}}}
endpoints:
  /slow: {auth: guest, auto_join: [all], limits: {queue_bytes: 64KiB, message_size: 32KiB}}
  /fast: {auth: guest, auto_join: [all], limits: {queue_bytes: 32MiB}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_goes_without_what_may_be_dropped_and_stays() {
    let server = Server::start(TYPING);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is set");
    let stream = socket.connect(server.address()).await.expect("it listens");
    let mut slow = upgrade(stream, "/slow?u=slow", &[])
        .await
        .expect("it is let in");
    slow.expect(json!({"type": "welcome"})).await;
    let mut ann = server.join("/fast?u=ann").await;
    let padding = "x".repeat(20_000);
    let mut sent = 0;
    while server.metric("trunkline_frames_dropped_total").await < 100.0 {
        assert!(sent < 4000, "what the kernel takes is bounded");
        for _ in 0..50 {
            sent += 1;
            let data = json!({"number": sent, "padding": padding});
            ann.send(json!({"type": "typing", "data": data})).await;
            ann.expect(json!({"type": "typing"})).await;
        }
    }
    ann.send(json!({"type": "line", "data": "still here"}))
        .await;
    ann.expect(json!({"type": "line"})).await;
    let (mut last, mut received) = (0, 0);
    loop {
        let frame = slow.frame().await;
        if frame["type"] == "line" {
            break;
        }
        let number = frame["data"]["number"].as_u64().expect("a number");
        assert!(number > last, "in their order");
        (last, received) = (number, received + 1);
    }
    assert_eq!(last, sent, "the newest was not dropped");
    let dropped = server.metric("trunkline_frames_dropped_total").await;
    assert_eq!(
        received + dropped as u64,
        sent,
        "every other one is counted"
    );
}

#[tokio::test]
async fn what_coalesces_waits_and_leaves_together() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {all: {may_join: "true", messages: [line]}}
endpoints:
  /now: {auth: guest, auto_join: [all], limits: {message_size: 64KiB}}
  /later: {auth: guest, auto_join: [all], coalesce: 1h}
  /soon: {auth: guest, auto_join: [all], coalesce: 5ms}
"#,
    );
    let mut ann = server.join("/now?u=ann").await;
    let mut later = server.join("/later?u=ben").await;
    let mut soon = server.join("/soon?u=eve").await;
    ann.send(json!({"type": "line", "data": "a"})).await;
    ann.expect(json!({"data": "a"})).await;
    soon.expect(json!({"data": "a"})).await;
    server.until_metric("trunkline_queue_frames", 1.0).await;
    // So much does not wait.
    let data = "x".repeat(40_000);
    ann.send(json!({"type": "line", "data": data})).await;
    later.expect(json!({"data": "a"})).await;
    later.expect(json!({"data": data})).await;
    server.until_metric("trunkline_queue_frames", 0.0).await;
}
