//! One socket and what stands around it: who, where, which rooms, what waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::Hall;
use crate::engine::bucket::ConnectionBuckets;
use crate::engine::doorstep::Doorstep;
use crate::engine::joining::Pass;
use crate::engine::link::Link;
use crate::engine::outbox::Outbox;
use crate::engine::outlet::Outlet;
use crate::engine::seat::Seat;
use crate::engine::timer::TimerKey;
use crate::plan::Endpoint;
use crate::protocol::websocket::Deflation;
use crate::rule::{ConnectionFacts, Facts};
use crate::vocab::{
    AudienceSet, ConnectionId, Identity, Monotonic, Parameters, Seq, Timestamp, User,
};

/// A connection of a user to an endpoint.
///
/// What a flush looks at stands together, in the order written: a delivery to a reader that was not looked at for a while costs
/// little more than the memory that has to be fetched for it.
#[repr(C)]
pub struct Connection {
    pub(super) outbox: Mutex<Outbox>,
    pub(super) link: Arc<dyn Link>,
    /// Where it came in.
    pub endpoint: Arc<Endpoint>,
    /// Its number in this process.
    pub(super) serial: u64,
    /// The number of its user in this process.
    pub(super) user_serial: u64,
    /// Whether messages go to it compressed.
    pub(super) deflation: Option<Deflation>,
    asked: AtomicBool,
    pub(super) abandoned: AtomicBool,
    /// Whether a later token replaced who `user` says it is.
    refreshed: AtomicBool,
    /// Whether the client was told that its token ends.
    told: AtomicBool,
    /// Whether something came that was waited for.
    pub(super) has_mail: AtomicBool,
    /// Where from.
    pub ip: IpAddr,
    last_heard: AtomicU64,
    waker: Mutex<Option<Waker>>,
    pub(super) inner: Mutex<Inner>,
    pub(super) outlet: Arc<Outlet>,
    /// Who came; its id stays, the rest is as a later token says: see [`Connection::identity`].
    pub user: Arc<User>,
    /// What came with the request; most bring nothing.
    brought: Option<Box<Brought>>,
    opened: Monotonic,
    /// Its id on the wire.
    pub id: ConnectionId,
}

/// What a connection brought along.
#[derive(Debug, Default)]
struct Brought {
    request: RequestFacts,
    expires_at: Option<Timestamp>,
}

/// What came with the request that opened a connection.
#[derive(Debug, Default)]
pub struct RequestFacts {
    /// The parameters of the path.
    pub path: Parameters,
    /// The query, without credentials.
    pub query: Parameters,
}

/// What only the connection's own frames change.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) seats: Vec<Seat>,
    /// What it waits for, and what came later.
    pub(super) doorstep: Option<Box<Doorstep>>,
    pub(super) buckets: ConnectionBuckets,
    /// What is to be done for it next.
    pub(super) timer: Option<TimerKey>,
    pub(super) strikes: u32,
    pub(super) ended: bool,
    /// The application has sent it away: it leaves every room, also one that it is just joining.
    pub(super) sent_off: bool,
    /// Inbox messages that count as received once everything that waits is written.
    pub(super) receipts: Option<Box<Receipts>>,
}

/// The last message of each inbox that counts as received.
pub(super) type Receipts = Vec<(Arc<Hall>, Seq)>;

impl Inner {
    /// Takes a seat; yields it where that is too late, since the application has sent the connection away.
    pub(super) fn sit(&mut self, hall: &Arc<Hall>, pass: Pass, stay: u32) -> Option<Seat> {
        if self.seats.is_empty() {
            // Most are in one room.
            self.seats.reserve_exact(1);
        }
        self.seats.push(Seat {
            hall: hall.clone(),
            stay,
            audiences: pass.audiences,
            said_by: pass.said_by,
        });
        self.seats.last().filter(|_| self.sent_off).cloned()
    }

    /// Makes who sits on `seat` a reader of other audiences; says whether it still sits there.
    pub(super) fn turn(&mut self, seat: &Seat, audiences: AudienceSet) -> bool {
        let mut seats = self.seats.iter_mut();
        let found = seats.find(|known| known.stay == seat.stay);
        found.is_some_and(|found| {
            found.audiences = audiences;
            true
        })
    }
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) id: ConnectionId,
    pub(super) serial: u64,
    pub(super) user_serial: u64,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) user: Arc<User>,
    pub(super) request: RequestFacts,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) ip: IpAddr,
    pub(super) deflation: Option<Deflation>,
    pub(super) opened: Monotonic,
    pub(super) link: Arc<dyn Link>,
    pub(super) outlet: Arc<Outlet>,
}

impl Connection {
    pub(super) fn new(parts: Parts) -> Self {
        let (request, expires_at) = (parts.request, parts.expires_at);
        let brings = expires_at.is_some() || !request.path.is_empty() || !request.query.is_empty();
        let brought = brings.then(|| {
            Box::new(Brought {
                request,
                expires_at,
            })
        });
        Self {
            id: parts.id,
            serial: parts.serial,
            user_serial: parts.user_serial,
            endpoint: parts.endpoint,
            user: parts.user,
            brought,
            ip: parts.ip,
            deflation: parts.deflation,
            opened: parts.opened,
            last_heard: AtomicU64::new(parts.opened.as_millis()),
            asked: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            refreshed: AtomicBool::new(false),
            told: AtomicBool::new(false),
            has_mail: AtomicBool::new(false),
            link: parts.link,
            outbox: Mutex::new(Outbox::new()),
            waker: Mutex::new(None),
            inner: Mutex::new(Inner::default()),
            outlet: parts.outlet,
        }
    }

    /// Who it is, as the last token says.
    pub(super) fn identity(&self) -> Arc<User> {
        match self.fresh(|identity| identity.user.clone()) {
            Some(user) => user,
            None => self.user.clone(),
        }
    }

    /// Something of the last of its later tokens, where there was any.
    fn fresh<T>(&self, of: impl FnOnce(&Identity) -> T) -> Option<T> {
        if !self.refreshed.load(Ordering::Acquire) {
            return None;
        }
        let inner = self.inner.lock();
        inner.doorstep.as_ref()?.tokens.as_ref()?.fresh().map(of)
    }

    /// A later token was taken, of which the client was told nothing yet.
    pub(super) fn was_refreshed(&self) {
        self.refreshed.store(true, Ordering::Release);
        self.told.store(false, Ordering::Relaxed);
    }

    /// Whether the client was told that its token ends.
    pub(super) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Sets that the client has been told that its token ends; says whether it was before.
    pub(super) fn tell(&self) -> bool {
        self.told.swap(true, Ordering::Relaxed)
    }

    /// The audiences of a room that it is of.
    pub(super) fn audiences_in(&self, hall: &Arc<Hall>) -> AudienceSet {
        let inner = self.inner.lock();
        let mut seats = inner.seats.iter();
        let seat = seats.find(|seat| Arc::ptr_eq(&seat.hall, hall));
        seat.map_or(AudienceSet::NONE, |seat| seat.audiences)
    }

    /// What rules of this connection see of `user`, who is behind it; the room and the data are added by who knows them.
    pub(super) fn facts<'a>(
        &'a self,
        user: &'a User,
        now: Timestamp,
        monotonic: Monotonic,
    ) -> Facts<'a> {
        Facts {
            user: Some(user),
            sender: None,
            path: Some(&self.request().path),
            query: Some(&self.request().query),
            params: None,
            room: None,
            connection: Some(ConnectionFacts {
                id: self.id,
                ip: self.ip,
                endpoint: self.endpoint.path.as_str(),
                age: monotonic.since(self.opened),
            }),
            data: None,
            error: None,
            now,
        }
    }

    fn request(&self) -> &RequestFacts {
        const NOTHING: &RequestFacts = &RequestFacts {
            path: Parameters::NONE,
            query: Parameters::NONE,
        };
        self.brought
            .as_ref()
            .map_or(NOTHING, |brought| &brought.request)
    }

    /// When the credential is over.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        match self.fresh(|identity| identity.expires_at) {
            Some(expires_at) => expires_at,
            None => self.brought.as_ref()?.expires_at,
        }
    }

    /// The id of the device, where the client told one.
    pub(super) fn device(&self) -> Option<&str> {
        self.request().query.get("device")
    }

    /// The task to wake when there is something to do beside reading.
    pub fn register(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// A sign of life at the engine's coarse time.
    pub(super) fn heard(&self, now_millis: u64) {
        self.last_heard.store(now_millis, Ordering::Relaxed);
        if self.asked.load(Ordering::Relaxed) {
            self.asked.store(false, Ordering::Relaxed);
        }
    }

    /// When the peer was last heard of.
    pub(super) fn last_heard_millis(&self) -> u64 {
        self.last_heard.load(Ordering::Relaxed)
    }

    /// Whether the peer has been asked for a sign of life and has not given one; sets that it has been.
    pub(super) fn ask(&self) -> bool {
        self.asked.swap(true, Ordering::Relaxed)
    }

    /// How long the connection has lasted.
    pub fn age(&self, now: Monotonic) -> Duration {
        now.since(self.opened)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("user", &self.user.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Connection;

    /// With the two counts of its `Arc` it fills a place of 256 bytes; the next that allocators have is 320.
    #[test]
    fn a_connection_is_small() {
        assert!(
            size_of::<Connection>() <= 240,
            "{}",
            size_of::<Connection>()
        );
    }
}
