//! What the application does to connections and members, and what it may see of them.

use std::io::{self, IoSlice};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use trunkline::engine::{
    Admission, Arrival, BlockOrder, BlockTarget, Engine, Link, Phase, RequestFacts,
};
use trunkline::protocol::Farewell;
use trunkline::vocab::{Identity, Timestamp, User, UserId};

use crate::serve::client::{Client, Response};
use crate::serve::harness::Server;

const CONTROL: &str = r#"
server:
  listen: "127.0.0.1:0"
  limits: {blocks: 3}
  trusted_proxies: [127.0.0.1]
  api:
    keys:
      boss: {secret: boss-secret-of-32-bytes-and-more!, scopes: [disconnect, read, publish]}
      reader: {secret: reader-secret-of-32-bytes-more!!!, scopes: [read]}
      publisher: {secret: publisher-secret-of-32-bytes!!!!!, scopes: [publish]}
      bound: {secret: bound-secret-of-32-bytes-and-more, scopes: [disconnect, read], rooms: ["room:a*"]}
auth:
  guest: {anonymous: {user_id: "{query.u}"}}
  member: {jwt: {algorithms: [HS256], secret: "${SECRET}", credential: {query: token}}}
  later: {jwt: {algorithms: [HS256], secret: "${SECRET}", credential: {first_message: 10s}}}
messages: {say: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [say], presence: {grace: 5s, announce: {joined: came, left: went}}}}
endpoints:
  /ws: {auth: guest, rooms: ["room:{id}"], auto_join: ["room:a1"]}
  /member: {auth: member, rooms: ["room:{id}"], auto_join: ["room:a1"]}
  /later: {auth: later, auto_join: ["room:a1"]}
  /close: {auth: guest, reject: close}
"#;

const BOSS: &str = "Bearer boss-secret-of-32-bytes-and-more!";
const READER: &str = "Bearer reader-secret-of-32-bytes-more!!!";
const PUBLISHER: &str = "Bearer publisher-secret-of-32-bytes!!!!!";
const BOUND: &str = "Bearer bound-secret-of-32-bytes-and-more";
const HOUR: Duration = Duration::from_secs(3600);

async fn call(server: &Server, key: &str, method: &str, path: &str, body: &str) -> Response {
    let headers = [("Authorization", key), ("Content-Type", "application/json")];
    let path = format!("/api/{path}");
    server.http(method, &path, &headers, body).await
}

/// What the boss's call answers.
async fn ask(server: &Server, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = call(server, BOSS, method, path, &body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.json()
}

async fn block(server: &Server, target: &str, value: &str) -> Value {
    let body = json!({target: value, "until": "2026-11-22T12:10:00Z", "reason": "spam"});
    ask(server, "POST", "blocks", body).await
}

#[tokio::test]
async fn scopes_are_checked_before_anything_is_looked_at() {
    let server = Server::start(CONTROL);
    let _ann = server.join("/ws?u=ann").await;
    let table = [
        ("GET", "users/anon:ann", READER, ""),
        ("GET", "rooms/room:a1/members", READER, ""),
        ("DELETE", "users/anon:ann/connections", BOSS, ""),
        (
            "DELETE",
            "connections/0123456789abcdef0123456789abcdef",
            BOSS,
            "",
        ),
        ("DELETE", "rooms/room:a1/members/anon:ann", BOSS, ""),
        ("GET", "blocks", BOSS, ""),
        ("DELETE", "blocks/0123456789abcdef", BOSS, ""),
    ];
    for (method, path, key, body) in table {
        for other in [BOSS, READER, PUBLISHER, "", "Bearer wrong"] {
            let answer = call(&server, other, method, path, body).await;
            let status = match other {
                "" | "Bearer wrong" => 401,
                other if other == key || other == BOSS => 200,
                _ => 403,
            };
            assert_eq!(answer.status, status, "{method} {path} {other}: {answer:?}");
        }
    }
    // Without the scope a user who is there and one who is not, and even a name that cannot be one, are refused alike.
    let mut refusals = Vec::new();
    for user in ["anon:ann", "nobody", "%00", "a%20b"] {
        let answer = call(&server, PUBLISHER, "GET", &format!("users/{user}"), "").await;
        refusals.push((answer.status, answer.body));
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    // A key that is bound to rooms reaches those, and no user beyond them.
    for (method, path, status) in [
        ("GET", "rooms/room:a1/members", 200),
        ("DELETE", "rooms/room:a1/members/nobody", 200),
        ("GET", "rooms/room:b1/members", 403),
        ("DELETE", "rooms/room:b1/members/nobody", 403),
        ("GET", "users/nobody", 403),
        ("DELETE", "users/nobody/connections", 403),
        (
            "DELETE",
            "connections/0123456789abcdef0123456789abcdef",
            403,
        ),
        ("GET", "blocks", 403),
        ("DELETE", "blocks/0123456789abcdef", 403),
        ("POST", "blocks", 403),
    ] {
        let answer = call(&server, BOUND, method, path, "{}").await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn bad_calls_say_what_is_wrong() {
    let server = Server::start(CONTROL);
    let long = format!("users/u/connections?reason={}", "x".repeat(124));
    let until = r#""until":"2026-11-22T12:10:00Z""#;
    let block = |more: &str| format!("{{{more}}}");
    for (method, path, body, status, code) in [
        (
            "DELETE",
            "users/u/connections?code=1006",
            "".into(),
            400,
            "bad_frame",
        ),
        (
            "DELETE",
            "users/u/connections?code=1009",
            "".into(),
            400,
            "bad_frame",
        ),
        (
            "DELETE",
            "users/u/connections?code=70000",
            "".into(),
            400,
            "bad_frame",
        ),
        ("DELETE", &long, "".into(), 400, "bad_frame"),
        ("DELETE", "connections/xyz", "".into(), 400, "bad_frame"),
        (
            "DELETE",
            "rooms/nothing:1/members/u",
            "".into(),
            404,
            "bad_room",
        ),
        ("GET", "rooms/nothing:1/members", "".into(), 404, "bad_room"),
        (
            "GET",
            "rooms/room:1/members?limit=0",
            "".into(),
            400,
            "bad_frame",
        ),
        (
            "GET",
            "rooms/room:1/members?limit=1001",
            "".into(),
            400,
            "bad_frame",
        ),
        ("GET", "blocks?after=x", "".into(), 400, "bad_frame"),
        ("DELETE", "blocks/x", "".into(), 400, "bad_frame"),
        ("POST", "blocks", block(until), 400, "bad_frame"),
        (
            "POST",
            "blocks",
            block(r#""user_id":"u""#),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(&format!(r#""user_id":"u","ip":"1.2.3.4",{until}"#)),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(&format!(r#""user_id":"",{until}"#)),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(&format!(r#""ip":"1.2.3",{until}"#)),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(&format!(r#""token_id":"",{until}"#)),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(r#""user_id":"u","until":"soon""#),
            400,
            "bad_frame",
        ),
        (
            "POST",
            "blocks",
            block(r#""user_id":"u","until":"2026-11-22T12:00:00Z""#),
            400,
            "bad_frame",
        ),
    ] {
        let answer = call(&server, BOSS, method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(answer.json()["code"], code, "{method} {path} {body}");
    }
}

async fn came(watcher: &mut Client, user: &str) {
    watcher
        .expect(json!({"type": "came", "user": {"user_id": user}}))
        .await;
}

async fn went(watcher: &mut Client, user: &str) {
    watcher
        .expect(json!({"type": "went", "user": {"user_id": user}}))
        .await;
}

#[tokio::test]
async fn a_user_is_disconnected_everywhere() {
    let server = Server::start(CONTROL);
    let mut watcher = server.join("/ws?u=watcher").await;
    let mut one = server.join("/ws?u=ann").await;
    let mut two = server.join("/ws?u=ann").await;
    came(&mut watcher, "anon:ann").await;
    let path = "users/anon:ann/connections?code=4321&reason=go%20home";
    assert_eq!(
        ask(&server, "DELETE", path, Value::Null).await,
        json!({"disconnected": 2})
    );
    // The others hear of it without a grace: no time passes here.
    went(&mut watcher, "anon:ann").await;
    assert_eq!(one.end().await, (4321, "go home".to_owned()));
    assert_eq!(two.end().await, (4321, "go home".to_owned()));
    assert_eq!(
        ask(&server, "DELETE", path, Value::Null).await,
        json!({"disconnected": 0})
    );
    // It is no block.
    let mut again = server.join("/ws?u=ann").await;
    came(&mut watcher, "anon:ann").await;
    let seen = ask(&server, "GET", "users/anon:ann", Value::Null).await;
    let id = seen["connections"][0]["connection_id"]
        .as_str()
        .expect("an id");
    let path = format!("connections/{id}");
    assert_eq!(
        ask(&server, "DELETE", &path, Value::Null).await,
        json!({"disconnected": 1})
    );
    assert_eq!(
        again.expect_close(4010).await,
        "disconnected by the application"
    );
    assert_eq!(
        ask(&server, "DELETE", &path, Value::Null).await,
        json!({"disconnected": 0})
    );
}

#[tokio::test]
async fn users_and_members_are_seen() {
    let server = Server::start(CONTROL);
    let mut ann = server.join("/ws?u=ann").await;
    server.advance(Duration::from_secs(60));
    ann.ask(
        json!({"type": "join", "room": "room:b2"}),
        json!({"type": "joined"}),
    )
    .await;
    let seen = ask(&server, "GET", "users/anon:ann", Value::Null).await;
    let connection = json!({
        "connection_id": seen["connections"][0]["connection_id"],
        "endpoint": "/ws", "ip": "127.0.0.1", "since": "2026-11-22T12:00:00.000Z", "rooms": ["room:a1", "room:b2"],
    });
    assert_eq!(
        seen,
        json!({"user_id": "anon:ann", "username": "anon:ann", "connections": [connection]})
    );
    let nobody = ask(&server, "GET", "users/nobody", Value::Null).await;
    assert_eq!(nobody, json!({"user_id": "nobody", "connections": []}));

    let _ben = server.join("/ws?u=ben").await;
    let first = ask(&server, "GET", "rooms/room:a1/members?limit=1", Value::Null).await;
    let member = |name: &str, minute: u32| json!({"user_id": name, "username": name, "connections": 1, "joined_at": format!("2026-11-22T12:0{minute}:00.000Z")});
    assert_eq!(
        first,
        json!({"room": "room:a1", "users": [member("anon:ann", 0)], "users_count": 2, "next": "anon:ann"})
    );
    let rest = ask(
        &server,
        "GET",
        "rooms/room:a1/members?after=anon:ann",
        Value::Null,
    )
    .await;
    assert_eq!(
        rest,
        json!({"room": "room:a1", "users": [member("anon:ben", 1)], "users_count": 2})
    );
    let empty = ask(&server, "GET", "rooms/room:nobody/members", Value::Null).await;
    assert_eq!(
        empty,
        json!({"room": "room:nobody", "users": [], "users_count": 0})
    );
}

#[tokio::test]
async fn a_member_is_taken_out_and_may_come_again() {
    let server = Server::start(CONTROL);
    let mut watcher = server.join("/ws?u=watcher").await;
    let mut one = server.join("/ws?u=ann").await;
    let mut two = server.join("/ws?u=ann").await;
    came(&mut watcher, "anon:ann").await;
    let path = "rooms/room:a1/members/anon:ann";
    assert_eq!(
        ask(&server, "DELETE", path, Value::Null).await,
        json!({"removed": 2})
    );
    let left = json!({"type": "left", "room": "room:a1", "reason": "removed"});
    one.expect(left.clone()).await;
    two.expect(left).await;
    went(&mut watcher, "anon:ann").await;
    assert_eq!(
        ask(&server, "DELETE", path, Value::Null).await,
        json!({"removed": 0})
    );
    // Nothing of the room reaches them, and nothing of theirs reaches it.
    one.ask(
        json!({"type": "say", "room": "room:a1", "id": "1", "data": 1}),
        json!({"id": "1", "code": "not_joined"}),
    )
    .await;
    one.ask(
        json!({"type": "leave", "room": "room:a1", "id": "2"}),
        json!({"id": "2", "code": "not_joined"}),
    )
    .await;
    watcher
        .send(json!({"type": "say", "room": "room:a1", "data": "alone"}))
        .await;
    watcher
        .expect(json!({"type": "say", "data": "alone"}))
        .await;
    one.ask(
        json!({"type": "join", "room": "room:a1", "id": "3"}),
        json!({"type": "joined", "id": "3", "users_count": 2}),
    )
    .await;
    came(&mut watcher, "anon:ann").await;
    watcher
        .send(json!({"type": "say", "room": "room:a1", "data": "again"}))
        .await;
    one.expect(json!({"type": "say", "data": "again"})).await;
    // One whose connection broke does not stay for its grace either.
    one.close().await;
    two.close().await;
    server
        .until("ann has no connection", |engine| engine.users() == 1)
        .await;
    assert_eq!(
        ask(&server, "DELETE", path, Value::Null).await,
        json!({"removed": 0})
    );
    watcher
        .expect(json!({"type": "say", "data": "again"}))
        .await;
    went(&mut watcher, "anon:ann").await;
}

#[tokio::test]
async fn a_blocked_user_is_out_at_once_and_stays_out() {
    let server = Server::start(CONTROL);
    let mut watcher = server.join("/ws?u=watcher").await;
    let mut ann = server.join("/ws?u=ann").await;
    came(&mut watcher, "anon:ann").await;
    let made = block(&server, "user_id", "anon:ann").await;
    assert_eq!(made["disconnected"], 1);
    went(&mut watcher, "anon:ann").await;
    assert_eq!(ann.expect_close(4010).await, "spam");
    let refused = server.refusal("/ws?u=ann", &[]).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, "spam"));
    let mut told = server.connect("/close?u=ann").await;
    assert_eq!(told.expect_close(4010).await, "spam");
    let metric = "trunkline_handshakes_total{outcome=\"blocked\"}";
    assert_eq!(server.metric(metric).await, 2.0);
    assert_eq!(server.metric("trunkline_blocks").await, 1.0);

    let listed = ask(&server, "GET", "blocks", Value::Null).await;
    let expected = json!({"id": made["id"], "user_id": "anon:ann", "until": "2026-11-22T12:10:00.000Z", "reason": "spam"});
    assert_eq!(listed, json!({"blocks": [expected]}));
    let path = format!("blocks/{}", made["id"].as_str().expect("an id"));
    assert_eq!(
        ask(&server, "DELETE", &path, Value::Null).await,
        json!({"removed": 1})
    );
    assert_eq!(
        ask(&server, "DELETE", &path, Value::Null).await,
        json!({"removed": 0})
    );
    let _ann = server.join("/ws?u=ann").await;
}

#[tokio::test]
async fn a_block_ends_by_itself() {
    let server = Server::start(CONTROL);
    block(&server, "user_id", "anon:ann").await;
    server.advance(Duration::from_millis(599_999));
    assert_eq!(server.refusal("/ws?u=ann", &[]).await.status, 403);
    server.advance(Duration::from_millis(1));
    let _ann = server.join("/ws?u=ann").await;
    assert_eq!(server.metric("trunkline_blocks").await, 0.0);
    assert_eq!(
        ask(&server, "GET", "blocks", Value::Null).await,
        json!({"blocks": []})
    );
}

#[tokio::test]
async fn a_blocked_token_is_out_and_the_users_other_tokens_are_not() {
    let server = Server::start(CONTROL);
    let token = |id: &str| server.token("ann", json!({"jti": id}), HOUR);
    let (stolen, own) = (token("stolen"), token("own"));
    let mut thief = server.join(&format!("/member?token={stolen}")).await;
    let mut ann = server.join(&format!("/member?token={own}")).await;
    assert_eq!(
        block(&server, "token_id", "stolen").await["disconnected"],
        1
    );
    assert_eq!(thief.expect_close(4010).await, "spam");
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    let refused = server
        .refusal(&format!("/member?token={stolen}"), &[])
        .await;
    assert_eq!(refused.status, 403);
    let _ann = server.join(&format!("/member?token={own}")).await;
    // The same where the token comes in the first message.
    let mut thief = server.connect("/later").await;
    thief.send(json!({"type": "token", "token": stolen})).await;
    assert_eq!(thief.expect_close(4010).await, "spam");
    let members = ask(&server, "GET", "rooms/room:a1/members", Value::Null).await;
    assert_eq!(members["users"][0]["connections"], 2, "{members}");
}

#[tokio::test]
async fn a_blocked_address_is_out_by_its_prefix() {
    let server = Server::start(CONTROL);
    let from = |address: &'static str| [("X-Forwarded-For", address)];
    let knock = async |address| server.knock("/ws?u=ann", &from(address)).await;
    let mut near = knock("2001:db8::1").await.expect("it may come in");
    let _far = knock("2001:db8:0:1::1").await.expect("it may come in");
    let made = block(&server, "ip", "2001:db8::2").await;
    assert_eq!(
        (&made["ip"], &made["disconnected"]),
        (&json!("2001:db8::/64"), &json!(1))
    );
    near.expect(json!({"type": "welcome"})).await;
    near.expect_close(4010).await;
    assert_eq!(
        knock("2001:db8::3")
            .await
            .err()
            .map(|refused| refused.status),
        Some(403)
    );
    assert!(knock("2001:db8:0:1::1").await.is_ok());
}

#[tokio::test]
async fn there_are_so_many_blocks_and_no_more() {
    let server = Server::start(CONTROL);
    for user in ["a", "b", "c", "c"] {
        block(&server, "user_id", user).await;
    }
    let body = json!({"user_id": "d", "until": "2026-11-22T12:10:00Z"}).to_string();
    let refused = call(&server, BOSS, "POST", "blocks", &body).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("unavailable"))
    );
    let page = ask(&server, "GET", "blocks?limit=2", Value::Null).await;
    let next = page["next"].as_str().expect("there is more");
    let rest = ask(&server, "GET", &format!("blocks?after={next}"), Value::Null).await;
    assert_eq!(page["blocks"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest["blocks"].as_array().map(Vec::len), Some(1));
    assert!(rest.get("next").is_none());
}

/// A socket that takes everything.
struct Sink;

impl Link for Sink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// Ann, admitted to `/ws` and not yet attached.
fn admitted(engine: &Arc<Engine>) -> Admission {
    let mut endpoints = engine.plan().endpoints.iter();
    let endpoint = endpoints.find(|endpoint| endpoint.path.as_str() == "/ws");
    let endpoint = endpoint.expect("it is declared");
    let identity = Identity {
        user: Arc::new(User {
            id: ann(),
            username: "ann".into(),
            authenticated: false,
            claims: Arc::new(json!({})),
        }),
        expires_at: None,
    };
    let ip = "127.0.0.1".parse().expect("an address");
    let ticket = engine.knock(endpoint, ip).expect("there is room");
    let arrival = Arrival {
        endpoint: endpoint.clone(),
        request: RequestFacts::default(),
        ip,
        deflation: None,
        identity,
        granted: Arc::default(),
        since: Vec::new(),
        join_tokens: Vec::new(),
    };
    let admission = engine.admit(ticket, arrival).now_or_never();
    let admission = admission.expect("the file's rules decide");
    admission.unwrap_or_else(|refused| panic!("{refused:?}"))
}

fn ann() -> UserId {
    UserId::parse("anon:ann").expect("an id")
}

#[tokio::test]
async fn who_was_blocked_while_it_came_in_does_not_stay() {
    let server = Server::start(CONTROL);
    let engine = server.engine();
    let admission = admitted(engine);
    let order = BlockOrder {
        target: BlockTarget::User(ann()),
        until: Timestamp::parse("2026-11-22T13:00:00Z").expect("a moment"),
        reason: None,
    };
    let (_, disconnected) = engine.block(order).expect("there is room");
    assert_eq!(disconnected, 0, "its handshake is not over");
    let attached = engine.attach(admission, Arc::new(Sink), Bytes::new());
    assert_eq!(attached.connection.phase(), Phase::Closing);
    let members = engine
        .members_seen("room:a1", None, 10)
        .expect("it is declared");
    assert_eq!(members.users_count, 0);
}

/// A connection leaves a room in the moment in which the application ends it: whoever is first, its seat is given up once, and the
/// user's other connection still counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leaving_and_being_sent_away_at_once_is_counted_once() {
    let server = Server::start(CONTROL);
    let engine = server.engine();
    let attach = || engine.attach(admitted(engine), Arc::new(Sink), Bytes::new());
    let stays = attach();
    for _ in 0..300 {
        let goes = attach();
        let both = Arc::new(Barrier::new(2));
        let (leaving, begun) = (engine.clone(), both.clone());
        let connection = goes.connection.clone();
        let leaves = tokio::task::spawn_blocking(move || {
            begun.wait();
            leaving.receive_text(&connection, r#"{"type":"leave","room":"room:a1"}"#);
        });
        let (sending, id) = (engine.clone(), goes.connection.id);
        let farewell = Farewell::new(4010, None).expect("it is one");
        let is_sent = tokio::task::spawn_blocking(move || {
            both.wait();
            sending.disconnect_connection(id, &farewell)
        });
        leaves.await.expect("no panic");
        assert_eq!(is_sent.await.expect("no panic"), 1);
        let members = engine.members_seen("room:a1", None, 10);
        let members = members.expect("it is declared");
        assert_eq!(members.page[0].connections, 1);
    }
    drop(stays);
    assert_eq!(engine.users(), 0);
}
