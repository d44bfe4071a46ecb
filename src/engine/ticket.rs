//! The first steps of a connection: a refusal with its reasons, or a place in the counts.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::limit::{AddressKey, Exceeded, Subject};
use crate::engine::{Engine, random_bytes};
use crate::plan::{CountLimit, Endpoint, RateKey, UNIX_PEER};
use crate::protocol::CloseCode;
use crate::telemetry::{CountLimitName as Name, HandshakeOutcome};
use crate::vocab::ConnectionId;

/// Why a connection is refused, for a person and for a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The close code, where the endpoint refuses that way.
    pub close: CloseCode,
    /// One sentence for the client.
    pub message: Cow<'static, str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What the handshake metric calls it.
    pub outcome: HandshakeOutcome,
}

impl Refusal {
    /// 403: who this is may not.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: 403,
            close: CloseCode::NotAllowed,
            message: message.into(),
            retry_after: None,
            outcome: HandshakeOutcome::Forbidden,
        }
    }

    /// 429: too many or too fast.
    pub fn limited(
        message: impl Into<Cow<'static, str>>,
        close: CloseCode,
        retry_after: Duration,
    ) -> Self {
        Self {
            status: 429,
            close,
            message: message.into(),
            retry_after: Some(retry_after),
            outcome: HandshakeOutcome::Limited,
        }
    }

    /// 403: the application has blocked who this is, and may have said why.
    pub(super) fn blocked(reason: Option<&str>) -> Self {
        let message = reason.unwrap_or("blocked by the application");
        Self {
            close: CloseCode::Disconnected,
            outcome: HandshakeOutcome::Blocked,
            ..Self::forbidden(message.to_owned())
        }
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<Cow<'static, str>>, close: CloseCode) -> Self {
        let retry_after = Some(Duration::from_secs(1));
        Self {
            status: 503,
            close,
            message: message.into(),
            retry_after,
            outcome: HandshakeOutcome::Unavailable,
        }
    }
}

/// Random ids for connections, asked of the operating system for many at a time: a call for each is a fiftieth of a handshake.
#[derive(Default)]
pub(super) struct ConnectionIds(Mutex<Vec<u8>>);

const ID_BYTES: usize = size_of::<u128>();

impl ConnectionIds {
    fn next(&self) -> ConnectionId {
        let mut random = self.0.lock();
        loop {
            if let Some((rest, id)) = random.split_last_chunk::<ID_BYTES>() {
                let (left, id) = (rest.len(), u128::from_ne_bytes(*id));
                random.truncate(left);
                return ConnectionId::from_random(id);
            }
            random.extend(random_bytes::<{ 64 * ID_BYTES }>());
        }
    }
}

/// One of the connections that are counted.
struct Count {
    engine: Arc<Engine>,
}

impl Count {
    /// Counts one more, and says how many others there are.
    fn one_more(engine: Arc<Engine>) -> (Self, usize) {
        let others = engine.connections.fetch_add(1, Ordering::AcqRel);
        (Self { engine }, others)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if self.engine.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.engine.emptied.notify_waiters();
        }
    }
}

/// A connection's place in the counts, free again when the last copy goes.
#[derive(Clone)]
pub struct Ticket(Arc<Counted>);

struct Counted {
    id: ConnectionId,
    connections: Count,
    address: AddressKey,
    endpoint: u32,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let engine = &self.connections.engine;
        engine.addresses.give_back(self.address);
        engine.endpoint_connections[self.endpoint as usize].fetch_sub(1, Ordering::AcqRel);
    }
}

impl Ticket {
    /// The id that the connection will have.
    pub fn id(&self) -> ConnectionId {
        self.0.id
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.0.connections.engine
    }
}

impl Engine {
    /// A connection wants to begin at `endpoint`: counts it, if its address, the endpoint and the server have room.
    ///
    /// # Errors
    /// They have not, or the server is shutting down. Whoever is refused here is counted nowhere, and has to be gone at once.
    pub fn knock(self: &Arc<Self>, endpoint: &Endpoint, ip: IpAddr) -> Result<Ticket, Refusal> {
        if self.is_draining() {
            return Err(Refusal::unavailable(
                "the server is shutting down",
                CloseCode::Restarting,
            ));
        }
        let server = &self.plan.server;
        let full = |message: &'static str| {
            Refusal::limited(message, CloseCode::Overloaded, Duration::from_secs(5))
        };
        let (connections, others) = Count::one_more(self.clone());
        let limits = &self.limits;
        if !limits.has_room(Name::Connections, server.connections, others) {
            return Err(full("the server has as many connections as it may"));
        }
        if self.ceiling.refuses_newcomers(others) {
            let message = "the server is short of memory";
            return Err(Refusal::unavailable(message, CloseCode::Overloaded));
        }
        let address = AddressKey::from(ip);
        let from_there = self.addresses.take(address);
        let here = self.endpoint_connections[endpoint.index].fetch_add(1, Ordering::AcqRel);
        // From here on it is counted, and no longer when this goes.
        let counted = Counted {
            id: self.connection_ids.next(),
            connections,
            address,
            endpoint: endpoint.index as u32,
        };
        let per_ip = match ip {
            UNIX_PEER => CountLimit::NONE,
            _ => server.connections_per_ip,
        };
        if !limits.has_room(Name::ConnectionsPerIp, per_ip, from_there) {
            return Err(full("your address has as many connections as it may"));
        }
        if !limits.has_room(Name::EndpointConnections, endpoint.limits.connections, here) {
            return Err(full("the endpoint has as many connections as it may"));
        }
        Ok(Ticket(Arc::new(counted)))
    }

    /// Spends the tokens of connecting that need no user.
    ///
    /// # Errors
    /// One of the limits has none, or the address is blocked.
    pub fn spend_connect(&self, endpoint: &Endpoint, ip: IpAddr) -> Result<(), Refusal> {
        self.check_address(ip)?;
        let subject = Subject {
            ip: Some(ip),
            endpoint: Some(endpoint.index),
            ..Subject::default()
        };
        let limits = endpoint
            .connect_limits
            .iter()
            .filter(|limit| limit.per != RateKey::User);
        self.limits.spend(limits, subject, None).map_err(too_often)
    }
}

/// A connect limit was exceeded.
pub(super) fn too_often(exceeded: Exceeded) -> Refusal {
    let message = "too many connections in a short time";
    Refusal::limited(message, CloseCode::TooFast, exceeded.wait)
}
