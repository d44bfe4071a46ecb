//! What the server says of itself: its log, its metrics, its health.
//!
//! [`start_log`] is called once, at the start; [`Metrics`] is every number there is, with the names resolved beforehand, so that
//! counting is one atomic addition; [`Memory`] is how much the process has of it; [`Health`] answers `/healthz` and `/readyz`. Nothing here knows what is counted, and nothing
//! here ever holds a credential: a [`Redactor`] takes them out of every line of the log.

mod health;
mod keys;
mod label;
mod log;
mod memory;
mod metrics;
mod process;
mod questions;
mod redact;

pub use health::{Health, HealthState};
pub use keys::KeyMetrics;
pub use label::{CountLimitName, HandshakeOutcome};
pub use log::{LogForm, LogStartError, start_log};
pub use memory::{Memory, ProcessMemory, VirtualMemory};
pub use metrics::{CONTENT_TYPE, CloseCounters, LimitCounters, MetricNames, Metrics};
pub use questions::{CacheHit, QuestionMetrics, QuestionOutcome};
pub use redact::{Redactor, unquoted};
