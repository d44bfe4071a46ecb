//! What many writes came to, for the counters that all threads share.

use crate::telemetry::Metrics;

/// What writing came to, added up so that the shared counters are touched once.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) dropped: u64,
    pub(super) queue_bytes: i64,
    pub(super) queue_frames: i64,
}

impl Tally {
    /// Adds it to the metrics.
    pub(super) fn count(&self, metrics: &Metrics) {
        metrics.socket_writes.inc_by(self.calls);
        metrics.bytes_sent.inc_by(self.bytes);
        metrics.frames_sent.inc_by(self.frames);
        if self.dropped > 0 {
            metrics.frames_dropped.inc_by(self.dropped);
        }
        if self.queue_frames != 0 || self.queue_bytes != 0 {
            metrics.queue_bytes.inc_by(self.queue_bytes);
            metrics.queue_frames.inc_by(self.queue_frames);
        }
    }
}
