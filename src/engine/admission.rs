//! From a knock to a connection: counts, connect limits, rules, places.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::decision;
use crate::engine::Engine;
use crate::engine::automatic::Automatic;
use crate::engine::connection::{Connection, Parts, RequestFacts};
use crate::engine::limit::Subject;
use crate::engine::link::Link;
use crate::engine::presence::welcome;
use crate::engine::ticket::{Refusal, Ticket, too_often};
use crate::engine::users::Place;
use crate::plan::{CountLimit, Endpoint, OnTooMany, RateKey};
use crate::protocol::CloseCode;
use crate::protocol::websocket::Deflation;
use crate::rule::{ConnectionFacts, Facts};
use crate::telemetry::CountLimitName;
use crate::vocab::{Identity, Position, RoomName, User, UserId};

/// Who wants in, where, with what.
pub struct Arrival {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Parameters of the path, and the query without credentials.
    pub request: RequestFacts,
    /// The address.
    pub ip: IpAddr,
    /// Whether messages go to it compressed.
    pub deflation: Option<Deflation>,
    /// Who.
    pub identity: Identity,
    /// The rooms that the application puts it into.
    pub granted: Arc<[RoomName]>,
    /// Positions to resume automatic rooms from.
    pub since: Vec<(RoomName, Position)>,
    /// Tokens that let into automatic rooms.
    pub join_tokens: Vec<Box<str>>,
}

/// A connection that may be; its places are free again when this goes.
pub struct Admission {
    pub(super) arrival: Arrival,
    pub(super) rooms: Vec<Automatic>,
    place: Reserved,
}

/// A connection's place among its user's, and in the counts.
struct Reserved {
    user: UserId,
    place: Place,
    ticket: Ticket,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let users = &self.ticket.engine().users;
        users.free(&self.user, self.place.serial);
    }
}

/// A connection with the places that it takes up: they are free again when this goes.
pub struct Attached {
    /// The connection.
    pub connection: Arc<Connection>,
    reserved: Reserved,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.reserved.ticket.engine().detach(&self.connection);
    }
}

impl Engine {
    /// Lets who has an identity in, if the endpoint's rules and those of its automatic rooms do.
    ///
    /// # Errors
    /// They do not, or the user has as many connections as it may.
    pub async fn admit(
        self: &Arc<Self>,
        ticket: Ticket,
        arrival: Arrival,
    ) -> Result<Admission, Refusal> {
        let Arrival {
            endpoint, identity, ..
        } = &arrival;
        let user = &identity.user;
        self.check_blocks(user)?;
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
            .map_err(too_often)?;
        let place = self.place_of(user, endpoint)?;
        let reserved = Reserved {
            user: user.id.clone(),
            place,
            ticket,
        };
        let mut admission = Admission {
            arrival,
            rooms: Vec::new(),
            place: reserved,
        };
        {
            let facts = admission.facts(self.clock.now());
            if let Some(rule) = &admission.arrival.endpoint.allow {
                decision::may_connect(&**self, rule, &facts)
                    .map_err(|reject| Refusal::forbidden(reject.message))?;
            }
        }
        admission.rooms = self.automatic_rooms(&admission).await?;
        self.add_granted_rooms(&mut admission)?;
        Ok(admission)
    }

    /// A place among the user's connections at the endpoint.
    fn place_of(&self, user: &User, endpoint: &Endpoint) -> Result<Place, Refusal> {
        let of_user = endpoint.limits.connections_per_user;
        let limit = match endpoint.limits.on_too_many {
            OnTooMany::Refuse => of_user,
            // Its place is that of the oldest, which goes when it is settled.
            OnTooMany::ReplaceOldest => CountLimit {
                tried: of_user.tried,
                ..CountLimit::NONE
            },
        };
        let has_room = |others| {
            let name = CountLimitName::ConnectionsPerUser;
            self.limits.has_room(name, limit, others)
        };
        let place = self.users.reserve(&user.id, endpoint.index, has_room);
        place.ok_or_else(|| {
            Refusal::limited(
                "you have as many connections here as you may",
                CloseCode::Overloaded,
                Duration::from_secs(5),
            )
        })
    }

    /// The upgrade is done: the connection joins its automatic rooms and is welcomed. `answer`, which the transport has not sent
    /// yet, goes in front of the first frame.
    pub fn attach(
        self: &Arc<Self>,
        admission: Admission,
        link: Arc<dyn Link>,
        answer: Bytes,
    ) -> Attached {
        let Admission {
            arrival,
            rooms,
            place: reserved,
        } = admission;
        let Arrival {
            endpoint,
            request,
            ip,
            deflation,
            identity,
            granted: _,
            since,
            join_tokens: _,
        } = arrival;
        let connection = Arc::new(Connection::new(Parts {
            id: reserved.ticket.id(),
            serial: reserved.place.serial,
            user_serial: reserved.place.user_serial,
            endpoint,
            user: identity.user,
            request,
            ip,
            deflation,
            opened: self.clock.monotonic(),
            expires_at: identity.expires_at,
            link,
            outlet: self.outlet.clone(),
        }));
        let limits = &connection.endpoint.limits;
        for older in self
            .users
            .settle(&connection, limits.connections_per_user.max)
        {
            older.close(CloseCode::Replaced);
        }
        self.metrics.connections[connection.endpoint.index].inc();
        let attached = Attached {
            connection,
            reserved,
        };
        let connection = &attached.connection;
        if let Some(farewell) = self.blocked_meanwhile(connection) {
            connection.open_with(answer, None);
            self.send_off(connection, &farewell);
            return attached;
        }
        let mut joined = Vec::new();
        for Automatic {
            target,
            pass,
            when_allowed,
        } in rooms
        {
            let position = since
                .iter()
                .find(|(room, _)| *room == target.name)
                .map(|(_, position)| *position);
            match self.join(connection, &target, Some(pass), position, None) {
                Ok(standing) => joined.push(standing),
                Err(_) if when_allowed => {}
                Err(reject) => {
                    connection.reject(None, &reject);
                    connection.open_with(answer, None);
                    connection.close(CloseCode::NotAllowed);
                    return attached;
                }
            }
        }
        let welcome = welcome(connection, &joined, self.clock.now());
        connection.open_with(answer, welcome.as_ref());
        self.watch(connection);
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
            if let Some(timer) = inner.timer.take() {
                self.timers.cancel(timer);
            }
            inner.receipts = None;
            for end in inner
                .doorstep
                .take()
                .into_iter()
                .flat_map(|doorstep| doorstep.into_ends())
            {
                self.timers.cancel(end);
            }
            inner.seats.clone()
        };
        for seat in seats {
            self.vacate(connection, &seat);
        }
        self.metrics.connections[connection.endpoint.index].dec();
    }
}

impl Admission {
    pub(super) fn facts(&self, now: crate::vocab::Timestamp) -> Facts<'_> {
        let arrival = &self.arrival;
        Facts {
            user: Some(&arrival.identity.user),
            sender: None,
            path: Some(&arrival.request.path),
            query: Some(&arrival.request.query),
            params: None,
            room: None,
            connection: Some(ConnectionFacts {
                id: self.place.ticket.id(),
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
