use std::path::Path;

use crate::config::{Environment, MemoryFiles, read};
use crate::plan::{Outcome, build};

struct Variables;

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        (name == "JWT_SECRET").then(|| "a-test-secret-of-at-least-32-bytes!!".to_owned())
    }
}

fn planned(text: &str) -> (Outcome, String) {
    let files = MemoryFiles::default()
        .with("channels.yaml", text)
        .with("public/index.html", "")
        .with("sessions.yaml", "{}");
    let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
    let outcome = build(&read, &files);
    let told = outcome
        .findings
        .iter()
        .map(|finding| {
            let at = read
                .sources
                .line_column(finding.span.source, finding.span.start);
            let place = format!("{}:{}", at.line, at.column);
            let help = finding.help.as_deref().unwrap_or_default();
            format!(
                "{place} {}: {} / {help}\n",
                finding.code.slug, finding.message
            )
        })
        .collect();
    (outcome, told)
}

#[test]
fn a_good_file_has_a_plan() {
    let (outcome, told) = planned(GOOD);
    assert_eq!(told, "");
    let plan = outcome.plan.expect("a plan");
    assert_eq!(plan.rooms.len(), 2);
    println!("{plan:#?}");
}

const GOOD: &str = r#"
version: 1
pages: {/: ./public}
auth:
  guest:
    anonymous: {user_id: "{path.room_id}"}
  member:
    jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", username: username}
    claims: {type: object, properties: {roles: {type: array, items: {type: string}}}}
rate_limits:
  chatty: {rate: 10/s, burst: 20, per: user}
messages:
  message:
    schema: {type: object, properties: {text: {type: string}}, required: [text]}
    to: room
    rate_limit: [chatty]
    allow: "!('muted' in user.claims.roles)"
    examples: [{text: hello}]
  echo: {schema: true, to: sender}
rooms:
  "room:{room_id}":
    params: {room_id: {pattern: "^[a-z0-9-]{1,40}$"}}
    may_join: "true"
    messages: [message]
    presence: {members: true, announce: {joined: user_joined, left: user_left, to: room}}
    history: {messages: 100, age: 24h, replay_on_join: 20}
  "room:lobby":
    may_join: user.authenticated
    messages: {message: {allow: "true"}}
endpoints:
  /ws/room/{room_id}:
    auth: [member, guest]
    auto_join: ["room:{path.room_id}"]
    rooms: ["room:{room_id}"]
    messages: [echo]
"#;

#[test]
fn zz_print() {
    let root = Path::new("tests/golden/diagnostics");
    let mut all: Vec<_> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    for path in all {
        let text = std::fs::read_to_string(path.join("channels.yaml")).unwrap();
        println!("== {}\n{}", path.file_name().unwrap().to_str().unwrap(), planned(&text).1);
    }
}
