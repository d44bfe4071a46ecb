//! From a knock to a connection: counts, connect limits, rules, places.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::connection::{Connection, Parts, RequestFacts};
use crate::engine::limit::{AddressKey, Subject};
use crate::engine::membership::Target;
use crate::engine::outbox::Link;
use crate::engine::presence::welcome;
use crate::engine::users::Place;
use crate::engine::{Engine, random_connection_id};
use crate::plan::{Endpoint, OnTooMany, RateKey};
use crate::protocol::CloseCode;
use crate::rule::{ConnectionFacts, Facts};
use crate::telemetry::HandshakeOutcome;
use crate::vocab::{ConnectionId, Identity, Position, RoomName};

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

/// A count that is given back when this goes.
pub struct Ticket {
    id: ConnectionId,
    engine: Arc<Engine>,
    address: AddressKey,
}

impl Ticket {
    /// The id that the connection will have.
    pub fn id(&self) -> ConnectionId {
        self.id
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.engine.addresses.give_back(self.address);
        if self.engine.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.engine.emptied.notify_waiters();
        }
    }
}

/// Who wants in, where, with what.
pub struct Arrival {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Parameters of the path, and the query without credentials.
    pub request: RequestFacts,
    /// The address.
    pub ip: IpAddr,
    /// Who.
    pub identity: Identity,
    /// Positions to resume automatic rooms from.
    pub since: Vec<(RoomName, Position)>,
}

/// A connection that may be; its places are free again when this goes.
pub struct Admission {
    arrival: Arrival,
    place: Place,
    rooms: Vec<Automatic>,
    ticket: Ticket,
}

/// A room to be in from the start.
struct Automatic {
    target: Target,
    /// A refusal leaves it out.
    when_allowed: bool,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.ticket
            .engine
            .users
            .free(&self.arrival.identity.user.id, self.place.serial);
    }
}

/// A connection with the places that it takes up: they are free again when this goes.
pub struct Attached {
    /// The connection.
    pub connection: Arc<Connection>,
    admission: Admission,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.admission.ticket.engine.detach(&self.connection);
    }
}

impl Engine {
    /// A connection wants to begin: counts it, if its address and the server have room and its connect limits have tokens.
    ///
    /// # Errors
    /// They have not, or the server is shutting down.
    pub fn knock(self: &Arc<Self>, endpoint: &Endpoint, ip: IpAddr) -> Result<Ticket, Refusal> {
        if self.is_draining() {
            return Err(Refusal::unavailable(
                "the server is shutting down",
                CloseCode::Restarting,
            ));
        }
        let server = &self.plan.server;
        let address = AddressKey::from(ip);
        if self.connections.fetch_add(1, Ordering::AcqRel) >= server.connections_max {
            self.connections.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::limited(
                "the server has as many connections as it may",
                CloseCode::Overloaded,
                Duration::from_secs(5),
            ));
        }
        if !self.addresses.take(address, server.connections_per_ip_max) {
            self.connections.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::limited(
                "your address has as many connections as it may",
                CloseCode::Overloaded,
                Duration::from_secs(5),
            ));
        }
        let ticket = Ticket {
            id: random_connection_id(),
            engine: self.clone(),
            address,
        };
        let subject = Subject {
            ip: Some(ip),
            endpoint: Some(endpoint),
            ..Subject::default()
        };
        self.limits
            .spend(&endpoint.connect_limits, subject, None)
            .map_err(|exceeded| {
                Refusal::limited(
                    "too many connections in a short time",
                    CloseCode::TooFast,
                    exceeded.wait,
                )
            })?;
        Ok(ticket)
    }

    /// Lets who has an identity in, if the endpoint's rules and those of its automatic rooms do.
    ///
    /// # Errors
    /// They do not, or the user has as many connections as it may.
    pub fn admit(self: &Arc<Self>, ticket: Ticket, arrival: Arrival) -> Result<Admission, Refusal> {
        let Arrival {
            endpoint, identity, ..
        } = &arrival;
        let user = &identity.user;
        let subject = Subject {
            user: Some(&user.id),
            ..Subject::default()
        };
        // The others were spent at the knock.
        let of_users = endpoint
            .connect_limits
            .iter()
            .filter(|limit| limit.per == RateKey::User);
        self.limits
            .spend(of_users, subject, None)
            .map_err(|exceeded| {
                Refusal::limited(
                    "too many connections in a short time",
                    CloseCode::TooFast,
                    exceeded.wait,
                )
            })?;
        let max = (endpoint.limits.on_too_many == OnTooMany::Refuse)
            .then_some(endpoint.limits.connections_per_user);
        let place = self
            .users
            .reserve(&user.id, endpoint.index, max)
            .ok_or_else(|| {
                Refusal::limited(
                    "you have as many connections here as you may",
                    CloseCode::Overloaded,
                    Duration::from_secs(5),
                )
            })?;
        let mut admission = Admission {
            place,
            rooms: Vec::new(),
            ticket,
            arrival,
        };
        admission.rooms = self.automatic_rooms(&admission)?;
        let facts = admission.facts(self.clock.now());
        if let Some(rule) = &admission.arrival.endpoint.allow
            && !self.allows(rule, &facts)
        {
            let (user, ip) = (&admission.arrival.identity.user.id, admission.arrival.ip);
            tracing::debug!(%user, %ip, rule = rule.text(), "endpoint not allowed");
            return Err(Refusal::forbidden("you may not connect here"));
        }
        Ok(admission)
    }

    fn automatic_rooms(&self, admission: &Admission) -> Result<Vec<Automatic>, Refusal> {
        let mut rooms = Vec::new();
        for automatic in &admission.arrival.endpoint.auto_join {
            let facts = admission.facts(self.clock.now());
            let target = automatic
                .room
                .render(&facts)
                .map_err(|failure| {
                    tracing::warn!(%failure, endpoint = %admission.arrival.endpoint.path, "the name of an automatic room could not be made");
                    Refusal::forbidden("this room has no valid name")
                })
                .and_then(|name| self.target(&name).map_err(|reject| Refusal::forbidden(reject.message)))
                .and_then(|target| {
                    let user = &admission.arrival.identity.user;
                    let may = self.may_join(&target, &facts).and_then(|()| self.has_place(&target, user));
                    may.map_err(|reject| Refusal::forbidden(reject.message))?;
                    Ok(target)
                });
            let when_allowed = automatic.when_allowed;
            match target {
                Ok(target) => rooms.push(Automatic {
                    target,
                    when_allowed,
                }),
                Err(_) if when_allowed => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(rooms)
    }

    /// The upgrade is done: the connection joins its automatic rooms and is welcomed.
    pub fn attach(self: &Arc<Self>, mut admission: Admission, link: Box<dyn Link>) -> Attached {
        let rooms = std::mem::take(&mut admission.rooms);
        let since = std::mem::take(&mut admission.arrival.since);
        let request = std::mem::take(&mut admission.arrival.request);
        let connection = Arc::new(Connection::new(Parts {
            id: admission.ticket.id,
            serial: admission.place.serial,
            user_serial: admission.place.user_serial,
            endpoint: admission.arrival.endpoint.clone(),
            user: admission.arrival.identity.user.clone(),
            request: Box::new(request),
            ip: admission.arrival.ip,
            opened: self.clock.monotonic(),
            link,
            metrics: self.metrics.clone(),
        }));
        let limits = &connection.endpoint.limits;
        for older in self.users.settle(&connection, limits.connections_per_user) {
            older.close(CloseCode::Replaced);
        }
        self.metrics.connections[connection.endpoint.index].inc();
        let attached = Attached {
            connection,
            admission,
        };
        let connection = &attached.connection;
        let mut joined = Vec::new();
        for Automatic {
            target,
            when_allowed,
        } in rooms
        {
            let position = since
                .iter()
                .find(|(room, _)| *room == target.name)
                .map(|(_, position)| *position);
            match self.join(connection, &target, position, None) {
                Ok(standing) => joined.push(standing),
                Err(_) if when_allowed => {}
                Err(reject) => {
                    connection.reject(None, &reject);
                    connection.open_with(None);
                    connection.close(CloseCode::NotAllowed);
                    return attached;
                }
            }
        }
        connection.open_with(welcome(connection, &joined, self.clock.now()).as_ref());
        self.watch(connection, attached.admission.arrival.identity.expires_at);
        if self.is_draining() {
            // Its handshake was under way when everyone was told.
            self.send_away(connection);
        }
        attached
    }

    /// The connection is gone: it leaves its rooms. Called when its [`Attached`] goes.
    fn detach(self: &Arc<Self>, connection: &Arc<Connection>) {
        connection.end();
        let seats = {
            let mut inner = connection.inner.lock();
            inner.ended = true;
            inner.receipts.clear();
            std::mem::take(&mut inner.seats)
        };
        for hall in seats {
            self.vacate(connection, &hall);
        }
        self.metrics.connections[connection.endpoint.index].dec();
    }
}

impl Admission {
    fn facts(&self, now: crate::vocab::Timestamp) -> Facts<'_> {
        let arrival = &self.arrival;
        Facts {
            user: Some(&arrival.identity.user),
            sender: None,
            path: Some(&arrival.request.path),
            query: Some(&arrival.request.query),
            params: None,
            room: None,
            connection: Some(ConnectionFacts {
                id: self.ticket.id,
                ip: arrival.ip,
                endpoint: arrival.endpoint.path.as_str(),
                age: Duration::ZERO,
            }),
            data: None,
            error: None,
            now,
        }
    }
}
