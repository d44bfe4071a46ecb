//! HTTP and what comes out of it: the only folder that names salvo.
//!
//! [`router`] makes handlers from the Plan: one for each endpoint, the HTTP API, the pages, health and metrics. An endpoint's
//! handler lets somebody in or says why not; then [`socket`] is all that remains of the connection.

pub mod acceptor;
mod api;
mod arrival;
mod cors;
mod endpoint;
mod first_message;
mod headers;
mod host;
pub mod listening;
pub mod lobby;
mod method;
mod operations;
mod origin;
pub mod proxied;
pub mod router;
mod socket;
pub mod stream;
pub mod tls;
pub mod upgrade;
pub mod why;
pub mod wire;

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
