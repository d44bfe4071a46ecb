//! Fresh tokens on living connections.

use std::time::Duration;

use serde_json::{Value, json};
use trunkline::engine::{BlockOrder, BlockTarget};
use trunkline::vocab::{Timestamp, TokenId};

use crate::serve::client::Client;
use crate::serve::harness::Server;

const DESK: &str = r#"
auth:
  member: {jwt: {algorithms: [HS256], secret: "${SECRET}", username: name, expiry: refresh, leeway: 10s}}
  brief: {jwt: {algorithms: [HS256], secret: "${SECRET}", leeway: 10s}}
  guest: {anonymous: {user_id: "{query.u}"}}
messages:
  line: {schema: true, to: room, allow: "!user.claims.muted"}
  note: {schema: true, to: room, audience: staff}
rooms:
  "desk:{ticket}":
    may_join: params.ticket in user.claims.tickets
    audiences: {staff: "user.claims.role == 'agent'"}
    messages: [line, note]
    presence: {members: true, grace: 5s, announce: {joined: came, left: went}}
    history: {messages: 10}
endpoints:
  /ws: {auth: member, rooms: ["desk:{ticket}"], allow: "!user.claims.banned", heartbeat: {idle: 1h}}
  /brief: {auth: brief, rooms: ["desk:{ticket}"], heartbeat: {idle: 1h}}
  /guest: {auth: guest, rooms: ["desk:{ticket}"]}
"#;

const HOUR: Duration = Duration::from_secs(3600);

fn token(server: &Server, user: &str, claims: &Value, expires: Duration) -> String {
    server.token(user, claims.clone(), expires)
}

async fn come(server: &Server, user: &str, claims: Value) -> Client {
    let token = token(server, user, &claims, HOUR);
    server.join(&format!("/ws?token={token}")).await
}

async fn join(client: &mut Client, room: &str) {
    client
        .ask(
            json!({"type": "join", "room": room}),
            json!({"type": "joined", "room": room}),
        )
        .await;
}

fn fresh(token: &str) -> Value {
    json!({"type": "token", "id": "t", "token": token})
}

#[tokio::test]
async fn a_client_is_asked_before_the_end_and_goes_on() {
    let server = Server::start(DESK);
    let minute = Duration::from_secs(60);
    let first = token(&server, "ann", &json!({}), minute);
    let mut ann = server.join(&format!("/ws?token={first}")).await;
    server.advance(Duration::from_secs(29));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_secs(1));
    // The end is that of the token and the leeway.
    ann.expect(json!({"type": "token", "expires_at": "2026-11-22T12:01:10.000Z"}))
        .await;
    let second = token(&server, "ann", &json!({}), minute);
    ann.ask(
        fresh(&second),
        json!({"type": "ack", "id": "t", "expires_at": "2026-11-22T12:01:40.000Z"}),
    )
    .await;
    server.advance(Duration::from_secs(30));
    ann.expect(json!({"type": "token", "expires_at": "2026-11-22T12:01:40.000Z"}))
        .await;
    // Once for each token; and one that nobody answers ends the connection.
    server.advance(Duration::from_secs(20));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_secs(20));
    ann.expect_close(4001).await;
    // Less than half a minute is told at once.
    let brief = token(&server, "ann", &json!({}), Duration::from_secs(20));
    let mut ann = server.join(&format!("/ws?token={brief}")).await;
    ann.expect(json!({"type": "token", "expires_at": "2026-11-22T12:02:10.000Z"}))
        .await;
}

#[tokio::test]
async fn expiry_close_takes_tokens_and_asks_for_none() {
    let server = Server::start(DESK);
    let minute = Duration::from_secs(60);
    let first = token(&server, "ann", &json!({}), minute);
    let mut ann = server.join(&format!("/brief?token={first}")).await;
    server.advance(Duration::from_secs(65));
    let second = token(&server, "ann", &json!({}), minute);
    ann.ask(fresh(&second), json!({"type": "ack", "id": "t"}))
        .await;
    server.advance(Duration::from_secs(65));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_secs(10));
    ann.expect_close(4001).await;
}

#[tokio::test]
async fn every_rule_is_asked_again() {
    let server = Server::start(DESK);
    let all = json!({"tickets": ["1", "2"], "role": "agent"});
    let mut ann = come(&server, "ann", all.clone()).await;
    let mut ben = come(&server, "ben", all.clone()).await;
    join(&mut ben, "desk:2").await;
    for room in ["desk:1", "desk:2"] {
        join(&mut ann, room).await;
    }
    ben.expect(json!({"type": "came", "user": {"user_id": "ann"}}))
        .await;
    // No agent any more, and not in 2; what comes behind the ack is judged by the new token.
    let less = json!({"tickets": ["1"], "role": "customer", "muted": true});
    ann.send(fresh(&token(&server, "ann", &less, HOUR))).await;
    let mut frames = [ann.frame().await, ann.frame().await];
    frames.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        (&frames[0]["type"], &frames[0]["id"]),
        (&json!("ack"), &json!("t"))
    );
    let left = json!({"type": "left", "room": "desk:2", "reason": "forbidden"});
    assert_eq!(frames[1], left);
    // Without a grace, as if it had left itself.
    ben.expect(json!({"type": "went", "user": {"user_id": "ann"}, "users_count": 1}))
        .await;
    join(&mut ben, "desk:1").await;
    ann.expect(json!({"type": "came", "user": {"user_id": "ben"}}))
        .await;
    for (name, data) in [("note", "hidden"), ("line", "open")] {
        ben.send(json!({"type": name, "room": "desk:1", "data": data}))
            .await;
    }
    ann.expect(json!({"type": "line", "data": "open"})).await;
    for (frame, answer) in [
        (
            json!({"type": "line", "room": "desk:1", "data": ""}),
            json!({"type": "error", "code": "forbidden"}),
        ),
        (
            json!({"type": "history", "room": "desk:1"}),
            json!({"type": "history", "messages": [{"data": "open"}], "more": false}),
        ),
        (
            json!({"type": "join", "room": "desk:2"}),
            json!({"type": "error", "code": "forbidden"}),
        ),
    ] {
        ann.ask(frame, answer).await;
    }
    // And back.
    ann.ask(
        fresh(&token(&server, "ann", &all, HOUR)),
        json!({"type": "ack"}),
    )
    .await;
    join(&mut ann, "desk:2").await;
    ann.ask(
        json!({"type": "history", "room": "desk:1"}),
        json!({"messages": [{"data": "hidden"}, {"data": "open"}]}),
    )
    .await;
    // The endpoint's rule ends the connection.
    let banned = json!({"banned": true});
    ann.send(fresh(&token(&server, "ann", &banned, HOUR))).await;
    assert_eq!(ann.end().await.0, 1008);
}

#[tokio::test]
async fn tokens_that_are_not_taken() {
    let server = Server::start(DESK);
    let mut ann = come(&server, "ann", json!({"tickets": ["1"]})).await;
    join(&mut ann, "desk:1").await;
    let other = token(&server, "ben", &json!({"tickets": ["1"]}), HOUR);
    for (token, code) in [
        (other.as_str(), "forbidden"),
        ("no.to.ken", "unauthenticated"),
        ("", "unauthenticated"),
        (&other[..other.len() - 4], "unauthenticated"),
    ] {
        ann.ask(
            fresh(token),
            json!({"type": "error", "id": "t", "code": code}),
        )
        .await;
    }
    // Nothing has changed.
    ann.ask(
        json!({"type": "line", "room": "desk:1", "id": "l", "data": ""}),
        json!({"type": "line", "sender": {"user_id": "ann"}}),
    )
    .await;
    ann.expect(json!({"type": "ack", "id": "l"})).await;
    let mut guest = server.join("/guest?u=eve").await;
    guest
        .ask(fresh(&other), json!({"type": "error", "code": "bad_frame"}))
        .await;
}

#[tokio::test]
async fn tokens_are_rare() {
    let server = Server::start(DESK);
    let mut ann = come(&server, "ann", json!({})).await;
    let again = token(&server, "ann", &json!({}), HOUR);
    for _ in 0..5 {
        ann.ask(fresh(&again), json!({"type": "ack"})).await;
    }
    let limited = json!({"type": "error", "code": "rate_limited", "retry_after_ms": 1000});
    ann.ask(fresh(&again), limited).await;
    server.advance(Duration::from_secs(1));
    ann.ask(fresh(&again), json!({"type": "ack"})).await;
    // Bad ones count too.
    ann.ask(fresh("x"), json!({"type": "error", "code": "rate_limited"}))
        .await;
}

/// A block of the token `id`; how many connections it ended.
fn block(server: &Server, id: &str) -> usize {
    let order = BlockOrder {
        target: BlockTarget::Token(TokenId::parse(id).expect("an id")),
        until: Timestamp::parse("2026-11-23T00:00:00Z").expect("a moment"),
        reason: Some("stolen".into()),
    };
    let (_, ended) = server.engine().block(order).expect("there is room");
    ended
}

#[tokio::test]
async fn a_blocked_token_is_no_fresh_one() {
    let server = Server::start(DESK);
    let claims = |jti: &str| json!({"jti": jti, "tickets": ["1"]});
    let mut ann = come(&server, "ann", claims("first")).await;
    join(&mut ann, "desk:1").await;
    assert_eq!(block(&server, "stolen"), 0);
    let stolen = token(&server, "ann", &claims("stolen"), HOUR);
    ann.ask(
        fresh(&stolen),
        json!({"type": "error", "id": "t", "code": "forbidden"}),
    )
    .await;
    let second = token(&server, "ann", &claims("second"), HOUR);
    ann.ask(fresh(&second), json!({"type": "ack", "id": "t"}))
        .await;
    // What it came with is not what it goes on with.
    assert_eq!(block(&server, "first"), 0);
    assert_eq!(block(&server, "second"), 1);
    ann.expect_close(4010).await;
}
