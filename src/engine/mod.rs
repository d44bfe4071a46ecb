//! Connections, the message pipeline, fan-out, limits: everything that happens between a socket and a room. No HTTP.
//!
//! A connection's way: [`Engine::knock`] (counts and connect limits) → a credential becomes an identity (`auth`) →
//! [`Engine::admit`] (rules, places) → the upgrade → [`Engine::attach`] → [`Engine::receive_text`] for each message →
//! [`Engine::detach`]. Nothing here waits: every call returns at once, and what has to be written later is written by a room's
//! flush (`feed`) or by the connection's own task.

mod admission;
mod answer;
mod automatic;
mod block;
mod bucket;
mod changeover;
mod closing;
mod conflation;
mod connection;
mod control;
mod data;
mod deflate;
mod denial;
mod departure;
mod dispatch;
mod doors;
mod doorstep;
mod feed;
mod flush;
mod form;
mod joining;
mod limit;
mod link;
mod membership;
mod memory;
mod newcomer;
mod outbox;
mod outlet;
mod pipeline;
mod presence;
mod publish;
mod reader;
mod receive;
mod refresh;
mod render;
mod reply;
mod seat;
mod seldom;
mod sending;
mod standing;
mod tally;
mod ticket;
mod timer;
mod users;
mod waiting;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::auth::Authenticator;
use crate::broker::memory::{Hall as AnyHall, Rooms};
use crate::plan::Plan;
use crate::room::Keys;
use crate::store::MemoryStore;
use crate::telemetry::{Memory, Metrics};
use crate::vocab::{Clock, MessageId};

pub use admission::{Admission, Arrival, Attached};
pub use block::{Block, BlockOrder, BlockTarget, network};
pub use connection::{Connection, RequestFacts};
pub use control::{ConnectionSeen, MemberSeen, MembersSeen, PAGE_MAX, UserSeen};
pub use feed::{Audience, Feed};
pub use link::{Link, Phase};
pub use newcomer::Newcomer;
pub use publish::{Publication, Published};
pub use reader::Reading;
pub use ticket::{Refusal, Ticket};
pub use timer::TICK;

/// A room with its readers.
pub type Hall = AnyHall<Feed>;

/// Idempotency keys of messages that go to no room, all users together.
const ENDPOINT_KEYS_MAX: usize = 100_000;
const ENDPOINT_KEYS_WINDOW: std::time::Duration = std::time::Duration::from_secs(300);

/// The running server without its sockets.
pub struct Engine {
    plan: Arc<Plan>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    rooms: Rooms<Feed>,
    users: users::Users,
    addresses: users::Addresses,
    /// Connections whose user is not known yet, in all and by address.
    newcomers: AtomicUsize,
    newcomers_of: users::Addresses,
    connections: AtomicUsize,
    /// Those that are counted, by the endpoint's index.
    endpoint_connections: Box<[AtomicUsize]>,
    connection_ids: ticket::ConnectionIds,
    authenticator: OnceLock<Arc<Authenticator>>,
    doors: doors::Doors,
    limits: limit::Limits,
    blocks: block::Blocks,
    timers: timer::Timers,
    alarms: timer::Alarms,
    store: Arc<MemoryStore>,
    ceiling: memory::Ceiling,
    endpoint_keys: Mutex<Keys>,
    outlet: Arc<outlet::Outlet>,
    /// Tells apart what is thinned.
    subjects: std::hash::RandomState,
    node: u32,
    message_count: AtomicU64,
    /// Numbers the stays of connections in rooms.
    stays: AtomicU32,
    /// The monotonic time at the last tick, in milliseconds: exact enough for signs of life.
    coarse_millis: AtomicU64,
    ticks: AtomicU64,
    draining: AtomicBool,
    emptied: Notify,
}

impl Engine {
    /// An engine for `plan`, with nobody connected.
    pub fn new(
        plan: Arc<Plan>,
        clock: Arc<dyn Clock>,
        memory: Arc<dyn Memory>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let store = Arc::new(MemoryStore::new(plan.server.store_bytes_max));
        Arc::new(Self {
            ceiling: memory::Ceiling::new(&plan, memory),
            limits: limit::Limits::new(
                &plan.rate_limits,
                plan.server.tracked_keys_max,
                clock.clone(),
                metrics.clone(),
            ),
            blocks: block::Blocks::new(plan.server.blocks_max),
            doors: doors::Doors::new(&plan, &clock, &metrics),
            rooms: Rooms::new(random_u32(), store.clone()),
            users: users::Users::new(),
            addresses: users::Addresses::new(),
            authenticator: OnceLock::new(),
            newcomers: AtomicUsize::new(0),
            newcomers_of: users::Addresses::new(),
            connections: AtomicUsize::new(0),
            connection_ids: ticket::ConnectionIds::default(),
            timers: timer::Timers::default(),
            alarms: timer::Alarms::default(),
            outlet: Arc::new(outlet::Outlet::new(&plan, metrics.clone())),
            subjects: std::hash::RandomState::new(),
            endpoint_connections: plan.endpoints.iter().map(|_| AtomicUsize::new(0)).collect(),
            endpoint_keys: Mutex::new(Keys::new(ENDPOINT_KEYS_WINDOW, ENDPOINT_KEYS_MAX)),
            node: random_u32(),
            message_count: AtomicU64::new(0),
            stays: AtomicU32::new(0),
            coarse_millis: AtomicU64::new(clock.monotonic().as_millis()),
            ticks: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            emptied: Notify::new(),
            store,
            plan,
            clock,
            metrics,
        })
    }

    /// What the engine runs.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where its time comes from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Connections at the moment, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Rooms at the moment.
    pub fn rooms(&self) -> usize {
        self.rooms.count()
    }

    /// Users at the moment.
    pub fn users(&self) -> usize {
        self.users.count()
    }

    /// What the memory store keeps, in bytes.
    pub fn stored_bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Token buckets that are kept beside those of connections.
    pub fn rate_limit_keys(&self) -> usize {
        self.limits.len()
    }

    /// Lets go what gathers at endpoints with `coalesce`. The server runs it beside [`Engine::run_ticks`]; it does not end.
    pub async fn run_gatherings(self: Arc<Self>) {
        let mut gatherings = JoinSet::new();
        for endpoint in &self.plan.endpoints {
            if let Some(every) = endpoint.coalesce {
                let (outlet, index) = (self.outlet.clone(), endpoint.index);
                gatherings.spawn(async move { outlet.let_go(index, every).await });
            }
        }
        while gatherings.join_next().await.is_some() {}
    }

    fn next_message_id(&self) -> MessageId {
        MessageId::new(
            self.node,
            self.message_count.fetch_add(1, Ordering::Relaxed),
        )
    }
}

/// Random bits from the operating system.
fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn random_u32() -> u32 {
    u32::from_ne_bytes(random_bytes())
}
