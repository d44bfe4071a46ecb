//! A reader that does not read harms only itself.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;

use crate::serve::client::upgrade;
use crate::serve::harness::Server;

const QUEUE: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {all: {may_join: "true", messages: [line], presence: {grace: 0s}}}
endpoints:
  /bytes: {auth: guest, auto_join: [all], limits: {queue_bytes: 64KiB, message_size: 32KiB}}
  /frames: {auth: guest, auto_join: [all], limits: {queue_frames: 10}}
  /fast: {auth: guest, auto_join: [all], limits: {queue_bytes: 32MiB}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_closed_and_the_others_miss_nothing() {
    for path in ["/bytes", "/frames"] {
        let server = Server::start(QUEUE);
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("it is set");
        let stream = socket.connect(server.address()).await.expect("it listens");
        let slow = upgrade(stream, &format!("{path}?u=slow"), &[]).await;
        let mut slow = slow.expect("it is let in");
        slow.expect(json!({"type": "welcome"})).await;
        let mut ann = server.join("/fast?u=ann").await;
        let mut ben = server.join("/fast?u=ben").await;
        let data = "x".repeat(20_000);
        let mut sent = 0;
        while server.metric("trunkline_closes_total{code=\"4008\"}").await == 0.0 {
            assert!(sent < 2000, "what the kernel takes is bounded too");
            for _ in 0..50 {
                sent += 1;
                ann.send(json!({"type": "line", "data": data})).await;
                ann.expect(json!({"type": "line"})).await;
                ben.expect(json!({"type": "line"})).await;
            }
        }
        // What had been written before is read, then the code.
        assert_eq!(slow.end().await.0, 4008, "{path}");
        server
            .until("it is gone", |engine| engine.connections() == 2)
            .await;
        server.until_metric("trunkline_queue_bytes", 0.0).await;
        server.until_metric("trunkline_queue_frames", 0.0).await;
        ann.ask(json!({"type": "line", "data": 1}), json!({"data": 1}))
            .await;
        ben.expect(json!({"data": 1})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_is_abandoned_and_its_queue_freed() {
    let server = Server::start(QUEUE);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is set");
    let stream = socket.connect(server.address()).await.expect("it listens");
    let _slow = upgrade(stream, "/bytes?u=slow", &[])
        .await
        .expect("it is let in");
    let mut ann = server.join("/fast?u=ann").await;
    let data = "x".repeat(20_000);
    while server.metric("trunkline_closes_total{code=\"4008\"}").await == 0.0 {
        for _ in 0..50 {
            ann.send(json!({"type": "line", "data": data})).await;
            ann.expect(json!({"type": "line"})).await;
        }
    }
    let gone = async {
        while server.engine().connections() > 1 {
            server.advance(Duration::from_secs(1));
            ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
                .await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("it is gone");
    server.until_metric("trunkline_queue_bytes", 0.0).await;
    server.until_metric("trunkline_queue_frames", 0.0).await;
}

/// Answers that nobody reads are bounded as deliveries are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_without_reading_is_closed_too() {
    let server = Server::start(QUEUE);
    let mut asker = server.join("/bytes?u=asker").await;
    let frames = vec![json!({"type": "ping", "id": "x".repeat(64)}); 1000];
    let asking = async {
        while server.metric("trunkline_closes_total{code=\"4008\"}").await == 0.0 {
            asker.send_together(&frames).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .expect("it is closed");
    assert_eq!(asker.end().await.0, 4008);
}
