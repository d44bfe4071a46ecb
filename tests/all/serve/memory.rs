//! The ceiling of memory: who is refused, who is closed, when it is over.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use trunkline::engine::Engine;
use trunkline::telemetry::VirtualMemory;

use crate::serve::client::{Client, upgrade};
use crate::serve::harness::Server;

const MIB: u64 = 1 << 20;
/// Time enough for the engine to look again, and not for another round.
const LOOK: Duration = Duration::from_millis(200);
const ROUND: Duration = Duration::from_secs(1);

fn start(limits: &str) -> (Server, Arc<VirtualMemory>) {
    let memory = Arc::new(VirtualMemory::new(1000 * MIB));
    let yaml = format!(
        r#"
server:
  listen: "127.0.0.1:0"
  {limits}
  api: {{keys: {{all: {{secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}}}}}}
auth: {{guest: {{anonymous: {{}}}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms:
  kept: {{may_join: "true", messages: [line], history: {{messages: 100}}}}
  "room:{{id}}": {{may_join: "true", messages: [line]}}
endpoints:
  /kept: {{auth: guest, auto_join: [kept]}}
  /room/{{id}}: {{auth: guest, auto_join: ["room:{{path.id}}"], limits: {{queue_bytes: 64MiB}}}}
  /gathered: {{auth: guest, auto_join: ["room:gathered"], coalesce: 10s}}
  /close: {{auth: guest, reject: close, auto_join: [kept]}}
"#
    );
    let server = Server::start_in(&yaml, memory.clone());
    (server, memory)
}

fn line() -> Value {
    json!({"type": "line", "data": "x".repeat(20_000)})
}

#[tokio::test]
async fn above_the_ceiling_nothing_more_is_taken() {
    let (server, memory) = start("limits: {memory: 10MiB}");
    let mut ann = server.join("/kept").await;
    for _ in 0..40 {
        ann.send(line()).await;
        ann.expect(json!({"type": "line"})).await;
    }
    let stored = server.metric("trunkline_store_bytes").await;
    memory.set_resident(10 * MIB + 1);
    server.advance(LOOK);
    for path in ["/kept", "/close"] {
        let refused = server.refusal(path, &[]).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.headers["retry-after"], "1");
    }
    let unavailable = json!({"type": "error", "code": "unavailable", "retry_after_ms": 2000});
    ann.ask(line(), unavailable).await;
    let refused = server.publish("rooms/kept", line()).await;
    assert_eq!(
        (refused.status, &*refused.headers["retry-after"]),
        (503, "2")
    );
    // Nobody was slow: what is too much is taken from the logs, which were the larger part of it.
    assert!(server.metric("trunkline_store_bytes").await < stored);
    assert_eq!(server.metric("trunkline_shed_connections_total").await, 0.0);

    // A little below is not enough.
    memory.set_resident(10 * MIB - 1);
    server.advance(LOOK);
    assert_eq!(server.refusal("/kept", &[]).await.status, 503);
    memory.set_resident(9 * MIB);
    server.advance(LOOK);
    ann.ask(line(), json!({"type": "line"})).await;
    server.join("/kept").await;
}

#[tokio::test]
async fn the_ceiling_is_a_share_of_the_machine_where_none_is_declared() {
    for (limits, ceiling) in [("", 700.0), ("limits: {memory: 10MiB}", 10.0)] {
        let (server, memory) = start(limits);
        memory.set_resident(3 * MIB);
        server.advance(LOOK);
        let found = server.metric("trunkline_memory_ceiling_bytes").await;
        assert_eq!(found, ceiling * MIB as f64);
        let found = server.metric("trunkline_memory_bytes").await;
        assert_eq!(found, 3.0 * MIB as f64);
    }
}

/// A client that does not read, in a room of its own, for which so many bytes wait.
async fn slow(server: &Server, room: &str, bytes: u64) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("it is set");
    let stream = socket.connect(server.address()).await.expect("it listens");
    let client = upgrade(stream, &format!("/room/{room}"), &[]).await;
    let client = client.expect("it is let in");
    let waiting = || async { server.metric("trunkline_queue_bytes").await as u64 };
    let enough = waiting().await + bytes;
    while waiting().await < enough {
        for _ in 0..20 {
            let target = format!("rooms/room:{room}");
            assert_eq!(server.publish(&target, line()).await.status, 200);
        }
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slowest_are_closed_first_and_no_more_than_needed() {
    let (server, memory) = start("limits: {memory: 100MiB}");
    let mut ann = server.join("/kept").await;
    let mut little = slow(&server, "little", MIB).await;
    let mut much = slow(&server, "much", 8 * MIB).await;
    memory.set_resident(100 * MIB + 1);
    server.advance(LOOK);
    let sheds = "trunkline_shed_connections_total";
    assert_eq!(server.metric(sheds).await, 1.0, "it holds what is too much");
    assert_eq!(much.end().await.0, 1013);
    // What was freed takes a while to show.
    server.advance(LOOK);
    assert_eq!(server.metric(sheds).await, 1.0);
    server.advance(ROUND);
    assert_eq!(server.metric(sheds).await, 2.0, "it was not enough");
    assert_eq!(little.end().await.0, 1013);

    // The kernel's count stays, but messages are not what fills the memory any more, and most connections have gone.
    server
        .until("only ann is left", |engine| engine.connections() == 1)
        .await;
    server.until_metric("trunkline_queue_bytes", 0.0).await;
    server.advance(LOOK);
    ann.ask(line(), json!({"type": "line"})).await;
    server.join("/room/much").await;
}

/// So many bytes are resident when the server looks next; how many it has shed after that.
async fn look(server: &Server, memory: &VirtualMemory, resident: u64) -> f64 {
    memory.set_resident(resident);
    server.advance(LOOK);
    server.metric("trunkline_shed_connections_total").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_free_next_to_nothing_is_left_alone() {
    let (server, memory) = start("limits: {memory: 1000MiB}");
    let mut ann = server.join("/kept").await;
    for _ in 0..10 {
        ann.ask(line(), json!({"type": "line"})).await;
    }
    let _slow = slow(&server, "slow", MIB).await;
    let stored = server.metric("trunkline_store_bytes").await;
    assert_eq!(look(&server, &memory, 1000 * MIB + 1).await, 0.0);
    server.advance(ROUND);
    assert_eq!(look(&server, &memory, 1200 * MIB).await, 0.0);
    assert_eq!(server.metric("trunkline_store_bytes").await, stored);
}

#[tokio::test]
async fn whom_the_server_keeps_waiting_is_not_slow() {
    // Little enough that what gathers is a part of it that counts.
    let (server, memory) = start("limits: {memory: 100KiB}");
    let mut ann = server.join("/gathered").await;
    let waiting = "trunkline_queue_bytes";
    assert_eq!(server.metric(waiting).await, 0.0);
    let published = server.publish("rooms/room:gathered", line()).await;
    assert_eq!(published.status, 200);
    assert!(server.metric(waiting).await > 20_000.0);
    assert_eq!(look(&server, &memory, 101 * 1024).await, 0.0);
    // Many bytes, but there is nothing to be done about them: newcomers have not to wait for it.
    assert_eq!(look(&server, &memory, 101 * 1024).await, 0.0);
    server.join("/kept").await;
    server.advance(Duration::from_secs(10));
    ann.expect(json!({"type": "line"})).await;
}

#[tokio::test]
async fn an_empty_server_lets_people_in_again_whatever_the_kernel_counts() {
    let (server, memory) = start("limits: {memory: 10MiB}");
    look(&server, &memory, 11 * MIB).await;
    server.join("/kept").await.close().await;
    // What the allocator keeps is not theirs.
    look(&server, &memory, 20 * MIB).await;
    server.join("/kept").await;
}

#[tokio::test]
async fn a_shortage_that_connections_make_keeps_newcomers_out() {
    let (server, memory) = start("limits: {memory: 10MiB}");
    let mut clients = Vec::new();
    for _ in 0..110 {
        clients.push(server.join("/room/1").await);
    }
    look(&server, &memory, 11 * MIB).await;
    assert_eq!(server.refusal("/room/1", &[]).await.status, 503);
    // One for one, as long as the memory does not grow.
    let gone = clients.pop().expect("there are many");
    gone.close().await;
    let one_less = |engine: &Engine| engine.connections() == 109;
    server.until("one has gone", one_less).await;
    clients.push(server.join("/room/1").await);
    let gone = clients.pop().expect("there are many");
    gone.close().await;
    server.until("one has gone", one_less).await;
    look(&server, &memory, 12 * MIB).await;
    assert_eq!(server.refusal("/room/1", &[]).await.status, 503);
}
