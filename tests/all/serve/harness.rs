//! A server made from a text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use trunkline::auth::{Mint, mint};
use trunkline::config::{MemoryFiles, read};
use trunkline::diag::render::{Colours, human};
use trunkline::engine::Engine;
use trunkline::plan::build;
use trunkline::server::Running;
use trunkline::telemetry::Memory;
use trunkline::vocab::{Clock, Timestamp, VirtualClock};

use crate::serve::client::{Client, DEADLINE, Response, read_response, upgrade, write_head};

pub(super) const SECRET: &str = "a-test-secret-of-at-least-32-bytes!!";

/// A server that runs in this process.
pub(super) struct Server {
    running: Option<Running>,
    address: SocketAddr,
    clock: Arc<VirtualClock>,
}

/// The Plan of a text; `version` and an address to listen on are added where there is none.
fn plan(yaml: &str) -> trunkline::plan::Plan {
    let listen = if yaml.contains("listen:") {
        ""
    } else {
        "server: {listen: \"127.0.0.1:0\"}\n"
    };
    let files = MemoryFiles::default().with("channels.yaml", format!("version: 1\n{listen}{yaml}"));
    let environment = BTreeMap::from([("SECRET".to_owned(), SECRET.to_owned())]);
    let read = read(Path::new("channels.yaml"), &files, &environment).expect("it is there");
    let outcome = build(&read, &files);
    outcome
        .plan
        .unwrap_or_else(|| panic!("{}", human(&outcome.findings, &read.sources, Colours::Off)))
}

impl Server {
    /// Serves what `yaml` declares.
    pub(super) fn start(yaml: &str) -> Self {
        let clock = Self::clock();
        Self::start_with(yaml, clock.clone(), clock)
    }

    /// Serves what `yaml` declares under a clock of the test's own.
    pub(super) fn start_with(yaml: &str, clock: Arc<VirtualClock>, seen: Arc<dyn Clock>) -> Self {
        let running = Running::start(plan(yaml), seen).expect("it starts");
        Self::of(running, clock)
    }

    /// Serves what `yaml` declares, with the memory that the test says there is.
    pub(super) fn start_in(yaml: &str, memory: Arc<dyn Memory>) -> Self {
        let clock = Self::clock();
        let running = Running::start_within(plan(yaml), clock.clone(), memory);
        Self::of(running.expect("it starts"), clock)
    }

    fn clock() -> Arc<VirtualClock> {
        let noon = Timestamp::parse("2026-11-22T12:00:00Z").expect("a moment");
        Arc::new(VirtualClock::new(noon))
    }

    fn of(running: Running, clock: Arc<VirtualClock>) -> Self {
        let address = running.addresses()[0];
        Self {
            running: Some(running),
            address,
            clock,
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.running.as_ref().expect("it runs").engine()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Moves the time, and has the engine do what is due.
    pub(super) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        self.engine().tick();
        let running = self.running.as_ref().expect("it runs");
        running.authenticator().look_at_clock();
    }

    /// Begins the shutdown; done when everyone is gone.
    pub(super) fn shut_down(&mut self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.running.take().expect("it runs").shutdown())
    }

    /// A connection, with its `welcome` where the endpoint speaks JSON read and checked to be the first frame.
    pub(super) async fn join(&self, path: &str) -> Client {
        let mut client = self.connect(path).await;
        client.expect(json!({"type": "welcome"})).await;
        client
    }

    /// A connection of which nothing has been read.
    pub(super) async fn connect(&self, path: &str) -> Client {
        match self.knock(path, &[]).await {
            Ok(client) => client,
            Err(response) => panic!("{path}: {response:?}"),
        }
    }

    /// A connection, or the answer that refuses it.
    pub(super) async fn knock(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Client, Response> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        upgrade(stream, path, headers).await
    }

    /// The answer that refuses a connection.
    pub(super) async fn refusal(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        match self.knock(path, headers).await {
            Ok(_) => panic!("{path} was let in"),
            Err(response) => response,
        }
    }

    /// One request over HTTP/1.1.
    pub(super) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let length = body.len().to_string();
        let headers = [
            headers,
            &[("Content-Length", &length), ("Connection", "close")],
        ]
        .concat();
        write_head(&mut stream, method, path, &headers).await;
        // A server that refuses early may close before the body is out.
        let _ = stream.write_all(body.as_bytes()).await;
        read_response(&mut stream).await
    }

    /// Publishes with the key `all` of [`API`].
    pub(super) async fn publish(&self, target: &str, body: Value) -> Response {
        let headers = [("Authorization", "Bearer all-secret-of-32-bytes-and-more!!")];
        let path = format!("/api/{target}/messages");
        self.http("POST", &path, &headers, &body.to_string()).await
    }

    /// The value of one line of `/metrics`.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let text = self.http("GET", "/metrics", &[], "").await.body;
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        let value = found.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    }

    /// Waits until a metric, counted behind what clients see, has this value.
    pub(super) async fn until_metric(&self, name: &str, value: f64) {
        let wait = async { while self.metric(name).await != value {} };
        let result = tokio::time::timeout(DEADLINE, wait).await;
        result.unwrap_or_else(|_| panic!("{name} does not become {value}"));
    }

    /// Waits until `path` answers with this status.
    pub(super) async fn until_status(&self, path: &str, status: u16) {
        let wait = async { while self.http("GET", path, &[], "").await.status != status {} };
        let result = tokio::time::timeout(DEADLINE, wait).await;
        result.unwrap_or_else(|_| panic!("{path} does not answer {status}"));
    }

    /// Waits until `holds`, of what changes without a frame that could be waited for.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Engine) -> bool) {
        let wait = async {
            while !holds(self.engine()) {
                tokio::task::yield_now().await;
            }
        };
        let result = tokio::time::timeout(DEADLINE, wait).await;
        result.unwrap_or_else(|_| panic!("waited in vain: {what}"));
    }

    /// A token of the first auth mode that takes them.
    pub(super) fn token(&self, user_id: &str, claims: Value, expires: Duration) -> String {
        let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
        let order = Mint {
            user_id,
            username: None,
            claims,
            expires,
        };
        let modes = &self.engine().plan().auth;
        let mut minted = modes
            .iter()
            .map(|mode| mint(mode, &order, self.clock.now()));
        let token = minted.find_map(Result::ok);
        token.expect("a mode takes tokens")
    }
}

/// A server with the HTTP API on; its one key may do everything.
pub(super) const API: &str = r#"
server:
  listen: "127.0.0.1:0"
  api: {keys: {all: {secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}}}
"#;
