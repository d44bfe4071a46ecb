//! What goes out of a connection: frames in its form, through its outbox, and what follows from how the socket took them.

use std::sync::Arc;

use bytes::Bytes;
use tracing::field;

use crate::engine::Hall;
use crate::engine::connection::Connection;
use crate::engine::form::Form;
use crate::engine::link::{Backlog, Pace, Phase, Written};
use crate::engine::outbox::Outbox;
use crate::engine::tally::Tally;
use crate::engine::waiting::{Bounds, Keep, Parcel, Sent};
use crate::protocol::{CloseCode, Frame, Reject};
use crate::telemetry::unquoted;
use crate::vocab::Seq;

impl Connection {
    /// Sends one frame, in the form of the endpoint.
    pub fn send(self: &Arc<Self>, frame: &Frame) {
        self.send_with(frame, Keep::Always);
    }

    /// Sends one frame, in the form of the endpoint; `keep` says what may become of it when it has to wait.
    pub(super) fn send_with(self: &Arc<Self>, frame: &Frame, keep: Keep) {
        if let Some(bytes) = self.form().bytes(frame) {
            let bytes = self.packed(bytes);
            let mut tally = Tally::default();
            self.send_batch(Sent::pieces(&[Parcel { bytes, keep }]), &mut tally);
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
        tracing::debug!(connection = ?self.id, user = %self.user.id, code = reject.code.as_str(), reason = %unquoted(&reject.message), cause = reject.cause.as_deref().map(|cause| field::display(unquoted(cause))), "rejected");
        self.send(&reject.to_frame(id));
    }

    /// Sends bytes that are a frame already.
    pub(super) fn send_as_is(self: &Arc<Self>, frame: &Bytes) {
        let mut tally = Tally::default();
        self.send_batch(Sent::pieces(&[Parcel::new(frame.clone())]), &mut tally);
        tally.count(&self.outlet.metrics);
    }

    /// Sends frames in as few writes as there can be. What it came to is added to `tally`.
    pub(super) fn send_batch(self: &Arc<Self>, sent: Sent<'_>, tally: &mut Tally) {
        let (bounds, pace) = (self.bounds(), self.pace());
        let written =
            self.with_outbox(tally, |outbox| outbox.push(sent, pace, &*self.link, bounds));
        self.follow_up(written);
    }

    /// As [`Connection::send_batch`]; the first `replayed` of `parcels` are a replay, which may wait beyond the bounds.
    pub(super) fn send_replay(
        self: &Arc<Self>,
        parcels: &[Parcel],
        replayed: usize,
        tally: &mut Tally,
    ) {
        let (bounds, pace) = (self.bounds(), self.pace());
        let replay = Bounds {
            bytes: parcels[..replayed]
                .iter()
                .map(|parcel| parcel.bytes.len())
                .sum(),
            frames: replayed,
        };
        let written = self.with_outbox(tally, |outbox| {
            outbox.excuse(replay, bounds);
            outbox.push(Sent::pieces(parcels), pace, &*self.link, bounds)
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

    /// Sends the transport's `answer` and `first` before everything that was held back, and lets that go.
    pub(super) fn open_with(self: &Arc<Self>, answer: Bytes, first: Option<&Frame>) {
        let first = first.map(|first| self.packed(first.bytes().clone()));
        let bounds = self.bounds();
        let written =
            self.with_outbox_alone(|outbox| outbox.open(answer, first, &*self.link, bounds));
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
            let receipts = inner.receipts.get_or_insert_default();
            let mut known = receipts.iter_mut();
            match known.find(|(known, _)| Arc::ptr_eq(known, hall)) {
                Some((_, known)) => *known = seq.max(*known),
                None => receipts.push((hall.clone(), seq)),
            }
        }
        self.settle_receipts();
    }

    fn settle_receipts(&self) {
        if self.inner.lock().receipts.is_none() {
            return;
        }
        let receipts = {
            let outbox = self.outbox.lock();
            if outbox.phase() != Phase::Open || !outbox.is_empty() {
                return;
            }
            // Under the outbox's lock: what is taken here was pushed before, and nothing of it waits.
            self.inner.lock().receipts.take()
        };
        for (hall, seq) in receipts.into_iter().flat_map(|receipts| *receipts) {
            hall.lock().room.written(seq);
        }
    }

    /// Answers a ping.
    pub fn send_control(self: &Arc<Self>, frame: &Bytes) {
        self.send_as_is(frame);
    }
}
