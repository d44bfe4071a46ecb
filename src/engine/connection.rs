//! One socket and what stands around it: who, where, which rooms, what waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::engine::Hall;
use crate::engine::form::Form;
use crate::engine::limit::ConnectionBuckets;
use crate::engine::outbox::{Backlog, Link, Outbox, Pace, Phase, Written};
use crate::engine::outlet::Outlet;
use crate::engine::tally::Tally;
use crate::engine::timer::TimerKey;
use crate::engine::waiting::{Bounds, Keep, Parcel};
use crate::plan::Endpoint;
use crate::protocol::{CloseCode, Frame, Reject};
use crate::rule::{ConnectionFacts, Facts};
use crate::vocab::{ConnectionId, Monotonic, Parameters, Seq, Timestamp, User};

/// A connection of a user to an endpoint.
pub struct Connection {
    /// Its id on the wire.
    pub id: ConnectionId,
    /// Its number in this process.
    pub(super) serial: u64,
    /// The number of its user in this process.
    pub(super) user_serial: u64,
    /// Where it came in.
    pub endpoint: Arc<Endpoint>,
    /// Who.
    pub user: Arc<User>,
    /// What came with the request.
    pub(super) request: Box<RequestFacts>,
    /// Where from.
    pub ip: IpAddr,
    opened: Monotonic,
    last_heard: AtomicU64,
    asked: AtomicBool,
    pub(super) abandoned: AtomicBool,
    pub(super) link: Arc<dyn Link>,
    pub(super) outbox: Mutex<Outbox>,
    waker: Mutex<Option<Waker>>,
    pub(super) inner: Mutex<Inner>,
    pub(super) outlet: Arc<Outlet>,
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
    pub(super) seats: Vec<Arc<Hall>>,
    pub(super) buckets: ConnectionBuckets,
    pub(super) strikes: u32,
    /// Inbox messages that count as received once everything that waits is written.
    pub(super) receipts: Vec<(Arc<Hall>, Seq)>,
    /// What is to be done for it next.
    pub(super) timer: Option<TimerKey>,
    pub(super) ended: bool,
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) id: ConnectionId,
    pub(super) serial: u64,
    pub(super) user_serial: u64,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) user: Arc<User>,
    pub(super) request: Box<RequestFacts>,
    pub(super) ip: IpAddr,
    pub(super) opened: Monotonic,
    pub(super) link: Arc<dyn Link>,
    pub(super) outlet: Arc<Outlet>,
}

impl Connection {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id,
            serial: parts.serial,
            user_serial: parts.user_serial,
            endpoint: parts.endpoint,
            user: parts.user,
            request: parts.request,
            ip: parts.ip,
            opened: parts.opened,
            last_heard: AtomicU64::new(parts.opened.as_millis()),
            asked: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            link: parts.link,
            outbox: Mutex::new(Outbox::new()),
            waker: Mutex::new(None),
            inner: Mutex::new(Inner::default()),
            outlet: parts.outlet,
        }
    }

    /// What rules of this connection see; the room and the data are added by who knows them.
    pub(super) fn facts(&self, now: Timestamp, monotonic: Monotonic) -> Facts<'_> {
        Facts {
            user: Some(&self.user),
            sender: None,
            path: Some(&self.request.path),
            query: Some(&self.request.query),
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

    /// The id of the device, where the client told one.
    pub(super) fn device(&self) -> Option<&str> {
        self.request.query.get("device")
    }

    /// Sends one frame, in the form of the endpoint.
    pub fn send(self: &Arc<Self>, frame: &Frame) {
        self.send_with(frame, Keep::Always);
    }

    /// Sends one frame, in the form of the endpoint; `keep` says what may become of it when it has to wait.
    pub(super) fn send_with(self: &Arc<Self>, frame: &Frame, keep: Keep) {
        if let Some(bytes) = self.form().bytes(frame) {
            let mut tally = Tally::default();
            self.send_batch(&[Parcel { bytes, keep }], &mut tally);
            tally.count(&self.outlet.metrics);
        }
    }

    /// The form in which it gets its frames.
    pub(super) fn form(&self) -> Form<'_> {
        Form::of(&self.endpoint)
    }

    /// Sends a refusal.
    pub(super) fn reject(self: &Arc<Self>, id: Option<&str>, reject: &Reject) {
        self.outlet.metrics.rejects[reject.code as usize].inc();
        tracing::debug!(connection = ?self.id, user = %self.user.id, code = reject.code.as_str(), message = ?reject.message, cause = reject.cause, "rejected");
        self.send(&reject.to_frame(id));
    }

    /// Sends bytes that are a frame already.
    pub(super) fn send_as_is(self: &Arc<Self>, frame: &Bytes) {
        let mut tally = Tally::default();
        self.send_batch(&[Parcel::new(frame.clone())], &mut tally);
        tally.count(&self.outlet.metrics);
    }

    /// Sends frames in as few writes as there can be. What it came to is added to `tally`.
    pub(super) fn send_batch(self: &Arc<Self>, parcels: &[Parcel], tally: &mut Tally) {
        let (bounds, pace) = (self.bounds(), self.pace());
        let written = self.with_outbox(tally, |outbox| {
            outbox.push(parcels, pace, &*self.link, bounds)
        });
        self.follow_up(written);
    }

    /// Does what a write asks for.
    fn follow_up(self: &Arc<Self>, written: Written) {
        if written.gathers {
            self.outlet.gather(self);
        }
        if written.overflowed {
            self.close_as_too_slow();
        }
    }

    fn pace(&self) -> Pace {
        match self.endpoint.coalesce {
            None => Pace::AtOnce,
            Some(_) => Pace::Gathered,
        }
    }

    /// Sends what has gathered for the endpoint's `coalesce`.
    pub(super) fn let_go(&self) {
        self.with_outbox_alone(|outbox| outbox.let_go(&*self.link));
        self.settle_receipts();
    }

    fn close_as_too_slow(&self) {
        tracing::debug!(connection = ?self.id, user = %self.user.id, "too slow: its queue is full");
        self.close_with(
            CloseCode::TooSlow,
            CloseCode::TooSlow.reason(),
            Backlog::Drop,
        );
    }

    fn bounds(&self) -> Bounds {
        let limits = &self.endpoint.limits;
        Bounds {
            bytes: limits.queue_bytes.len(),
            frames: limits.queue_frames,
        }
    }

    /// A replay comes next, of so many bytes and frames.
    pub(super) fn expect_replay(&self, bytes: usize, frames: usize) {
        let replay = Bounds { bytes, frames };
        self.outbox.lock().excuse(replay, self.bounds());
    }

    /// Does something with the outbox, adds what it came to, and wakes the task where it has something to do.
    fn with_outbox(&self, tally: &mut Tally, act: impl FnOnce(&mut Outbox) -> Written) -> Written {
        let written = {
            let mut outbox = self.outbox.lock();
            let (bytes, frames) = (outbox.bytes(), outbox.frames());
            let written = act(&mut outbox);
            tally.queue_bytes += outbox.bytes() as i64 - bytes as i64;
            tally.queue_frames += outbox.frames() as i64 - frames as i64;
            written
        };
        tally.calls += written.calls;
        tally.bytes += written.bytes;
        tally.frames += written.frames;
        tally.dropped += written.dropped;
        if written.wake {
            self.wake();
        }
        written
    }

    /// As [`Connection::with_outbox`], counted at once.
    pub(super) fn with_outbox_alone(&self, act: impl FnOnce(&mut Outbox) -> Written) -> Written {
        let mut tally = Tally::default();
        let written = self.with_outbox(&mut tally, act);
        tally.count(&self.outlet.metrics);
        written
    }

    /// Holds back what is sent from now on, so that it leaves together.
    pub fn hold(&self) {
        self.outbox.lock().hold();
    }

    /// Lets go what was held back.
    pub fn release(self: &Arc<Self>) {
        let pace = self.pace();
        let written = self.with_outbox_alone(|outbox| outbox.release(pace, &*self.link));
        self.follow_up(written);
        self.settle_receipts();
    }

    /// Sends `first` before everything that was held back, and lets that go.
    pub(super) fn open_with(self: &Arc<Self>, first: Option<&Frame>) {
        let written = self.with_outbox_alone(|outbox| {
            outbox.open(
                first.map(|frame| frame.bytes().clone()),
                &*self.link,
                self.bounds(),
            )
        });
        self.follow_up(written);
        self.settle_receipts();
    }

    /// The socket takes more: writes what waits.
    pub fn drain(&self) {
        self.with_outbox_alone(|outbox| outbox.drain(&*self.link));
        self.settle_receipts();
    }

    /// Whether the connection's task has to wait until the socket takes more.
    pub fn is_blocked(&self) -> bool {
        self.outbox.lock().is_blocked()
    }

    /// Inbox messages up to `seq` count as received once everything that waits now is written.
    pub(super) fn receive_when_written(&self, hall: &Arc<Hall>, seq: Seq) {
        {
            let mut inner = self.inner.lock();
            match inner
                .receipts
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, hall))
            {
                Some((_, known)) => *known = seq.max(*known),
                None => inner.receipts.push((hall.clone(), seq)),
            }
        }
        self.settle_receipts();
    }

    fn settle_receipts(&self) {
        let is_inbox = |hall: &&Arc<Hall>| hall.kind.inbox.is_some();
        if !self.inner.lock().seats.iter().any(|hall| is_inbox(&hall)) {
            return;
        }
        let receipts = {
            let outbox = self.outbox.lock();
            if outbox.phase() != Phase::Open || !outbox.is_empty() {
                return;
            }
            // Under the outbox's lock: what is taken here was pushed before, and nothing of it waits.
            std::mem::take(&mut self.inner.lock().receipts)
        };
        for (hall, seq) in receipts {
            hall.lock().room.written(seq);
        }
    }

    /// Answers a ping.
    pub fn send_control(self: &Arc<Self>, frame: &Bytes) {
        self.send_as_is(frame);
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
