//! What all connections write through: the counters, and those that wait for their endpoint's `coalesce` to be over.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::engine::connection::Connection;
use crate::plan::Plan;
use crate::telemetry::Metrics;

/// So many connections are written to before other tasks get their turn.
const CONNECTIONS_PER_TURN: usize = 128;

/// The way out of an engine.
pub(super) struct Outlet {
    pub(super) metrics: Arc<Metrics>,
    /// By the endpoint's index.
    gatherings: Box<[Gathering]>,
}

/// The connections of one endpoint for which something gathers: each stands here once, so there are as many as connections.
#[derive(Default)]
struct Gathering {
    connections: Mutex<Vec<Arc<Connection>>>,
    some: Notify,
}

impl Outlet {
    pub(super) fn new(plan: &Plan, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            gatherings: plan
                .endpoints
                .iter()
                .map(|_| Gathering::default())
                .collect(),
        }
    }

    /// Something began to gather for `connection`.
    pub(super) fn gather(&self, connection: &Arc<Connection>) {
        let gathering = &self.gatherings[connection.endpoint.index];
        let mut connections = gathering.connections.lock();
        connections.push(connection.clone());
        if connections.len() == 1 {
            gathering.some.notify_one();
        }
    }

    /// Lets go what gathers at the endpoint of this index, each time `every` after the first of it came. Does not end.
    pub(super) async fn let_go(&self, endpoint: usize, every: Duration) {
        let gathering = &self.gatherings[endpoint];
        loop {
            gathering.some.notified().await;
            tokio::time::sleep(every).await;
            let connections = std::mem::take(&mut *gathering.connections.lock());
            for some in connections.chunks(CONNECTIONS_PER_TURN) {
                for connection in some {
                    self.metrics
                        .guard("writing what gathered", || connection.let_go());
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
