//! Every error that a client can provoke, with the id of its frame.

use serde_json::{Value, json};

use crate::serve::client::Incoming;
use crate::serve::harness::Server;

const STRICT: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}", username: "{query.u}"}}}
messages:
  line:
    schema: {type: object, properties: {text: {type: string, maxLength: 5}, n: {type: integer}}, required: [text], additionalProperties: false}
    to: none
  any: {schema: true, to: none}
  small: {schema: true, to: none, max_size: 10B}
  news: {schema: true, to: room, sent_by: server}
  secret: {schema: true, to: none, allow: "user.id == 'anon:boss'"}
  even: {schema: true, to: none, allow: "data.n % 2 == 0"}
  mail: {schema: true, to: {user: data.to}}
  cross: {schema: true, to: {room: "{data.to}"}}
rooms:
  "room:{id}":
    params: {id: {pattern: "^[a-z0-9]+$"}}
    may_join: "params.id != 'closed'"
    messages: [any, news]
    limits: {users: 1}
  "quiet:{id}": {may_join: "true"}
  "hidden:{id}": {may_join: "true"}
endpoints:
  /ws:
    auth: guest
    rooms: ["room:{id}", "quiet:{id}"]
    messages: [line, any, small, secret, even, mail, cross]
    limits: {rooms_per_connection: 2, message_size: 1KiB, depth: 4}
"#;

async fn check(server: &Server, user: &str, table: Vec<(Value, &str, &str)>) {
    let mut client = server.join(&format!("/ws?u={user}")).await;
    for (mut frame, code, part) in table {
        frame["id"] = "the id".into();
        client.send(frame.clone()).await;
        let answer = client.frame().await;
        assert_eq!(answer["id"], "the id", "{frame}: {answer}");
        if code.is_empty() {
            assert_ne!(answer["type"], "error", "{frame}: {answer}");
            continue;
        }
        assert_eq!(answer["code"], code, "{frame}: {answer}");
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{frame}: {answer}");
    }
}

#[tokio::test]
async fn a_frame_is_refused_with_its_id() {
    let server = Server::start(STRICT);
    let _full = {
        let mut ben = server.join("/ws?u=ben").await;
        ben.ask(
            json!({"type": "join", "room": "room:full"}),
            json!({"type": "joined"}),
        )
        .await;
        ben
    };
    let frame = |name: &str, data: Value| json!({"type": name, "data": data});
    let table = vec![
        (json!({"type": 5}), "bad_frame", "string"),
        (json!({"data": 5}), "bad_frame", "`type` is missing"),
        (
            json!({"type": "line", "key": "k".repeat(129)}),
            "bad_frame",
            "128",
        ),
        (json!({"type": "line", "room": 7}), "bad_frame", "string"),
        (json!({"type": "join"}), "bad_frame", "room"),
        (
            json!({"type": "join", "room": "room:1", "since": 5}),
            "bad_frame",
            "since",
        ),
        (
            json!({"type": "token", "token": "x"}),
            "bad_frame",
            "no token",
        ),
        (frame("nonsense", json!(1)), "unknown_type", "nonsense"),
        (frame("ack", json!(1)), "unknown_type", "ack"),
        (frame("any", json!([[[[[]]]]])), "bad_json", "deep"),
        (frame("any", json!([[[1]]])), "", ""),
        (
            json!({"type": "join", "room": "no such"}),
            "bad_room",
            "no such",
        ),
        (
            json!({"type": "join", "room": "nothing:1"}),
            "bad_room",
            "nothing:1",
        ),
        (
            json!({"type": "join", "room": "room:UP"}),
            "bad_room",
            "room:UP",
        ),
        (
            json!({"type": "join", "room": "hidden:1"}),
            "forbidden",
            "not joined here",
        ),
        (
            json!({"type": "join", "room": "room:closed"}),
            "forbidden",
            "may not join",
        ),
        (
            json!({"type": "join", "room": "room:full"}),
            "room_full",
            "as many users",
        ),
        (
            json!({"type": "any", "room": "room:1"}),
            "not_joined",
            "room:1",
        ),
        (
            json!({"type": "leave", "room": "room:1"}),
            "not_joined",
            "room:1",
        ),
        (
            json!({"type": "members", "room": "room:1"}),
            "not_joined",
            "room:1",
        ),
        (
            json!({"type": "history", "room": "room:1"}),
            "not_joined",
            "room:1",
        ),
        (json!({"type": "received", "seq": 1}), "bad_room", "inbox"),
        (json!({"type": "join", "room": "room:1"}), "", ""),
        (json!({"type": "join", "room": "quiet:1"}), "", ""),
        (
            json!({"type": "join", "room": "quiet:2"}),
            "too_many_rooms",
            "2 rooms",
        ),
        (json!({"type": "join", "room": "quiet:1"}), "", ""),
        (
            json!({"type": "join", "rooms": ["a", "b", "c"]}),
            "too_many_rooms",
            "2 rooms",
        ),
        (
            json!({"type": "members", "room": "room:1"}),
            "forbidden",
            "members",
        ),
        (
            json!({"type": "history", "room": "room:1"}),
            "forbidden",
            "history",
        ),
        (
            json!({"type": "received", "room": "room:1", "seq": 1}),
            "forbidden",
            "inbox",
        ),
        (
            json!({"type": "any", "room": "quiet:1"}),
            "unknown_type",
            "quiet:1",
        ),
        (frame("news", json!(1)), "forbidden", "application alone"),
        (frame("secret", json!(1)), "forbidden", "may not send"),
        (frame("even", json!({"n": 2})), "", ""),
        (frame("even", json!({"n": 3})), "forbidden", "may not send"),
        (frame("even", json!({})), "forbidden", "may not send"),
        (frame("small", json!("12345678")), "", ""),
        (
            frame("small", json!("123456789")),
            "too_large",
            "at most 10",
        ),
        (frame("mail", json!({"to": null})), "bad_frame", "no user"),
        (frame("mail", json!({})), "bad_frame", "no user"),
        (
            frame("cross", json!({"to": "nothing:1"})),
            "bad_room",
            "nothing:1",
        ),
        (frame("line", json!({})), "schema", "text"),
    ];
    check(&server, "ann", table).await;
    check(&server, "boss", vec![(frame("secret", json!(1)), "", "")]).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_without_ending_the_connection() {
    let server = Server::start(STRICT);
    let mut client = server.join("/ws?u=ann").await;
    let table = [
        ("", "bad_json", Value::Null),
        ("{", "bad_json", Value::Null),
        ("hello", "bad_json", Value::Null),
        ("{} {}", "bad_json", Value::Null),
        ("[1]", "bad_frame", Value::Null),
        ("5", "bad_frame", Value::Null),
        (
            r#"{"type":"any","id":"1","type":"any"}"#,
            "bad_json",
            json!("1"),
        ),
        (
            r#"{"type":"any","id":"2","data":{"a":1,"a":2}}"#,
            "bad_json",
            json!("2"),
        ),
        (
            r#"{"type":"line","id":"3","data":{"text":"a","text":"b"}}"#,
            "bad_json",
            json!("3"),
        ),
        (
            r#"{"type":"line","id":"4","data":{"text":"a","\u0074ext":"b"}}"#,
            "bad_json",
            json!("4"),
        ),
    ];
    for (text, code, id) in table {
        client.send_text(text).await;
        let answer = client.expect(json!({"type": "error", "code": code})).await;
        assert_eq!(answer["id"], id, "{text}: {answer}");
    }
    client
        .ask(
            json!({"type": "any", "id": "x".repeat(65)}),
            json!({"code": "bad_frame"}),
        )
        .await;
    client
        .ask(
            json!({"type": "any", "id": "x".repeat(64)}),
            json!({"type": "ack"}),
        )
        .await;
    client
        .ask(
            json!({"type": "any", "id": "5", "more": {"a": 1}}),
            json!({"type": "ack", "id": "5"}),
        )
        .await;
}

#[tokio::test]
async fn a_schema_says_what_is_wrong_where() {
    let server = Server::start(STRICT);
    let mut client = server.join("/ws?u=ann").await;
    let data = json!({"text": "too long", "n": "x"});
    let answer = client
        .ask(
            json!({"type": "line", "id": "1", "data": data}),
            json!({"code": "schema", "id": "1"}),
        )
        .await;
    let mut found: Vec<(&str, &str)> = answer["details"]
        .as_array()
        .expect("details")
        .iter()
        .map(|detail| {
            assert!(detail["message"].is_string(), "{detail}");
            let text = |name: &str| detail[name].as_str().unwrap_or_default();
            (text("path"), text("keyword"))
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("/n", "type"), ("/text", "maxLength")], "{answer}");
    client
        .ask(
            json!({"type": "line", "data": {"text": "fits"}, "id": "2"}),
            json!({"type": "ack"}),
        )
        .await;
}

#[tokio::test]
async fn a_message_over_its_size_ends_the_connection() {
    let server = Server::start(STRICT);
    let mut client = server.join("/ws?u=ann").await;
    let frame = json!({"type": "any", "id": "1", "data": "x".repeat(1024 - 33)});
    assert_eq!(frame.to_string().len(), 1024);
    client.ask(frame, json!({"type": "ack"})).await;
    client
        .send(json!({"type": "any", "data": "x".repeat(1024)}))
        .await;
    client.expect_close(1009).await;
}

#[tokio::test]
async fn strikes_end_the_connection_behind_the_last_error() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {any: {schema: {type: integer}, to: none, allow: "data != 5"}}
endpoints: {/ws: {auth: guest, messages: [any], limits: {strikes: 3}}}
"#,
    );
    let mut client = server.join("/ws").await;
    client.send_text("nonsense").await;
    client.expect(json!({"code": "bad_json"})).await;
    // No mistakes of form: they do not count.
    client
        .ask(
            json!({"type": "any", "data": 5}),
            json!({"code": "forbidden"}),
        )
        .await;
    client
        .ask(
            json!({"type": "leave", "room": "x"}),
            json!({"code": "not_joined"}),
        )
        .await;
    client
        .ask(
            json!({"type": "any", "data": "x"}),
            json!({"code": "schema"}),
        )
        .await;
    client
        .ask(json!({"type": "none"}), json!({"code": "unknown_type"}))
        .await;
    assert_eq!(
        client.next().await,
        Incoming::Closed(1008, "too many bad frames".into())
    );
}
