//! `rate_limits`: token buckets; and limits of how many there may be at a time.

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
    /// How much it holds, in what the rate counts.
    pub burst: std::num::NonZeroU64,
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
    /// Each message type.
    Type,
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

/// How many there may be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountLimit {
    /// So many, and no more.
    pub max: usize,
    /// A dry run: what goes beyond so many is only counted and logged.
    pub tried: Option<usize>,
}

impl CountLimit {
    /// As many as there are.
    pub const NONE: Self = Self {
        max: usize::MAX,
        tried: None,
    };
}
