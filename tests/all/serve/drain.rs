//! The end: everyone is told when to come back, nobody new is let in.

use serde_json::json;

use crate::serve::client::Incoming;
use crate::serve::harness::Server;

const DRAIN: &str = r#"
server: {listen: "127.0.0.1:0", shutdown: {grace: 10s, spread: 3s}}
auth: {guest: {anonymous: {}}}
messages: {line: {schema: {type: string}, to: room}}
rooms: {all: {may_join: "true", messages: [line], presence: {grace: 0s}}}
endpoints:
  /ws: {auth: guest, auto_join: [all]}
  /close: {auth: guest, auto_join: [all], reject: close}
  /text: {auth: guest, protocol: text, auto_join: [all], text_message: line, render: {line: "{data}"}}
"#;

#[tokio::test]
async fn everyone_is_sent_away_with_a_time_to_come_back() {
    let mut server = Server::start(DRAIN);
    let ready = server.http("GET", "/readyz", &[], "").await;
    assert_eq!((ready.status, &*ready.body), (200, "ready\n"));
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(server.join("/ws").await);
    }
    let mut text = server.connect("/text").await;
    // What waits is delivered first.
    clients[0]
        .ask(
            json!({"type": "line", "data": "last"}),
            json!({"data": "last"}),
        )
        .await;
    assert_eq!(text.text().await, "last");
    let engine = server.engine().clone();
    let ended = server.shut_down();
    let mut waits = Vec::new();
    for (index, client) in clients.iter_mut().enumerate() {
        if index > 0 {
            client.expect(json!({"data": "last"})).await;
        }
        let frame = client.expect(json!({"type": "reconnect"})).await;
        waits.push(frame["after_ms"].as_u64().expect("a number"));
    }
    assert!(waits.iter().all(|wait| *wait < 3000), "{waits:?}");
    assert!(
        waits.iter().any(|wait| *wait != waits[0]),
        "at random: {waits:?}"
    );
    // They have not answered the close yet, so the server still waits for them.
    let draining = server.http("GET", "/readyz", &[], "").await;
    assert_eq!((draining.status, &*draining.body), (503, "draining\n"));
    assert_eq!(server.http("GET", "/healthz", &[], "").await.status, 200);
    let refused = server.refusal("/ws", &[]).await;
    assert_eq!(
        (refused.status, &*refused.headers["retry-after"]),
        (503, "1")
    );
    // However the endpoint refuses: no new socket is taken any more.
    assert_eq!(server.refusal("/close", &[]).await.status, 503);
    assert!(!ended.is_finished());
    for client in &mut clients {
        client.expect_close(1012).await;
    }
    assert!(matches!(text.next().await, Incoming::Closed(1012, _)));
    ended.await.expect("it ends");
    assert_eq!((engine.connections(), engine.users()), (0, 0));
    assert!(
        tokio::net::TcpStream::connect(server.address())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn nobody_keeps_the_server_longer_than_its_grace() {
    let mut server = Server::start(&DRAIN.replace("grace: 10s", "grace: 50ms"));
    let _silent = server.join("/ws").await;
    server.shut_down().await.expect("it ends");
}
