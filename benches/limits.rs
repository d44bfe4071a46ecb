//! What a rate limit costs for each address, user or room that it knows: `cargo bench --bench limits [-- KEYS]`.
//!
//! The engine is the real one; a million addresses ask it to connect, as they do before anything else is known of them. Bytes for
//! each key are the growth of RssAnon, times those of one core: for keys that are new, for those that are known, and for new ones
//! when there is no room for them any more.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use trunkline::config::{MemoryFiles, read};
use trunkline::engine::Engine;
use trunkline::plan::{Endpoint, Plan, build};
use trunkline::telemetry::{MetricNames, Metrics, ProcessMemory};
use trunkline::vocab::SystemClock;

const KEYS: u64 = 1_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // cargo adds `--bench`.
    let keys = std::env::args().skip(1).find(|word| word != "--bench");
    let keys: u64 = keys.map_or(Ok(KEYS), |keys| keys.parse())?;
    let engine = engine(keys)?;
    let endpoint = engine.plan().endpoints[0].clone();
    let before = anonymous_bytes()?;
    let fresh = spend(&engine, &endpoint, 0..keys)?;
    let bytes = (anonymous_bytes()? - before) / keys as f64;
    let kept = engine.rate_limit_keys();
    say(&format!(
        "{kept} of {keys} keys kept: {bytes:.1} bytes each"
    ))?;
    say(&format!("a key that is new: {fresh:.0} ns"))?;
    let known = spend(&engine, &endpoint, 0..keys)?;
    say(&format!("a key that is known: {known:.0} ns"))?;
    let beyond = spend(&engine, &endpoint, keys..2 * keys)?;
    say(&format!(
        "a key that is new where there is no room: {beyond:.0} ns, {} kept",
        engine.rate_limit_keys()
    ))
}

/// An engine whose limit keeps so many keys. No bucket fills up while it is measured.
fn engine(keys: u64) -> Outcome<Arc<Engine>> {
    let file = format!(
        r#"
version: 1
server: {{limits: {{memory: 1000GiB, tracked_keys: {keys}}}}}
auth: {{guest: {{anonymous: {{}}}}}}
rate_limits: {{connecting: {{rate: 1/h, burst: 10, per: ip}}}}
messages: {{a: {{schema: true, to: none}}}}
endpoints: {{/ws: {{auth: guest, messages: [a], rate_limit: {{connect: [connecting]}}}}}}
"#
    );
    let files = MemoryFiles::default().with("channels.yaml", file);
    let read = read(Path::new("channels.yaml"), &files, &BTreeMap::new())?;
    let plan: Plan = build(&read, &files).plan.ok_or("the file has findings")?;
    let names = MetricNames {
        messages: &["a"],
        endpoints: &["/ws"],
        limits: &["connecting"],
        ..MetricNames::default()
    };
    let (clock, memory) = (
        Arc::new(SystemClock::new()),
        Arc::new(ProcessMemory::open()),
    );
    let metrics = Arc::new(Metrics::new(&names));
    Ok(Engine::new(Arc::new(plan), clock, memory, metrics))
}

/// Nanoseconds for each of the keys, all of which may connect.
fn spend(engine: &Engine, endpoint: &Endpoint, keys: std::ops::Range<u64>) -> Outcome<f64> {
    let count = keys.end - keys.start;
    let begun = Instant::now();
    for key in keys {
        // A /64 each.
        let network = 0x2001_0db8_0000_0000_u64 + key;
        let ip = IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64));
        let spent = engine.spend_connect(endpoint, ip);
        spent.map_err(|refusal| refusal.message.into_owned())?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / count as f64)
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
