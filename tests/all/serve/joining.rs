//! Rooms that the application or a signed token lets into.

use std::time::Duration;

use serde_json::{Map, Value, json};
use trunkline::auth::{JoinMint, mint_join};
use trunkline::engine::Engine;
use trunkline::protocol::Farewell;
use trunkline::vocab::{RoomName, UserId};

use crate::serve::client::Client;
use crate::serve::decider::Application;
use crate::serve::harness::Server;

const HOUR: Duration = Duration::from_secs(3600);

/// What the application says of a question, by the room that it is about.
fn answer(question: &Value) -> (u16, String) {
    let room = question["room"].as_str().unwrap_or_default();
    let told = match room {
        "ask:yes" | "ask:1" | "ask:2" => json!({"allow": true}),
        "ask:staff" => json!({"allow": true, "audiences": ["staff"]}),
        "ask:none" => json!({"allow": true, "audiences": []}),
        "ask:strange" => json!({"allow": true, "audiences": ["crew"]}),
        "ask:why" => json!({"allow": false, "reason": "not\nyours"}),
        "ask:brief" => json!({"allow": true, "expires_at": "2026-11-22T12:01:00Z"}),
        "ask:over" => json!({"allow": true, "expires_at": "2026-11-22T11:59:00Z"}),
        "ask:nonsense" => json!({"allow": "yes"}),
        "ask:moment" => json!({"allow": true, "expires_at": 7}),
        "ask:status" => return (403, json!({"allow": true}).to_string()),
        _ => json!({"allow": false}),
    };
    (200, told.to_string())
}

fn yaml(application: &Application) -> String {
    r#"
auth: {member: {jwt: {algorithms: [HS256], secret: "${SECRET}", username: name}}}
messages:
  line: {schema: true, to: room}
  note: {schema: true, to: room, audience: staff}
rooms:
  "ask:{id}":
    may_join: {http: {url: "URL", timeout: 5s, cache: 30s}}
    audiences: {staff: "user.claims.role == 'agent'"}
    messages: [line, note]
    presence: {members: true, grace: 5s, announce: {joined: came, left: went}}
  "open:{id}": {may_join: "true", messages: [line], presence: {grace: 0s}}
  "signed:{id}":
    may_join: {token: {algorithms: [HS256], secret: "${SECRET}"}}
    audiences: {staff: "user.claims.role == 'agent'"}
    messages: [line, note]
    presence: {members: true, grace: 0s}
endpoints:
  /ws: {auth: member, rooms: ["ask:{id}", "open:{id}", "signed:{id}"], limits: {rooms_per_connection: 2}}
  /auto: {auth: member, auto_join: ["ask:{query.room}"]}
  /perhaps: {auth: member, auto_join: [{room: "ask:{query.room}", when_allowed: true}, "open:1"]}
  /signed: {auth: member, auto_join: ["signed:{query.room}"]}
  /text: {auth: member, protocol: text, text_message: line, auto_join: ["ask:1"], render: {line: "{data}"}}
"#
    .replace("URL", &application.url)
}

fn path(server: &Server, path: &str, user: &str, role: &str) -> String {
    let token = server.token(user, json!({"role": role}), HOUR);
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}token={token}")
}

async fn come(server: &Server, user: &str, role: &str) -> Client {
    server.join(&path(server, "/ws", user, role)).await
}

fn join(room: &str) -> Value {
    json!({"type": "join", "id": room, "room": room})
}

fn joined(room: &str) -> Value {
    json!({"type": "joined", "id": room, "room": room})
}

fn error(room: &str, code: &str) -> Value {
    json!({"type": "error", "id": room, "code": code})
}

async fn leave(client: &mut Client, room: &str) {
    let frame = json!({"type": "leave", "room": room});
    client
        .ask(frame, json!({"type": "left", "room": room}))
        .await;
}

#[tokio::test]
async fn the_application_decides() {
    let application = Application::start(answer, 99).await;
    let server = Server::start(&yaml(&application));
    let mut ann = come(&server, "ann", "agent").await;
    for (room, expected) in [
        ("ask:no", error("ask:no", "forbidden")),
        ("ask:over", error("ask:over", "forbidden")),
        (
            "ask:why",
            json!({"type": "error", "code": "forbidden", "message": "not yours"}),
        ),
        ("ask:strange", error("ask:strange", "unavailable")),
        ("ask:status", error("ask:status", "unavailable")),
        ("ask:nonsense", error("ask:nonsense", "unavailable")),
        ("ask:yes", joined("ask:yes")),
    ] {
        ann.ask(join(room), expected).await;
    }
    let questions = application.questions().await;
    let claims = &questions[0]["user"]["claims"];
    assert_eq!(
        (&claims["sub"], &claims["role"]),
        (&json!("ann"), &json!("agent"))
    );
    let asked = json!({
        "user": {"user_id": "ann", "username": "ann", "authenticated": true, "claims": claims},
        "room": "ask:no",
        "params": {"id": "no"},
        "endpoint": "/ws",
    });
    assert_eq!(questions[0], asked);
    let denials = "trunkline_denials_total{rule=\"rooms.ask:{id}.may_join\"}";
    server.until_metric(denials, 3.0).await;
}

#[tokio::test]
async fn the_application_says_who_is_of_an_audience() {
    let application = Application::start(answer, 99).await;
    let server = Server::start(&yaml(&application));
    for (room, role, reads) in [
        ("ask:staff", "customer", true),
        ("ask:none", "agent", false),
        ("ask:yes", "agent", true),
        ("ask:yes", "customer", false),
    ] {
        let mut ann = come(&server, "ann", role).await;
        ann.ask(join(room), joined(room)).await;
        for name in ["note", "line"] {
            ann.send(json!({"type": name, "room": room, "data": ""}))
                .await;
        }
        let first = if reads { "note" } else { "line" };
        ann.expect(json!({"type": first})).await;
        ann.close().await;
        server
            .until("it is gone", |engine| engine.users() == 0)
            .await;
    }
}

#[tokio::test]
async fn a_join_that_waits_keeps_nothing_waiting() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    let mut ann = come(&server, "ann", "").await;
    let ping = || json!({"type": "ping"});
    ann.send(join("ask:1")).await;
    ann.ask(ping(), json!({"type": "pong"})).await;
    ann.ask(join("open:1"), joined("open:1")).await;
    // It counts among the rooms of the connection, and is asked about once.
    ann.ask(join("open:2"), error("open:2", "too_many_rooms"))
        .await;
    ann.ask(join("ask:1"), error("ask:1", "conflict")).await;
    application.permits.add_permits(1);
    ann.expect(joined("ask:1")).await;
    leave(&mut ann, "ask:1").await;
    // Leaving calls it off, and every frame has its answer.
    ann.send(join("ask:2")).await;
    ann.send(json!({"type": "leave", "id": "l", "room": "ask:2"}))
        .await;
    ann.expect(error("ask:2", "conflict")).await;
    ann.expect(json!({"type": "left", "id": "l", "room": "ask:2"}))
        .await;
    application.permits.add_permits(1);
    // The answer is there, and nobody wants it; who asks again has it at once.
    ann.ask(join("ask:2"), joined("ask:2")).await;
    ann.ask(ping(), json!({"type": "pong"})).await;
}

#[tokio::test]
async fn who_goes_meanwhile_leaves_nothing_behind() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    let mut ann = come(&server, "ann", "").await;
    ann.send(join("ask:1")).await;
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    ann.close().await;
    server
        .until("it is gone", |engine| engine.users() == 0)
        .await;
    application.permits.add_permits(9);
    let mut ben = come(&server, "ben", "").await;
    let alone = json!({"type": "joined", "users_count": 1});
    ben.ask(join("ask:1"), alone).await;
    ben.close().await;
    server
        .until("all is gone", |engine| {
            engine.users() == 0 && engine.connections() == 0
        })
        .await;
}

#[tokio::test]
async fn a_stay_ends_when_what_let_in_does() {
    let application = Application::start(answer, 99).await;
    let server = Server::start(&yaml(&application));
    let mut ann = come(&server, "ann", "").await;
    ann.ask(join("ask:brief"), joined("ask:brief")).await;
    // Who left is not put out later.
    leave(&mut ann, "ask:brief").await;
    server.advance(Duration::from_secs(1));
    ann.ask(join("ask:brief"), joined("ask:brief")).await;
    let mut ben = come(&server, "ben", "").await;
    ben.ask(join("ask:brief"), joined("ask:brief")).await;
    ann.expect(json!({"type": "came"})).await;
    leave(&mut ben, "ask:brief").await;
    ann.expect(json!({"type": "went"})).await;
    server.advance(Duration::from_secs(58));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_secs(1));
    let left = json!({"type": "left", "id": "$absent", "room": "ask:brief", "reason": "expired"});
    ann.expect(left).await;
    ann.ask(join("ask:brief"), error("ask:brief", "forbidden"))
        .await;
}

#[tokio::test]
async fn answers_are_remembered() {
    let application = Application::start(answer, 99).await;
    let server = Server::start(&yaml(&application));
    for _ in 0..3 {
        let mut ann = come(&server, "ann", "").await;
        ann.ask(join("ask:1"), joined("ask:1")).await;
        ann.close().await;
    }
    assert_eq!(application.questions().await.len(), 1);
    let mut ann = come(&server, "ann", "agent").await;
    ann.ask(join("ask:1"), joined("ask:1")).await;
    assert_eq!(application.questions().await.len(), 2, "other claims");
    ann.ask(join("ask:2"), joined("ask:2")).await;
    assert_eq!(application.questions().await.len(), 3, "another room");
}

#[tokio::test]
async fn automatic_rooms_are_asked_about_before_the_upgrade() {
    let application = Application::start(answer, 99).await;
    let server = Server::start(&yaml(&application));
    let welcomed = |rooms: Value| json!({"type": "welcome", "rooms": rooms});
    let at = |name: &str| path(&server, name, "ann", "");
    let mut ann = server.connect(&at("/auto?room=yes")).await;
    ann.expect(welcomed(json!([{"room": "ask:yes"}]))).await;
    for (room, status) in [("no", 403), ("nonsense", 503)] {
        let refused = server
            .refusal(&at(&format!("/auto?room={room}")), &[])
            .await;
        assert_eq!(refused.status, status, "{refused:?}");
    }
    for (room, rooms) in [
        ("yes", json!([{"room": "ask:yes"}, {"room": "open:1"}])),
        ("no", json!([{"room": "open:1"}])),
    ] {
        let mut ann = server.connect(&at(&format!("/perhaps?room={room}"))).await;
        ann.expect(welcomed(rooms)).await;
    }
    let mut text = server.connect(&at("/text")).await;
    text.send_text("hi").await;
    assert_eq!(text.text().await, "hi");
}

fn ticket(server: &Server, user_id: &str, room: &str, claims: Value, expires: u64) -> String {
    let plan = server.engine().plan();
    let name = RoomName::parse("signed:1").expect("a name");
    let (kind, _) = plan.room_kind(&name).expect("it is declared");
    let mint = JoinMint {
        user_id,
        room,
        claims: claims.as_object().cloned().unwrap_or_else(Map::new),
        expires: Duration::from_secs(expires),
    };
    let now = server.engine().clock().now();
    mint_join(kind, &mint, None, now).expect("its secret signs")
}

fn join_with(room: &str, token: &str) -> Value {
    json!({"type": "join", "id": room, "room": room, "token": token})
}

#[tokio::test]
async fn a_join_token_lets_one_user_into_one_room() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    let mut ann = come(&server, "ann", "").await;
    let good = ticket(&server, "ann", "signed:1", json!({}), 60);
    let login = server.token("ann", json!({"room": "signed:1"}), HOUR);
    let mut forged = good.clone();
    forged.truncate(good.len() - 6);
    for (room, token) in [
        ("signed:2", good.clone()),
        (
            "signed:1",
            ticket(&server, "ben", "signed:1", json!({}), 60),
        ),
        ("signed:1", login.clone()),
        ("signed:1", forged),
        ("signed:1", String::new()),
    ] {
        ann.ask(join_with(room, &token), error(room, "forbidden"))
            .await;
    }
    ann.ask(join("signed:1"), error("signed:1", "forbidden"))
        .await;
    let several = json!({"type": "join", "id": "s", "rooms": ["signed:1"], "token": good});
    ann.ask(several, error("s", "bad_frame")).await;
    ann.ask(join_with("signed:1", &good), joined("signed:1"))
        .await;
    let denials = "trunkline_denials_total{rule=\"rooms.signed:{id}.may_join\"}";
    server.until_metric(denials, 6.0).await;
    // Nor is it a login.
    let refused = server.refusal(&format!("/ws?token={good}"), &[]).await;
    assert_eq!(refused.status, 401);
    // It ends with the token and the leeway.
    server.advance(Duration::from_secs(89));
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    server.advance(Duration::from_secs(1));
    let left = json!({"type": "left", "room": "signed:1", "reason": "expired"});
    ann.expect(left).await;
    ann.ask(join_with("signed:1", &good), error("signed:1", "forbidden"))
        .await;
}

#[tokio::test]
async fn a_join_token_may_name_audiences() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    for (claims, first) in [
        (json!({}), "line"),
        (json!({"audiences": ["staff"]}), "note"),
    ] {
        let mut ann = come(&server, "ann", "").await;
        let token = ticket(&server, "ann", "signed:1", claims, 60);
        ann.ask(join_with("signed:1", &token), joined("signed:1"))
            .await;
        for name in ["note", "line"] {
            ann.send(json!({"type": name, "room": "signed:1", "data": ""}))
                .await;
        }
        ann.expect(json!({"type": first})).await;
    }
    let mut ann = come(&server, "ann", "").await;
    for audiences in [json!(["crew"]), json!("staff"), json!([7])] {
        let claims = json!({"audiences": audiences});
        let plan = server.engine().plan();
        let name = RoomName::parse("signed:1").expect("a name");
        let (kind, _) = plan.room_kind(&name).expect("it is declared");
        let mint = JoinMint {
            user_id: "ann",
            room: "signed:1",
            claims: claims.as_object().cloned().unwrap_or_default(),
            expires: HOUR,
        };
        // What no room could take is not minted; what this room does not have is refused.
        if let Ok(token) = mint_join(kind, &mint, None, server.engine().clock().now()) {
            ann.ask(
                join_with("signed:1", &token),
                error("signed:1", "forbidden"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn join_tokens_for_automatic_rooms_come_in_the_query() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    let good = ticket(&server, "ann", "signed:1", json!({}), 60);
    let other = ticket(&server, "ann", "signed:2", json!({}), 60);
    let at = |query: &str| path(&server, &format!("/signed?room=1{query}"), "ann", "");
    let mut ann = server.connect(&at(&format!("&join_token={good}"))).await;
    let rooms = json!([{"room": "signed:1"}]);
    ann.expect(json!({"type": "welcome", "rooms": rooms})).await;
    for query in [String::new(), format!("&join_token={other}")] {
        let refused = server.refusal(&at(&query), &[]).await;
        assert_eq!(refused.status, 403);
        assert!(!refused.body.contains(&other), "{refused:?}");
    }
}

/// Bare joins that are on their way while the application takes their sender out, or sends it away, are no way back in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_taken_out_is_not_let_in_again_for_having_been_there() {
    let application = Application::start(answer, 0).await;
    let server = Server::start(&yaml(&application));
    let ann = UserId::parse("ann").expect("an id");
    let is_in = |engine: &Engine| {
        let seen = engine.members_seen("signed:1", None, 10);
        seen.expect("the room is declared").users_count
    };
    let joins: Vec<Value> = vec![json!({"type": "join", "room": "signed:1"}); 150];
    for round in 0..200 {
        let mut client = come(&server, "ann", "").await;
        let ticket = ticket(&server, "ann", "signed:1", json!({}), 60);
        client
            .ask(join_with("signed:1", &ticket), joined("signed:1"))
            .await;
        let engine = server.engine().clone();
        let user = ann.clone();
        let pause = Duration::from_micros(round * 7 % 700);
        let taken = tokio::task::spawn_blocking(move || {
            // Not a wait, but a place in the server's turn: each round has another.
            let begun = std::time::Instant::now();
            while begun.elapsed() < pause {
                std::hint::spin_loop();
            }
            if round % 2 == 0 {
                let removed = engine.remove_member("signed:1", &user);
                removed.expect("the room is declared");
            } else {
                let farewell = Farewell::new(4010, None).expect("a code and a reason");
                engine.disconnect_user(&user, &farewell);
            }
        });
        client.send_together(&joins).await;
        taken.await.expect("it does not panic");
        if round % 2 == 0 {
            client.send(json!({"type": "ping"})).await;
            while client.frame().await["type"] != "pong" {}
            assert_eq!(is_in(server.engine()), 0, "round {round}");
            client.close().await;
        } else {
            assert_eq!(client.end().await.0, 4010);
        }
        server
            .until("it has left", |engine| is_in(engine) == 0)
            .await;
    }
}

#[tokio::test]
async fn each_automatic_room_is_joined_with_its_own_token() {
    let yaml = r#"
auth: {member: {jwt: {algorithms: [HS256], secret: "${SECRET}"}}}
messages: {line: {schema: true, to: room}}
rooms:
  "signed:{id}": {may_join: {token: {algorithms: [HS256], secret: "${SECRET}"}}, messages: [line]}
  "other:{id}": {may_join: {token: {algorithms: [HS256], secret: "another-secret-of-at-least-32-bytes!!"}}, messages: [line]}
endpoints:
  /both: {auth: member, auto_join: ["signed:1", "other:1"]}
  /twice: {auth: member, auto_join: ["signed:1", "signed:{query.room}"]}
"#;
    let server = Server::start(yaml);
    let signed = ticket(&server, "ann", "signed:1", json!({}), 60);
    let name = RoomName::parse("other:1").expect("a name");
    let (kind, _) = server.engine().plan().room_kind(&name).expect("declared");
    let mint = JoinMint {
        user_id: "ann",
        room: "other:1",
        claims: Map::new(),
        expires: Duration::from_secs(60),
    };
    let now = server.engine().clock().now();
    let other = mint_join(kind, &mint, None, now).expect("its secret signs");
    for tokens in [[&signed, &other], [&other, &signed]] {
        let [first, second] = tokens;
        let query = format!("/both?join_token={first}&join_token={second}");
        let mut ann = server.connect(&path(&server, &query, "ann", "")).await;
        let rooms = json!([{"room": "signed:1"}, {"room": "other:1"}]);
        ann.expect(json!({"type": "welcome", "rooms": rooms})).await;
    }
    // Two templates that come to one name are one room.
    let query = format!("/twice?room=1&join_token={signed}");
    let mut ann = server.connect(&path(&server, &query, "ann", "")).await;
    let welcome = ann.expect(json!({"type": "welcome"})).await;
    assert_eq!(welcome["rooms"].as_array().map(Vec::len), Some(1));
}
