//! Paths, proxies and guests: what stands at the edge of the server.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::serve::client::{DEADLINE, read_response, write_head};
use crate::serve::harness::Server;

const EDGE: &str = r#"
server:
  listen: "127.0.0.1:0"
  trusted_proxies: [127.0.0.0/8]
  api: {keys: {rooms_only: {secret: secret-of-32-bytes-and-some-more!!, scopes: [publish], rooms: ["room:*"]}}}
auth:
  guest: {anonymous: {}}
  named: {anonymous: {user_id: "{path.name}"}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line]}}
endpoints:
  /ws/{name}: {auth: named, auto_join: ["room:{path.name}"]}
  /guest: {auth: guest, auto_join: ["room:1"]}
"#;

#[tokio::test]
async fn what_is_served_nowhere_is_said_so() {
    let server = Server::start(EDGE);
    let nowhere = server.http("GET", "/nowhere", &[], "").await;
    assert_eq!(
        (nowhere.status, &*nowhere.body),
        (404, "nothing is served at this path\n")
    );
    let api = server.http("GET", "/api/nothing", &[], "").await;
    assert_eq!(api.status, 404);
    assert!(
        api.body.contains("the API has no such route"),
        "{}",
        api.body
    );
}

#[tokio::test]
async fn metrics_are_not_for_who_comes_through_a_proxy() {
    let server = Server::start(EDGE);
    assert_eq!(server.http("GET", "/metrics", &[], "").await.status, 200);
    for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"] {
        let headers = [(header, "203.0.113.7")];
        let refused = server.http("GET", "/metrics", &headers, "").await;
        assert_eq!(refused.status, 403, "{header}");
    }
}

#[tokio::test]
async fn a_path_may_be_percent_encoded() {
    let server = Server::start(EDGE);
    let mut ann = server.join("/ws/ann%40example.com").await;
    ann.ask(
        json!({"type": "line", "data": 1}),
        json!({"room": "room:ann@example.com", "sender": {"user_id": "anon:ann@example.com"}}),
    )
    .await;
    for bad in ["/ws/a%2Fb", "/ws/a%20b", "/ws/%C3%A9"] {
        assert_eq!(server.http("GET", bad, &[], "").await.status, 404, "{bad}");
    }
}

#[tokio::test]
async fn nobody_becomes_a_random_guest_by_naming_it() {
    let server = Server::start(EDGE);
    let mut guest = server.connect("/guest").await;
    let welcome = guest.expect(json!({"type": "welcome"})).await;
    let id = welcome["user"]["user_id"].as_str().expect("an id");
    let chosen = id.strip_prefix("anon:").expect("an anonymous id");
    let refused = server.refusal(&format!("/ws/{chosen}"), &[]).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_key_with_rooms_is_for_rooms() {
    let server = Server::start(EDGE);
    let headers = [("Authorization", "Bearer secret-of-32-bytes-and-some-more!!")];
    let body = r#"{"type":"line","data":1}"#;
    for (target, status) in [("rooms/room:1", 200), ("users/anon:ann", 403)] {
        let path = format!("/api/{target}/messages");
        assert_eq!(
            server.http("POST", &path, &headers, body).await.status,
            status,
            "{target}"
        );
    }
}

#[tokio::test]
async fn silent_connections_do_not_shut_others_out() {
    let server = Server::start(&EDGE.replace(
        "  trusted_proxies",
        "  limits: {http_connections: 2}\n  trusted_proxies",
    ));
    let connect = || async {
        TcpStream::connect(server.address())
            .await
            .expect("it listens")
    };
    let (mut first, mut second) = (connect().await, connect().await);
    // The lobby is full until the first has been silent for long enough; then there is room for one more, again and again.
    for _ in 0..2 {
        server.join("/guest").await.close().await;
    }
    let closed = async { first.read(&mut [0; 8]).await.unwrap_or(0) };
    let closed = tokio::time::timeout(DEADLINE, closed).await;
    assert_eq!(closed, Ok(0), "the one that was silent longest");
    let metrics = server.http("GET", "/metrics", &[], "").await.body;
    let evictions = "trunkline_http_evictions_total 1";
    assert!(metrics.lines().any(|line| line == evictions), "{metrics}");
    // The second still has its place, and may ask.
    write_head(&mut second, "GET", "/healthz", &[("Connection", "close")]).await;
    assert_eq!(read_response(&mut second).await.status, 200);
}

#[tokio::test]
async fn a_crowd_that_asks_politely_does_not_shut_others_out() {
    const PLACES: usize = 8;
    let server = Server::start(&EDGE.replace(
        "  trusted_proxies",
        &format!("  limits: {{http_connections: {PLACES}}}\n  trusted_proxies"),
    ));
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let address = server.address();
    let poll = |answered: tokio::sync::mpsc::UnboundedSender<()>| async move {
        loop {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            // For as long as the connection is kept alive, and with the next where it is not.
            while stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .is_ok()
                && stream.read(&mut [0; 1024]).await.unwrap_or(0) > 0
            {
                let _ = answered.send(());
            }
        }
    };
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..PLACES {
        crowd.spawn(poll(answered.clone()));
    }
    for _ in 0..10 * PLACES {
        answers.recv().await.expect("they are answered");
    }
    for _ in 0..3 {
        assert_eq!(server.http("GET", "/healthz", &[], "").await.status, 200);
    }
}
