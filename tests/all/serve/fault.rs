//! A panic is our fault, and ends the connection that it happened on alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use trunkline::vocab::{Clock, Monotonic, Timestamp, VirtualClock};

use crate::serve::harness::Server;

/// A clock that breaks once: messages are the only ones to ask it for the time while nothing else goes on.
struct Fragile {
    clock: Arc<VirtualClock>,
    breaks: AtomicBool,
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        if self.breaks.swap(false, Ordering::SeqCst) {
            panic!("the clock breaks, as the test wants");
        }
        self.clock.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(0)));
    let fragile = Arc::new(Fragile {
        clock: clock.clone(),
        breaks: AtomicBool::new(false),
    });
    let server = Server::start_with(
        r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {all: {may_join: "true", messages: [line], history: {messages: 5}, presence: {grace: 0s, announce: {left: went}}}}
endpoints: {/ws: {auth: guest, auto_join: [all]}}
"#,
        clock,
        fragile.clone(),
    );
    let mut ann = server.join("/ws?u=ann").await;
    let mut ben = server.join("/ws?u=ben").await;
    ann.ask(json!({"type": "line", "data": 1}), json!({"seq": 1}))
        .await;
    ben.expect(json!({"seq": 1})).await;
    fragile.breaks.store(true, Ordering::SeqCst);
    ann.send(json!({"type": "line", "data": 2})).await;
    ann.expect_close(1011).await;
    ben.expect(json!({"type": "went", "user": {"user_id": "anon:ann"}}))
        .await;
    ben.ask(
        json!({"type": "line", "data": 3}),
        json!({"seq": 2, "data": 3}),
    )
    .await;
    assert_eq!(server.metric("trunkline_panics_total").await, 1.0);
    server
        .until("ann is gone", |engine| engine.connections() == 1)
        .await;
    let mut ann = server.join("/ws?u=ann").await;
    ann.ask(json!({"type": "line", "data": 4}), json!({"seq": 3}))
        .await;
}
