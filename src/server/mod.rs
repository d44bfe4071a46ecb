//! Assembly: a Plan becomes listening sockets, handlers and an engine; signals end them in order.

mod certificates;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::auth::{Authenticator, Means};
use crate::engine::Engine;
use crate::plan::{Listener, Plan};
use crate::protocol::{CloseCode, RejectCode};
use crate::telemetry::{Health, Memory, MetricNames, Metrics, ProcessMemory};
use crate::transport::acceptor::{Entrance, RequestLimits, SocketAcceptor};
use crate::transport::listening::BindError;
use crate::transport::lobby::Lobby;
use crate::transport::proxied::Proxied;
use crate::transport::tls::TlsError;
use crate::transport::{Served, router};
use crate::vocab::{Clock, SystemClock};
use crate::webhook::Client;

use certificates::Sources;

pub use certificates::LoadError;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate cannot be shown.
    #[error(transparent)]
    Certificate(LoadError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(TlsError),
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
        while signals.next().await == Asked::Reload {
            tracing::info!("told to read certificates again");
            running.reload();
        }
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
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    End,
    Reload,
}

impl Signals {
    fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(RunError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Asked::End {}
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
    certificates: Arc<Sources>,
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
        let means = Means {
            clock: clock.clone(),
            random,
            client: Arc::new(Client::new()),
            metrics: engine.metrics().clone(),
        };
        let authenticator = Authenticator::new(&plan.auth, &means);
        let authenticator = Arc::new(authenticator.with_join_tokens(&plan.rooms));
        engine.verify_with(authenticator.clone());
        let health = Arc::new(Health::new());
        let served = Served {
            engine: engine.clone(),
            authenticator: authenticator.clone(),
            health: health.clone(),
        };
        let certificates = Sources::open(&plan.server.listen, clock, engine.metrics().clone())?;
        let (listeners, chosen) = listen(&served, &certificates)?;
        let mut upkeep = JoinSet::new();
        upkeep.spawn(engine.clone().run_ticks());
        upkeep.spawn(engine.clone().run_alarms());
        upkeep.spawn(engine.clone().run_gatherings());
        upkeep.spawn(authenticator.clone().watch_files());
        upkeep.spawn(authenticator.clone().fetch_keys(means));
        upkeep.spawn(certificates.clone().watch());
        for keeper in certificates.keepers(random) {
            let kept = keeper.show_kept();
            upkeep.spawn(keeper.run(kept));
        }
        if authenticator.awaits_keys() {
            upkeep.spawn(be_ready_with_keys(authenticator.clone(), health.clone()));
        } else {
            health.ready();
        }
        for (listener, chosen) in plan.server.listen.iter().zip(&chosen) {
            tell(&plan, listener, *chosen);
        }
        warn_of_few_files(&plan);
        Ok(Self {
            engine,
            authenticator,
            health,
            addresses: chosen.into_iter().flatten().collect(),
            listeners,
            upkeep,
            certificates,
        })
    }

    /// Reads certificates again, for handshakes from then on.
    pub fn reload(&self) {
        self.certificates.reload();
    }

    /// Where it listens by TCP, in the order of the Plan.
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

/// Opens all listeners, or none, and serves what each has to; where each listens by TCP, in the order of the Plan.
fn listen(
    served: &Served,
    certificates: &Sources,
) -> Result<(JoinSet<()>, Vec<Option<SocketAddr>>), RunError> {
    let plan = served.engine.plan();
    let server = &plan.server;
    let limits = RequestLimits {
        head_timeout: server.handshake_timeout,
        ..RequestLimits::default()
    };
    let lobby = Lobby::new(
        server.http_connections_max,
        &server.trusted_proxies,
        served.engine.metrics().clone(),
    );
    // A listening socket for each thread that can accept.
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let sockets = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let proxied = Arc::new(Proxied {
        trusted: server.trusted_proxies.clone(),
        timeout: server.handshake_timeout,
    });
    let mut bound = Vec::new();
    for listener in &server.listen {
        let entrance = Entrance {
            limits,
            lobby: lobby.clone(),
            tls: listener.tls.as_ref().and_then(|tls| certificates.tls(tls)),
            proxied: listener.proxy_protocol.then(|| proxied.clone()),
        };
        let acceptors = SocketAcceptor::bind(&listener.address, sockets, entrance)?;
        bound.push((listener, acceptors));
    }
    let mut chosen = Vec::new();
    let mut listeners = JoinSet::new();
    for (listener, acceptors) in bound {
        chosen.push(acceptors.first().and_then(SocketAcceptor::tcp_address));
        let router = Arc::new(router::router(served, listener, &lobby));
        for acceptor in acceptors {
            let router = router.clone();
            listeners.spawn(async move {
                if let Err(error) = acceptor.into_server().try_serve(router).await {
                    tracing::error!(%error, "a listener ended");
                }
            });
        }
    }
    Ok((listeners, chosen))
}

/// Says where to find what, so that somebody who sees only the log knows what to open.
fn tell(plan: &Plan, listener: &Listener, chosen: Option<SocketAddr>) {
    let mut paths = String::new();
    let endpoints = plan.endpoints.iter().filter(|_| listener.serves.endpoints);
    for endpoint in endpoints {
        let _ = write!(paths, " {}", endpoint.path);
    }
    let paths = paths.trim_start();
    let scheme = match listener.tls {
        Some(_) => "https://",
        None => "http://",
    };
    match (chosen, &listener.address) {
        (Some(address), _) => {
            tracing::info!(%address, endpoints = paths, "listening on {scheme}{address}");
        }
        (None, address) => {
            tracing::info!(%address, endpoints = paths, "listening on {address}");
        }
    }
}

fn warn_of_few_files(plan: &Plan) {
    let wanted = plan.server.connections.max as u64 + 64;
    match file_descriptors() {
        Some(limit) if limit < wanted => tracing::info!(
            limit,
            connections = plan.server.connections.max,
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
