//! HTTP and what comes out of it: the only folder that names salvo.
//!
//! [`router`] makes handlers from the Plan: one for each endpoint, the HTTP API, the pages, health and metrics. An endpoint's
//! handler lets somebody in or says why not; then [`socket`] is all that remains of the connection.

pub mod acceptor;
mod api;
mod arrival;
mod endpoint;
mod first_message;
pub mod lobby;
mod operations;
pub mod router;
mod socket;
pub mod stream;
pub mod upgrade;

use std::sync::Arc;

use crate::auth::Authenticator;
use crate::engine::Engine;
use crate::telemetry::Health;

/// What every handler works with.
#[derive(Clone)]
pub struct Served {
    /// Connections and rooms.
    pub engine: Arc<Engine>,
    /// Credentials.
    pub authenticator: Arc<Authenticator>,
    /// Whether the server is ready.
    pub health: Arc<Health>,
}
