//! Sessions in Redis: `GETRANGE session:VALUE`, so that what comes back is bounded.

use std::error::Error as _;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, IntoConnectionInfo as _, RedisError, cmd};
use bytes::Bytes;

use crate::plan::RedisLookup;
use crate::vocab::Secret;
use crate::webhook::{ANSWER_BYTES_MAX, Fault, settle_cryptography};

/// How the client holds the errors of others.
type SharedError = Arc<dyn std::error::Error + Send + Sync>;

/// One Redis, reached over one connection that comes back by itself.
pub(super) struct RedisSessions {
    url: Secret,
    prefix: Box<str>,
    timeout: Duration,
    /// Host and port, for the log: never the password.
    address: String,
    /// Made at the first question, since it needs the runtime.
    manager: OnceLock<ConnectionManager>,
}

impl RedisSessions {
    pub(super) fn new(lookup: &RedisLookup) -> Self {
        let url = lookup.url.expose().into_connection_info();
        Self {
            address: url.map_or_else(|_| String::new(), |url| url.addr().to_string()),
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
            Ok(stored) => stored.map_err(|error| self.fault(&error))?,
            Err(_) => {
                let cause = format!("Redis at {} did not answer in time", self.address);
                return Err(Fault::Store(cause));
            }
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
        settle_cryptography();
        // The circuit breaker says when it is tried again.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let made = Client::open(self.url.expose())
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, config))
            .map_err(|error| self.fault(&error))?;
        Ok(self.manager.get_or_init(|| made))
    }

    /// By its code, or by what the system said: the text of others could repeat a key.
    fn fault(&self, error: &RedisError) -> Fault {
        let address = &self.address;
        let cause = match (error.code(), of_system(error)) {
            (Some(code), _) => format!("Redis at {address} answers {code}"),
            (None, Some(system)) => format!("Redis at {address}: {system}"),
            (None, None) => format!("Redis at {address}: {}", error.category()),
        };
        // A key of another type is this session's fault, not an outage.
        if error.code() == Some("WRONGTYPE") {
            return Fault::Unusable(cause);
        }
        Fault::Store(cause)
    }
}

/// The system's error beneath, such as a refused connection.
fn of_system(error: &RedisError) -> Option<&io::Error> {
    let mut beneath = error.source();
    while let Some(error) = beneath {
        let found = error.downcast_ref::<io::Error>();
        let shared = || error.downcast_ref::<SharedError>()?.downcast_ref();
        if let Some(system) = found.or_else(shared) {
            return Some(system);
        }
        beneath = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RedisSessions;
    use crate::plan::{Patience, RedisLookup};
    use crate::vocab::Secret;
    use crate::webhook::Fault;

    #[tokio::test]
    async fn who_does_not_answer_is_named_without_its_password() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        drop(taken);
        let sessions = RedisSessions::new(&RedisLookup {
            url: Secret::new(format!("redis://ann:hunter2@{address}/0")),
            prefix: "session:".into(),
            timeout: Duration::from_secs(5),
            patience: Patience {
                cache: Duration::ZERO,
                stale: Duration::ZERO,
            },
        });
        let fault = sessions.read(b"abc").await.expect_err("nobody listens");
        let text = fault.to_string();
        assert!(matches!(fault, Fault::Store(_)), "{text}");
        let said = format!("the look-up failed: Redis at {address}: Connection refused");
        assert!(text.starts_with(&said), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
