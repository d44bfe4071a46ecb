//! Sessions in Redis: `GETRANGE session:VALUE`, so that what comes back is bounded.

use std::sync::OnceLock;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, RedisError, cmd};
use bytes::Bytes;

use crate::plan::RedisLookup;
use crate::vocab::Secret;
use crate::webhook::{ANSWER_BYTES_MAX, Fault};

/// One Redis, reached over one connection that comes back by itself.
pub(super) struct RedisSessions {
    url: Secret,
    prefix: Box<str>,
    timeout: Duration,
    /// Made at the first question, since it needs the runtime.
    manager: OnceLock<ConnectionManager>,
}

impl RedisSessions {
    pub(super) fn new(lookup: &RedisLookup) -> Self {
        Self {
            url: lookup.url.clone(),
            prefix: lookup.prefix.clone(),
            timeout: lookup.timeout,
            manager: OnceLock::new(),
        }
    }

    /// What is stored for the cookie's value; nothing where no such key is, or an empty one.
    pub(super) async fn read(&self, value: &[u8]) -> Result<Option<Bytes>, Fault> {
        let key = [self.prefix.as_bytes(), value].concat();
        let mut manager = self.manager()?.clone();
        let mut get = cmd("GETRANGE");
        get.arg(key).arg(0).arg(ANSWER_BYTES_MAX);
        let answer = get.query_async::<Vec<u8>>(&mut manager);
        let stored = match tokio::time::timeout(self.timeout, answer).await {
            Ok(stored) => stored.map_err(|error| fault(&error))?,
            Err(_) => return Err(Fault::Store("Redis did not answer in time".to_owned())),
        };
        match stored.len() {
            0 => Ok(None),
            length if length > ANSWER_BYTES_MAX => {
                let cause = format!("the session is longer than {ANSWER_BYTES_MAX} bytes");
                Err(Fault::Unusable(cause))
            }
            _ => Ok(Some(stored.into())),
        }
    }

    fn manager(&self) -> Result<&ConnectionManager, Fault> {
        if let Some(manager) = self.manager.get() {
            return Ok(manager);
        }
        // The circuit breaker says when it is tried again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let made = Client::open(self.url.expose())
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, config))
            .map_err(|error| fault(&error))?;
        Ok(self.manager.get_or_init(|| made))
    }
}

/// By its kind and code: the text could repeat a key.
fn fault(error: &RedisError) -> Fault {
    let cause = match error.code() {
        Some(code) => format!("Redis answers {code}"),
        None => format!("Redis: {:?}", error.kind()),
    };
    // A key of another type is this session's fault, not an outage.
    if error.code() == Some("WRONGTYPE") {
        return Fault::Unusable(cause);
    }
    Fault::Store(cause)
}
