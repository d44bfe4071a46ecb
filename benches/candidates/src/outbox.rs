//! What waits for one socket: bounded, written with as few calls as there can be.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;

/// So many bytes may wait.
pub const BYTES_MAX: usize = 1024 * 1024;
/// So many frames leave with one call at most.
pub const SLICES_MAX: usize = 64;

/// How a connection stands after a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The socket took everything.
    Free,
    /// Something waits until the socket takes more.
    Blocked,
    /// An error, or more waits than may.
    Over,
}

/// The frames that the socket did not take.
#[derive(Default)]
pub struct Outbox {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    is_over: bool,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes `frames`, or keeps what the socket does not take. `slices` are the same bytes, made once for many readers.
    pub fn push(
        &mut self,
        frames: &[Bytes],
        slices: &[IoSlice<'_>],
        stream: &TcpStream,
    ) -> Standing {
        if self.is_over {
            return Standing::Over;
        }
        if !self.waiting.is_empty() {
            return self.keep(frames);
        }
        for (frames, slices) in frames.chunks(SLICES_MAX).zip(slices.chunks(SLICES_MAX)) {
            let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
            let taken = if self.waiting.is_empty() {
                self.write(slices, stream)
            } else {
                0
            };
            if taken < wanted {
                self.keep(frames);
                self.advance(taken);
            }
        }
        self.standing()
    }

    /// Writes what waits.
    pub fn drain(&mut self, stream: &TcpStream) -> Standing {
        while !self.waiting.is_empty() && !self.is_over {
            let slices: Vec<IoSlice<'_>> = self
                .waiting
                .iter()
                .take(SLICES_MAX)
                .map(|frame| IoSlice::new(frame))
                .collect();
            let outcome = stream.try_write_vectored(&slices);
            match outcome {
                Ok(taken) => self.advance(taken),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.is_over = true,
            }
        }
        self.standing()
    }

    fn write(&mut self, slices: &[IoSlice<'_>], stream: &TcpStream) -> usize {
        stream.try_write_vectored(slices).unwrap_or_else(|error| {
            self.is_over |= error.kind() != ErrorKind::WouldBlock;
            0
        })
    }

    fn keep(&mut self, frames: &[Bytes]) -> Standing {
        self.bytes += frames.iter().map(Bytes::len).sum::<usize>();
        self.waiting.extend(frames.iter().cloned());
        self.is_over |= self.bytes > BYTES_MAX;
        self.standing()
    }

    fn advance(&mut self, mut taken: usize) {
        self.bytes -= taken;
        while let Some(first) = self.waiting.front_mut() {
            if first.len() > taken {
                first.advance(taken);
                return;
            }
            taken -= first.len();
            self.waiting.pop_front();
        }
    }

    fn standing(&self) -> Standing {
        if self.is_over {
            Standing::Over
        } else if self.waiting.is_empty() {
            Standing::Free
        } else {
            Standing::Blocked
        }
    }
}
