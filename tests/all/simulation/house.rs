//! What is simulated: the file, and what the model has to know of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use trunkline::config::{MemoryFiles, read};
use trunkline::diag::render::{Colours, human};
use trunkline::plan::{Plan, build};

const YAML: &str = r#"
version: 1
server:
  listen: "127.0.0.1:0"
  limits: {connections: 10000, connections_per_ip: 10000}
  shutdown: {grace: 20s, spread: 1ms}
auth: {guest: {anonymous: {}}}
messages:
  line: {schema: true, to: room, reply: data}
  post: {schema: true, to: room}
  note: {schema: true, to: room, history: false, ack: true}
  aside: {schema: true, to: others}
  sync: {schema: true, to: other_connections}
  price: {schema: true, to: room, conflate: {key: data.key, every: 300ms}}
  pulse: {schema: true, to: room, conflate: {every: 500ms}}
  typing: {schema: true, to: room, history: false, overflow: drop}
  secret: {schema: true, to: room, audience: staff}
  whisper: {schema: true, to: others, audience: crew}
  plan: {schema: true, to: room, audience: crew, conflate: {key: data.key, every: 300ms}}
  echo: {schema: true, to: sender}
  direct: {schema: true, to: {user: data.key}}
rooms:
  "room:{n}":
    may_join: "!('out' in user.claims.of)"
    audiences: {staff: "'staff' in user.claims.of", crew: "'crew' in user.claims.of"}
    messages: [line, post, note, aside, sync, price, pulse, typing, secret, whisper, plan]
    presence: {members: true, grace: 2s, announce: {joined: came, left: went}}
    history: {messages: 4, age: 20s, replay_on_join: 2}
    idempotency: {window: 10s, keys: 5}
  "hall:{n}":
    may_join: "true"
    audiences: {crew: "'crew' in user.claims.of", staff: "'staff' in user.claims.of"}
    messages: [post, note, aside, sync, price, pulse, typing, secret, whisper]
    presence: {members: true, grace: 0s, announce: {joined: came, left: went, present: here, to: room}}
    history: {messages: 40, age: 60s}
    idempotency: {window: 10s, keys: 5}
    limits: {users: 2}
  "live:{n}":
    may_join: "true"
    audiences: {staff: "'staff' in user.claims.of"}
    messages: [post, note, aside, sync, price, typing, secret]
    presence: {grace: 1s}
    idempotency: {window: 10s, keys: 5}
  "user:{id}":
    may_join: user.id == params.id
    messages: [post]
    presence: {grace: 0s}
    inbox: {owner: params.id, receipt: user, messages: 5, age: 30s}
    idempotency: {window: 10s, keys: 5}
  "mail:{id}":
    may_join: user.id == params.id
    messages: [post]
    presence: {grace: 0s}
    inbox: {owner: params.id, receipt: on_write, messages: 50, age: 30s}
    idempotency: {window: 10s, keys: 5}
  "pipe:{n}":
    may_join: "true"
    messages: [note]
    presence: {grace: 0s}
    idempotency: {window: 10s, keys: 5}
endpoints:
  /json: &open
    auth: guest
    rooms: ["room:{n}", "hall:{n}", "live:{n}", "user:{id}", "mail:{id}", "pipe:{n}"]
    messages: [echo, direct]
    heartbeat: {idle: 5s, timeout: 3s, kind: message}
    limits: {connections_per_user: 3}
  /room:
    auth: guest
    auto_join: ["room:1", "user:{user.id}"]
    rooms: ["room:{n}", "hall:{n}", "live:{n}", "user:{id}", "mail:{id}", "pipe:{n}"]
    messages: [echo, direct]
  /small:
    auth: guest
    rooms: ["room:{n}", "hall:{n}", "live:{n}", "user:{id}", "mail:{id}", "pipe:{n}"]
    messages: [echo, direct]
    limits: {queue_frames: 6, connections_per_user: 2, on_too_many: replace_oldest}
  /tight:
    auth: guest
    auto_join: [{room: "hall:1", when_allowed: true}]
    rooms: ["room:{n}", "hall:{n}", "live:{n}", "user:{id}", "mail:{id}", "pipe:{n}"]
    messages: [echo, direct]
    limits: {message_size: 1KiB, queue_bytes: 1KiB}
  /together:
    auth: guest
    rooms: ["room:{n}", "hall:{n}", "live:{n}", "user:{id}", "mail:{id}", "pipe:{n}"]
    messages: [echo, direct]
    coalesce: 50ms
    limits: {queue_frames: 12}
  /text:
    auth: guest
    protocol: text
    text_message: line
    auto_join: ["room:1"]
    render: {reply: "reply {data}", line: "line {data}", note: "note {data}", secret: "secret {data}", came: "came {user.id}", went: "went {user.id}"}
    limits: {queue_frames: 8}
  /raw:
    auth: guest
    protocol: raw
    raw: {to: others}
    auto_join: ["pipe:1"]
    limits: {queue_frames: 8}
"#;

/// The Plan that is simulated.
pub(super) fn plan() -> Arc<Plan> {
    let yaml = YAML.replace("&open", "");
    let files = MemoryFiles::default().with("channels.yaml", yaml);
    let read = read(Path::new("channels.yaml"), &files, &BTreeMap::new()).expect("it is there");
    let outcome = build(&read, &files);
    Arc::new(outcome.plan.unwrap_or_else(|| {
        panic!("{}", human(&outcome.findings, &read.sources, Colours::Off));
    }))
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) path: &'static str,
    pub(super) speech: Speech,
    /// Rooms from the start; `~` stands for the user.
    pub(super) rooms: &'static [&'static str],
    pub(super) of_user_max: usize,
    pub(super) replaces: bool,
    pub(super) queue_frames: usize,
    pub(super) queue_bytes: usize,
    /// Silence after which it is asked, and after which it ends, in milliseconds.
    pub(super) idle: u64,
    pub(super) silence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Json,
    Text,
    Raw,
}

const JSON: Door = Door {
    path: "/json",
    speech: Speech::Json,
    rooms: &[],
    of_user_max: 3,
    replaces: false,
    queue_frames: 4096,
    queue_bytes: 1 << 20,
    idle: 5_000,
    silence: 8_000,
};

pub(super) const DOORS: [Door; 7] = [
    JSON,
    Door {
        path: "/room",
        rooms: &["room:1", "user:~"],
        of_user_max: 20,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
    Door {
        path: "/small",
        of_user_max: 2,
        replaces: true,
        queue_frames: 6,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
    Door {
        path: "/tight",
        rooms: &["hall:1"],
        of_user_max: 20,
        queue_bytes: 1024,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
    Door {
        path: "/together",
        of_user_max: 20,
        queue_frames: 12,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
    Door {
        path: "/text",
        speech: Speech::Text,
        rooms: &["room:1"],
        of_user_max: 20,
        queue_frames: 8,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
    Door {
        path: "/raw",
        speech: Speech::Raw,
        rooms: &["pipe:1"],
        of_user_max: 20,
        queue_frames: 8,
        idle: 30_000,
        silence: 50_000,
        ..JSON
    },
];

/// The kind of a room.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) prefix: &'static str,
    pub(super) messages: &'static [&'static str],
    /// Messages and milliseconds that are kept.
    pub(super) keeps: Option<(usize, u64)>,
    pub(super) replay_on_join: usize,
    pub(super) inbox: Inbox,
    pub(super) grace: u64,
    pub(super) announces: Announces,
    pub(super) users_max: usize,
    /// Whether a token may shut out of it.
    pub(super) is_picky: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inbox {
    No,
    Received,
    OnWrite,
}

/// Who hears of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announces {
    Nobody,
    Others,
    /// And the newcomer gets a list.
    Everyone,
}

const ALL: &[&str] = &[
    "post", "note", "aside", "sync", "price", "pulse", "typing", "line", "secret", "whisper",
    "plan",
];

const ROOM: Kind = Kind {
    prefix: "room",
    messages: ALL,
    keeps: Some((4, 20_000)),
    replay_on_join: 2,
    inbox: Inbox::No,
    grace: 2_000,
    announces: Announces::Others,
    users_max: usize::MAX,
    is_picky: true,
};

const INBOX: Kind = Kind {
    prefix: "user",
    messages: &["post"],
    keeps: Some((5, 30_000)),
    replay_on_join: 0,
    inbox: Inbox::Received,
    grace: 0,
    announces: Announces::Nobody,
    is_picky: false,
    ..ROOM
};

static KINDS: [Kind; 6] = [
    ROOM,
    Kind {
        prefix: "hall",
        messages: &[
            "post", "note", "aside", "sync", "price", "pulse", "typing", "secret", "whisper",
        ],
        keeps: Some((40, 60_000)),
        replay_on_join: 0,
        grace: 0,
        announces: Announces::Everyone,
        users_max: 2,
        is_picky: false,
        ..ROOM
    },
    Kind {
        prefix: "live",
        messages: &["post", "note", "aside", "sync", "price", "typing", "secret"],
        keeps: None,
        replay_on_join: 0,
        grace: 1_000,
        announces: Announces::Nobody,
        is_picky: false,
        ..ROOM
    },
    INBOX,
    Kind {
        prefix: "mail",
        keeps: Some((50, 30_000)),
        inbox: Inbox::OnWrite,
        ..INBOX
    },
    Kind {
        prefix: "pipe",
        messages: &["note"],
        keeps: None,
        inbox: Inbox::No,
        ..INBOX
    },
];

pub(super) const USERS: [&str; 4] = ["u1", "u2", "u3", "u4"];

/// Every room that is spoken of; the first are the busy ones.
pub(super) const ROOMS: [&str; 11] = [
    "room:1", "hall:1", "mail:u1", "live:1", "user:u1", "room:2", "pipe:1", "mail:u2", "user:u2",
    "user:u3", "user:u4",
];

pub(super) fn kind_of(room: &str) -> &'static Kind {
    let mut kinds = KINDS.iter();
    let found = kinds.find(|kind| room.starts_with(kind.prefix));
    found.expect("each room has a kind")
}

/// A message type as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thins {
    No,
    /// A slow reader may go without it.
    Drops,
    /// At most one of a key in so many milliseconds.
    Every(u64),
}

pub(super) fn thins(message: &str) -> Thins {
    match message {
        "typing" => Thins::Drops,
        "price" | "plan" => Thins::Every(300),
        "pulse" => Thins::Every(500),
        _ => Thins::No,
    }
}

/// Whether a room that keeps messages keeps these.
pub(super) fn is_stored(message: &str) -> bool {
    matches!(message, "line" | "post" | "secret")
}

/// What a token says that one is of, as one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Of(usize);

/// The words of a token: the audiences, and one that shuts out of some rooms.
const WORDS: [&str; 3] = ["staff", "crew", "out"];
/// The audiences, and everyone.
pub(super) const AUDIENCES: usize = 3;

impl Of {
    pub(super) const fn new(number: usize) -> Self {
        Self(number % 8)
    }

    /// Without the word that shuts out.
    pub(super) const fn welcome(self) -> Self {
        Self(self.0 % 4)
    }

    pub(super) fn words(self) -> Vec<&'static str> {
        let numbered = WORDS.into_iter().enumerate();
        let has = numbered.filter(|(number, _)| self.0 & (1 << number) != 0);
        has.map(|(_, word)| word).collect()
    }

    pub(super) const fn is_out_of(self, kind: &Kind) -> bool {
        self.0 & 4 != 0 && kind.is_picky
    }

    /// Whether it reads what is for an audience, by its number from 1 on; 0: everyone.
    pub(super) const fn reads(self, audience: usize) -> bool {
        audience == 0 || self.0 & (1 << (audience - 1)) != 0
    }
}

/// The audience that a message is for, by its number from 1 on; 0: everyone.
pub(super) fn audience(message: &str) -> usize {
    match message {
        "secret" => 1,
        "whisper" | "plan" => 2,
        _ => 0,
    }
}
