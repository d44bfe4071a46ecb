//! Texts in the data are cleaned behind the schema, whichever way they come in.

use serde_json::json;

use crate::serve::harness::{API, Server};

fn start() -> Server {
    Server::start(&format!(
        r#"{API}
auth: {{guest: {{anonymous: {{user_id: "{{query.u}}"}}}}}}
messages:
  line:
    schema: {{type: object, properties: {{text: {{type: string, minLength: 1, maxLength: 20}}, n: {{type: number}}}}, required: [text]}}
    to: room
    sanitize: {{/text: [trim, escape_html]}}
  list: {{schema: {{type: array, items: {{type: string}}}}, to: sender, sanitize: {{"/*": strip_html}}}}
  big: {{schema: {{type: string}}, to: sender, sanitize: {{"": escape_html}}}}
  plain: {{schema: {{type: string}}, to: sender}}
  said: {{schema: {{type: string}}, to: sender, sanitize: {{"": escape_html}}}}
rooms:
  "room:{{id}}": {{may_join: "true", messages: [line], history: {{messages: 10}}}}
endpoints:
  /ws: {{auth: guest, auto_join: ["room:1"], messages: [list, big, plain], limits: {{message_size: 1KiB}}}}
  /text: {{auth: guest, protocol: text, text_message: said, render: {{said: "{{data}}"}}}}
"#
    ))
}

#[tokio::test]
async fn readers_history_and_replies_get_what_is_clean() {
    let server = start();
    let mut ann = server.join("/ws?u=ann").await;
    ann.send_text(r#"{"type":"line","data":{ "text" : "  <b> ", "n":1.50 }}"#)
        .await;
    let text = ann.text().await;
    // Nothing else of the data is touched.
    assert!(
        text.contains(r#""data":{ "text" : "&lt;b&gt;", "n":1.50 }"#),
        "{text}"
    );
    ann.ask(
        json!({"type": "history", "room": "room:1"}),
        json!({"messages": [{"data": {"text": "&lt;b&gt;"}}]}),
    )
    .await;
    ann.ask(
        json!({"type": "list", "data": ["<i>a</i>", "b"]}),
        json!({"type": "list", "data": ["a", "b"]}),
    )
    .await;
    ann.ask(
        json!({"type": "plain", "data": "<i>"}),
        json!({"type": "plain", "data": "<i>"}),
    )
    .await;
    let answer = server
        .publish(
            "rooms/room:1",
            json!({"type": "line", "data": {"text": "<u>"}}),
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    ann.expect(json!({"type": "line", "data": {"text": "&lt;u&gt;"}}))
        .await;
    let mut text = server.connect("/text?u=ben").await;
    text.send_text("a & b").await;
    assert_eq!(text.text().await, "a &amp; b");
}

#[tokio::test]
async fn what_is_clean_has_to_fit_too() {
    let server = start();
    let mut ann = server.join("/ws?u=ann").await;
    for (text, keyword, message) in [
        (
            "   ",
            "minLength",
            "`line`, sanitized, does not fit its schema: data/text ",
        ),
        (
            "<<<<<<",
            "maxLength",
            "`line`, sanitized, does not fit its schema: data/text ",
        ),
        (
            "",
            "minLength",
            "`line` does not fit its schema: data/text ",
        ),
    ] {
        let refused = ann
            .ask(
                json!({"type": "line", "id": "1", "data": {"text": text}}),
                json!({"id": "1", "code": "schema", "details": [{"path": "/text", "keyword": keyword}]}),
            )
            .await;
        let told = refused["message"].as_str().unwrap_or_default();
        assert!(told.starts_with(message), "{told}");
    }
    // What grows has to stay within what a frame may have.
    let long = "<".repeat(300);
    ann.ask(
        json!({"type": "big", "id": "2", "data": long}),
        json!({"id": "2", "code": "too_large"}),
    )
    .await;
    let answer = server
        .publish(
            "rooms/room:1",
            json!({"type": "line", "data": {"text": "   "}}),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (422, &json!("schema"))
    );
}

#[tokio::test]
async fn the_same_is_what_was_sent_the_same() {
    let server = start();
    let mut ann = server.join("/ws?u=ann").await;
    let line = |text: &str| json!({"type": "line", "id": "i", "key": "k", "data": {"text": text}});
    ann.send(line("<")).await;
    ann.expect(json!({"type": "line", "seq": 1, "data": {"text": "&lt;"}}))
        .await;
    let first = ann.expect(json!({"type": "ack", "seq": 1})).await;
    ann.ask(line("<"), first).await;
    // What it became is something else to have sent.
    ann.ask(line("&lt;"), json!({"code": "key_reused"})).await;
    ann.ask(line(" < "), json!({"code": "key_reused"})).await;
}
