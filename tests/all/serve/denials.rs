//! Denials are counted by the rule that said no, failures apart.

use serde_json::json;

use crate::serve::harness::Server;

const RULED: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages:
  line: {schema: true, to: room, allow: "data != 'no' && size(data) < 5"}
rooms:
  "room:{id}": {may_join: "params.id != 'closed'", messages: [line], presence: {grace: 0s}}
endpoints:
  /ws: {auth: guest, auto_join: ["room:1"], rooms: ["room:{id}"], allow: user.id != 'anon:eve'}
"#;

#[tokio::test]
async fn each_denial_is_counted_by_its_rule() {
    let server = Server::start(RULED);
    let refused = server.refusal("/ws?u=eve", &[]).await;
    assert_eq!(refused.status, 403);
    let mut ann = server.join("/ws?u=ann").await;
    for frame in [
        json!({"type": "join", "room": "room:closed"}),
        json!({"type": "line", "data": "no"}),
        json!({"type": "line", "data": "no"}),
        json!({"type": "line", "data": 7}),
    ] {
        ann.ask(frame, json!({"type": "error", "code": "forbidden"}))
            .await;
    }
    for (metric, count) in [
        ("denials_total{rule=\"endpoints./ws.allow\"}", 1.0),
        ("denials_total{rule=\"rooms.room:{id}.may_join\"}", 1.0),
        ("denials_total{rule=\"messages.line.allow\"}", 2.0),
        ("rule_failures_total{rule=\"messages.line.allow\"}", 1.0),
        ("rule_failures_total{rule=\"endpoints./ws.allow\"}", 0.0),
    ] {
        let told = server.metric(&format!("trunkline_{metric}")).await;
        assert_eq!(told, count, "{metric}");
    }
}
