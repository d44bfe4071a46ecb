//! Credentials: where they are looked for, when they end, and the pages that may bring them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::client::Incoming;
use crate::serve::harness::Server;

const HOUR: Duration = Duration::from_secs(3600);

fn jwt(more: &str) -> String {
    format!("jwt: {{algorithms: [HS256], secret: \"${{SECRET}}\", {more}}}")
}

fn start() -> Server {
    Server::start(&format!(
        r#"
auth:
  guest: {{anonymous: {{}}}}
  member: {{{}}}
  later: {{{}}}
messages: {{who: {{schema: true, to: sender, reply: user.id}}}}
endpoints:
  /member: {{auth: member, messages: [who]}}
  /close: {{auth: member, messages: [who], reject: close}}
  /either: {{auth: [member, guest], messages: [who]}}
  /later: {{auth: later, messages: [who]}}
  /listed: {{auth: guest, messages: [who], origins: ["https://app.example.com"]}}
  /same: {{auth: guest, messages: [who]}}
  /any: {{auth: guest, messages: [who], origins: ["*"]}}
  /claims: {{auth: member, messages: [who], allow: "has(user.claims.role) && user.claims.role == 'boss'"}}
"#,
        jwt(
            "credential: {query: token, header: authorization, cookie: token, subprotocol: bearer}, leeway: 10s"
        ),
        jwt("credential: {first_message: 10s}"),
    ))
}

async fn is(server: &Server, path: &str, headers: &[(&str, &str)], user_id: &str) {
    let client = server.knock(path, headers).await;
    let mut client = client.unwrap_or_else(|refused| panic!("{path}: {refused:?}"));
    let user = json!({"type": "welcome", "user": {"user_id": user_id}});
    client.expect(user).await;
    client
        .ask(
            json!({"type": "who", "id": "w"}),
            json!({"type": "who", "id": "w", "data": user_id}),
        )
        .await;
}

#[tokio::test]
async fn a_token_is_taken_from_each_of_its_places() {
    let server = start();
    let token = server.token("ann", Value::Null, HOUR);
    is(&server, &format!("/member?token={token}"), &[], "ann").await;
    is(
        &server,
        "/member",
        &[("Authorization", &format!("Bearer {token}"))],
        "ann",
    )
    .await;
    is(
        &server,
        "/member",
        &[("Cookie", &format!("a=b; token={token}"))],
        "ann",
    )
    .await;
    let offered = format!("trunkline.v1.json, bearer.{token}");
    let headers = [("Sec-WebSocket-Protocol", &*offered)];
    is(&server, "/member", &headers, "ann").await;
    let client = server
        .knock("/member", &headers)
        .await
        .expect("it is let in");
    assert_eq!(
        client.headers["sec-websocket-protocol"],
        "trunkline.v1.json"
    );
    is(&server, &format!("/either?token={token}"), &[], "ann").await;
    let mut guest = server.connect("/either").await;
    let welcome = guest.expect(json!({"type": "welcome"})).await;
    assert!(
        welcome["user"]["user_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("anon:"))
    );
}

#[tokio::test]
async fn a_bad_token_is_refused_before_the_upgrade_or_after() {
    let server = start();
    let good = server.token("ann", Value::Null, HOUR);
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let none = format!(
        "eyJhbGciOiJub25lIn0.{}.",
        head.split('.').nth(1).expect("a payload")
    );
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["", "nonsense", &forged, &none, head] {
        let refused = server.refusal(&format!("/member?token={token}"), &[]).await;
        assert_eq!(refused.status, 401, "{token}: {refused:?}");
        assert!(
            token.is_empty() || !refused.body.contains(token),
            "{refused:?}"
        );
        // What was brought and is bad does not become a guest.
        let refused = server.refusal(&format!("/either?token={token}"), &[]).await;
        assert_eq!(refused.status, 401, "{token}: {refused:?}");
        let mut closed = server.connect(&format!("/close?token={token}")).await;
        let reason = closed.expect_close(1008).await;
        assert!(!reason.is_empty(), "{token}");
    }
    assert_eq!(server.refusal("/member", &[]).await.status, 401);
    let plain = server.token("ann", Value::Null, HOUR);
    assert_eq!(
        server
            .refusal(&format!("/claims?token={plain}"), &[])
            .await
            .status,
        403
    );
    let boss = server.token("ann", json!({"role": "boss"}), HOUR);
    is(&server, &format!("/claims?token={boss}"), &[], "ann").await;
}

#[tokio::test]
async fn a_connection_ends_with_its_token_and_the_leeway() {
    let server = start();
    let token = server.token("ann", Value::Null, Duration::from_secs(25));
    let mut ann = server.join(&format!("/member?token={token}")).await;
    server.advance(Duration::from_millis(34_900));
    is(&server, &format!("/member?token={token}"), &[], "ann").await;
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_millis(100));
    ann.expect_close(4001).await;
    let refused = server.refusal(&format!("/member?token={token}"), &[]).await;
    assert_eq!(refused.status, 401, "{refused:?}");
}

#[tokio::test]
async fn the_first_message_may_bring_the_token() {
    let server = start();
    let token = server.token("ann", Value::Null, HOUR);
    let frame = |token: &str| json!({"type": "token", "token": token});
    let mut ann = server.connect("/later").await;
    // What follows the token at once is not lost.
    ann.send_together(&[frame(&token), json!({"type": "who", "id": "w"})])
        .await;
    ann.expect(json!({"type": "welcome", "user": {"user_id": "ann"}}))
        .await;
    ann.expect(json!({"type": "who", "data": "ann"})).await;
    // A later one is a fresh one.
    let fresh = json!({"type": "token", "id": "t", "token": token});
    ann.ask(fresh, json!({"type": "ack", "id": "t"})).await;
    for wrong in [
        frame("nonsense"),
        frame(""),
        json!({"type": "who", "data": 1}),
        json!({"type": "token"}),
        json!(5),
    ] {
        let mut client = server.connect("/later").await;
        client.send(wrong.clone()).await;
        let reason = client.expect_close(1008).await;
        assert!(!reason.is_empty(), "{wrong}");
    }
    server
        .until("places are free", |engine| engine.connections() == 1)
        .await;
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let server = Server::start(&format!(
        "auth: {{later: {{{}}}}}\nmessages: {{a: {{schema: true, to: none}}}}\nendpoints: {{/ws: {{auth: later, messages: [a]}}}}",
        jwt("credential: {first_message: 50ms}")
    ));
    let mut client = server.connect("/ws").await;
    let Incoming::Closed(1008, reason) = client.next().await else {
        panic!("not 1008")
    };
    assert!(reason.contains("in time"), "{reason}");
}

#[tokio::test]
async fn only_declared_pages_may_connect() {
    let server = start();
    // The client says `Host: localhost:8000`.
    let table = [
        ("/listed", "https://app.example.com", true),
        ("/listed", "https://APP.example.com", true),
        ("/listed", "http://app.example.com", false),
        ("/listed", "https://app.example.com.evil", false),
        ("/listed", "http://localhost:8000", false),
        ("/listed", "null", false),
        ("/same", "http://localhost:8000", true),
        ("/same", "https://localhost:8000", true),
        ("/same", "http://localhost:8001", false),
        ("/same", "http://evil.example", false),
        ("/same", "null", false),
        ("/any", "http://evil.example", true),
    ];
    for (path, origin, allowed) in table {
        let result = server.knock(path, &[("Origin", origin)]).await;
        match result {
            Ok(_) => assert!(allowed, "{path} {origin}"),
            Err(refused) => assert!(
                !allowed && refused.status == 403,
                "{path} {origin}: {refused:?}"
            ),
        }
    }
    for path in ["/listed", "/same", "/any"] {
        server.join(path).await;
    }
    // A page that may not connect learns nothing of the cookie that its visitor's browser sends along.
    let cookie = format!("token={}", server.token("ann", Value::Null, HOUR));
    for cookie in [&*cookie, "token=bad"] {
        let headers = [("Origin", "http://evil.example"), ("Cookie", cookie)];
        assert_eq!(
            server.refusal("/member", &headers).await.status,
            403,
            "{cookie}"
        );
    }
}
