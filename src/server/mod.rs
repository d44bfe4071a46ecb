//! Assembly: a Plan becomes listening sockets, handlers and an engine; signals end them in order.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::auth::Authenticator;
use crate::engine::Engine;
use crate::plan::Plan;
use crate::protocol::{CloseCode, RejectCode};
use crate::telemetry::{Health, Memory, MetricNames, Metrics, ProcessMemory};
use crate::transport::acceptor::{BindError, RequestLimits, TcpAcceptor};
use crate::transport::lobby::Lobby;
use crate::transport::{Served, router};
use crate::vocab::{Clock, SystemClock};
use crate::webhook::Client;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operating system does not let us hear its signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    /// The threads that everything runs on cannot be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
}

/// Serves `plan` until the process is told to end (SIGTERM, SIGINT), then drains. Blocks.
///
/// # Errors
/// An address cannot be listened on, or the system refuses threads or signals.
pub fn run(plan: Plan) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("trunkline")
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let running = Running::start(plan, Arc::new(SystemClock::new()))?;
        signals.end().await;
        tokio::select! {
            () = running.shutdown() => {}
            () = signals.end() => tracing::warn!("told twice to end: not waiting any longer"),
        }
        Ok(())
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A server that runs.
pub struct Running {
    engine: Arc<Engine>,
    authenticator: Arc<Authenticator>,
    health: Arc<Health>,
    addresses: Vec<SocketAddr>,
    listeners: JoinSet<()>,
    upkeep: JoinSet<()>,
}

impl Running {
    /// Listens, and serves `plan` from now on. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// An address cannot be listened on; then none is.
    pub fn start(plan: Plan, clock: Arc<dyn Clock>) -> Result<Self, RunError> {
        Self::start_within(plan, clock, Arc::new(ProcessMemory::open()))
    }

    /// As [`Running::start`], with the memory that `memory` says there is.
    ///
    /// # Errors
    /// An address cannot be listened on; then none is.
    pub fn start_within(
        plan: Plan,
        clock: Arc<dyn Clock>,
        memory: Arc<dyn Memory>,
    ) -> Result<Self, RunError> {
        let plan = Arc::new(plan);
        let metrics = Arc::new(metrics(&plan));
        let engine = Engine::new(plan.clone(), clock.clone(), memory, metrics);
        let authenticator =
            Arc::new(Authenticator::new(&plan.auth, clock, random).with_join_tokens(&plan.rooms));
        engine.verify_with(authenticator.clone());
        let health = Arc::new(Health::new());
        let served = Served {
            engine: engine.clone(),
            authenticator: authenticator.clone(),
            health: health.clone(),
        };
        let limits = RequestLimits {
            head_timeout: plan.server.handshake_timeout,
            ..RequestLimits::default()
        };
        let (places, proxies) = (
            plan.server.http_connections_max,
            &plan.server.trusted_proxies,
        );
        let lobby = Lobby::new(places, proxies, engine.metrics().clone());
        // A listening socket for each thread that can accept.
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let sockets = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        let mut bound = Vec::new();
        for listener in &plan.server.listen {
            let acceptors = TcpAcceptor::bind(listener.address, sockets, limits, &lobby)?;
            bound.push((listener, acceptors));
        }
        let mut addresses = Vec::new();
        let mut listeners = JoinSet::new();
        for (listener, acceptors) in bound {
            addresses.extend(acceptors.first().map(TcpAcceptor::local_addr));
            let router = Arc::new(router::router(&served, listener, &lobby));
            for acceptor in acceptors {
                let router = router.clone();
                listeners.spawn(async move {
                    if let Err(error) = acceptor.into_server().try_serve(router).await {
                        tracing::error!(%error, "a listener ended");
                    }
                });
            }
        }
        let mut upkeep = JoinSet::new();
        upkeep.spawn(engine.clone().run_ticks());
        upkeep.spawn(engine.clone().run_alarms());
        upkeep.spawn(engine.clone().run_gatherings());
        upkeep.spawn(authenticator.clone().watch_key_files());
        upkeep.spawn(authenticator.clone().watch_sessions());
        let client = Arc::new(Client::new());
        let fetching = authenticator
            .clone()
            .fetch_keys(client, engine.metrics().clone());
        upkeep.spawn(fetching);
        if authenticator.awaits_keys() {
            upkeep.spawn(be_ready_with_keys(authenticator.clone(), health.clone()));
        } else {
            health.ready();
        }
        tell(&plan, &addresses);
        Ok(Self {
            engine,
            authenticator,
            health,
            addresses,
            listeners,
            upkeep,
        })
    }

    /// Where it listens, in the order of the Plan.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it runs.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Who it lets in.
    pub fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// Refuses new connections, tells the others to come back later, waits for them at most for the Plan's grace, and ends.
    pub async fn shutdown(mut self) {
        self.health.draining();
        tracing::info!(connections = self.engine.connections(), "shutting down");
        // Meanwhile whoever asks hears that the server is going: /readyz and handshakes answer 503.
        self.engine.drain().await;
        self.listeners.abort_all();
        self.upkeep.abort_all();
        let ended = async {
            while self.upkeep.join_next().await.is_some() {}
            while self.listeners.join_next().await.is_some() {}
        };
        if tokio::time::timeout(Duration::from_secs(1), ended)
            .await
            .is_err()
        {
            tracing::warn!("tasks were still running at the end");
        }
        tracing::info!("stopped");
    }
}

/// Until an issuer has been heard, its users would be refused here: others may still be let in by a server that knows the keys.
async fn be_ready_with_keys(authenticator: Arc<Authenticator>, health: Arc<Health>) {
    authenticator.first_keys().await;
    health.ready();
}

fn metrics(plan: &Plan) -> Metrics {
    let messages: Vec<&str> = plan
        .messages
        .iter()
        .map(|message| message.name.as_str())
        .collect();
    let endpoints: Vec<&str> = plan
        .endpoints
        .iter()
        .map(|endpoint| endpoint.path.as_str())
        .collect();
    let limits: Vec<&str> = plan.rate_limits.iter().map(|limit| &*limit.name).collect();
    let rules: Vec<&str> = plan.rules.iter().map(|rule| &*rule.name).collect();
    let close_codes = CloseCode::ALL.map(CloseCode::as_u16);
    Metrics::new(&MetricNames {
        messages: &messages,
        endpoints: &endpoints,
        limits: &limits,
        rules: &rules,
        reject_codes: &RejectCode::ALL.map(RejectCode::as_str),
        close_codes: &close_codes,
    })
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u64::from_ne_bytes(bytes)
}

/// Says where to find what, so that somebody who sees only the log knows what to open.
fn tell(plan: &Plan, addresses: &[SocketAddr]) {
    for address in addresses {
        let mut paths = String::new();
        for endpoint in &plan.endpoints {
            let _ = write!(paths, " {}", endpoint.path);
        }
        tracing::info!(%address, endpoints = paths.trim_start(), "listening on http://{address}");
    }
    let wanted = plan.server.connections_max as u64 + 64;
    match file_descriptors() {
        Some(limit) if limit < wanted => tracing::info!(
            limit,
            connections = plan.server.connections_max,
            "the process may open fewer files than `server.limits.connections` needs: raise it with `ulimit -n`"
        ),
        _ => {}
    }
}

/// How many files this process may open, where the system tells.
fn file_descriptors() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
