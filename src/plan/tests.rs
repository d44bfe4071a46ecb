use std::path::Path;

use crate::config::{DiskFiles, Environment, MemoryFiles, read};
use crate::diag::catalogue::{plan, schema};
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

/// Every code has a folder whose file shows it; the golden runner compares how it is told.
#[test]
fn every_code_is_shown_by_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/diagnostics");
    for code in plan::ALL.iter().chain(schema::ALL) {
        let folder = root.join(code.slug.replace('/', "-"));
        let read = read(&folder.join("channels.yaml"), &DiskFiles, &Variables);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", code.slug));
        assert!(
            read.findings.is_empty(),
            "{}: {:?}",
            code.slug,
            read.findings
        );
        let findings = build(&read, &DiskFiles).findings;
        let shown = findings.iter().any(|finding| finding.code == *code);
        assert!(shown, "{}: {findings:?}", code.slug);
    }
}

#[test]
fn what_people_write_by_hand_is_planned_without_a_finding() {
    let (outcome, told) = planned(PARITY);
    assert_eq!(told, "");
    assert_eq!(outcome.plan.expect("a plan").endpoints.len(), 9);
}

const PARITY: &str = r#"
version: 1
server:
  api: {keys: {backend: {secret: a-long-enough-key-of-the-api, scopes: [publish, read], rooms: ["user:*"]}}}
auth:
  guest: {anonymous: {}}
  numbered: {anonymous: {user_id: "{path.client_id}", username: "Client #{path.client_id}"}}
  member: {jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", credential: {query: token}, username: username}}
  browser: {session: {cookie: session_token, lookup: {file: sessions.yaml}}}
messages:
  said: {schema: {type: string}, to: sender}
  echo: {schema: true, to: sender}
  line: {schema: {type: string}, to: room}
  message: {schema: {type: object, properties: {text: {type: string}}, required: [text]}, to: room, ack: true}
  typing: {schema: {type: object}, to: others}
  direct: {schema: {type: object, properties: {to: {type: string}}, required: [to]}, to: {user: data.to}}
  whoami: {schema: true, to: sender, reply: "{'user_id': user.id, 'data': data}"}
  notification: {schema: {type: object}, to: room, sent_by: server}
rooms:
  everyone:
    may_join: "true"
    messages: [line]
    presence: {announce: {joined: client_joined, left: client_left, to: room}}
  "room:{room_id}":
    may_join: "true"
    messages: [message]
    presence: {members: true, announce: {joined: user_joined, left: user_left, to: room}}
  lounge:
    may_join: user.authenticated
    messages: [message, typing]
    presence: {announce: {joined: user_online, left: user_offline, present: online_users}}
  "user:{user_id}":
    may_join: user.id == params.user_id
    messages: [notification]
    inbox: {owner: params.user_id, receipt: on_write}
endpoints:
  /ws: {auth: guest, protocol: text, text_message: said, render: {reply: "Message received: {data}"}}
  /ws/json: {auth: guest, every_frame: echo}
  /ws/{client_id}:
    auth: numbered
    protocol: text
    text_message: line
    auto_join: [everyone]
    render:
      reply: "You wrote: {data}"
      line: "{sender.username} says: {data}"
      client_joined: "{user.username} joined the chat"
      client_left: "{user.username} left the chat"
  /ws/room/{room_id}: {auth: guest, auto_join: ["room:{path.room_id}"]}
  /ws/authenticated: {auth: member, messages: [whoami]}
  /ws/cookie-auth: {auth: browser, messages: [whoami]}
  /ws/advanced: {auth: member, auto_join: [lounge], messages: [direct]}
  /ws/robust: {auth: guest, messages: [echo], heartbeat: {idle: 60s, kind: message}}
  /ws/notifications/{user_id}: {auth: member, auto_join: ["user:{path.user_id}"], reject: close}
"#;

/// A file of `rooms` rooms, each with types, a rule and an endpoint of its own: 20 lines for each.
fn generated(rooms: usize) -> String {
    let mut text = String::from(
        "version: 1\nauth:\n  member:\n    jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\"}\n    claims: {type: object, properties: {roles: {type: array, items: {type: string}}}}\n",
    );
    text.push_str("messages:\n");
    for n in 0..rooms {
        text.push_str(&format!(
            "  message_{n}:
    description: Something of room {n}
    schema:
      type: object
      properties:
        text: {{type: string, maxLength: {n}000, pattern: \"^[a-z{n}]*$\"}}
        kind: {{enum: [a, b, c{n}]}}
      required: [kind]
      additionalProperties: false
    to: room
    allow: \"!('muted_{n}' in user.claims.roles)\"
    examples: [{{kind: a}}]
"
        ));
    }
    text.push_str("rooms:\n");
    for n in 0..rooms {
        text.push_str(&format!(
            "  \"room{n}:{{room_id}}\":
    may_join: \"user.authenticated && params.room_id != 'closed_{n}'\"
    messages: [message_{n}]
    history: {{messages: 100, age: 24h}}
"
        ));
    }
    text.push_str("endpoints:\n");
    for n in 0..rooms {
        text.push_str(&format!(
            "  /ws/room{n}/{{room_id}}:
    auth: member
    auto_join: [\"room{n}:{{path.room_id}}\"]
    limits: {{message_size: 64KiB}}
"
        ));
    }
    text
}

#[test]
#[ignore = "measures time: run it alone, in release"]
fn two_thousand_lines_are_checked_in_a_moment() {
    let text = generated(100);
    assert!(text.lines().count() >= 2000);
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = std::time::Instant::now();
        let (outcome, told) = planned(&text);
        times.push(start.elapsed());
        assert_eq!(told, "");
        assert!(outcome.plan.is_some());
    }
    let limit = std::time::Duration::from_millis(100);
    assert!(times.iter().all(|time| *time < limit), "{times:?}");
}
