//! That `why` says what the server does: random policies and requests, asked of the file, asked of the running server, and made.
//!
//! `WHY_SEED=…` replays one policy, `WHY_POLICIES=…` tries more of them than the default.

use std::time::Duration;

use serde_json::{Value, json};
use std::sync::Arc;

use trunkline::auth::{Authenticator, Means};
use trunkline::decision::FileAlone;
use trunkline::transport::why::{Answering, Question, explain};
use trunkline::webhook::Client as Caller;

use crate::serve::client::Client;
use crate::serve::harness::{SECRET, Server};

const POLICIES: u64 = 120;
const REQUESTS: usize = 8;
const KEY: &str = "Bearer reader-secret-of-32-bytes-more!!!";

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        let index = usize::try_from(self.next() % of.len() as u64).expect("it is small");
        of[index].clone()
    }

    /// Once in `times`.
    fn rarely(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// A line `key: "text"` where there is a text.
    fn line(&mut self, indent: usize, key: &str, of: &[&str]) -> String {
        match self.one(of) {
            "" => String::new(),
            text => format!("{:indent$}{key}: {}\n", "", Value::from(text)),
        }
    }

    /// A line `key: text` where there is a text.
    fn plain(&mut self, indent: usize, key: &str, of: &[&str]) -> String {
        match self.one(of) {
            "" => String::new(),
            text => format!("{:indent$}{key}: {text}\n", ""),
        }
    }
}

const CONNECT_RULES: [&str; 8] = [
    "",
    "",
    "",
    "user.authenticated || query.u == 'ann'",
    "user.claims.role == 'agent' || query.side == 'door' || query.u != 'eve'",
    "path.team in user.claims.teams || path.team == 'red'",
    "!(user.claims.muted) && connection.ip == '127.0.0.1'",
    "size(user.claims.role) > 4",
];

const JOIN_RULES: [&str; 8] = [
    "true",
    "params.id == user.id || params.id == '1' || user.authenticated",
    "params.id in user.claims.rooms || params.id == '1'",
    "user.claims.role == 'agent' || params.id in user.claims.rooms",
    "user.claims.role == 'agent' && !(user.claims.muted || room.users_count > 1)",
    "room.users_count < 2 || user.id.startsWith('a')",
    "user.claims.rooms.exists(r, r == params.id) || room.name == 'open:2' || room.users_count < 5",
    "user.claims.role.size() == 5 || user.authenticated",
];

const SEND_RULES: [&str; 8] = [
    "",
    "",
    "data.text != 'bad'",
    "size(data.text) < 5",
    "user.claims.role == 'agent' || data.kind == 'open'",
    "!(user.claims.muted)",
    "room.users_count < 3",
    "params.id != '2' || data.text.contains('o')",
];

const SCHEMAS: [&str; 4] = [
    "true",
    "{type: object, properties: {text: {type: string, maxLength: 6}}, required: [text]}",
    "{type: object, properties: {text: {enum: [hi, bad, hello]}, to: {type: string}}}",
    "{type: [string, 'null']}",
];

/// A file.
fn policy(chance: &mut Chance) -> String {
    let modes = chance.one(&[
        "guest",
        "member",
        "[member, guest]",
        "[member, guest]",
        "[member, other]",
    ]);
    let place = chance.one(&[
        "query: token",
        "header: authorization",
        "cookie: token",
        "subprotocol: bearer",
        "first_message: 5s",
    ]);
    let place = if modes == "member" {
        place
    } else {
        "query: token"
    };
    let properties = "role: {type: string}, rooms: {type: array, items: {type: string}}, teams: {type: array, items: {type: string}}, \
                      muted: {type: boolean}, home: {type: string}";
    let claims = match chance.next() % 6 {
        0..3 => String::new(),
        3 | 4 => format!("    claims: {{type: object, properties: {{{properties}}}}}\n"),
        _ => format!(
            "    claims: {{type: object, required: [role], properties: {{{properties}}}}}\n"
        ),
    };
    let audience = chance.one(&["", ", audience: chat"]);
    let mut yaml = format!(
        r#"server:
  listen: "127.0.0.1:0"
  api: {{keys: {{reader: {{secret: reader-secret-of-32-bytes-more!!!, scopes: [read]}}}}}}
auth:
  guest: {{anonymous: {{user_id: "{{query.u}}"}}}}
  member:
    jwt: {{algorithms: [HS256], secret: "${{SECRET}}", credential: {{{place}}}, user_id: sub{audience}}}
{claims}  other:
    jwt: {{algorithms: [HS256], secret: "another-secret-of-at-least-32-bytes!", credential: {{query: other}}, user_id: sub}}
rate_limits:
  coming: {{rate: 1/h, burst: 3, per: user}}
  rare: {{rate: 1/h, burst: 1, per: user}}
  roomy: {{rate: 1/h, burst: 1, per: room}}
  watched: {{rate: 1/h, burst: 1, per: server, dry_run: true}}
messages:
"#
    );
    for (name, routes) in [
        ("line", &["room", "others", "other_connections"][..]),
        ("direct", &["{user: data.to}", "sender", "none"]),
        ("far", &["{room: \"open:{data.to}\"}", "sender"]),
        ("clean", &["room", "others", "other_connections"]),
    ] {
        yaml += &format!("  {name}:\n");
        if name == "clean" {
            yaml += "    schema: {type: object, properties: {text: {type: string, maxLength: 10}}, required: [text]}\n";
            yaml += &chance.plain(
                4,
                "sanitize",
                &["{/text: [trim, escape_html]}", "{/text: strip_html}"],
            );
            yaml += &chance.plain(4, "audience", &["", "staff"]);
        } else {
            yaml += &chance.plain(4, "schema", &SCHEMAS);
        }
        yaml += &chance.plain(4, "to", routes);
        let senders = ["", "", "any", "server"];
        let senders = &senders[..if name == "line" { 4 } else { 3 }];
        yaml += &chance.plain(4, "sent_by", senders);
        yaml += &chance.plain(4, "max_size", &["", "", "40B"]);
        // A limit `per: room` is for types that no endpoint takes.
        let several = match name {
            "direct" | "far" => "[rare, watched]",
            _ => "[roomy, watched]",
        };
        yaml += &chance.plain(4, "rate_limit", &["", "", "[rare]", several]);
    }
    yaml += "rooms:\n";
    for pattern in ["room:{id}", "open:{id}"] {
        yaml += &format!("  \"{pattern}\":\n");
        yaml += &chance.line(4, "may_join", &JOIN_RULES);
        yaml += &chance.plain(4, "params", &["", "{id: {pattern: \"^[0-9]+$\"}}"]);
        yaml += &chance.plain(4, "limits", &["", "", "", "{users: 1}", "{users: 2}"]);
        yaml += "    audiences: {staff: \"user.claims.role == 'agent'\"}\n";
        yaml += "    presence: {grace: 0s}\n    messages:\n";
        for name in ["line", "far", "clean"] {
            yaml += &format!("      {name}:\n");
            let rule = chance.line(8, "allow", &SEND_RULES);
            yaml += if rule.is_empty() {
                "        ack: true\n"
            } else {
                &rule
            };
        }
    }
    yaml += "endpoints:\n  /ws/{team}:\n";
    yaml += &format!(
        "    auth: {modes}\n    rooms: [\"room:{{id}}\"{}]\n",
        chance.one(&["", ", \"open:{id}\""])
    );
    yaml += &chance.line(4, "allow", &CONNECT_RULES);
    yaml += &chance.plain(
        4,
        "origins",
        &[
            "",
            "[https://app.example.com]",
            "[same-origin, https://app.example.com]",
        ],
    );
    yaml += &chance.plain(
        4,
        "auto_join",
        &[
            "",
            "[\"open:1\"]",
            "[{room: \"open:{query.open}\", when_allowed: true}]",
            "[{room: \"room:{user.claims.home}\", when_allowed: true}, \"open:{query.open}\"]",
        ],
    );
    yaml += "    messages: [direct]\n";
    yaml += &chance.plain(
        4,
        "limits",
        &[
            "",
            "",
            "",
            "{rooms_per_connection: 1}",
            "{connections_per_user: 2}",
        ],
    );
    yaml += &chance.plain(
        4,
        "rate_limit",
        &[
            "",
            "",
            "",
            "{connect: [coming]}",
            "{join: [rare]}",
            "{join: [rare], messages: [roomy]}",
        ],
    );
    yaml
}

/// A request, as a question and as it is made.
struct Request {
    path: String,
    headers: Vec<(String, String)>,
    token: Option<String>,
    question: Value,
}

fn token(chance: &mut Chance, server: &Server, user: &str) -> String {
    let mut claims = chance.one(&[
        json!({"role": "agent", "rooms": ["1", "2"], "teams": ["blue"], "home": "1"}),
        json!({"role": "customer", "rooms": ["2"], "muted": false, "home": "no room"}),
        json!({"role": "guest", "rooms": [], "muted": true}),
        json!({"teams": ["red"], "rooms": ["3"]}),
    ]);
    let now = server.engine().clock().now().as_seconds();
    claims["sub"] = user.into();
    claims["exp"] = (now + if chance.rarely(32) { -600 } else { 600 }).into();
    claims["aud"] = if chance.rarely(32) { "shop" } else { "chat" }.into();
    let secret = if chance.rarely(32) {
        "x".repeat(40)
    } else {
        SECRET.to_owned()
    };
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &key).expect("a token")
}

fn request(chance: &mut Chance, server: &Server, place: &str) -> Request {
    let team = if chance.rarely(24) {
        "a%20b"
    } else {
        chance.one(&["red", "blue"])
    };
    let user = chance.one(&["ann", "ben", "eve"]);
    let mut path = format!("/ws/{team}?u={user}");
    path += chance.one(&["", "&side=door"]);
    path += chance.one(&["&open=1", "&open=2", ""]);
    let mut question = json!({"endpoint": path, "host": "localhost:8000"});
    let mut headers = Vec::new();
    let origin = if chance.rarely(4) {
        chance.one(&[
            "https://app.example.com",
            "https://evil.example",
            "http://localhost:8000",
        ])
    } else {
        ""
    };
    if !origin.is_empty() {
        headers.push(("Origin".to_owned(), origin.to_owned()));
        question["origin"] = origin.into();
    }
    let token = (!chance.rarely(12)).then(|| token(chance, server, user));
    if let Some(token) = &token {
        question["token"] = token.as_str().into();
        match place {
            "query" => path += &format!("&token={token}"),
            "header" => headers.push(("Authorization".to_owned(), format!("Bearer {token}"))),
            "cookie" => headers.push(("Cookie".to_owned(), format!("token={token}"))),
            "subprotocol" => headers.push((
                "Sec-WebSocket-Protocol".to_owned(),
                format!("trunkline.v1.json, bearer.{token}"),
            )),
            _ => {}
        }
    }
    let room = chance.one(&[
        "room:1", "room:1", "room:2", "room:2", "open:1", "open:2", "open:x", "desk:1", "room:a b",
    ]);
    match chance.next() % 4 {
        0 => {}
        1 => question["join"] = room.into(),
        _ => {
            let data = chance.one(&[
                json!({"text": "hi", "to": "2"}),
                json!({"text": "hello", "kind": "open", "to": "ann"}),
                json!({"text": "bad", "to": 7}),
                json!({"text": " <b>hi</b> "}),
                json!({"text": "<&>"}),
                json!({"text": "much too long for it, and far too long for any limit"}),
                json!("hello"),
                json!(null),
            ]);
            let name = chance.one(&[
                "line", "line", "line", "direct", "direct", "far", "far", "clean", "clean",
                "unknown", "join",
            ]);
            question["send"] = json!({"type": name, "data": data});
            if !chance.rarely(3) {
                question["send"]["room"] = room.into();
            }
        }
    }
    Request {
        path,
        headers,
        token,
        question,
    }
}

/// What came of a request: nothing, or the status or code that refuses.
type Came = Option<String>;

/// Makes the request; the connection stays where there is one.
async fn make(server: &Server, request: &Request, waits: bool) -> (Came, Option<Client>) {
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let mut client = match server.knock(&request.path, &headers).await {
        Ok(client) => client,
        Err(response) => return (Some(response.status.to_string()), None),
    };
    if waits {
        let frame = match &request.token {
            Some(token) => json!({"type": "token", "token": token}),
            None => json!({"type": "ping"}),
        };
        client.send(frame).await;
    }
    let welcome = match client.next().await {
        crate::serve::client::Incoming::Text(text) => {
            serde_json::from_str::<Value>(&text).expect("JSON")
        }
        crate::serve::client::Incoming::Closed(code, _) => return (Some(code.to_string()), None),
        other => panic!("{other:?}"),
    };
    let rooms = welcome["rooms"].as_array().expect("rooms").clone();
    let question = &request.question;
    if let Some(room) = question["join"].as_str() {
        let came = ask(
            &mut client,
            json!({"type": "join", "room": room, "id": "1"}),
        )
        .await;
        return (came, Some(client));
    }
    let Some(send) = question["send"].as_object() else {
        return (None, Some(client));
    };
    let mut frame = json!({"type": send["type"], "data": send["data"], "id": "2"});
    if let Some(room) = send.get("room") {
        if rooms.iter().all(|known| known["room"] != *room) {
            let came = ask(
                &mut client,
                json!({"type": "join", "room": room, "id": "1"}),
            )
            .await;
            if came.is_some() {
                return (came, Some(client));
            }
        }
        frame["room"] = room.clone();
    }
    if frame["type"] == "join" {
        // A question never means this by a message.
        return (Some("bad_frame".to_owned()), Some(client));
    }
    (ask(&mut client, frame).await, Some(client))
}

async fn ask(client: &mut Client, frame: Value) -> Came {
    let id = frame["id"].clone();
    client.send(frame).await;
    loop {
        let answer = client.frame().await;
        if answer["id"] != id {
            continue;
        }
        return match answer["type"].as_str() {
            Some("error") => Some(answer["code"].as_str().expect("a code").to_owned()),
            _ => None,
        };
    }
}

/// The step that refuses.
fn refusing(explanation: &Value) -> Option<&Value> {
    let steps = explanation["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["passed"] == false)
}

/// Whether some step could not be told.
fn in_doubt(explanation: &Value) -> bool {
    let steps = explanation["steps"].as_array().expect("steps");
    steps.iter().any(|step| step["passed"].is_null())
}

fn in_a_room_that_may_be_full(explanation: &Value) -> bool {
    let steps = explanation["steps"].as_array().expect("steps");
    let knows = |step: &Value| {
        step["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("a running server knows"))
    };
    steps
        .iter()
        .any(|step| step["step"] == "users" && knows(step))
}

/// What an explanation says came, or would come; nothing where it could not tell.
fn said(explanation: &Value) -> Option<Came> {
    match explanation["allowed"].as_bool() {
        None => None,
        Some(true) => Some(None),
        Some(false) => {
            let step = refusing(explanation).expect("a step refuses");
            let code = step["code"].as_str().map(str::to_owned);
            let status = || step["status"].as_u64().map(|status| status.to_string());
            Some(code.or_else(status))
        }
    }
}

/// How many requests were let through, which steps refused how many, and of how many the file could not tell.
type Tally = std::collections::BTreeMap<String, usize>;

/// One policy and some requests.
async fn check(seed: u64, tally: &mut Tally) {
    let mut chance = Chance(seed);
    let yaml = policy(&mut chance);
    let place = [
        "query: token",
        "header:",
        "cookie:",
        "subprotocol:",
        "first_message:",
    ]
    .into_iter()
    .find(|place| yaml.contains(&format!("credential: {{{place}")))
    .and_then(|place| place.split(':').next())
    .expect("a place");
    let server = Server::start(&yaml);
    let plan = server.engine().plan().clone();
    let mut stay = Vec::new();
    for number in 0..REQUESTS {
        let request = request(&mut chance, &server, place);
        let text = request.question.to_string();
        let question = Question::read(&text).expect("a question");
        let means = Means {
            clock: server.engine().clock().clone(),
            random: || 1,
            client: Arc::new(Caller::new()),
            metrics: server.engine().metrics().clone(),
        };
        let authenticator = Authenticator::new(&plan.auth, &means).with_join_tokens(&plan.rooms);
        let answering = Answering {
            plan: &plan,
            authenticator: &authenticator,
            around: &FileAlone,
            now: server.engine().clock().now(),
        };
        let of_file = explain(&answering, &question).await.to_json();
        let headers = [("Authorization", KEY)];
        let of_server = server.http("POST", "/api/why", &headers, &text).await;
        assert_eq!(of_server.status, 200, "{of_server:?}");
        let of_server = of_server.json();
        let (came, client) = make(&server, &request, place == "first_message").await;
        let case = format!("WHY_SEED={seed} request {number}\n{yaml}\n{text}\nit came: {came:?}\n");
        // A socket is closed by other codes than a request is refused with.
        let same = |said: &Came| {
            *said == came
                || (came.as_deref() == Some("1008")
                    && matches!(said.as_deref(), Some("401" | "403")))
                || (matches!(came.as_deref(), Some("4029" | "1013"))
                    && said.as_deref() == Some("429"))
        };
        let server_said = said(&of_server);
        assert!(
            server_said.as_ref().is_some_and(same),
            "{case}server: {of_server:#}"
        );
        // What only a running server knows, the file cannot say.
        let only_now = refusing(&of_server).is_some_and(|step| {
            let state = [
                "connect_limit",
                "connections",
                "users",
                "join_limit",
                "message_limit",
            ];
            state.iter().any(|name| step["step"] == *name)
        });
        match said(&of_file) {
            // Whether an automatic room was full, and so left out, only the server knows: what follows from it may be otherwise.
            Some(_) if in_a_room_that_may_be_full(&of_file) => {}
            // Behind a step that it could not tell of, it knows that and not by whom the request is refused.
            Some(Some(_)) if in_doubt(&of_file) => {
                assert!(came.is_some(), "{case}file: {of_file:#}")
            }
            Some(said) => assert!(same(&said) || only_now, "{case}file: {of_file:#}"),
            None => {
                *tally
                    .entry("the file could not tell".to_owned())
                    .or_default() += 1
            }
        }
        let by = refusing(&of_server).and_then(|step| step["step"].as_str());
        *tally.entry(by.unwrap_or("allowed").to_owned()).or_default() += 1;
        match client {
            Some(client) if chance.rarely(2) => stay.push(client),
            Some(client) => client.close().await,
            None => {}
        }
        let kept = stay.len();
        server
            .until("who has gone is gone", |engine| {
                engine.connections() == kept
            })
            .await;
    }
}

#[tokio::test]
async fn why_says_what_the_server_does() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("WHY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHY_POLICIES").unwrap_or(POLICIES),
    };
    let mut tally = Tally::new();
    for seed in seeds.clone() {
        check(seed, &mut tally).await;
    }
    if seeds.end - seeds.start >= POLICIES {
        // No step is left out by chance.
        for step in [
            "allowed",
            "the file could not tell",
            "origin",
            "auth",
            "allow",
            "may_join",
            "room",
            "listed",
            "users",
            "frame",
            "type",
            "message_allow",
            "schema",
            "sanitize",
            "join_limit",
            "message_limit",
            "connect_limit",
        ] {
            assert!(
                tally.contains_key(step),
                "no case ends with `{step}`: {tally:?}"
            );
        }
    }
}

/// Who asks leaves no trace: no token is spent, no room is made, nobody is told.
#[tokio::test]
async fn asking_has_no_effect() {
    let server = Server::start(
        r#"
server:
  listen: "127.0.0.1:0"
  api:
    keys:
      reader: {secret: reader-secret-of-32-bytes-more!!!, scopes: [read]}
      bound: {secret: bound-secret-of-32-bytes-and-more!!!, scopes: [read], rooms: ["room:*"]}
      writer: {secret: writer-secret-of-32-bytes-and-more!!, scopes: [publish]}
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
rate_limits: {once: {rate: 1/h, burst: 1, per: user}}
messages: {line: {schema: true, to: room, rate_limit: [once]}}
rooms: {"room:{id}": {may_join: "room.users_count < 2", limits: {users: 1}, messages: [line], presence: {announce: {joined: came, left: went}}}}
endpoints: {/ws: {auth: guest, rooms: ["room:{id}"], rate_limit: {join: [once]}}}
"#,
    );
    let ask = async |question: Value, key: &str| {
        let headers = [("Authorization", key)];
        server
            .http("POST", "/api/why", &headers, &question.to_string())
            .await
    };
    let joining = json!({"endpoint": "/ws?u=ann", "join": "room:1"});
    for _ in 0..5 {
        let answer = ask(joining.clone(), KEY).await.json();
        assert_eq!(answer["allowed"], true, "{answer:#}");
    }
    assert_eq!(server.engine().rooms(), 0);
    let mut ann = server.join("/ws?u=ann").await;
    ann.ask(
        json!({"type": "join", "room": "room:1", "id": "1"}),
        json!({"type": "joined"}),
    )
    .await;
    // The one token is spent now, and the one place taken: the same question has another answer.
    let spent = ask(joining, KEY).await.json();
    assert_eq!(
        said(&spent),
        Some(Some("rate_limited".to_owned())),
        "{spent:#}"
    );
    let other = ask(json!({"endpoint": "/ws?u=ben", "join": "room:1"}), KEY)
        .await
        .json();
    assert_eq!(
        said(&other),
        Some(Some("room_full".to_owned())),
        "{other:#}"
    );
    let member = json!({"endpoint": "/ws?u=eve", "user": {"user_id": "anon:ann"}, "send": {"type": "line", "room": "room:1", "data": 1}});
    let member = ask(member, KEY).await.json();
    assert_eq!(
        said(&member),
        Some(Some("rate_limited".to_owned())),
        "{member:#}"
    );
    ann.ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
    for (key, question, status) in [
        (
            "Bearer bound-secret-of-32-bytes-and-more!!!",
            json!({"endpoint": "/ws"}),
            403,
        ),
        (
            "Bearer writer-secret-of-32-bytes-and-more!!",
            json!({"endpoint": "/ws"}),
            403,
        ),
        ("Bearer wrong", json!({"endpoint": "/ws"}), 401),
        (KEY, json!({}), 400),
        (
            KEY,
            json!({"endpoint": "/ws", "token": "a", "user": {"user_id": "b"}}),
            400,
        ),
        (
            KEY,
            json!({"endpoint": "/ws", "join": "room:1", "send": {"type": "line"}}),
            400,
        ),
        (
            KEY,
            json!({"endpoint": "/ws", "user": {"user_id": ""}}),
            400,
        ),
    ] {
        let response = ask(question.clone(), key).await;
        assert_eq!(response.status, status, "{question}: {response:?}");
    }
}

/// Counts are told as they are, and what has no limit as such.
#[tokio::test]
async fn counts_are_told() {
    let server = Server::start(
        r#"
server:
  listen: "127.0.0.1:0"
  api: {keys: {reader: {secret: reader-secret-of-32-bytes-more!!!, scopes: [read]}}}
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {note: {schema: {type: object}, to: room, audience: staff, sanitize: {/text: escape_html}}}
rooms: {"room:{id}": {may_join: "true", audiences: {staff: "user.id == 'anon:ann'"}, messages: [note]}}
endpoints: {/ws: {auth: guest, rooms: ["room:{id}"], limits: {connections: 1}}}
"#,
    );
    let headers = [("Authorization", KEY)];
    let ask = async |question: Value| {
        let question = question.to_string();
        let answer = server.http("POST", "/api/why", &headers, &question).await;
        answer.json()
    };
    let detail = |answer: &Value, step: &str| {
        let steps = answer["steps"].as_array().expect("steps");
        let mut found = steps.iter().filter(|found| found["step"] == step);
        found
            .next()
            .and_then(|step| step["detail"].as_str().map(str::to_owned))
    };
    let note = json!({"type": "note", "room": "room:1", "data": {"text": "<b>"}});
    let answer = ask(json!({"endpoint": "/ws?u=ann", "send": note})).await;
    for (step, expected) in [
        (
            "connections",
            "the endpoint has 0 of at most 1 connections now",
        ),
        ("users", "it has 0 users now; there is no limit"),
        ("sanitize", "the data becomes {\"text\":\"&lt;b&gt;\"}"),
        (
            "to",
            "it goes to those of `staff` in `room:1`; the sender is one of them",
        ),
    ] {
        assert_eq!(
            detail(&answer, step).as_deref(),
            Some(expected),
            "{answer:#}"
        );
    }
    let ann = server.join("/ws?u=ann").await;
    let answer = ask(json!({"endpoint": "/ws?u=ben"})).await;
    assert_eq!(said(&answer), Some(Some("429".to_owned())), "{answer:#}");
    let full = "the endpoint has 1 of at most 1 connections now";
    assert_eq!(detail(&answer, "connections").as_deref(), Some(full));
    ann.close().await;
}

/// A block of the application is a step, and a token is never repeated.
#[tokio::test]
async fn blocks_are_told_and_tokens_are_not() {
    let server = Server::start(
        r#"
server:
  listen: "127.0.0.1:0"
  api: {keys: {reader: {secret: reader-secret-of-32-bytes-more!!!, scopes: [read, disconnect]}}}
auth: {member: {jwt: {algorithms: [HS256], secret: "${SECRET}", credential: {query: token}, user_id: sub}}}
messages: {line: {schema: true, to: sender}}
endpoints: {/ws: {auth: member, messages: [line]}}
"#,
    );
    let token = server.token("7", json!({"role": "agent"}), Duration::from_secs(600));
    let headers = [("Authorization", KEY)];
    let question = json!({"endpoint": "/ws", "token": token}).to_string();
    let answer = server.http("POST", "/api/why", &headers, &question).await;
    assert_eq!(answer.json()["allowed"], true, "{answer:?}");
    assert!(!answer.body.contains(&token), "{answer:?}");
    let until = server
        .engine()
        .clock()
        .now()
        .after(Duration::from_secs(60))
        .to_string();
    let block = json!({"user_id": "7", "until": until, "reason": "spam"}).to_string();
    assert_eq!(
        server
            .http("POST", "/api/blocks", &headers, &block)
            .await
            .status,
        200
    );
    let answer = server
        .http("POST", "/api/why", &headers, &question)
        .await
        .json();
    assert_eq!(said(&answer), Some(Some("403".to_owned())), "{answer:#}");
    let last = answer["steps"]
        .as_array()
        .and_then(|steps| steps.last().cloned())
        .expect("a step");
    assert_eq!(
        (last["step"].as_str(), last["subject"].as_str()),
        (Some("block"), Some("7"))
    );
    let broken = json!({"endpoint": "/ws", "token": format!("{token}x")}).to_string();
    let answer = server.http("POST", "/api/why", &headers, &broken).await;
    assert_eq!(
        said(&answer.json()),
        Some(Some("401".to_owned())),
        "{answer:?}"
    );
    assert!(!answer.body.contains(&token), "{answer:?}");
}
