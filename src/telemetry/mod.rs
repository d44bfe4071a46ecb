//! What the server says of itself: its log, its metrics, its health.
//!
//! [`start_log`] is called once, at the start; [`Metrics`] is every number there is, with the names resolved beforehand, so that
//! counting is one atomic addition; [`Memory`] is how much the process has of it; [`Health`] answers `/healthz` and `/readyz`. Nothing here knows what is counted, and nothing
//! here ever holds a credential: [`redact`] takes them out of URLs before they are logged.

mod health;
mod keys;
mod log;
mod memory;
mod metrics;
mod process;
mod questions;
mod redact;

pub use health::{Health, HealthState};
pub use keys::KeyMetrics;
pub use log::{LogForm, LogStartError, start_log};
pub use memory::{Memory, ProcessMemory, VirtualMemory};
pub use metrics::{
    CONTENT_TYPE, CloseCounters, HandshakeOutcome, LimitCounters, MetricNames, Metrics,
};
pub use questions::{CacheHit, QuestionMetrics, QuestionOutcome};
pub use redact::{CREDENTIAL_NAMES, redact};
