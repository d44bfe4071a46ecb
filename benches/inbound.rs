//! What a message costs between the read and the write: `cargo bench --bench inbound [-- NAME]`.
//!
//! Processor time, not the clock's. No socket and no runtime: an engine whose links take everything at once. The first group are the steps alone, the second a whole
//! echo over 100 connections in turn, from bare to everything that a message type can ask for.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use trunkline::config::{MemoryFiles, read};
use trunkline::engine::{Arrival, Attached, Engine, Link, RequestFacts};
use trunkline::plan::{Plan, build};
use trunkline::protocol::{CloseCode, Object, RejectCode, decode};
use trunkline::rule::{Facts, Known, Rule};
use trunkline::schema::{Documents, Schema};
use trunkline::telemetry::{MetricNames, Metrics};
use trunkline::vocab::json::{Tape, parse};
use trunkline::vocab::{
    Clock, Identity, MessageId, Parameters, SystemClock, Timestamp, User, UserId,
};

const DATA: &str = r#"{"text":"The quick brown fox jumps over the lazy dog, twice in a row","mood":"calm","tags":["one","two"],"n":42,"at":{"x":1.5,"y":-2}}"#;
const CONNECTIONS: usize = 100;

const CHANNELS: &str = r#"
version: 1
server: {listen: "127.0.0.1:0"}
auth: {guest: {anonymous: {}}}
rate_limits:
  user: {rate: 100000000/s, burst: 1000000, per: user}
  connection: {rate: 100000000/s, burst: 1000000, per: connection}
messages:
  bare: {schema: true, to: sender}
  limits: {schema: true, to: sender, rate_limit: [user, connection]}
  schema: {schema: &schema SCHEMA, to: sender}
  rule: {schema: true, to: sender, allow: "user.claims.role in ['mod', 'member'] && !user.claims.muted"}
  data: {schema: true, to: sender, allow: "data.mood == 'calm' || user.claims.role == 'mod'"}
  echo: {schema: *schema, to: sender, rate_limit: [user, connection]}
  all: {schema: *schema, to: sender, rate_limit: [user, connection], allow: "user.claims.role in ['mod', 'member'] && !user.claims.muted"}
endpoints:
  /: {auth: guest, protocol: json, messages: [bare, limits, schema, rule, data, echo, all]}
"#;

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": 4096},
            "mood": {"enum": ["calm", "glad", "cross"]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 32}, "maxItems": 8},
            "n": {"type": "integer", "minimum": 0},
            "at": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                "required": ["x", "y"],
                "additionalProperties": false,
            },
        },
        "required": ["text"],
        "additionalProperties": false,
    })
}

/// Time of this thread on a processor: on a shared machine the figure to trust.
struct ProcessorTime;

impl ProcessorTime {
    /// Nanoseconds so far.
    fn now() -> u64 {
        // The kernel adds up what has passed when it looks for others to run.
        std::thread::yield_now();
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = statistics.split(' ').next().map(str::parse);
        nanoseconds.and_then(Result::ok).unwrap_or(0)
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        Self::now()
    }

    fn end(&self, start: u64) -> u64 {
        Self::now() - start
    }

    fn add(&self, one: &u64, two: &u64) -> u64 {
        one + two
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, nanoseconds: &u64) -> f64 {
        *nanoseconds as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A socket that takes everything.
struct Taker;

impl Link for Taker {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
    }
}

fn plan() -> Plan {
    let yaml = CHANNELS.replace("SCHEMA", &schema().to_string());
    let files = MemoryFiles::default().with("channels.yaml", yaml);
    let read = read(Path::new("channels.yaml"), &files, &BTreeMap::new()).expect("it is there");
    let outcome = build(&read, &files);
    outcome
        .plan
        .unwrap_or_else(|| panic!("{:?}", outcome.findings))
}

fn metrics(plan: &Plan) -> Metrics {
    let messages: Vec<&str> = plan.messages.iter().map(|of| of.name.as_str()).collect();
    let limits: Vec<&str> = plan.rate_limits.iter().map(|limit| &*limit.name).collect();
    Metrics::new(&MetricNames {
        messages: &messages,
        endpoints: &["/"],
        limits: &limits,
        reject_codes: &RejectCode::ALL.map(RejectCode::as_str),
        close_codes: &CloseCode::ALL.map(CloseCode::as_u16),
    })
}

fn user(index: usize) -> User {
    User {
        id: UserId::parse(&format!("user-{index}")).expect("an id"),
        username: format!("User {index}").into(),
        authenticated: true,
        claims: Arc::new(json!({"role": "member", "team": "blue"})),
    }
}

fn connect(engine: &Arc<Engine>, index: usize) -> Attached {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let arrival = Arrival {
        endpoint: engine.plan().endpoints[0].clone(),
        request: RequestFacts::default(),
        ip,
        identity: Identity {
            user: Arc::new(user(index)),
            expires_at: None,
        },
        since: Vec::new(),
    };
    let ticket = engine.knock(ip).map_err(|refusal| refusal.message);
    let admission = engine
        .admit(ticket.expect("a place"), arrival)
        .map_err(|refusal| refusal.message);
    engine.attach(admission.expect("a way in"), Arc::new(Taker))
}

fn steps(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("step");
    let frame = format!(r#"{{"type":"echo","id":"17","data":{DATA}}}"#);
    group.bench_function("decode", |bench| {
        bench.iter(|| decode(black_box(&frame)).is_ok())
    });
    let mut tape = Tape::default();
    group.bench_function("json onto a tape", |bench| {
        bench.iter(|| tape.read(black_box(DATA), 32).is_ok());
    });
    group.bench_function("json to a tree", |bench| {
        bench.iter(|| parse(black_box(DATA), 32).is_ok());
    });
    let schema = Schema::compile(schema(), "", &Documents::default()).expect("a schema");
    group.bench_function("schema", |bench| {
        bench.iter(|| schema.check_tape(black_box(&tape)).is_ok());
    });
    let user = user(1);
    let known = Known {
        user: true,
        params: Some(vec!["room".into()]),
        ..Known::default()
    };
    let params: Parameters = [("room", "user-1")].into_iter().collect();
    let facts = Facts {
        user: Some(&user),
        params: Some(&params),
        ..Facts::at(Timestamp::from_millis(0))
    };
    for (name, text) in [
        ("rule ==", "user.id == params.room"),
        (
            "rule in && !",
            "user.claims.role in ['mod', 'member'] && !user.claims.muted",
        ),
    ] {
        let rule = Rule::compile(text, &known).expect(text);
        group.bench_function(name, |bench| {
            bench.iter(|| rule.allows(black_box(&facts)).is_ok())
        });
    }
    group.bench_function("frame", |bench| {
        bench.iter(|| {
            Object::new("echo", 128 + DATA.len())
                .optional("id", Some("17"))
                .plain("message_id", MessageId::new(7, black_box(8)))
                .json("data", black_box(DATA))
                .plain(
                    "timestamp",
                    Timestamp::from_millis(black_box(1_795_341_600_123)),
                )
                .finish()
        });
    });
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    group.bench_function("clock", |bench| {
        bench.iter(|| (black_box(&clock).now(), clock.monotonic()));
    });
    group.finish();
}

fn whole(criterion: &mut Criterion<ProcessorTime>) {
    let plan = Arc::new(plan());
    let metrics = Arc::new(metrics(&plan));
    let engine = Engine::new(plan, Arc::new(SystemClock::new()), metrics);
    let attached: Vec<Attached> = (0..CONNECTIONS)
        .map(|index| connect(&engine, index))
        .collect();
    let mut group = criterion.benchmark_group("echo");
    for name in ["bare", "limits", "schema", "rule", "data", "echo", "all"] {
        let frame = format!(r#"{{"type":"{name}","id":"17","data":{DATA}}}"#);
        let mut turn = attached.iter().cycle();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let connection = turn.next().map(|attached| &attached.connection);
                engine.receive_text(connection.expect("it cycles"), black_box(&frame));
            });
        });
    }
    group.finish();
    let refused: u64 = engine.metrics().rejects.iter().map(|of| of.get()).sum();
    assert_eq!(refused, 0, "an echo was refused");
}

criterion_group! {
    name = inbound;
    config = Criterion::default()
        .with_measurement(ProcessorTime)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = steps, whole
}
criterion_main!(inbound);
