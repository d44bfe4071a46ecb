//! Endpoints that do not speak the JSON frames: text, every frame, raw.

use serde_json::json;
use tokio_websockets::Message;

use crate::serve::client::Incoming;
use crate::serve::harness::{API, Server};

const TEXT: &str = r#"
auth: {numbered: {anonymous: {user_id: "{path.id}", username: "Client #{path.id}"}}}
messages:
  line: {schema: {type: string, maxLength: 10}, to: room, reply: data, allow: "data != 'no'"}
  news: {schema: {type: object, properties: {text: {type: string}}}, to: room, sent_by: server}
  unseen: {schema: true, to: room}
rooms:
  all:
    may_join: "true"
    messages: [line, news, unseen]
    presence: {grace: 0s, announce: {joined: came, left: went, to: room}}
endpoints:
  /ws/{id}:
    auth: numbered
    protocol: text
    auto_join: [all]
    text_message: line
    render:
      reply: "You wrote: {data}"
      line: "{sender.username} says: {data}"
      news: "News: {data.text}"
      came: "{user.username} ({user.id}) joined {room.name}, {room.users_count} now"
      went: "{user.username} left"
      error: "{code}: {message}"
  /json/{id}: {auth: numbered, auto_join: [all]}
"#;

#[tokio::test]
async fn text_is_rendered_by_its_templates() {
    let server = Server::start(&format!("{API}{TEXT}"));
    let mut seven = server.connect("/ws/7").await;
    assert_eq!(seven.text().await, "Client #7 (anon:7) joined all, 1 now");
    let mut eight = server.connect("/ws/8").await;
    for client in [&mut seven, &mut eight] {
        assert_eq!(client.text().await, "Client #8 (anon:8) joined all, 2 now");
    }
    let mut json = server.join("/json/9").await;
    json.expect(json!({"type": "came", "users_count": 3})).await;
    for client in [&mut seven, &mut eight] {
        assert_eq!(client.text().await, "Client #9 (anon:9) joined all, 3 now");
    }
    // The personal answer comes first; quotes and braces are text.
    seven.send_text("a \"{x}\"").await;
    assert_eq!(seven.text().await, "You wrote: a \"{x}\"");
    for client in [&mut seven, &mut eight] {
        assert_eq!(client.text().await, "Client #7 says: a \"{x}\"");
    }
    json.expect(json!({"type": "line", "data": "a \"{x}\"", "sender": {"user_id": "anon:7"}}))
        .await;
    // What has no template is not sent.
    server
        .publish("rooms/all", json!({"type": "unseen", "data": 1}))
        .await;
    server
        .publish(
            "rooms/all",
            json!({"type": "news", "data": {"text": "it rains"}}),
        )
        .await;
    for client in [&mut seven, &mut eight] {
        assert_eq!(client.text().await, "News: it rains");
    }
    eight.send_text("more than ten").await;
    let error = eight.text().await;
    assert!(error.starts_with("schema: `line` does not fit"), "{error}");
    eight.send_text("no").await;
    assert_eq!(
        eight.text().await,
        "forbidden: you may not send `line` here"
    );
    eight.close().await;
    assert_eq!(seven.text().await, "Client #8 left");
    seven.send_message(Message::binary(vec![1, 2])).await;
    seven.expect_close(1003).await;
}

#[tokio::test]
async fn text_may_go_back_to_its_sender_alone() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {line: {schema: {type: string}, to: sender}}
endpoints:
  /reply: {auth: guest, protocol: text, messages: [line], text_message: line, render: {reply: "Message received: {data}"}}
  /type: {auth: guest, protocol: text, messages: [line], text_message: line, render: {line: "<{data}>"}}
"#,
    );
    for (path, expected) in [("/reply", "Message received: hi"), ("/type", "<hi>")] {
        let mut client = server.connect(path).await;
        client.send_text("hi").await;
        assert_eq!(client.text().await, expected);
        client.send_text("hi").await;
        assert_eq!(client.text().await, expected, "once each");
    }
}

#[tokio::test]
async fn every_frame_is_the_data_of_one_type() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {}}}
messages: {echo: {schema: true, to: sender}}
endpoints: {/ws: {auth: guest, every_frame: echo, messages: [echo], limits: {depth: 3}}}
"#,
    );
    let mut client = server.join("/ws").await;
    let table = [
        "5",
        "null",
        "\"text\"",
        "[1,[2]]",
        r#"{"type":"join","room":"x","id":"1"}"#,
        r#"{"type":"ping"}"#,
    ];
    for text in table {
        client.send_text(text).await;
        let answer = client.text().await;
        assert!(
            answer.starts_with("{\"type\":\"echo\","),
            "{text}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"data\":{text},\"timestamp\":")),
            "{text}: {answer}"
        );
    }
    for text in ["", "{", "hello", "[[[[1]]]]", r#"{"a":1,"a":2}"#, "1 2"] {
        client.send_text(text).await;
        client
            .expect(json!({"type": "error", "code": "bad_json", "id": "$absent"}))
            .await;
    }
    client.send_message(Message::binary(vec![1])).await;
    client.expect_close(1003).await;
}

#[tokio::test]
async fn raw_frames_pass_unread() {
    let server = Server::start(
        r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
rooms: {"room:{id}": {may_join: "true", presence: {grace: 0s, announce: {joined: came}}}}
endpoints:
  /sender: {auth: guest, protocol: raw, raw: {to: sender}, auto_join: ["room:1"]}
  /room: {auth: guest, protocol: raw, raw: {to: room}, auto_join: ["room:1"]}
  /others: {auth: guest, protocol: raw, raw: {to: others}, auto_join: ["room:1"]}
"#,
    );
    let mut ann = server.connect("/room?u=ann").await;
    let mut ben = server.connect("/others?u=ben").await;
    let mut again = server.connect("/others?u=ben").await;
    let mut eve = server.connect("/sender?u=eve").await;
    let frame = |bytes: &[u8]| Incoming::Binary(bytes.to_vec());
    // A raw endpoint gets nothing but raw frames, so joins are seen by their effect alone.
    server
        .until("all have joined", |engine| {
            engine.users() == 3 && engine.connections() == 4
        })
        .await;
    eve.send_message(Message::binary(vec![0, 255])).await;
    assert_eq!(eve.next().await, frame(&[0, 255]));
    eve.send_text("not {json").await;
    assert_eq!(eve.next().await, Incoming::Text("not {json".into()));
    ann.send_message(Message::binary(vec![1])).await;
    for client in [&mut ann, &mut ben, &mut again, &mut eve] {
        assert_eq!(client.next().await, frame(&[1]));
    }
    ben.send_text("t").await;
    for client in [&mut ann, &mut eve] {
        assert_eq!(client.next().await, Incoming::Text("t".into()));
    }
    ann.send_message(Message::binary(vec![2])).await;
    for client in [&mut ann, &mut ben, &mut again, &mut eve] {
        assert_eq!(client.next().await, frame(&[2]));
    }
}

#[tokio::test]
async fn a_binary_frame_ends_a_json_connection() {
    let server = Server::start(
        "auth: {guest: {anonymous: {}}}\nmessages: {a: {schema: true, to: none}}\nendpoints: {/ws: {auth: guest, messages: [a]}}",
    );
    let mut client = server.join("/ws").await;
    client.send_message(Message::binary(b"{}".to_vec())).await;
    client.expect_close(1003).await;
}

#[tokio::test]
async fn an_anonymous_id_is_made_of_the_request() {
    let server = Server::start(
        r#"
auth: {numbered: {anonymous: {user_id: "{path.id}", username: "Client #{path.id}"}}}
messages: {a: {schema: true, to: none}}
endpoints: {"/ws/{id}": {auth: numbered, messages: [a]}}
"#,
    );
    let mut client = server.connect("/ws/7").await;
    client
        .expect(json!({"user": {"user_id": "anon:7", "username": "Client #7"}}))
        .await;
    let long = server
        .refusal(&format!("/ws/{}", "x".repeat(64 * 2)), &[])
        .await;
    assert!([401, 404].contains(&long.status), "{long:?}");
}
