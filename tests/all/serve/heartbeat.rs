//! Signs of life.

use std::time::Duration;

use serde_json::json;
use tokio_websockets::Message;

use crate::serve::client::{Client, Incoming};
use crate::serve::harness::Server;

fn start() -> Server {
    Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {a: {schema: true, to: none}, line: {schema: {type: string}, to: sender}}
endpoints:
  /frame: {auth: guest, messages: [a], heartbeat: {idle: 10s, timeout: 5s}}
  /message: {auth: guest, messages: [a], heartbeat: {idle: 10s, timeout: 5s, kind: message}}
  /text: {auth: guest, protocol: text, messages: [line], text_message: line, render: {reply: "{data}"}, heartbeat: {idle: 10s, timeout: 5s}}
"#,
    )
}

/// The client answers WebSocket pings by itself when it is read, so what is to be seen is asked for without reading.
async fn expect_ping(client: &mut Client, tells: bool) {
    assert_eq!(client.next().await, Incoming::Ping);
    if tells {
        client.expect(json!({"type": "ping"})).await;
    }
}

#[tokio::test]
async fn the_server_asks_after_silence_and_an_answer_is_enough() {
    let server = start();
    for (path, tells) in [("/frame", false), ("/message", true), ("/text", false)] {
        let mut client = server.connect(path).await;
        if path != "/text" {
            client.expect(json!({"type": "welcome"})).await;
        } else {
            client.send_text("hi").await;
            assert_eq!(client.text().await, "hi");
        }
        for round in 0..3 {
            server.advance(Duration::from_secs(10));
            expect_ping(&mut client, tells).await;
            // The pong is on its way; what is answered behind it shows that it has come.
            if path == "/text" {
                client.send_text("hi").await;
                assert_eq!(client.text().await, "hi", "{round}");
            } else {
                client
                    .ask(json!({"type": "ping"}), json!({"type": "pong"}))
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn any_frame_counts_as_life() {
    let server = start();
    let mut client = server.join("/message").await;
    for _ in 0..5 {
        server.advance(Duration::from_secs(6));
        client
            .ask(json!({"type": "a", "id": "1"}), json!({"type": "ack"}))
            .await;
    }
    server.advance(Duration::from_secs(6));
    client.send_message(Message::ping("x")).await;
    assert_eq!(
        client.next().await,
        Incoming::Binary(b"x".to_vec()),
        "the pong"
    );
    server.advance(Duration::from_secs(6));
    client.send_message(Message::pong("x")).await;
    client
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn silence_ends_the_connection() {
    let server = start();
    let metric = "trunkline_closes_total{code=\"4002\"}";
    for (before, path) in ["/frame", "/message"].into_iter().enumerate() {
        let mut client = server.join(path).await;
        server.advance(Duration::from_secs(10));
        server.advance(Duration::from_millis(4_900));
        assert_eq!(server.metric(metric).await, before as f64, "{path}");
        server.advance(Duration::from_millis(100));
        assert_eq!(server.metric(metric).await, before as f64 + 1.0, "{path}");
        assert_eq!(client.end().await.0, 4002, "{path}");
        server
            .until("it is gone", |engine| engine.connections() == 0)
            .await;
    }
}

#[tokio::test]
async fn who_does_not_even_take_the_close_is_abandoned() {
    let server = start();
    let _client = server.join("/frame").await;
    for _ in 0..2 {
        server.advance(Duration::from_secs(10));
    }
    server.advance(Duration::from_secs(10));
    let gone = async {
        while server.engine().connections() > 0 {
            server.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("it is gone");
}
