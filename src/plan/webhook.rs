//! `webhooks`: URLs of the application that are told what happened, and asked what to do.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::HttpUrl;
use crate::vocab::Secret;

/// `webhooks.NAME`.
#[derive(Debug)]
pub struct Webhook {
    /// Its number among the webhooks.
    pub index: usize,
    /// Its name.
    pub name: Box<str>,
    /// Where it is called.
    pub url: HttpUrl,
    /// What calls are signed with.
    pub secret: Secret,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often an event that failed is told again.
    pub retries: u32,
}

/// Who is told what happens in a room.
#[derive(Clone, Debug, Default)]
pub struct RoomWebhooks {
    /// A user came.
    pub joined: Option<Arc<Webhook>>,
    /// A user went.
    pub left: Option<Arc<Webhook>>,
    /// The first user came.
    pub occupied: Option<Arc<Webhook>>,
    /// The last user went.
    pub empty: Option<Arc<Webhook>>,
    /// A message was accepted.
    pub message: Option<Arc<Webhook>>,
}

/// Who is told what happens at an endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointWebhooks {
    /// A connection was opened.
    pub connected: Option<Arc<Webhook>>,
    /// A connection has ended.
    pub disconnected: Option<Arc<Webhook>>,
}
