//! What a room costs in memory: `cargo bench --bench rooms [-- ROOMS]`.
//!
//! One pattern declares every room there can be. The growth of RssAnon is that of the engine alone, without sockets, after a first
//! tenth: for empty rooms that keep one message, and for rooms with one member each.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IoSlice, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use trunkline::config::{MemoryFiles, read};
use trunkline::engine::{Arrival, Attached, Engine, Link, Publication, RequestFacts, TICK};
use trunkline::plan::{Plan, build};
use trunkline::telemetry::{MetricNames, Metrics, ProcessMemory};
use trunkline::vocab::{Identity, SystemClock, User, UserId};

const FILE: &str = r#"
version: 1
server: {limits: {memory: 1000GiB, connections: 1000000, connections_per_ip: 1000000}, store: {memory: {max: 100GiB}}}
auth: {guest: {anonymous: {}}}
messages: {line: {schema: true, to: room}}
rooms:
  "live:{id}": {may_join: "true", messages: [line], presence: {grace: 0s}}
  "kept:{id}": {may_join: "true", messages: [line], history: {messages: 100}}
endpoints: {/ws: {auth: guest, rooms: ["live:{id}"], limits: {rooms_per_connection: 1000}}}
"#;
const ROOMS_EACH: usize = 1000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Takes everything, and keeps nothing.
struct Nowhere;

impl Link for Nowhere {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

fn main() -> Outcome<()> {
    // cargo adds `--bench`.
    let rooms = std::env::args().skip(1).find(|word| word != "--bench");
    let rooms: usize = rooms.map_or(Ok(100_000), |rooms| rooms.parse())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _within = runtime.enter();
    let engine = engine()?;
    let key = UserId::of_application("bench");
    let kept = grow(rooms, |number| {
        let publication = Publication {
            key_name: &key,
            name: "line",
            data: r#""a message of some thirty bytes""#,
            key: None,
        };
        let published = engine.publish_to_room(&format!("kept:{number}"), publication);
        published
            .map(|_| ())
            .map_err(|reject| reject.message.into_owned().into())
    })?;
    say(&format!(
        "{rooms} empty rooms that keep one message: {kept:.0} bytes each"
    ))?;
    let mut members: Vec<Attached> = Vec::new();
    let live = grow(rooms, |number| {
        if number.is_multiple_of(ROOMS_EACH) {
            members.push(connect(&engine, number)?);
        }
        let member = members.last().ok_or("nobody")?;
        let join = format!(r#"{{"type":"join","room":"live:{number}"}}"#);
        engine.receive_text(&member.connection, &join);
        match engine.rooms() {
            found if found == rooms + number + 1 => Ok(()),
            _ => Err(format!("live:{number} was not joined").into()),
        }
    })?;
    say(&format!(
        "{rooms} rooms with one member: {live:.0} bytes each"
    ))?;
    drop(members);
    while engine.rooms() > rooms {
        engine.tick();
        std::thread::sleep(TICK);
    }
    say("everyone has left: only the rooms that keep a message are there")
}

fn engine() -> Outcome<Arc<Engine>> {
    let files = MemoryFiles::default().with("channels.yaml", FILE.to_owned());
    let read = read(Path::new("channels.yaml"), &files, &BTreeMap::new())?;
    let plan: Plan = build(&read, &files).plan.ok_or("the file has findings")?;
    let names = MetricNames {
        messages: &["line"],
        endpoints: &["/ws"],
        rules: &["rooms.live:{id}.may_join", "rooms.kept:{id}.may_join"],
        reject_codes: &trunkline::protocol::RejectCode::ALL.map(|code| code.as_str()),
        ..MetricNames::default()
    };
    let metrics = Arc::new(Metrics::new(&names));
    let (clock, memory) = (
        Arc::new(SystemClock::new()),
        Arc::new(ProcessMemory::open()),
    );
    Ok(Engine::new(Arc::new(plan), clock, memory, metrics))
}

fn connect(engine: &Arc<Engine>, number: usize) -> Outcome<Attached> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let refused = |refusal: trunkline::engine::Refusal| refusal.message.into_owned();
    let id = UserId::parse(&format!("user-{number}"))?;
    let user = User {
        username: id.as_str().into(),
        id,
        authenticated: true,
        claims: Arc::default(),
    };
    let arrival = Arrival {
        endpoint: engine.plan().endpoints[0].clone(),
        request: RequestFacts::default(),
        ip,
        deflation: None,
        identity: Identity {
            user: Arc::new(user),
            expires_at: None,
        },
        since: Vec::new(),
        join_tokens: Vec::new(),
    };
    let ticket = engine.knock(ip).map_err(refused)?;
    let admission = engine.admit(ticket, arrival).now_or_never();
    let admission = admission
        .ok_or("the file's rules decide")?
        .map_err(refused)?;
    Ok(engine.attach(admission, Arc::new(Nowhere), Bytes::new()))
}

/// Bytes of RssAnon for each room after the first tenth.
fn grow(rooms: usize, mut add: impl FnMut(usize) -> Outcome<()>) -> Outcome<f64> {
    let first = rooms / 10;
    (0..first).try_for_each(&mut add)?;
    let before = anonymous_bytes()?;
    (first..rooms).try_for_each(&mut add)?;
    Ok((anonymous_bytes()? - before) / (rooms - first) as f64)
}

fn anonymous_bytes() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.ok_or("no RssAnon")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse::<f64>()? * 1024.0)
}

fn say(line: &str) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
