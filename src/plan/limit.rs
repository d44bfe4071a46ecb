//! `rate_limits`: token buckets.

use std::sync::Arc;

use crate::vocab::Rate;

/// A named token bucket.
#[derive(Debug)]
pub struct RateLimit {
    /// Its number among the rate limits.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How fast it fills.
    pub rate: Rate,
    /// How much it holds.
    pub burst: std::num::NonZeroU32,
    /// What has a bucket of its own.
    pub per: RateKey,
    /// What happens to who exceeds it.
    pub on_exceed: OnExceed,
    /// Only count and log what would be refused.
    pub dry_run: bool,
}

/// What has a token bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// Each connection.
    Connection,
    /// Each user.
    User,
    /// Each address; IPv6 by /64.
    Ip,
    /// Each room.
    Room,
    /// Each endpoint.
    Endpoint,
    /// The server.
    Server,
}

/// What happens to who exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExceed {
    /// An `error` frame.
    Error,
    /// Nothing: the message is gone.
    Drop,
    /// The connection ends with 4029.
    Close,
}
