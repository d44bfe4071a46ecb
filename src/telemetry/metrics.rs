//! Every number that the server tells, each under the name that the documentation lists.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::telemetry::keys::{KeyMetrics, Keys};
use crate::telemetry::process::Process;
use crate::telemetry::questions::{QuestionMetrics, Questions};

/// What `/metrics` is: OpenMetrics 1.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// The names that metrics are counted by, in the order of the Plan's indexes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricNames<'a> {
    /// Message types, by their index.
    pub messages: &'a [&'a str],
    /// Endpoints' paths as declared, by their index.
    pub endpoints: &'a [&'a str],
    /// Rate limits, by their index.
    pub limits: &'a [&'a str],
    /// The keys of rules, by their index.
    pub rules: &'a [&'a str],
    /// Codes of refusals.
    pub reject_codes: &'a [&'static str],
    /// Close codes.
    pub close_codes: &'a [u16],
}

/// What a handshake comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A connection.
    Accepted,
    /// The page may not connect.
    Origin,
    /// No valid credential.
    Unauthenticated,
    /// A rule says no.
    Forbidden,
    /// Too many connections, or too fast.
    Limited,
    /// Not a WebSocket handshake.
    BadRequest,
    /// It took too long.
    Timeout,
    /// Cannot be done now.
    Unavailable,
    /// The application keeps the user, the token or the address out.
    Blocked,
}

impl HandshakeOutcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Origin,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Limited,
        Self::BadRequest,
        Self::Timeout,
        Self::Unavailable,
        Self::Blocked,
    ];

    /// The outcome as the label `outcome` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Origin => "origin",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Limited => "limited",
            Self::BadRequest => "bad_request",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Blocked => "blocked",
        }
    }
}

/// How often one rate limit was exceeded.
#[derive(Debug)]
pub struct LimitCounters {
    /// With consequences.
    pub refused: Counter,
    /// Without: the limit is a dry run.
    pub dry_run: Counter,
}

/// Connections ended, by close code.
#[derive(Debug)]
pub struct CloseCounters {
    known: Box<[(u16, Counter)]>,
    other: Counter,
}

impl CloseCounters {
    /// The counter of `code`; codes that the server does not send itself share one.
    pub fn code(&self, code: u16) -> &Counter {
        self.known
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(&self.other, |(_, counter)| counter)
    }
}

/// Every metric. Counting is one relaxed atomic addition; what has labels is an array by the Plan's index.
#[derive(Debug)]
pub struct Metrics {
    /// Open connections, by the endpoint's index.
    pub connections: Box<[Gauge]>,
    /// Rooms with somebody in them.
    pub rooms: Gauge,
    /// Users with a connection.
    pub users: Gauge,
    /// Messages taken in, by the message type's index.
    pub messages_received: Box<[Counter]>,
    /// Deliveries: messages put into an outbox, by the message type's index.
    pub messages_delivered: Box<[Counter]>,
    /// Frames written.
    pub frames_sent: Counter,
    /// Frames that made room for others because their reader was slow.
    pub frames_dropped: Counter,
    /// Writes to sockets; many frames go in one.
    pub socket_writes: Counter,
    /// Bytes written to sockets.
    pub bytes_sent: Counter,
    /// Bytes read from sockets.
    pub bytes_received: Counter,
    /// Messages compressed: once each, however many read them.
    pub compressed_frames: Counter,
    /// Their bytes before.
    pub compressed_bytes_before: Counter,
    /// Their bytes after.
    pub compressed_bytes_after: Counter,
    /// Refusals, in the order of [`MetricNames::reject_codes`].
    pub rejects: Box<[Counter]>,
    /// Connections ended.
    pub closes: CloseCounters,
    handshakes: Box<[Counter]>,
    /// Connections that speak HTTP: handshakes under way, calls, and those kept alive.
    pub http_connections: Gauge,
    /// Connections that spoke HTTP, closed to make room for others.
    pub http_evictions: Counter,
    /// Connections closed at once, because their address had its share of those that speak HTTP.
    pub http_refusals: Counter,
    /// Bytes that wait in outboxes.
    pub queue_bytes: Gauge,
    /// Frames that wait in outboxes.
    pub queue_frames: Gauge,
    /// Bytes in the store.
    pub store_bytes: Gauge,
    /// Bytes of the process that are in memory, at the last look.
    pub memory_bytes: Gauge,
    /// The ceiling for that; 0 where there is none.
    pub memory_ceiling_bytes: Gauge,
    /// Connections that were closed because of it.
    pub shed_connections: Counter,
    /// Blocks that hold.
    pub blocks: Gauge,
    /// What exceeded a rate limit, by the limit's index.
    pub rate_limited: Box<[LimitCounters]>,
    /// What was denied, by the index of the rule that said no.
    pub denials: Box<[Counter]>,
    /// Rules that could not be evaluated, and so denied, by their index.
    pub rule_failures: Box<[Counter]>,
    /// Replies that could not be made.
    pub reply_failures: Counter,
    /// Panics that ended one connection.
    pub panics: Counter,
    keys: Keys,
    questions: Questions,
    registry: Registry,
}

impl Metrics {
    /// Does `act`. A panic in it is our fault: it is counted, logged with `doing`, and goes no further.
    pub fn guard(&self, doing: &'static str, act: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(act)).is_err() {
            self.panics.inc();
            tracing::error!(doing, "a panic");
        }
    }

    /// All metrics at zero, so that each is there from the first scrape on.
    pub fn new(names: &MetricNames<'_>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut own = Names(registry.sub_registry_with_prefix("trunkline"));
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        own.add("build", "The version that runs", Info::new(version));
        Self {
            connections: own.each(
                "connections",
                "Open connections",
                "endpoint",
                names.endpoints,
            ),
            rooms: own.one("rooms", "Rooms with somebody in them"),
            users: own.one("users", "Users with a connection"),
            messages_received: own.each(
                "messages_received",
                "Messages taken in",
                "type",
                names.messages,
            ),
            messages_delivered: own.each(
                "messages_delivered",
                "Deliveries: one for each reader of a message",
                "type",
                names.messages,
            ),
            frames_sent: own.one("frames_sent", "Frames written"),
            frames_dropped: own.one(
                "frames_dropped",
                "Frames of types with conflate or overflow: drop that slow readers went without",
            ),
            socket_writes: own.one("socket_writes", "Writes to sockets; many frames go in one"),
            bytes_sent: own.one("bytes_sent", "Bytes written to sockets"),
            bytes_received: own.one("bytes_received", "Bytes read from sockets"),
            compressed_frames: own.one(
                "compressed_frames",
                "Messages compressed: once each, however many read them",
            ),
            compressed_bytes_before: own.one(
                "compressed_bytes_before",
                "Bytes of messages before they were compressed",
            ),
            compressed_bytes_after: own.one(
                "compressed_bytes_after",
                "Bytes of messages after they were compressed",
            ),
            rejects: own.each("rejects", "Refusals", "code", names.reject_codes),
            closes: own.closes(names.close_codes),
            handshakes: own.each(
                "handshakes",
                "Handshakes, by what they came to",
                "outcome",
                &HandshakeOutcome::ALL.map(HandshakeOutcome::as_str),
            ),
            http_connections: own.one(
                "http_connections",
                "Connections that speak HTTP: handshakes under way, calls, and those kept alive",
            ),
            http_evictions: own.one(
                "http_evictions",
                "Connections that spoke HTTP, closed to make room for others",
            ),
            http_refusals: own.one(
                "http_refusals",
                "Connections closed at once: their address had its share of those that speak HTTP",
            ),
            queue_bytes: own.one("queue_bytes", "Bytes that wait in outboxes"),
            queue_frames: own.one("queue_frames", "Frames that wait in outboxes"),
            store_bytes: own.one("store_bytes", "Bytes in the store"),
            memory_bytes: own.one("memory_bytes", "Bytes of the process that are in memory"),
            memory_ceiling_bytes: own.one(
                "memory_ceiling_bytes",
                "The ceiling for memory_bytes; 0 where there is none",
            ),
            shed_connections: own.one(
                "shed_connections",
                "Connections closed to stay below the memory ceiling",
            ),
            blocks: own.one("blocks", "Users, tokens and addresses that are kept out"),
            rate_limited: own.limits(names.limits),
            denials: own.each("denials", "What a rule said no to", "rule", names.rules),
            rule_failures: own.each(
                "rule_failures",
                "Rules that could not be evaluated, and so denied",
                "rule",
                names.rules,
            ),
            reply_failures: own.one("reply_failures", "Replies that could not be made"),
            panics: own.one("panics", "Panics that ended one connection"),
            keys: Keys::new(own.0),
            questions: Questions::new(own.0),
            registry,
        }
    }

    /// Counts a handshake.
    pub fn handshake(&self, outcome: HandshakeOutcome) {
        self.handshakes[outcome as usize].inc();
    }

    /// The numbers of the keys that the mode `auth` verifies with; made once for each, at the start.
    pub fn keys_of(&self, auth: &str) -> KeyMetrics {
        self.keys.of(auth)
    }

    /// The numbers of who asks the application, such as `auth.browser`; made once for each, at the start.
    pub fn questions_of(&self, asker: &str) -> QuestionMetrics {
        self.questions.of(asker)
    }

    /// Everything as text of the type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail, and the process's own metrics leave out what they cannot read.
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }
}

struct Names<'a>(&'a mut Registry);

impl Names<'_> {
    fn add(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }

    fn one<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.add(name, help, metric.clone());
        metric
    }

    /// The handles of a family with one label, in the order of its values.
    fn each<M>(&mut self, name: &str, help: &str, label: &'static str, values: &[&str]) -> Box<[M]>
    where
        M: Metric + Clone + Default,
        Family<Labels, M>: Metric + Clone,
    {
        let family = Family::<Labels, M>::default();
        let handle = |value: &&str| family.get_or_create_owned(&vec![(label, (*value).to_owned())]);
        let handles = values.iter().map(handle).collect();
        self.add(name, help, family);
        handles
    }

    fn closes(&mut self, codes: &[u16]) -> CloseCounters {
        let texts: Vec<String> = codes.iter().map(u16::to_string).collect();
        let labels: Vec<&str> = texts.iter().map(String::as_str).chain(["other"]).collect();
        let counters: Box<[Counter]> = self.each("closes", "Connections ended", "code", &labels);
        let mut counters = counters.into_vec();
        CloseCounters {
            other: counters.pop().unwrap_or_default(),
            known: codes.iter().copied().zip(counters).collect(),
        }
    }

    fn limits(&mut self, limits: &[&str]) -> Box<[LimitCounters]> {
        let family = Family::<Labels, Counter>::default();
        let handle = |limit: &str, dry_run: &str| {
            let labels = vec![("limit", limit.to_owned()), ("dry_run", dry_run.to_owned())];
            family.get_or_create_owned(&labels)
        };
        let counters = limits
            .iter()
            .map(|limit| LimitCounters {
                refused: handle(limit, "false"),
                dry_run: handle(limit, "true"),
            })
            .collect();
        self.add("rate_limited", "What exceeded a rate limit", family);
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::{HandshakeOutcome, MetricNames, Metrics};

    fn metrics() -> Metrics {
        Metrics::new(&MetricNames {
            messages: &["message", "typing"],
            endpoints: &["/ws/room/{room_id}"],
            limits: &["chatty"],
            rules: &["rooms.room:{room_id}.may_join"],
            reject_codes: &["bad_json", "schema"],
            close_codes: &[1000, 4008],
        })
    }

    #[test]
    fn every_metric_is_told_from_the_start() {
        let text = metrics().encode();
        let version = env!("CARGO_PKG_VERSION");
        for line in [
            r#"trunkline_connections{endpoint="/ws/room/{room_id}"} 0"#,
            "trunkline_rooms 0",
            "trunkline_users 0",
            r#"trunkline_messages_received_total{type="typing"} 0"#,
            r#"trunkline_messages_delivered_total{type="message"} 0"#,
            "trunkline_frames_sent_total 0",
            "trunkline_frames_dropped_total 0",
            "trunkline_socket_writes_total 0",
            "trunkline_bytes_sent_total 0",
            "trunkline_bytes_received_total 0",
            "trunkline_compressed_frames_total 0",
            "trunkline_compressed_bytes_before_total 0",
            "trunkline_compressed_bytes_after_total 0",
            r#"trunkline_rejects_total{code="schema"} 0"#,
            r#"trunkline_closes_total{code="4008"} 0"#,
            r#"trunkline_closes_total{code="other"} 0"#,
            r#"trunkline_handshakes_total{outcome="bad_request"} 0"#,
            "trunkline_http_connections 0",
            "trunkline_http_evictions_total 0",
            "trunkline_http_refusals_total 0",
            "trunkline_queue_bytes 0",
            "trunkline_queue_frames 0",
            "trunkline_store_bytes 0",
            "trunkline_memory_bytes 0",
            "trunkline_memory_ceiling_bytes 0",
            "trunkline_shed_connections_total 0",
            r#"trunkline_rate_limited_total{limit="chatty",dry_run="true"} 0"#,
            "trunkline_blocks 0",
            r#"trunkline_denials_total{rule="rooms.room:{room_id}.may_join"} 0"#,
            r#"trunkline_rule_failures_total{rule="rooms.room:{room_id}.may_join"} 0"#,
            "trunkline_reply_failures_total 0",
            "trunkline_panics_total 0",
            &format!(r#"trunkline_build_info{{version="{version}"}} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_told_too() {
        let text = metrics().encode();
        for name in [
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_start_time_seconds",
            "process_threads",
        ] {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = found
                .and_then(|value| value.trim().parse().ok())
                .expect(name);
            assert!(value >= 0.0, "{name} {value}");
        }
    }

    #[test]
    fn counting_shows() {
        let metrics = metrics();
        metrics.messages_received[1].inc();
        metrics.connections[0].inc();
        metrics.rejects[0].inc();
        metrics.closes.code(4008).inc();
        metrics.closes.code(3000).inc_by(2);
        metrics.rate_limited[0].refused.inc();
        metrics.handshake(HandshakeOutcome::Timeout);
        let text = metrics.encode();
        for line in [
            r#"trunkline_messages_received_total{type="typing"} 1"#,
            r#"trunkline_connections{endpoint="/ws/room/{room_id}"} 1"#,
            r#"trunkline_rejects_total{code="bad_json"} 1"#,
            r#"trunkline_closes_total{code="4008"} 1"#,
            r#"trunkline_closes_total{code="other"} 2"#,
            r#"trunkline_rate_limited_total{limit="chatty",dry_run="false"} 1"#,
            r#"trunkline_handshakes_total{outcome="timeout"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
