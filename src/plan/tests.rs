use std::path::Path;
use std::time::Duration;

use crate::config::{Environment, MemoryFiles, read};
use crate::diag::Severity;
use crate::plan::{AuthMethod, CountLimit, Forward, Lookup, Outcome, Patience, build};

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
    let mut outcome = build(&read, &files);
    // What attackers would like has its own reports (tests/golden); here it is about what the file means.
    let attacks = crate::diag::catalogue::security::ALL;
    outcome
        .findings
        .retain(|finding| !attacks.contains(&finding.code));
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

/// A file with these sections instead of the usual ones; `-` leaves one out.
fn file(sections: &[(&str, &str)]) -> String {
    let usual = [
        ("server", "-"),
        ("pages", "-"),
        ("auth", "{guest: {anonymous: {}}}"),
        ("rate_limits", "-"),
        ("messages", "{message: {schema: true, to: room}}"),
        (
            "rooms",
            "{'room:{room_id}': {may_join: 'true', messages: [message]}}",
        ),
        (
            "endpoints",
            "{/ws: {auth: guest, rooms: ['room:{room_id}']}}",
        ),
        ("webhooks", "-"),
    ];
    let mut text = String::from("version: 1\n");
    for (name, default) in usual {
        let value = sections.iter().find(|(section, _)| *section == name);
        let value = value.map_or(default, |(_, value)| value);
        if value != "-" {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

/// Codes and sentences, without places and repairs.
fn check(sections: &[(&str, &str)], expected: &[&str]) {
    let text = file(sections);
    let (outcome, told) = planned(&text);
    let found: Vec<_> = outcome
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.code.slug, finding.message))
        .collect();
    assert_eq!(found, expected, "{text}\n{told}");
}

#[test]
fn rules_are_told_where_they_stand() {
    let room = |rest: &str| format!("{{'room:{{room_id}}': {{messages: [message], {rest}}}}}");
    check(
        &[("rooms", &room("may_join: params.id == user.id"))],
        &["rule/unknown-field: `params` has no `id`"],
    );
    check(
        &[("rooms", &room("may_join: data.x == 1"))],
        &["rule/unavailable-here: `data` does not exist here"],
    );
    // One text in two rooms is told once for each name that a room lacks.
    check(
        &[
            (
                "messages",
                "{message: {schema: true, to: room, allow: 'params.room_id == user.id'}}",
            ),
            (
                "rooms",
                "{'room:{room_id}': {may_join: 'true', messages: [message]}, 'desk:{ticket}': {may_join: 'true', messages: [message]}}",
            ),
            (
                "endpoints",
                "{/ws: {auth: guest, rooms: ['room:{room_id}', 'desk:{ticket}']}}",
            ),
        ],
        &["rule/unknown-field: `params` has no `room_id`"],
    );
    check(
        &[
            (
                "auth",
                "{numbered: {anonymous: {user_id: '{path.client}'}}}",
            ),
            (
                "endpoints",
                "{'/ws/{client_id}': {auth: numbered, rooms: ['room:{room_id}']}}",
            ),
        ],
        &["rule/unknown-field: `path` has no `client`"],
    );
}

#[test]
fn contradictions_are_found() {
    for (sections, expected) in [
        (
            vec![
                (
                    "messages",
                    "{message: {schema: true, to: sender, sent_by: server}}",
                ),
                (
                    "server",
                    "{api: {keys: {k: {secret: 0123456789abcdef0, scopes: [publish]}}}}",
                ),
            ],
            vec![
                "plan/contradiction: `to: sender` contradicts `sent_by: server`: the application has no connection",
            ],
        ),
        (
            vec![(
                "endpoints",
                "{/ws: {auth: guest, rooms: ['room:{room_id}'], messages: [message]}}",
            )],
            vec![
                "plan/contradiction: `message` goes `to: room`, but belongs to an endpoint, which is no room",
            ],
        ),
        (
            vec![(
                "endpoints",
                "{/ws: {auth: guest, protocol: raw, raw: {to: room}}, /a: {auth: guest, rooms: ['room:{room_id}']}}",
            )],
            vec![
                "plan/contradiction: frames go to a room, but connections of this endpoint are in none",
            ],
        ),
        (
            vec![(
                "endpoints",
                "{/ws: {auth: guest, render: {message: '{data}'}, rooms: ['room:{room_id}']}}",
            )],
            vec![
                "plan/contradiction: `render` belongs to `protocol: text`, which this endpoint does not speak",
            ],
        ),
        (
            vec![(
                "endpoints",
                "{/ws: {auth: guest, every_frame: message, rooms: ['room:{room_id}']}}",
            )],
            vec![
                "plan/contradiction: nobody can join by a frame here: with `every_frame` every frame is data",
            ],
        ),
        (
            vec![(
                "endpoints",
                "{/ws: {auth: guest, every_frame: message}, /a: {auth: guest, rooms: ['room:{room_id}']}}",
            )],
            vec![
                "plan/contradiction: `message` goes to a room, but no room that this endpoint joins takes it",
            ],
        ),
        (
            vec![(
                "rooms",
                "{'room:{room_id}': {may_join: 'true', messages: [message], history: {messages: 5, replay_on_join: 6}}}",
            )],
            vec!["plan/contradiction: a newcomer cannot get 6 messages: 5 are kept"],
        ),
        (
            vec![
                ("rate_limits", "{a: {rate: 1/s, per: room}}"),
                (
                    "endpoints",
                    "{/ws: {auth: guest, rooms: ['room:{room_id}'], rate_limit: {connect: [a]}}}",
                ),
            ],
            vec!["plan/contradiction: `a` cannot limit connecting: who connects is in no room yet"],
        ),
        (
            vec![
                ("rate_limits", "{a: {rate: 1/s, per: room}}"),
                (
                    "messages",
                    "{message: {schema: true, to: room}, over: {schema: true, to: {room: 'room:1'}, rate_limit: [a]}}",
                ),
                (
                    "endpoints",
                    "{/ws: {auth: guest, rooms: ['room:{room_id}'], messages: [over]}}",
                ),
            ],
            vec![
                "plan/contradiction: `a` cannot limit a type that belongs to an endpoint: its frames are in no room, also where they are sent to one",
            ],
        ),
        (
            vec![
                (
                    "rate_limits",
                    "{a: {rate: 1/s, per: type}, b: {rate: 1KiB/s, per: ip}}",
                ),
                (
                    "endpoints",
                    "{/ws: {auth: guest, rooms: ['room:{room_id}'], rate_limit: {connect: [a], join: [a, b]}}}",
                ),
            ],
            vec![
                "plan/contradiction: `a` cannot limit connecting: who connects sends no message",
                "plan/contradiction: `a` cannot limit joining: who joins sends no message",
                "plan/contradiction: `b` cannot limit joining: it counts bytes of messages",
            ],
        ),
        (
            vec![
                (
                    "rate_limits",
                    "{chatty: {rate: 1KiB/s, burst: 5, per: user}, b: {rate: 5/s, burst: 1KiB, per: user}}",
                ),
                (
                    "endpoints",
                    "{/ws: {auth: guest, rooms: ['room:{room_id}'], rate_limit: {messages: [chatty, b]}}}",
                ),
            ],
            vec![
                "plan/contradiction: `burst` counts one by one, and `rate` counts bytes",
                "plan/contradiction: `burst` counts bytes, and `rate` does not",
            ],
        ),
        (
            vec![
                (
                    "auth",
                    "{guest: {anonymous: {}}, late: {jwt: {algorithms: [HS256], secret: '${JWT_SECRET}', credential: {first_message: 5s}}}}",
                ),
                (
                    "endpoints",
                    "{/ws: {auth: [late, guest], rooms: ['room:{room_id}']}}",
                ),
            ],
            vec![
                "plan/contradiction: `late` waits for the first frame, so no other mode can stand beside it",
            ],
        ),
    ] {
        check(&sections, &expected);
    }
}

#[test]
fn what_does_not_run_yet_is_told_with_what_does() {
    for (sections, expected) in [
        (
            vec![("server", "{console: {key: 0123456789abcdef}}")],
            "`console`",
        ),
        (
            vec![("server", "{broker: {nats: {url: 'nats://x'}}}")],
            "`broker: nats`",
        ),
        (
            vec![(
                "rooms",
                "{'room:{room_id}': {may_join: 'true', messages: [message], presence: {state: {cursor: true}}}}",
            )],
            "`state`",
        ),
        (
            vec![(
                "rooms",
                "{'room:{room_id}': {may_join: 'true', messages: [message], presence: {announce: {joined: came, every: 1s}}}}",
            )],
            "`every`",
        ),
    ] {
        let expected = format!("plan/not-supported-yet: {expected} does not run in this version");
        check(&sections, &[&expected]);
    }
}

#[test]
fn listeners_are_checked() {
    let server = |listen: &'static str| vec![("server", listen)];
    let cases: [(&'static str, &[&str]); 20] = [
        ("{listen: 'unix:t.sock'}", &[]),
        ("{listen: ['unix:/run/t.sock', '127.0.0.1:1']}", &[]),
        ("{listen: {address: 'unix:t.sock', mode: 0666}}", &[]),
        (
            "{listen: {address: 'unix:t.sock', proxy_protocol: true}, trusted_proxies: [unix]}",
            &[],
        ),
        (
            "{listen: '127.0.0.1:1', trusted_proxies: [unix]}",
            &["plan/no-effect: `unix` has no effect: no listener is a Unix socket"],
        ),
        (
            "{listen: ['0.0.0.0:1', '127.0.0.1:1']}",
            &["plan/bad-address: `127.0.0.1:1` is listened on twice / remove `0.0.0.0:1` or"],
        ),
        (
            "{listen: ['[::1]:1', '[::]:1']}",
            &["plan/bad-address: `[::]:1` is listened on twice"],
        ),
        ("{listen: ['0.0.0.0:1', '127.0.0.1:2', '[::1]:1']}", &[]),
        (
            "{listen: [{address: '127.0.0.1:1', serve: [endpoints, console]}]}",
            &["plan/not-supported-yet: `console` does not run in this version"],
        ),
        (
            "{listen: {address: 'unix:t.sock', mode: 0888}}",
            &["`0888` is not a file's mode"],
        ),
        (
            "{listen: {address: 'unix:t.sock', mode: rw}}",
            &["`rw` is not a file's mode"],
        ),
        (
            "{listen: {address: '127.0.0.1:1', mode: 0660}}",
            &["an address of TCP has no file whose `mode` could be set"],
        ),
        ("{listen: 'unix:'}", &["`unix:` names no file"]),
        ("{listen: /run/t.sock}", &["write `unix:/run/t.sock`"]),
        (
            "{listen: ['unix:t.sock', 'unix:t.sock']}",
            &["`unix:t.sock` is listened on twice"],
        ),
        ("{listen: ['127.0.0.1:0', '127.0.0.1:0']}", &[]),
        (
            "{listen: {address: '127.0.0.1:1', proxy_protocol: true}}",
            &["`trusted_proxies` names nobody"],
        ),
        (
            "{listen: {address: 'unix:t.sock', tls: {certificate: a, key: b}}}",
            &[
                "a Unix socket has no TLS",
                "the certificate `a` cannot be read",
                "the key `b`",
            ],
        ),
        (
            "{listen: [{address: '127.0.0.1:1', serve: [endpoints, api]}]}",
            &["`api` is served here, and the file has no `server.api`"],
        ),
        (
            "{listen: [{address: '127.0.0.1:1', serve: [metrics]}]}",
            &["no listener serves `endpoints`"],
        ),
    ];
    for (listen, expected) in cases {
        let (_, told) = planned(&file(&server(listen)));
        assert_eq!(told.lines().count(), expected.len(), "{listen}: {told}");
        for expected in expected {
            assert!(told.contains(expected), "{listen}: {told}");
        }
    }
}

#[test]
fn a_listener_has_the_tls_of_the_server_unless_it_says_otherwise() {
    let listen = "{tls: {certificate: a.pem, key: a.key}, listen: ['127.0.0.1:1', {address: '127.0.0.1:2', tls: false}, 'unix:t.sock']}";
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signs");
    let files = MemoryFiles::default()
        .with("channels.yaml", file(&[("server", listen)]))
        .with("a.pem", certificate.pem())
        .with("a.key", key.serialize_pem());
    let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
    let plan = build(&read, &files).plan.expect("a plan");
    let spoken = plan
        .server
        .listen
        .iter()
        .map(|listener| listener.tls.is_some());
    assert_eq!(spoken.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn what_runs_is_taken() {
    for sections in [
        vec![(
            "server",
            "{listen: [{address: '127.0.0.1:1', serve: [endpoints, metrics]}, 'unix:t.sock'], trusted_proxies: [10.0.0.0/8, '::1', unix], on_exceed: close}",
        )],
        vec![("pages", "{/: ./public}")],
        vec![
            (
                "rate_limits",
                "{a: {rate: 1/s, per: ip, dry_run: true}, chatty: {rate: 64KiB/s, burst: 256KiB, per: type}}",
            ),
            (
                "endpoints",
                "{/ws: {auth: guest, rooms: ['room:{room_id}'], rate_limit: {connect: [a], messages: [chatty]}, limits: {strikes: 3}}}",
            ),
        ],
        vec![(
            "rooms",
            "{'room:{room_id}': {may_join: 'true', messages: [message], inbox: {owner: params.room_id, receipt: device}, idempotency: {window: 1m, keys: 10}}}",
        )],
    ] {
        check(&sections, &[]);
    }
}

#[test]
fn what_is_sanitized_is_a_text() {
    let check_sanitize = |sanitize: &str, expected: &[&str]| {
        let message = format!(
            "{{message: {{schema: {{type: object, properties: {{text: {{type: string}}, n: {{type: integer}}}}, additionalProperties: false}}, to: room, sanitize: {sanitize}}}}}"
        );
        check(&[("messages", &message)], expected);
    };
    check_sanitize("{/text: escape_html}", &[]);
    check_sanitize("{/text: [trim, normalize_unicode, strip_html]}", &[]);
    for (pointer, expected) in [
        (
            "/n",
            "plan/no-text-there: `/n` of `message` is never a text: its type is `integer`",
        ),
        (
            "/other",
            "plan/no-text-there: `/other` cannot be in the data of `message`",
        ),
        (
            "''",
            "plan/no-text-there: the data of `message` is never a text: its type is `object`",
        ),
        (
            "text",
            "plan/bad-pointer: `text` is not a JSON Pointer: it does not begin with `/`",
        ),
        (
            "/a~b",
            "plan/bad-pointer: in `/a~b` a `~` stands before something other than `0` or `1`",
        ),
    ] {
        check_sanitize(&format!("{{{pointer}: trim}}"), &[expected]);
    }
    check_sanitize(
        "{/text: [escape_html, strip_html]}",
        &["plan/contradiction: `escape_html` and `strip_html` together escape twice"],
    );
    let open = "{message: {schema: {type: object, properties: {text: {type: string}}}, to: room, sanitize: {/txt: trim}}}";
    let (_, told) = planned(&file(&[("messages", open)]));
    assert!(told.contains("plan/no-effect: the schema of `message` does not declare `/txt` / did you mean `/text`?"), "{told}");
}

#[test]
fn a_dry_run_leaves_the_defaults_in_place() {
    let (outcome, _) = planned(&file(&[
        (
            "server",
            "{limits: {connections: 5, connections_per_ip: 5000, dry_run: true}}",
        ),
        (
            "endpoints",
            "{/ws: {auth: guest, rooms: ['room:{room_id}'], limits: {connections_per_user: 3, strikes: 2, dry_run: true}}}",
        ),
    ]));
    let plan = outcome.plan.expect("a plan");
    let limit = |max, tried| CountLimit { max, tried };
    assert_eq!(plan.server.connections, limit(100_000, Some(5)));
    assert_eq!(plan.server.connections_per_ip, limit(5000, Some(5000)));
    let limits = &plan.endpoints[0].limits;
    assert_eq!(limits.connections_per_user, limit(20, Some(3)));
    assert_eq!(limits.rooms_per_connection, limit(100, None));
    assert_eq!(limits.strikes, limit(usize::MAX, Some(2)));
    let idle = "{/ws: {auth: guest, rooms: ['room:{room_id}'], limits: {message_size: 1KiB, dry_run: true}}}";
    let (_, told) = planned(&file(&[("endpoints", idle)]));
    assert!(
        told.contains("plan/no-effect: `dry_run` has no effect"),
        "{told}"
    );
}

#[test]
fn defaults_are_filled_in() {
    let (outcome, _) = planned(&file(&[("rate_limits", "{a: {rate: 300/min, per: ip}}")]));
    let plan = outcome.plan.expect("a plan");
    assert_eq!(plan.server.listen[0].address.to_string(), "127.0.0.1:8000");
    assert_eq!(plan.rate_limits[0].burst.get(), 300);
    let endpoint = &plan.endpoints[0];
    assert!(endpoint.origins.same && !endpoint.origins.any);
    assert_eq!(endpoint.limits.message_size.bytes(), 64 << 10);
    assert_eq!(endpoint.limits.strikes, CountLimit::NONE);
    let room = &plan.rooms[0];
    assert!(room.history.is_none() && room.inbox.is_none());
    assert_eq!(room.idempotency_window.as_secs(), 300);
    assert!(room.messages["message"].schema.accepts_all());
}

#[test]
fn what_could_not_be_read_leaves_no_false_alarm() {
    let text = file(&[(
        "endpoints",
        "{/ws: {auth: guest, rooms: ['room:{room_id}'], unknown: 1}}",
    )]);
    let (outcome, told) = planned(&text);
    assert!(outcome.plan.is_none());
    assert_eq!(outcome.findings.len(), 1, "{told}");
}

#[test]
fn problems_of_schema_files_are_told_in_them() {
    let text = file(&[
        (
            "messages",
            "{message: {schema: schemas/message.json, to: room}, note: {schema: schemas/message.json, to: others}}",
        ),
        (
            "rooms",
            "{'room:{room_id}': {may_join: 'true', messages: [message, note]}}",
        ),
    ]);
    let files = MemoryFiles::default()
        .with("channels.yaml", text)
        .with(
            "schemas/message.json",
            r#"{"type": "object", "properties": {"by": {"$ref": "common.json#/$defs/user"}}}"#,
        )
        .with(
            "schemas/common.json",
            r#"{"$defs": {"user": {"type": "strng"}}}"#,
        );
    let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
    let outcome = build(&read, &files);
    let told: Vec<_> = outcome
        .findings
        .iter()
        .map(|finding| {
            let source = read.sources.get(finding.span.source);
            let named: Vec<_> = finding
                .labels
                .iter()
                .map(|(span, _)| read.sources.text(*span))
                .collect();
            format!("{} {} {named:?}", source.path.display(), finding.message)
        })
        .collect();
    assert_eq!(
        told,
        ["schemas/common.json `strng` is not a type of JSON [\"schemas/message.json\"]"]
    );
}

/// Either a Plan or an error that says why not, whatever is written.
#[test]
fn without_a_plan_there_is_an_error() {
    for whole in [GOOD, PARITY] {
        let lines: Vec<&str> = whole.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let key = line.find(": ").map(|colon| &line[..colon + 2]);
            let values = ["[]", "{}", "''", "0", "x", "[x]", "{x: y}", "'{'"];
            let changed = key
                .into_iter()
                .flat_map(|key| values.map(|value| format!("{key}{value}")));
            for line in changed.chain([String::new()]) {
                let mut lines = lines.clone();
                lines[index] = &line;
                let text = lines.join("\n");
                let (outcome, told) = planned(&text);
                let refused = outcome
                    .findings
                    .iter()
                    .any(|finding| finding.code.severity == Severity::Error);
                assert_eq!(outcome.plan.is_none(), refused, "{line}\n{told}");
            }
        }
    }
}

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
fn two_thousand_lines_have_a_plan() {
    let text = generated(100);
    assert!(text.lines().count() >= 2000);
    let (outcome, told) = planned(&text);
    assert_eq!(told, "");
    assert!(outcome.plan.is_some());
}

#[test]
fn one_slip_is_one_finding() {
    let file = |auth: &str, limits: &str, taken: &str, room: &str| {
        format!(
            r#"
version: 1
auth: {{guest: {{anonymous: {{}}}}, guest2: {{anonymous: {{}}}}}}
rate_limits: {{slow: {{rate: 1/s, per: user}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms: {{"room:{{id}}": {{may_join: "true", messages: [{taken}]}}}}
endpoints:
  /a: {{auth: guest, rooms: ["{room}"], rate_limit: {{messages: [{limits}]}}}}
  /b: {{auth: {auth}, rooms: ["room:{{id}}"]}}
"#
        )
    };
    for (text, code) in [
        (
            file("guest3", "slow", "line", "room:{id}"),
            "plan/unknown-auth-mode",
        ),
        (
            file("visitor", "slow", "line", "room:{id}"),
            "plan/unknown-auth-mode",
        ),
        (
            file("guest2", "chatty", "line", "room:{id}"),
            "plan/unknown-rate-limit",
        ),
        (
            file("guest2", "slow", "message", "room:{id}"),
            "plan/unknown-message",
        ),
        (
            file("guest2", "slow", "line", "desk:{id}"),
            "plan/unknown-room",
        ),
    ] {
        let (outcome, told) = planned(&text);
        let codes: Vec<_> = outcome
            .findings
            .iter()
            .map(|finding| finding.code.slug)
            .collect();
        assert_eq!(codes, [code], "{told}");
    }
    let (_, told) = planned(&file("guest2", "", "line", "room:{id}"));
    assert!(
        told.contains("plan/unused: nothing uses the rate limit `slow`"),
        "{told}"
    );
}

#[test]
fn what_has_no_effect_is_told() {
    let file = |messages: &str, rooms: &str, endpoints: &str| {
        format!(
            "version: 1\nauth: {{guest: {{anonymous: {{}}}}}}\nmessages:\n  {messages}\nrooms: {rooms}\nendpoints: {endpoints}\n"
        )
    };
    let line = "line: {schema: true, to: room, max_size: 64KiB}";
    let large = "line: {schema: true, to: room, max_size: 65KiB}";
    let kept = "line: {schema: true, to: room, history: true}";
    let rooms = r#"{a: {may_join: "true", messages: [line]}, b: {may_join: "true", messages: [line], history: {}}}"#;
    let over = r#"{a: {may_join: "true", messages: {line: {history: true, max_size: 1MiB}}}}"#;
    let plain = "{/ws: {auth: guest, rooms: [a, b]}}";
    let wide = "{/ws: {auth: guest, rooms: [a, b]}, /w: {auth: guest, rooms: [a], limits: {message_size: 65KiB}}}";
    let only_a = "{/ws: {auth: guest, rooms: [a]}}";
    let deep = "{/ws: {auth: guest, rooms: [a, b], limits: {depth: 128}}}";
    for (text, told_of) in [
        (file(line, rooms, plain), vec![]),
        (file(large, rooms, plain), vec!["4:44 plan/no-effect"]),
        (file(large, rooms, wide), vec![]),
        (file(kept, rooms, plain), vec![]),
        (
            file(kept, &rooms.replace(", history: {}", ""), plain),
            vec!["4:43 plan/no-effect"],
        ),
        (
            file(
                kept,
                &rooms.replace("history: {}", "inbox: {owner: \"'x'\"}"),
                plain,
            ),
            vec![],
        ),
        (
            file(line, over, only_a),
            vec!["5:58 plan/no-effect", "5:74 plan/no-effect"],
        ),
        (file(line, rooms, deep), vec!["6:63 plan/no-effect"]),
        (file(line, rooms, "{}"), vec!["1:1 plan/no-endpoint"]),
    ] {
        let (outcome, told) = planned(&text);
        let places: Vec<&str> = told
            .lines()
            .map(|line| line.split(": ").next().unwrap_or_default())
            .collect();
        assert_eq!(places, told_of, "{text}\n{told}");
        assert!(outcome.plan.is_some(), "{told}");
    }
}

fn pem(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    std::fs::read_to_string(folder.join(name)).expect("the fixture is there")
}

/// What is found of `auth.guest.jwt`, beside files of keys.
fn keys_told(jwt: &str) -> Vec<String> {
    let jwk =
        r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let oct = format!(r#"{{"kty": "oct", "k": "{}"}}"#, "A".repeat(86));
    let set = |jwk: &str| format!("{{\"keys\": [{jwk}]}}");
    let files = MemoryFiles::default()
        .with(
            "channels.yaml",
            file(&[("auth", &format!("{{guest: {{jwt: {{{jwt}}}}}}}"))]),
        )
        .with("rsa.pem", pem("rsa-2048.pem"))
        .with("both.pem", pem("rsa-2048.pem") + &pem("p256.pem"))
        .with("short.pem", pem("rsa-1024.pem"))
        .with("private.pem", pem("p256.pem").replace("PUBLIC", "PRIVATE"))
        .with("ed25519.json", set(jwk))
        .with("oct.json", set(&oct))
        .with("both.json", set(&format!("{oct}, {jwk}")))
        .with(
            "private.json",
            set(&jwk.replace("\"x\"", "\"d\": \"AA\", \"x\"")),
        )
        .with("new.json", set(r#"{"kty": "new"}"#))
        .with("empty.json", set(""));
    let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
    let outcome = build(&read, &files);
    let is_error = |finding: &crate::diag::Diagnostic| finding.code.severity == Severity::Error;
    assert_eq!(
        outcome.plan.is_none(),
        outcome.findings.iter().any(is_error),
        "{jwt}"
    );
    let attacks = crate::diag::catalogue::security::ALL;
    let findings = outcome.findings.iter();
    let findings = findings.filter(|finding| !attacks.contains(&finding.code));
    findings
        .map(|finding| format!("{}: {}", finding.code.slug, finding.message))
        .collect()
}

#[test]
fn keys_and_algorithms_fit_each_other() {
    let secret = "secret: '${JWT_SECRET}'";
    let with = |algorithms: &str, key: &str| format!("algorithms: [{algorithms}], {key}");
    let wrong = |message: &str| vec![format!("plan/wrong-algorithm: {message}")];
    for (jwt, expected) in [
        (with("HS256", secret), vec![]),
        (with("RS256", "public_key_file: rsa.pem"), vec![]),
        (with("RS256, PS512", "public_key_file: rsa.pem"), vec![]),
        (with("RS256, ES256", "public_key_file: both.pem"), vec![]),
        (with("EdDSA", "jwks_file: ed25519.json"), vec![]),
        (with("RS256, EdDSA", "jwks_file: ed25519.json"), vec![]),
        (with("HS512", "jwks_file: oct.json"), vec![]),
        (with("EdDSA", "jwks_file: both.json"), vec![]),
        (with("RS256", "jwks_url: 'https://id.example.com/keys?v=2'"), vec![]),
        (with("RS256", "jwks_url: 'http://127.0.0.1:9000/keys'"), vec![]),
        (with("RS256", "issuer_discovery: 'https://id.example.com/realms/main/'"), vec![]),
        (with("RS256", secret), wrong("`RS256` needs an RSA key: it cannot be done with a secret")),
        (
            with("HS256, RS256", secret),
            vec![
                "plan/wrong-algorithm: `HS256` and `RS256` in one mode: what verifies the one could be used to forge the other".into(),
                "plan/wrong-algorithm: `RS256` needs an RSA key: it cannot be done with a secret".into(),
            ],
        ),
        (with("", secret), wrong("`algorithms` is empty, so that every token is refused")),
        (with("HS256, HS256", secret), vec!["plan/repeated: `HS256` stands twice in this list".into()]),
        (
            with("HS512", secret),
            vec!["plan/weak-secret: the secret has fewer than 64 bytes, which `HS512` needs: tokens could be forged by guessing it".into()],
        ),
        (
            with("HS256", "public_key_file: rsa.pem"),
            wrong("`HS256` needs a secret: it cannot be done with `rsa.pem`, which holds an RSA key"),
        ),
        (
            with("ES256", "public_key_file: rsa.pem"),
            wrong("`ES256` needs a P-256 key: it cannot be done with `rsa.pem`, which holds an RSA key"),
        ),
        (
            with("RS256, ES384", "public_key_file: both.pem"),
            vec![
                "plan/wrong-algorithm: `ES384` needs a P-384 key: it cannot be done with `both.pem`, which holds an RSA key and a P-256 key".into(),
                "plan/wrong-algorithm: a P-256 key in `both.pem` can do none of the `algorithms`".into(),
            ],
        ),
        (
            with("RS256", "public_key_file: short.pem"),
            vec!["plan/weak-key: `PUBLIC KEY` in `short.pem` cannot be used: it has 1024 bits: RSA keys have 2048 to 8192".into()],
        ),
        (
            with("ES256", "public_key_file: private.pem"),
            vec!["plan/private-key: `PRIVATE KEY` in `private.pem` cannot be used: it is a private key".into()],
        ),
        (
            with("EdDSA", "public_key_file: ed25519.json"),
            vec!["plan/bad-keys: `ed25519.json` cannot be used: it has no whole block `-----BEGIN PUBLIC KEY-----`".into()],
        ),
        (
            with("RS256", "jwks_file: rsa.pem"),
            vec!["plan/bad-keys: `rsa.pem` is no JSON Web Key Set: it is not JSON with each key once".into()],
        ),
        (
            with("EdDSA", "jwks_file: private.json"),
            vec!["plan/private-key: key 1 of `private.json` is a private key".into()],
        ),
        (with("RS256", "jwks_file: ed25519.json"), wrong("no key of `ed25519.json` can do any of the `algorithms`")),
        (with("RS256", "jwks_file: oct.json"), wrong("no key of `oct.json` can do any of the `algorithms`")),
        (with("EdDSA", "jwks_file: new.json"), wrong("no key of `new.json` can do any of the `algorithms`")),
        (with("EdDSA", "jwks_file: empty.json"), wrong("no key of `empty.json` can do any of the `algorithms`")),
        (
            with("HS256", "jwks_url: 'https://id.example.com/keys'"),
            wrong("`HS256` needs a secret: it cannot be done with what everybody may fetch"),
        ),
        (
            with("RS256", "jwks_url: 'http://id.example.com/keys'"),
            vec!["plan/bad-issuer: keys that come over plain `http` may be anybody's".into()],
        ),
        (
            with("RS256", "jwks_url: id.example.com/keys"),
            vec!["plan/bad-issuer: keys cannot be fetched from this URL: it does not begin with `http://` or `https://`".into()],
        ),
        (
            with("RS256", "issuer_discovery: 'http://10.0.0.1'"),
            vec!["plan/bad-issuer: keys that come over plain `http` may be anybody's".into()],
        ),
        (
            with("RS256", "issuer_discovery: 'https://id.example.com/?realm=main'"),
            vec!["plan/bad-issuer: an issuer is a URL without query and credentials".into()],
        ),
        (
            with("RS256", "issuer_discovery: 'https://id.example.com/.well-known/openid-configuration'"),
            vec!["plan/bad-issuer: this is where an issuer says what it is, not the issuer's name".into()],
        ),
        (
            with("RS256", "issuer_discovery: 'https://id.example.com', issuer: 'https://id.example.com/'"),
            vec!["plan/contradiction: `issuer` is another than that of `issuer_discovery`, so every token is refused".into()],
        ),
    ] {
        assert_eq!(keys_told(&jwt), expected, "{jwt}");
    }
}

#[test]
fn a_token_is_from_the_issuer_whose_keys_are_asked_for() {
    for (more, expected) in [
        ("", "https://id.example.com/"),
        (
            ", issuer: 'https://id.example.com/'",
            "https://id.example.com/",
        ),
    ] {
        let auth = format!(
            "{{guest: {{jwt: {{algorithms: [RS256], issuer_discovery: 'https://id.example.com/'{more}}}}}}}"
        );
        let (outcome, told) = planned(&file(&[("auth", &auth)]));
        let plan = outcome.plan.unwrap_or_else(|| panic!("{told}"));
        let crate::plan::AuthMethod::Jwt(jwt) = &plan.auth[0].method else {
            panic!("not jwt")
        };
        assert_eq!(jwt.issuer.as_deref(), Some(expected));
        let crate::plan::KeySource::Issuer(keys) = &jwt.keys.source else {
            panic!("not fetched")
        };
        let url = "https://id.example.com/.well-known/openid-configuration";
        assert_eq!(keys.url.to_string(), url);
        assert_eq!(keys.issuer.as_deref(), Some("https://id.example.com/"));
    }
}

#[test]
fn what_tokens_are_asked_for_makes_sense() {
    let jwt = |more: &str| format!("algorithms: [HS256], secret: '${{JWT_SECRET}}', {more}");
    for (more, expected) in [
        ("leeway: 5m", vec![]),
        ("audience: chat", vec![]),
        ("audience: [chat, desk]", vec![]),
        ("require_exp: true", vec![]),
        (
            "leeway: 301s",
            vec![
                "plan/long-leeway: `leeway` is longer than 5 minutes: tokens would work long after their end",
            ],
        ),
        (
            "audience: []",
            vec![
                "plan/contradiction: `audience` is empty: it would have to mean that every token is refused",
            ],
        ),
        (
            "audience: [a, a]",
            vec!["plan/repeated: `a` stands twice in this list"],
        ),
        (
            "require_exp: false",
            vec![
                "security/tokens-without-expiry: tokens without `exp` are good for ever, in whoever's hands they fall",
            ],
        ),
    ] {
        assert_eq!(keys_told(&jwt(more)), expected, "{more}");
    }
}

#[test]
fn the_edge_is_planned_with_its_defaults() {
    let text = file(&[
        (
            "server",
            "{listen: [{address: '127.0.0.1:8443', tls: {acme: {domains: [rt.example.com], terms_agreed: true}}}], hosts: [rt.example.com, '*.example.org'], api: {keys: {a: {secret: sixteen-bytes-or-more, scopes: [publish]}}, cors: {origins: ['https://*.example.com', 'null']}}}",
        ),
        (
            "pages",
            "{/: ./public, /docs: {folder: ./docs, headers: {X-Frame-Options: '', Cache-Control: no-cache}}}",
        ),
    ]);
    let (outcome, told) = planned(&text);
    let plan = outcome.plan.unwrap_or_else(|| panic!("{told}"));
    let crate::plan::Tls::Acme(acme) = &**plan.server.listen[0].tls.as_ref().expect("TLS") else {
        panic!("not from an authority");
    };
    assert_eq!(
        &*acme.directory,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    assert_eq!(acme.cache, std::path::Path::new("acme"));
    let below = crate::plan::HostName::Below(".example.org".into());
    assert_eq!(plan.server.hosts[1], below);
    let cors = plan.server.api.as_ref().and_then(|api| api.cors.as_ref());
    let cors = cors.expect("it is on");
    assert_eq!(
        (cors.listed.len(), cors.subdomains.len(), cors.any),
        (1, 1, false)
    );
    // The folder within comes first.
    let paths: Vec<&str> = plan.pages.iter().map(|page| &*page.path).collect();
    assert_eq!(paths, ["/docs", "/"]);
    let names = |page: usize| -> Vec<&str> {
        let headers = plan.pages[page].headers.iter();
        headers.map(|(name, _)| &**name).collect()
    };
    let kept = [
        "content-security-policy",
        "referrer-policy",
        "x-content-type-options",
        "cache-control",
    ];
    assert_eq!(names(0), kept);
    assert_eq!(names(1).len(), 4);
}

#[test]
fn every_rule_has_a_key_and_a_place() {
    let (outcome, told) = planned(
        r#"version: 1
auth: {guest: {anonymous: {}}}
messages:
  line: {schema: true, to: room, allow: "data != 'x'"}
rooms:
  a:
    may_join: user.id != 'x'
    messages: [line]
  b: {may_join: user.id != 'x', messages: {line: {allow: user.id != 'x'}}}
endpoints:
  /ws: {auth: guest, rooms: [a, b], allow: user.id != 'x'}
"#,
    );
    let plan = outcome.plan.unwrap_or_else(|| panic!("{told}"));
    let rules: Vec<String> = plan.rules.iter().map(|rule| rule.to_string()).collect();
    assert_eq!(
        rules,
        [
            "messages.line.allow (channels.yaml:4)",
            "rooms.a.may_join (channels.yaml:7)",
            "rooms.b.may_join (channels.yaml:9)",
            "rooms.b.messages.line.allow (channels.yaml:9)",
            "endpoints./ws.allow (channels.yaml:11)",
        ]
    );
    assert!(
        plan.rules
            .iter()
            .enumerate()
            .all(|(at, rule)| rule.index == at)
    );
}

#[test]
fn a_fresh_token_needs_a_frame() {
    let file = |endpoints: &str| {
        format!(
            r#"version: 1
auth: {{member: {{jwt: {{algorithms: [HS256], secret: "${{JWT_SECRET}}", expiry: refresh}}}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms: {{a: {{may_join: "true", messages: [line]}}}}
endpoints:
  {endpoints}
"#
        )
    };
    let text = "/text: {auth: member, protocol: text, text_message: line, auto_join: [a], render: {line: '{data}'}}";
    let json = "/json: {auth: member, rooms: [a]}";
    for (endpoints, is_told) in [
        (text.to_owned(), true),
        (json.to_owned(), false),
        (format!("{text}\n  {json}"), false),
    ] {
        let (outcome, told) = planned(&file(&endpoints));
        assert_eq!(
            told.contains("plan/no-effect: `expiry: refresh`"),
            is_told,
            "{told}"
        );
        assert!(outcome.plan.is_some(), "{told}");
    }
}

#[test]
fn audiences_have_to_make_sense() {
    let file = |note: &str, room: &str| {
        format!(
            r#"version: 1
auth: {{guest: {{anonymous: {{}}}}}}
messages: {{note: {{schema: true, {note}}}}}
rooms: {{a: {{may_join: "true", messages: [note], {room}}}}}
endpoints: {{/ws: {{auth: guest, rooms: [a]}}}}
"#
        )
    };
    let staff = "audiences: {staff: \"user.id != 'x'\"}";
    let owned = format!("{staff}, inbox: {{owner: \"'x'\"}}");
    for (note, room, expected) in [
        ("to: room, audience: staff", staff, ""),
        ("to: others, audience: staff", staff, ""),
        ("to: other_connections, audience: staff", staff, ""),
        (
            "to: room, audience: staff, conflate: {every: 1s}",
            staff,
            "",
        ),
        ("to: sender, audience: staff", staff, "plan/contradiction"),
        (
            "to: {user: data}, audience: staff",
            staff,
            "plan/contradiction",
        ),
        ("to: room, audience: staff", "", "plan/unknown-audience"),
        ("to: room", staff, "plan/unused"),
        ("to: room, audience: staff", &owned, "plan/contradiction"),
        (
            "to: room, audience: Staff",
            "audiences: {Staff: \"user.id != 'x'\"}",
            "plan/bad-name",
        ),
    ] {
        let (_, told) = planned(&file(note, room));
        match expected {
            "" => assert_eq!(told, ""),
            code => assert!(told.contains(code), "{note} {room}: {told}"),
        }
    }
}

#[test]
fn claims_are_checked_wherever_rules_stand() {
    let file = |allow: &str, may_join: &str, audience: &str, says: &str| {
        format!(
            r#"version: 1
auth:
  guest: {{anonymous: {{}}}}
  member:
    jwt: {{algorithms: [HS256], secret: "${{JWT_SECRET}}"}}
    claims: {{type: object, properties: {{role: {{type: string}}, team: {{type: object, properties: {{id: {{type: string}}}}}}}}}}
  staff:
    jwt: {{algorithms: [HS256], secret: "${{JWT_SECRET}}"}}
    claims: {{type: object, properties: {{desk: {{type: string}}}}}}
messages:
  line: {{schema: true, to: room, allow: "{says}", audience: some}}
rooms:
  a: {{may_join: "{may_join}", audiences: {{some: "{audience}"}}, messages: [line]}}
endpoints:
  /member: {{auth: [member, guest], rooms: [a], allow: "{allow}"}}
  /staff: {{auth: [staff], rooms: [a]}}
"#
        )
    };
    let good = "user.claims.role == 'x'";
    for (allow, may_join, audience, says, expected) in [
        (
            good,
            "user.claims.role == user.claims.desk",
            "user.claims.team.id == 'x'",
            good,
            None,
        ),
        (
            "user.claims.rolse == 'x'",
            good,
            good,
            good,
            Some("`user.claims` has no `rolse`: did you mean `role`?"),
        ),
        (
            good,
            "user.claims.rolse == 'x'",
            good,
            good,
            Some("`rolse`"),
        ),
        (
            good,
            good,
            "user.claims.team.ids == 'x'",
            good,
            Some("`user.claims.team` has no `ids`"),
        ),
        (
            good,
            good,
            good,
            "user.claims.dsk == 'x'",
            Some("did you mean `desk`?"),
        ),
        // What only the other endpoint's users have.
        ("user.claims.desk == 'x'", good, good, good, Some("`desk`")),
    ] {
        let (outcome, told) = planned(&file(allow, may_join, audience, says));
        match expected {
            None => assert_eq!(told, ""),
            Some(expected) => {
                let told = told.replace(" / ", ": ");
                assert!(told.contains("rule/unknown-field"), "{told}");
                assert!(told.contains(expected), "{told}");
                assert!(outcome.plan.is_none());
            }
        }
    }
}

#[test]
fn questions_have_a_time_and_are_not_remembered_unless_it_is_written() {
    let (outcome, told) = planned(&file(&[
        (
            "auth",
            "{asked: {http: {url: 'http://x/a', forward: [cookie, cookie.A, authorization, header.X-Y, query.t]}}, \
             kept: {session: {cookie: s, lookup: {http: {url: 'http://x/b', secret: s, timeout: 1s, cache: 30s, stale: 5m}}}}, \
             stored: {session: {cookie: s, lookup: {redis: {url: 'redis://x'}}}}}",
        ),
        (
            "endpoints",
            "{/ws: {auth: [asked, kept, stored], rooms: ['room:{room_id}']}}",
        ),
    ]));
    let plan = outcome.plan.unwrap_or_else(|| panic!("{told}"));
    assert_eq!(plan.server.unauthenticated_max, 1000);
    let AuthMethod::Http(asked) = &plan.auth[0].method else {
        panic!("http");
    };
    assert_eq!(asked.call.timeout, Duration::from_secs(3));
    assert_eq!(asked.call.patience, Patience::default());
    assert_eq!(asked.call.secret, None);
    let expected = [
        Forward::Cookies,
        Forward::Cookie("A".into()),
        Forward::Header("authorization".into()),
        Forward::Header("x-y".into()),
        Forward::Query("t".into()),
    ];
    assert_eq!(asked.forward, expected);
    let lookup = |index: usize| match &plan.auth[index].method {
        AuthMethod::Session(session) => &session.lookup,
        _ => panic!("session"),
    };
    let Lookup::Http(call) = lookup(1) else {
        panic!("http");
    };
    assert_eq!(call.timeout, Duration::from_secs(1));
    assert_eq!(call.patience.cache, Duration::from_secs(30));
    assert_eq!(call.patience.stale, Duration::from_secs(300));
    assert!(call.secret.is_some());
    let Lookup::Redis(redis) = lookup(2) else {
        panic!("redis");
    };
    assert_eq!(&*redis.prefix, "session:");
    assert_eq!(redis.timeout, Duration::from_secs(3));
}

#[test]
fn questions_that_cannot_be_asked_are_found() {
    let endpoints = ("endpoints", "{/ws: {auth: a, rooms: ['room:{room_id}']}}");
    let redis = |url: &str| {
        format!("{{a: {{session: {{cookie: s, lookup: {{redis: {{url: '{url}'}}}}}}}}}}")
    };
    for good in ["redis://x", "rediss://u:p@x:1/3", "redis://:p@[::1]:6379/"] {
        check(&[("auth", &redis(good)), endpoints], &[]);
    }
    for bad in [
        "redis:/x",
        "redis://",
        "http://x",
        "redis://x:y",
        "redis://x/a",
        "redis://x/1?a=b",
    ] {
        check(
            &[("auth", &redis(bad)), endpoints],
            &["plan/bad-url: this URL is not one of Redis"],
        );
    }
    let long = "{a: {http: {url: 'http://x', forward: [cookie], timeout: 11s}}}";
    let late = "plan/no-effect: `timeout` of 11s is never over: a handshake ends after 10s";
    check(&[("auth", long), endpoints], &[late]);
    let patient = ("server", "{limits: {handshake: 20s}}");
    check(&[patient, ("auth", long), endpoints], &[]);
    let none = "{a: {http: {url: 'http://x', forward: [cookie], timeout: 0s}}}";
    check(
        &[("auth", none), endpoints],
        &["plan/zero-limit: `timeout` is zero, so the time is always over"],
    );
    let nobody = "{limits: {unauthenticated: 0}}";
    check(
        &[("server", nobody)],
        &["plan/zero-limit: `unauthenticated` is zero, so nothing could ever pass"],
    );
    let any = (
        "endpoints",
        "{/ws: {auth: a, rooms: ['room:{room_id}'], origins: ['*']}}",
    );
    let cookie = "{a: {http: {url: 'http://x', forward: [cookie.s]}}}";
    check(
        &[("auth", cookie), any],
        &[
            "plan/cookie-for-all: any page on the web may connect as the visitor: `a` takes a cookie, which browsers send by themselves",
        ],
    );
    let token = "{a: {http: {url: 'http://x', forward: [query.t]}}}";
    check(&[("auth", token), any], &[]);
}

/// What attackers would like about a file, with the repairs.
fn attacks(text: &str) -> Vec<String> {
    let files = MemoryFiles::default()
        .with("channels.yaml", text)
        .with("s", "a-secret-of-32-bytes-in-a-file!!");
    let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
    let findings = build(&read, &files).findings.into_iter();
    let attacks = findings.filter(|found| found.code.slug.starts_with("security/"));
    attacks
        .map(|found| {
            let help = found.help.unwrap_or_default();
            format!("{}: {} / {help}", found.code.slug, found.message)
        })
        .collect()
}

#[test]
fn secrets_are_found_wherever_they_may_stand() {
    let secret = "0123456789abcdef0123456789abcdef";
    let places = [
        (
            "auth",
            "{guest: {http: {url: 'http://x', forward: [cookie], SECRET}}}",
            "guest",
        ),
        (
            "auth",
            "{guest: {session: {cookie: s, lookup: {http: {url: 'http://x', SECRET}}}}}",
            "guest",
        ),
        (
            "auth",
            "{guest: {session: {cookie: s, lookup: {signed: {SECRET}}}}}",
            "guest",
        ),
        (
            "auth",
            "{guest: {jwt: {algorithms: [HS256], SECRET}}}",
            "guest",
        ),
        (
            "rooms",
            "{'room:{room_id}': {messages: [message], may_join: {token: {algorithms: [HS256], SECRET}}}}",
            "room:{room_id}",
        ),
        (
            "rooms",
            "{'room:{room_id}': {messages: [message], may_join: {http: {url: 'http://x', SECRET}}}}",
            "room:{room_id}",
        ),
    ];
    for (section, value, name) in places {
        let with = |key: &str| attacks(&file(&[(section, &value.replace("SECRET", key))]));
        let found = |help: &str| {
            vec![format!(
                "security/secret-in-file: the secret of `{name}` stands in the file: whoever reads the file has it / {help}"
            )]
        };
        let literal = "take it from the environment, `secret: \"${NAME}\"`, or from a file, `secret_file: PATH`";
        assert_eq!(
            with(&format!("secret: {secret}")),
            found(literal),
            "{value}"
        );
        let default = "leave the default out: the variable has to be set then";
        let written = format!("secret: '${{UNSET:-{secret}}}'");
        assert_eq!(with(&written), found(default), "{value}");
        for good in ["secret: '${JWT_SECRET}'", "secret_file: s"] {
            assert!(with(good).is_empty(), "{value}");
        }
    }
}

#[test]
fn passwords_in_urls_are_found() {
    let redis = "{guest: {session: {cookie: s, lookup: {redis: {url: 'redis://USER@x'}}}}}";
    let keys = "{guest: {jwt: {algorithms: [RS256], audience: a, jwks_url: 'https://USER@x'}}}";
    let http = "{guest: {http: {url: 'http://USER@x', forward: [cookie]}}}";
    for (auth, repair) in [
        (redis, "url_file"),
        (keys, "${PASSWORD}"),
        (http, "${PASSWORD}"),
    ] {
        let with = |user: &str| attacks(&file(&[("auth", &auth.replace("USER", user))]));
        for (user, repair) in [
            ("u:pw", repair),
            (":pw", repair),
            ("u:pw${JWT_SECRET}", repair),
            ("u:${UNSET:-pw}", "leave the default out"),
        ] {
            let found = with(user);
            assert_eq!(found.len(), 1, "{auth} {user}");
            assert!(
                found[0].starts_with("security/secret-in-file: the password in the URL of `guest`")
            );
            assert!(found[0].contains(repair), "{found:?}");
        }
        for user in ["u", "u:", "u:${JWT_SECRET}", "${JWT_SECRET}"] {
            assert!(with(user).is_empty(), "{auth} {user}");
        }
    }
    let whole = redis.replace("redis://USER@x", "${UNSET:-redis://u:pw@x}");
    assert_eq!(attacks(&file(&[("auth", &whole)])).len(), 1);
}

#[test]
fn what_asks_the_application_cannot_be_guessed() {
    let auth = |secret: &str| {
        format!("{{guest: {{http: {{url: 'http://x', forward: [cookie], secret: {secret}}}}}}}")
    };
    check(&[("auth", &auth("0123456789abcdef"))], &[]);
    check(
        &[("auth", &auth("abc"))],
        &[
            "plan/short-api-key: `secret`, by which the application knows who asks, is short enough to be guessed",
        ],
    );
}

#[test]
fn repairs_are_such_that_they_can_be_written() {
    let jwt = |jwt: &str| vec![("auth", format!("{{guest: {{jwt: {{{jwt}}}}}}}"))];
    let sanitized = |schema: &str, pointer: &str| {
        let message =
            format!("{{message: {{schema: {schema}, to: room, sanitize: {{{pointer}: trim}}}}}}");
        vec![("messages", message)]
    };
    let endpoint = |more: &str| {
        let endpoint = format!("{{/ws: {{auth: guest, {more}}}}}");
        vec![("endpoints", endpoint)]
    };
    let room = "rooms: ['room:{room_id}']";
    for (sections, expected) in [
        (
            jwt("algorithms: [rs256], jwks_url: 'https://x'"),
            "did you mean `RS256`?",
        ),
        (
            jwt("algorithms: [RS256]"),
            "/ write `public_key_file: FILE` or `jwks_url: URL`",
        ),
        (jwt("algorithms: [HS256]"), "/ write `secret: "),
        (
            sanitized("{type: string}", "/text"),
            "/ write `\"\"`, where the schema has a text",
        ),
        (
            sanitized(
                "{type: object, properties: {n: {type: integer}, tags: {type: array, items: {type: string}}, 'a/b': {type: string}}}",
                "/n",
            ),
            "/ write `\"/a~1b\"` or `\"/tags/*\"`, where the schema has a text",
        ),
        (
            sanitized("{type: integer}", "''"),
            "/ declare a text in the schema, or remove the line",
        ),
        (
            endpoint(&format!("compression: true, {room}")),
            "/ write `compression: {}`",
        ),
        (
            endpoint(&format!("compression: false, {room}")),
            "/ leave `compression` out",
        ),
        (
            endpoint("auto_join: ['room:{path.x}']"),
            "the path `/ws` has no parameters / write `/ws/{x}`",
        ),
        (
            endpoint(&format!("allow: path.team == 'a', {room}")),
            "the path `/ws` has no parameters / write `/ws/{team}`",
        ),
    ] {
        let sections: Vec<_> = sections
            .iter()
            .map(|(name, text)| (*name, &**text))
            .collect();
        let (_, told) = planned(&file(&sections));
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    for (owner, expected) in [
        ("params.id", "as in `may_join: user.id == params.id`"),
        ("\"params.id + 'x'\"", "user.id == (params.id + 'x')"),
    ] {
        let rooms = format!(
            "{{'room:{{id}}': {{may_join: 'true', messages: [message], inbox: {{owner: {owner}}}}}}}"
        );
        let endpoints = "{/ws: {auth: guest, rooms: ['room:{id}']}}";
        let found = attacks(&file(&[("rooms", &rooms), ("endpoints", endpoints)]));
        assert!(
            found.len() == 1 && found[0].ends_with(expected),
            "{found:?}"
        );
    }
}

#[test]
fn what_lets_nobody_in_is_found() {
    let jwt = |credential: &str| {
        format!(
            "{{guest: {{jwt: {{algorithms: [HS256], secret: '${{JWT_SECRET}}', credential: {credential}}}}}}}"
        )
    };
    for good in [
        "{query: t}",
        "{header: X-Auth}",
        "{cookie: 's[id]'}",
        "{subprotocol: bearer, query: t}",
    ] {
        check(&[("auth", &jwt(good))], &[]);
    }
    for (bad, message) in [
        (
            "{}",
            "`credential` names no place, so that no token is ever found",
        ),
        ("{query: ''}", "the name of a query parameter is empty"),
        (
            "{header: X Auth}",
            "`X Auth` cannot be the name of a header",
        ),
        ("{cookie: s id}", "`s id` cannot be the name of a cookie"),
        (
            "{subprotocol: a/b}",
            "`a/b` cannot be the name of a subprotocol",
        ),
    ] {
        let expected = format!("plan/bad-credential: {message}");
        check(&[("auth", &jwt(bad))], &[&expected]);
    }
    let session = "{guest: {session: {cookie: s id, lookup: {file: sessions.yaml}}}}";
    check(
        &[("auth", session)],
        &["plan/bad-credential: `s id` cannot be the name of a cookie"],
    );
    let idle = "{message: {schema: {type: object, properties: {text: {type: string}}}, to: room, sanitize: {/text: []}}}";
    check(
        &[("messages", idle)],
        &["plan/no-effect: nothing is done to the text at `/text`"],
    );
}

#[test]
fn findings_stand_where_the_mistake_is() {
    for (auth, place) in [
        (
            "{guest: {jwt: {algorithms: [], secret: '${JWT_SECRET}'}}}",
            "2:34 plan/wrong-algorithm",
        ),
        (
            "{guest: {http: {url: 'http://x', forward: []}}}",
            "2:49 plan/missing-key",
        ),
        (
            "{guest: {http: {url: 'http://x'}}}",
            "2:16 plan/missing-key",
        ),
    ] {
        let (_, told) = planned(&file(&[("auth", auth)]));
        assert!(told.starts_with(place), "{told}");
    }
    let token = "auth: {guest: {jwt: {algorithms: [HS256], secret: '${JWT_SECRET}'}}}";
    for (listen, found) in [
        ("0.0.0.0:1", 1),
        ("0.0.0.0", 0),
        ("example.com:1", 0),
        ("'[::]:1'", 1),
        ("127.0.0.1:1", 0),
    ] {
        let text = file(&[("auth", "-"), ("server", &format!("{{listen: {listen}}}"))]);
        let plain = attacks(&format!("{text}{token}\n"));
        assert_eq!(plain.len(), found, "{listen} {plain:?}");
    }
}

/// Every file may be read by all.
struct OpenToAll(MemoryFiles);

impl crate::config::Files for OpenToAll {
    fn is_open_to_all(&self, _path: &Path) -> bool {
        true
    }

    fn read(&self, path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
        self.0.read(path, bytes_max)
    }

    fn list(&self, path: &Path) -> std::io::Result<Vec<crate::config::Entry>> {
        self.0.list(path)
    }

    fn real_path(&self, path: &Path) -> std::io::Result<std::path::PathBuf> {
        self.0.real_path(path)
    }
}

#[test]
fn only_a_private_key_is_exposed() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("signs");
    for (tls, expected) in [
        ("{certificate: a.pem, key: a.key}", vec!["plan/exposed-key"]),
        (
            "{certificate: a.key, key: a.pem}",
            vec!["plan/bad-certificate"],
        ),
    ] {
        let files = MemoryFiles::default()
            .with(
                "channels.yaml",
                file(&[("server", &format!("{{tls: {tls}}}"))]),
            )
            .with("a.pem", certificate.pem())
            .with("a.key", key.serialize_pem());
        let files = OpenToAll(files);
        let read = read(Path::new("channels.yaml"), &files, &Variables).expect("a file");
        let findings = build(&read, &files).findings;
        let slugs: Vec<_> = findings.iter().map(|found| found.code.slug).collect();
        assert_eq!(slugs, expected, "{tls}");
    }
}
