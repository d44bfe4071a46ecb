//! How many connections there may be, and how fast they may come.

use std::time::Duration;

use serde_json::json;

use crate::serve::harness::Server;

/// An endpoint with these limits, its server with those.
fn start(server: &str, endpoint: &str) -> Server {
    Server::start(&format!(
        r#"
server: {{listen: "127.0.0.1:0", trusted_proxies: [127.0.0.0/8], {server}}}
auth: {{guest: {{anonymous: {{user_id: "{{query.u}}"}}}}}}
rate_limits:
  by_ip: {{rate: 1/s, burst: 2, per: ip}}
  by_user: {{rate: 1/s, burst: 2, per: user}}
  by_server: {{rate: 1/s, burst: 2, per: server}}
  dry: {{rate: 1/s, burst: 1, per: ip, dry_run: true}}
messages: {{a: {{schema: true, to: none}}}}
endpoints:
  /ws: {{auth: guest, messages: [a], {endpoint}}}
  /close: {{auth: guest, messages: [a], reject: close, {endpoint}}}
"#
    ))
}

#[tokio::test]
async fn there_are_no_more_connections_than_may_be() {
    let table = [
        // The limit, who is let in, who is one too many, and who is not.
        (
            "limits: {connections: 2}",
            "",
            [("ann", "1.1.1.1"), ("ben", "2.2.2.2")],
            ("eve", "3.3.3.3"),
            None,
        ),
        (
            "limits: {connections_per_ip: 2}",
            "",
            [("ann", "1.1.1.1"), ("ben", "1.1.1.1")],
            ("eve", "1.1.1.1"),
            Some(("eve", "2.2.2.2")),
        ),
        (
            "limits: {connections_per_ip: 2}",
            "",
            [("ann", "a:b:c:d::1"), ("ben", "a:b:c:d::2")],
            ("eve", "a:b:c:d::3"),
            Some(("eve", "a:b:c:e::1")),
        ),
        (
            "",
            "limits: {connections_per_user: 2}",
            [("ann", "1.1.1.1"), ("ann", "2.2.2.2")],
            ("ann", "3.3.3.3"),
            Some(("ben", "1.1.1.1")),
        ),
    ];
    for (limits, endpoint, two, third, other) in table {
        let server = start(limits, endpoint);
        let knock = async |(user, ip): (&str, &str)| {
            server
                .knock(&format!("/ws?u={user}"), &[("X-Forwarded-For", ip)])
                .await
        };
        let first = knock(two[0]).await.expect(limits);
        let _second = knock(two[1]).await.expect(limits);
        let refused = knock(third).await.err().expect(limits);
        assert_eq!(
            (refused.status, refused.headers.contains_key("retry-after")),
            (429, true),
            "{limits}{endpoint}: {refused:?}"
        );
        if let Some(other) = other {
            assert!(knock(other).await.is_ok(), "{limits}{endpoint}");
        }
        // With `reject: close` it can be read, where the user has too many: of what the server has no room for, it takes no socket.
        let path = format!("/close?u={}", third.0);
        match server.knock(&path, &[("X-Forwarded-For", third.1)]).await {
            // Counted by endpoint: there is room at this one.
            Ok(mut client) if !endpoint.is_empty() => {
                client.expect(json!({"type": "welcome"})).await;
                let more = async || server.knock(&path, &[]).await.expect("it is upgraded");
                let _second = more().await;
                more().await.expect_close(1013).await;
            }
            Ok(_) => panic!("{limits}: let in"),
            Err(refused) => assert_eq!((refused.status, endpoint), (429, ""), "{limits}"),
        }
        // One goes, one may come.
        first.close().await;
        let limit = if other.is_some() { usize::MAX } else { 2 };
        server
            .until("a place is free", |engine| engine.connections() < limit)
            .await;
        let again = async { while knock(third).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(10), again)
            .await
            .expect(limits);
    }
}

#[tokio::test]
async fn an_endpoint_may_have_a_limit_of_its_own() {
    let server = start("", "limits: {connections: 2}");
    let ann = server.join("/ws?u=ann").await;
    let mut ben = server.join("/ws?u=ben").await;
    let refused = server.refusal("/ws?u=eve", &[]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    let refusals =
        "trunkline_limits_exceeded_total{limit=\"endpoint_connections\",dry_run=\"false\"}";
    assert_eq!(server.metric(refusals).await, 1.0);
    // Those of other endpoints do not count here.
    let _other = server.join("/close?u=eve").await;
    ann.close().await;
    server
        .until("a place is free", |engine| engine.connections() == 2)
        .await;
    let _eve = server.join("/ws?u=eve").await;
    ben.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn a_dry_run_of_counts_lets_everyone_in_and_counts() {
    let server = start(
        "limits: {connections: 1, connections_per_ip: 1, dry_run: true}",
        "limits: {connections: 1, connections_per_user: 1, dry_run: true}",
    );
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(server.join("/ws?u=ann").await);
    }
    for limit in [
        "connections",
        "connections_per_ip",
        "endpoint_connections",
        "connections_per_user",
    ] {
        let counted = |dry_run| {
            format!("trunkline_limits_exceeded_total{{limit=\"{limit}\",dry_run=\"{dry_run}\"}}")
        };
        assert_eq!(server.metric(&counted("true")).await, 2.0, "{limit}");
        assert_eq!(server.metric(&counted("false")).await, 0.0, "{limit}");
    }
}

#[tokio::test]
async fn the_oldest_may_make_room() {
    let server = start(
        "",
        "limits: {connections_per_user: 2, on_too_many: replace_oldest}",
    );
    let mut first = server.join("/ws?u=ann").await;
    let mut second = server.join("/ws?u=ann").await;
    let mut third = server.join("/ws?u=ann").await;
    first.expect_close(4009).await;
    let mut fourth = server.join("/ws?u=ann").await;
    second.expect_close(4009).await;
    for client in [&mut third, &mut fourth] {
        client
            .ask(json!({"type": "ping"}), json!({"type": "pong"}))
            .await;
    }
    server
        .until("two remain", |engine| engine.connections() == 2)
        .await;
}

#[tokio::test]
async fn connections_come_no_faster_than_they_may() {
    let table = [
        // The limit, and whether it bounds ann, ben and another address together.
        ("by_ip", [true, true, false]),
        ("by_user", [true, false, true]),
        ("by_server", [true, true, true]),
        ("dry", [false, false, false]),
    ];
    for (limit, bounds) in table {
        let server = start("", &format!("rate_limit: {{connect: [{limit}]}}"));
        let knock = async |user: &str, ip: &str| {
            server
                .knock(&format!("/ws?u={user}"), &[("X-Forwarded-For", ip)])
                .await
        };
        for _ in 0..2 {
            assert!(knock("ann", "1.1.1.1").await.is_ok(), "{limit}");
        }
        for ((user, ip), bounded) in [("ann", "1.1.1.1"), ("ben", "1.1.1.1"), ("ann", "2.2.2.2")]
            .into_iter()
            .zip(bounds)
        {
            match knock(user, ip).await {
                Ok(_) => assert!(!bounded, "{limit} {user} {ip}"),
                Err(refused) => {
                    assert!(bounded, "{limit} {user} {ip}: {refused:?}");
                    assert_eq!(
                        (refused.status, &*refused.headers["retry-after"]),
                        (429, "1")
                    );
                }
            }
        }
        if bounds[0] {
            let closed = server
                .knock("/close?u=ann", &[("X-Forwarded-For", "1.1.1.1")])
                .await;
            closed.expect("it is upgraded").expect_close(4029).await;
            server.advance(Duration::from_secs(1));
            assert!(knock("ann", "1.1.1.1").await.is_ok(), "{limit}");
            assert!(knock("ann", "1.1.1.1").await.is_err(), "{limit}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let server = start("", "");
    let table = [
        ("GET", "/ws?u=ann", vec![], 426),
        ("POST", "/ws?u=ann", vec![], 405),
        ("GET", "/nothing", vec![], 404),
        (
            "GET",
            "/ws?u=ann",
            vec![("Upgrade", "websocket"), ("Sec-WebSocket-Version", "12")],
            426,
        ),
    ];
    for (method, path, headers, status) in table {
        let answer = server.http(method, path, &headers, "").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
    assert_eq!(server.engine().connections(), 0);
}
