//! How a connection ends: whoever begins it, a close frame is the last that is written (RFC 6455 §5.5.1).

use std::sync::atomic::Ordering;

use crate::engine::connection::Connection;
use crate::engine::link::{Backlog, Phase, Written};
use crate::protocol::CloseCode;
use crate::protocol::websocket::{CloseCode as WireCode, Masking, encode_close};

impl Connection {
    /// Ends the connection with a close frame, behind everything that waits.
    pub fn close(&self, code: CloseCode) {
        self.close_with(code, code.reason(), Backlog::Write);
    }

    pub(super) fn close_with(&self, code: CloseCode, reason: &str, backlog: Backlog) {
        let wire_code = WireCode::new(code.as_u16());
        let Some(wire_code) = wire_code else { return };
        self.close_frame(wire_code, reason, backlog);
    }

    fn close_frame(&self, code: WireCode, reason: &str, backlog: Backlog) {
        let frame = encode_close(code, reason, Masking::Plain);
        let mut begun = false;
        self.with_outbox_alone(|outbox| {
            begun = outbox.phase() == Phase::Open;
            outbox.close(frame, backlog, &*self.link)
        });
        if begun {
            self.outlet.metrics.closes.code(code.get()).inc();
        }
    }

    /// Answers the peer's close frame with its own code (RFC 6455 §5.5.1).
    pub fn close_answer(&self, code: Option<WireCode>) {
        let code = code.unwrap_or(WireCode::NORMAL);
        self.close_frame(code, "", Backlog::Write);
    }

    /// Ends the connection for a violation of the framing.
    pub fn close_for(&self, code: WireCode, reason: &str) {
        self.close_frame(code, reason, Backlog::Write);
    }

    /// Whether the peer's time is over.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// How far the end has come.
    pub fn phase(&self) -> Phase {
        self.outbox.lock().phase()
    }

    /// Whether a close frame was sent, or nothing can be sent any more, and nothing waits.
    pub fn is_over(&self) -> bool {
        if self.abandoned.load(Ordering::Relaxed) {
            return true;
        }
        let outbox = self.outbox.lock();
        outbox.phase() != Phase::Open && outbox.is_empty()
    }

    /// Stops waiting for the peer, which had its time to take the close frame.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.end();
        self.wake();
    }

    /// Nothing can be written any more.
    pub(super) fn end(&self) {
        self.with_outbox_alone(|outbox| {
            outbox.end();
            Written::default()
        });
    }
}
