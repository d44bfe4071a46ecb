//! Compressing on the way out: one compressor for each thread, and once for all readers of a message.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;

use crate::engine::connection::Connection;
use crate::protocol::websocket::{Deflater, Header};
use crate::telemetry::Metrics;

thread_local! {
    static DEFLATER: RefCell<Deflater> = const { RefCell::new(Deflater::new()) };
}

/// What was compressed during one flush, by a key of the flush's own; none where that would not be smaller.
#[derive(Default)]
pub(super) struct Deflated<K>(HashMap<K, Option<Bytes>>);

impl<K: Eq + std::hash::Hash> Deflated<K> {
    /// `frame` as `connection` gets it: compressed when the first who wants it so comes.
    pub(super) fn packed(&mut self, key: K, connection: &Connection, frame: Bytes) -> Bytes {
        if !connection.wants_deflated(&frame) {
            return frame;
        }
        let deflated = self
            .0
            .entry(key)
            .or_insert_with(|| deflate(&frame, &connection.outlet.metrics));
        deflated.clone().unwrap_or(frame)
    }
}

impl Connection {
    /// `frame` as this connection gets it.
    pub(super) fn packed(&self, frame: Bytes) -> Bytes {
        if !self.wants_deflated(&frame) {
            return frame;
        }
        deflate(&frame, &self.outlet.metrics).unwrap_or(frame)
    }

    /// Whether messages go to it compressed, and this one is long enough, and not too long for the window that it asked for.
    fn wants_deflated(&self, frame: &Bytes) -> bool {
        let (Some(deflation), Some(compression)) = (self.deflation, self.endpoint.compression)
        else {
            return false;
        };
        let Ok(Some((header, _))) = Header::parse(frame) else {
            return false;
        };
        usize::try_from(header.payload_bytes).is_ok_and(|payload_bytes| {
            payload_bytes >= compression.min_size.len() && deflation.covers(payload_bytes)
        })
    }
}

fn deflate(frame: &Bytes, metrics: &Metrics) -> Option<Bytes> {
    let deflated = DEFLATER.with_borrow_mut(|deflater| deflater.deflate(frame))?;
    metrics.compressed_frames.inc();
    metrics.compressed_bytes_before.inc_by(frame.len() as u64);
    metrics.compressed_bytes_after.inc_by(deflated.len() as u64);
    Some(deflated)
}
