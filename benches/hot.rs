//! The steps of a message's way, each by itself, and the whole way without a socket: `cargo bench --bench hot [-- FILTER]`.
//!
//! The engine is the real one, made from a configuration; only the sockets are swallowed. What the kernel's `send` adds is most of a
//! delivery's price and is measured from outside (`benches/peers.sh`); these figures say where the rest goes.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::runtime::Runtime;
use trunkline::config::{MemoryFiles, read};
use trunkline::engine::{Arrival, Attached, Engine, Link, RequestFacts};
use trunkline::plan::{Plan, build};
use trunkline::protocol::websocket::{Decoder, Event, Input, Limits, Masking, Role, encode_text};
use trunkline::protocol::{Object, decode};
use trunkline::rule::{DataFacts, Facts, Known, Rule};
use trunkline::schema::{Documents, Schema};
use trunkline::server::Running;
use trunkline::vocab::json::{self as strict, Tape};
use trunkline::vocab::{Identity, SystemClock, Timestamp, User, UserId};

const CONFIG: &str = r#"
version: 1
server: {listen: "127.0.0.1:0", limits: {connections: 10000, connections_per_ip: 10000}}
auth:
  guest: {anonymous: {}}
rate_limits:
  plenty: {rate: 1000000000/s, per: connection}
messages:
  message:
    schema: {type: object, properties: {text: {type: string, maxLength: 4096}}, required: [text], additionalProperties: false}
    to: room
  echo:
    schema: {type: object, properties: {text: {type: string, maxLength: 4096}}, required: [text], additionalProperties: false}
    allow: "user.id != 'nobody' && data.text.size() <= 4096"
    rate_limit: [plenty]
    to: sender
rooms:
  "room:{room_id}": {may_join: "true", messages: [message]}
endpoints:
  /ws/{room_id}: {auth: guest, protocol: json, auto_join: ["room:{path.room_id}"]}
  /echo: {auth: guest, protocol: json, messages: [echo]}
"#;

/// As long as what the load from outside sends by itself.
const TEXT: &str = "#beef0abcde00000007000012d687xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

fn frame(message: &str) -> String {
    json!({"type": message, "data": {"text": TEXT}}).to_string()
}

fn user(number: usize) -> User {
    User {
        id: UserId::parse(&format!("anon:{number}")).expect("it is an id"),
        username: "bench".into(),
        authenticated: false,
        claims: Arc::new(json!({})),
    }
}

/// A masked frame, taken apart: what every byte that comes in pays first.
fn framing(criterion: &mut Criterion) {
    let bytes = encode_text(&frame("message"), Masking::Key([1, 2, 3, 4]));
    let mut group = criterion.benchmark_group("framing");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("one text frame", |bencher| {
        let mut decoder = Decoder::new(Role::Server, Limits::default());
        bencher.iter_batched_ref(
            || bytes.to_vec(),
            |bytes| {
                let mut input = Input::new(bytes);
                let event = decoder.next(&mut input).expect("it is valid");
                assert!(matches!(black_box(event), Some(Event::Text(_))));
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn decoding(criterion: &mut Criterion) {
    let text = frame("message");
    let data = json!({ "text": TEXT }).to_string();
    let mut group = criterion.benchmark_group("decode");
    group.bench_function("a message's envelope", |bencher| {
        bencher.iter(|| decode(black_box(&text)).expect("it is a frame"));
    });
    group.bench_function("its data, built", |bencher| {
        bencher.iter(|| strict::parse(black_box(&data), 32).expect("it is JSON"));
    });
    group.bench_function("its data, onto a tape", |bencher| {
        let mut tape = Tape::default();
        bencher.iter(|| tape.read(black_box(&data), 32).expect("it is JSON"));
    });
    group.finish();
}

fn validating(criterion: &mut Criterion) {
    let declared = json!({
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 4096}},
        "required": ["text"],
        "additionalProperties": false,
    });
    let schema =
        Schema::compile(declared, "channels.yaml", &Documents::default()).expect("it is a schema");
    let data = Tape::of(&json!({ "text": TEXT }));
    criterion.bench_function("validate/what fits", |bencher| {
        bencher.iter(|| schema.check_tape(black_box(&data)).is_ok());
    });
    let wrong = json!({"text": 7, "more": true});
    criterion.bench_function("validate/what does not", |bencher| {
        bencher.iter(|| schema.check(black_box(&wrong)).is_err());
    });
}

fn ruling(criterion: &mut Criterion) {
    let known = Known {
        user: true,
        data: true,
        ..Known::default()
    };
    let (user, data) = (user(0), Tape::of(&json!({ "text": TEXT })));
    let tree = OnceCell::new();
    let facts = Facts {
        user: Some(&user),
        data: Some(DataFacts::Tape(data.root(), &tree)),
        ..Facts::at(Timestamp::from_millis(0))
    };
    let rule = |text| Rule::compile(text, &known).expect("it is a rule");
    let plain = rule("user.id != 'nobody' && data.text.size() <= 4096");
    // The same question in words that only the general evaluator knows.
    let general = rule("user.id != 'nobody' ? data.text.size() <= 4096 : false");
    let mut group = criterion.benchmark_group("rule");
    group.bench_function("two comparisons", |bencher| {
        bencher.iter(|| plain.allows(black_box(&facts)));
    });
    group.bench_function("two comparisons, generally", |bencher| {
        facts.data.map(DataFacts::tree);
        bencher.iter(|| general.allows(black_box(&facts)));
    });
    group.bench_function("two comparisons, generally, with its tree", |bencher| {
        bencher.iter(|| {
            let tree = OnceCell::new();
            let data = Some(DataFacts::Tape(data.root(), &tree));
            general.allows(black_box(&Facts { data, ..facts }))
        });
    });
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let (user, data) = (user(0), json!({ "text": TEXT }).to_string());
    criterion.bench_function("encode/a message's frame", |bencher| {
        bencher.iter(|| {
            Object::new("message", 192 + data.len())
                .field("room", "room:1")
                .plain("message_id", "0123456789abcdef")
                .field("seq", &7)
                .user("sender", &user)
                .json("data", black_box(&data))
                .plain("timestamp", Timestamp::from_millis(1_700_000_000_000))
                .finish()
        });
    });
}

/// A socket that takes everything; counts the writes, so that one can wait for them.
struct Swallow(Arc<AtomicU64>);

impl Link for Swallow {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// The real engine on a thread of its own, with connections that have no sockets.
struct World {
    runtime: Runtime,
    running: Running,
    writes: Arc<AtomicU64>,
    connections: Vec<Attached>,
}

impl Drop for World {
    fn drop(&mut self) {
        // Who leaves has the room's flush spawned.
        let _inside = self.runtime.enter();
        self.connections.clear();
    }
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let running = {
            let _inside = runtime.enter();
            Running::start(plan(), Arc::new(SystemClock::new())).expect("it starts")
        };
        Self {
            runtime,
            running,
            writes: Arc::default(),
            connections: Vec::new(),
        }
    }

    /// Adds a connection to the endpoint that `path` is an instance of.
    fn connect(&mut self, path: &str) {
        let engine = self.running.engine().clone();
        let _inside = self.runtime.enter();
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut endpoints = engine.plan().endpoints.iter();
        let (endpoint, parameters) = endpoints
            .find_map(|endpoint| Some((endpoint.clone(), endpoint.path.matches(path)?)))
            .expect("there is such an endpoint");
        let arrival = Arrival {
            endpoint,
            request: RequestFacts {
                path: parameters,
                ..RequestFacts::default()
            },
            ip,
            deflation: None,
            identity: Identity {
                user: Arc::new(user(self.connections.len())),
                expires_at: None,
            },
            since: Vec::new(),
            join_tokens: Vec::new(),
        };
        let ticket = engine.knock(ip).unwrap_or_else(|_| panic!("there is room"));
        let admission = engine
            .admit(ticket, arrival)
            .now_or_never()
            .expect("the file's rules decide")
            .unwrap_or_else(|_| panic!("anyone may"));
        let link = Arc::new(Swallow(self.writes.clone()));
        self.connections
            .push(engine.attach(admission, link, Bytes::new()));
    }

    /// Has the first connection say `text`, and returns when `writes` more have been made.
    fn say(&self, text: &str, writes: u64) {
        self.until_written(writes, |engine| {
            engine.receive_text(&self.connections[0].connection, text);
        });
    }

    fn until_written(&self, writes: u64, act: impl FnOnce(&Arc<Engine>)) {
        let expected = self.writes.load(Ordering::Relaxed) + writes;
        self.runtime.block_on(async {
            act(self.running.engine());
            while self.writes.load(Ordering::Relaxed) < expected {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Lets everything that waits happen.
    fn settle(&self) {
        self.runtime.block_on(async {
            let mut before = u64::MAX;
            while before != self.writes.load(Ordering::Relaxed) {
                before = self.writes.load(Ordering::Relaxed);
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}

fn plan() -> Plan {
    let files = MemoryFiles::default().with("channels.yaml", CONFIG.to_owned());
    let read = read(Path::new("channels.yaml"), &files, &BTreeMap::new()).expect("it is there");
    build(&read, &files).plan.expect("it is right")
}

/// From a frame's text to every reader's link.
fn fanning_out(criterion: &mut Criterion) {
    let text = frame("message");
    let mut group = criterion.benchmark_group("fan-out");
    for readers in [10, 1000] {
        let mut world = World::new();
        for _ in 0..readers {
            world.connect("/ws/1");
        }
        world.settle();
        group.throughput(Throughput::Elements(readers));
        group.bench_function(BenchmarkId::from_parameter(readers), |bencher| {
            bencher.iter(|| world.say(black_box(&text), readers));
        });
    }
    group.finish();
}

/// From the bytes of the socket to the bytes of the answer: framing, envelope, rate limit, rule, schema, encoding.
fn echoing(criterion: &mut Criterion) {
    let mut world = World::new();
    world.connect("/echo");
    world.settle();
    let bytes = encode_text(&frame("echo"), Masking::Key([1, 2, 3, 4]));
    criterion.bench_function("echo/from bytes to bytes", |bencher| {
        let mut decoder = Decoder::new(Role::Server, Limits::default());
        bencher.iter_batched_ref(
            || bytes.to_vec(),
            |bytes| {
                let mut input = Input::new(bytes);
                let Ok(Some(Event::Text(text))) = decoder.next(&mut input) else {
                    panic!("it is a text");
                };
                world.say(text, 1);
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(
    hot,
    framing,
    decoding,
    validating,
    ruling,
    encoding,
    fanning_out,
    echoing
);
criterion_main!(hot);
