//! What time brings: signs of life, expiry, graces, forgetting; and the drain at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::connection::Connection;
use crate::engine::link::Phase;
use crate::engine::refresh::notice_at;
use crate::engine::timer::{TICK, Timer};
use crate::plan::{HeartbeatKind, Protocol};
use crate::protocol::websocket::{ControlPayload, Masking, encode_ping};
use crate::protocol::{CloseCode, Object};
use crate::vocab::Monotonic;

/// How long a peer may take to take a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// A connection is looked at this often at least, so that one that ended leaves nothing behind for long.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Shards of rooms that each tick walks over.
const SHARDS_PER_TICK: usize = 2;
/// Full token buckets are forgotten this often.
const FORGET_BUCKETS_TICKS: u64 = 600;

impl Engine {
    /// Looks after what is due. The server calls it every [`TICK`]; tests call it after moving their clock.
    pub fn tick(self: &Arc<Self>) {
        let now = self.clock.monotonic();
        self.coarse_millis.store(now.as_millis(), Ordering::Relaxed);
        for timer in self.timers.due(now) {
            // What else is due must not pay for a fault of ours.
            self.metrics.guard("what is due", || self.fire(timer, now));
        }
        self.ring_alarms();
        let ticks = self.ticks.fetch_add(1, Ordering::Relaxed);
        if ticks % FORGET_BUCKETS_TICKS == FORGET_BUCKETS_TICKS - 1 {
            self.limits.forget_full();
            self.endpoint_keys.lock().trim(self.clock.now());
        }
        self.blocks.trim(self.clock.now());
        self.forget_some(ticks);
        if self.store.is_full() {
            self.shorten_logs(ticks, self.plan.server.store_bytes_max.len() as u64);
        }
        self.watch_memory(now);
    }

    fn fire(self: &Arc<Self>, timer: Timer, now: Monotonic) {
        match timer {
            Timer::Look(connection) => {
                if let Some(connection) = connection.upgrade() {
                    self.look(&connection, now);
                }
            }
            Timer::Abandon(connection) => {
                if let Some(connection) = connection.upgrade() {
                    connection.abandon();
                }
            }
            Timer::Grace(grace) => {
                self.expire_absence(&grace.hall, &grace.user, grace.absence);
            }
            Timer::Stay(stay) => self.end_stay(&stay.connection, stay.stay),
        }
    }

    fn ring_alarms(self: &Arc<Self>) {
        for hall in self.alarms.due(self.clock.monotonic()) {
            self.metrics
                .guard("saying what was kept back", || self.say_due(&hall));
        }
    }

    /// A sign of life.
    pub fn heard(&self, connection: &Connection) {
        connection.heard(self.coarse_millis.load(Ordering::Relaxed));
    }

    /// Begins to look after a connection.
    pub(super) fn watch(&self, connection: &Arc<Connection>) {
        self.tell_expiry(connection);
        let idle = connection.endpoint.heartbeat.idle;
        self.look_again(connection, self.clock.monotonic().after(idle));
    }

    /// Does `timer` for a connection at `at`, in place of what was to be done for it before: of one that ended nothing remains.
    fn remind(&self, connection: &Connection, at: Monotonic, timer: Timer) {
        let mut inner = connection.inner.lock();
        if let Some(before) = inner.timer.take() {
            self.timers.cancel(before);
        }
        if !inner.ended {
            inner.timer = Some(self.timers.at(at, timer));
        }
    }

    fn look_again(&self, connection: &Arc<Connection>, heartbeat_at: Monotonic) {
        let now = self.clock.monotonic();
        let mut at = heartbeat_at.min(now.after(LOOK_MAX));
        if let Some(expires_at) = connection.expires_at() {
            at = at.min(now.after(expires_at.since(self.clock.now())));
        }
        if let Some(notice_at) = notice_at(connection) {
            at = at.min(now.after(notice_at.since(self.clock.now())));
        }
        self.remind(connection, at, Timer::Look(Arc::downgrade(connection)));
    }

    fn look(&self, connection: &Arc<Connection>, now: Monotonic) {
        if connection.phase() != Phase::Open {
            // However its end began, the peer has had time to take it.
            let at = now.after(CLOSE_PATIENCE);
            self.remind(connection, at, Timer::Abandon(Arc::downgrade(connection)));
            return;
        }
        let is_over = |expires_at| self.clock.now() >= expires_at;
        if connection.expires_at().is_some_and(is_over) {
            self.close(connection, CloseCode::TokenExpired);
            return;
        }
        self.tell_expiry(connection);
        let heartbeat = &connection.endpoint.heartbeat;
        let heard = Monotonic::from_nanos(connection.last_heard_millis() * 1_000_000);
        let ask_at = heard.after(heartbeat.idle);
        let end_at = ask_at.after(heartbeat.timeout);
        if now < ask_at {
            self.look_again(connection, ask_at);
        } else if now < end_at {
            if !connection.ask() {
                self.ask(connection);
            }
            self.look_again(connection, end_at);
        } else if connection.ask() {
            self.close(connection, CloseCode::NoHeartbeat);
        } else {
            // Looked at late: the peer still gets its time.
            self.ask(connection);
            self.look_again(connection, now.after(heartbeat.timeout));
        }
    }

    fn ask(&self, connection: &Arc<Connection>) {
        if let Some(payload) = ControlPayload::new(b"") {
            connection.send_as_is(&encode_ping(payload, Masking::Plain));
        }
        let tells = matches!(
            connection.endpoint.protocol,
            Protocol::Json | Protocol::EveryFrame(_)
        );
        if connection.endpoint.heartbeat.kind == HeartbeatKind::Message && tells {
            connection.send(&Object::new("ping", 16).finish());
        }
    }

    /// Ends a connection, and stops waiting for its peer after a while.
    pub fn close(&self, connection: &Arc<Connection>, code: CloseCode) {
        connection.close(code);
        self.abandon_later(connection);
    }

    /// Stops waiting for a closing connection's peer after a while.
    pub fn abandon_later(&self, connection: &Arc<Connection>) {
        let at = self.clock.monotonic().after(CLOSE_PATIENCE);
        self.remind(connection, at, Timer::Abandon(Arc::downgrade(connection)));
    }

    /// Walks on over the rooms, and forgets of the empty ones what is too old: all of them within a few seconds, without a timer
    /// for each.
    fn forget_some(&self, ticks: u64) {
        let first = ticks as usize * SHARDS_PER_TICK;
        for shard in first..first + SHARDS_PER_TICK {
            for hall in self.rooms.of_shard(shard) {
                let is_over = {
                    let mut state = hall.lock();
                    state.room.members.is_empty() && {
                        state.room.trim(self.clock.now());
                        state.room.is_forgettable()
                    }
                };
                if is_over {
                    self.rooms.retire(&hall);
                }
            }
        }
    }

    /// The logs of one shard's rooms after the other are halved, until the store keeps at most so many bytes or all have been.
    pub(super) fn shorten_logs(&self, ticks: u64, bytes_max: u64) {
        for shard in 0..64 {
            if self.store.bytes() as u64 <= bytes_max {
                return;
            }
            for hall in self.rooms.of_shard(ticks as usize + shard) {
                hall.lock().room.halve();
                self.rooms.retire(&hall);
            }
        }
    }

    /// Tells everyone to come back at a random moment, closes them, and waits until they are gone, at most for the Plan's grace.
    pub async fn drain(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Relaxed);
        for connection in self.users.all() {
            self.send_away(&connection);
        }
        let emptied = async {
            loop {
                let emptied = self.emptied.notified();
                if self.connections() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        if tokio::time::timeout(self.plan.server.shutdown_grace, emptied)
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.connections(),
                "the grace of the shutdown is over"
            );
        }
    }

    /// Whether the server is shutting down.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The server is shutting down: come back at a random moment.
    pub(super) fn send_away(&self, connection: &Arc<Connection>) {
        let spread = self.plan.server.shutdown_spread.as_millis();
        let spread_millis = u64::try_from(spread).unwrap_or(u64::MAX).max(1);
        let random = u64::from_ne_bytes(super::random_bytes()) % spread_millis;
        let frame = Object::new("reconnect", 48).field("after_ms", &random);
        connection.send(&frame.finish());
        self.close(connection, CloseCode::Restarting);
    }

    /// Runs the tick until the server ends.
    pub async fn run_ticks(self: Arc<Self>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            self.metrics.guard("ticking", || self.tick());
        }
    }

    /// Lets rooms say what they kept back, each at its moment, until the server ends.
    pub async fn run_alarms(self: Arc<Self>) {
        loop {
            self.alarms.ring(&*self.clock).await;
            self.ring_alarms();
        }
    }
}
