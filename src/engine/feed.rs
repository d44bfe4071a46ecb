//! Fan-out: what one room's readers still have to get, and the flush that writes it.
//!
//! Publishers append to the room's [`Feed`] under the room's lock and go on. The first of a scheduler turn spawns the flush; by the
//! time that it runs, it finds what all of them appended, and writes each reader's share with one vectored write. One flush of a
//! room runs at a time, so a room has one order; a reader whose socket would block is left to its own task.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::connection::Connection;
use crate::engine::{Engine, Hall, render};
use crate::plan::Protocol;
use crate::protocol::{Frame, FrameKind};
use crate::vocab::Seq;

/// So many readers are written to before other tasks get their turn.
const READERS_PER_TURN: usize = 128;
/// So many frames may wait for a room's flush before publishers are refused.
const WAITING_MAX: usize = 16_384;

/// What a room's readers still have to get.
#[derive(Debug, Default)]
pub struct Feed {
    readers: Vec<Reader>,
    entering: Vec<Reader>,
    /// Serials of leaving connections, with the number of frames that they still get.
    leaving: Vec<(u64, usize)>,
    says: Vec<Say>,
    flushing: bool,
    forgotten_later: bool,
}

/// A connection that reads a room.
#[derive(Debug)]
struct Reader {
    connection: Arc<Connection>,
    /// What it gets before anything else.
    opening: Vec<Frame>,
    from: usize,
    until: usize,
    /// Where writing a message takes it out of the inbox: the last number that the opening has.
    receipt: Option<Seq>,
}

/// One frame for some of the readers.
#[derive(Debug)]
struct Say {
    audience: Audience,
    frame: Frame,
    /// The message type's number, for counting.
    message: Option<usize>,
    seq: Option<Seq>,
}

/// Which readers get a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All.
    Everyone,
    /// Those of other users than the one of this number.
    NotUser(u64),
    /// All but the connection of this number.
    NotConnection(u64),
    /// The connection of this number.
    Only(u64),
}

impl Audience {
    fn includes(self, connection: &Connection) -> bool {
        match self {
            Self::Everyone => true,
            Self::NotUser(user) => connection.user_serial != user,
            Self::NotConnection(serial) => connection.serial != serial,
            Self::Only(serial) => connection.serial == serial,
        }
    }
}

impl crate::broker::memory::Feed for Feed {
    fn is_idle(&self) -> bool {
        !self.flushing && self.readers.is_empty() && !self.has_work()
    }
}

impl Feed {
    fn has_work(&self) -> bool {
        !self.says.is_empty() || !self.entering.is_empty() || !self.leaving.is_empty()
    }

    /// Whether a timer looks after what the empty room keeps.
    pub fn is_forgotten_later(&self) -> bool {
        self.forgotten_later
    }

    /// Sets whether a timer does.
    pub fn set_forgotten_later(&mut self, is: bool) {
        self.forgotten_later = is;
    }

    /// Whether so much waits that publishers have to be refused.
    pub fn is_full(&self) -> bool {
        self.says.len() >= WAITING_MAX
    }

    /// `connection` reads from here on, `opening` first.
    pub fn enter(
        &mut self,
        connection: Arc<Connection>,
        opening: Vec<Frame>,
        receipt: Option<Seq>,
    ) {
        let from = self.says.len();
        self.entering.push(Reader {
            connection,
            opening,
            from,
            until: usize::MAX,
            receipt,
        });
    }

    /// The connection of this number reads up to here.
    pub fn leave(&mut self, serial: u64) {
        self.leaving.push((serial, self.says.len()));
    }

    /// A frame that is no message: an announcement, an answer.
    pub fn say(&mut self, audience: Audience, frame: Frame) {
        self.says.push(Say {
            audience,
            frame,
            message: None,
            seq: None,
        });
    }

    /// A message.
    pub fn publish(&mut self, audience: Audience, frame: Frame, message: usize, seq: Option<Seq>) {
        self.says.push(Say {
            audience,
            frame,
            message: Some(message),
            seq,
        });
    }

    /// Whether a flush has to be spawned for what was appended; then it counts as spawned.
    pub fn needs_flush(&mut self) -> bool {
        let needs = !self.flushing && self.has_work();
        self.flushing |= needs;
        needs
    }

    fn take(&mut self) -> Batch {
        Batch {
            entering: std::mem::take(&mut self.entering),
            leaving: std::mem::take(&mut self.leaving),
            says: std::mem::take(&mut self.says),
        }
    }
}

struct Batch {
    entering: Vec<Reader>,
    leaving: Vec<(u64, usize)>,
    says: Vec<Say>,
}

/// Writes what `hall`'s readers have to get, until nothing waits.
pub(super) async fn flush(engine: Arc<Engine>, hall: Arc<Hall>) {
    // The others that are ready in this turn publish first: what they say leaves together.
    tokio::task::yield_now().await;
    let mut readers = std::mem::take(&mut hall.lock().queue.readers);
    loop {
        let batch = {
            let mut state = hall.lock();
            if !state.queue.has_work() {
                state.queue.readers = std::mem::take(&mut readers);
                state.queue.flushing = false;
                break;
            }
            state.queue.take()
        };
        readers.extend(batch.entering);
        for (serial, until) in batch.leaving {
            // Who came, left and came again stands here several times.
            if let Some(reader) = readers
                .iter_mut()
                .find(|reader| reader.connection.serial == serial && reader.until == usize::MAX)
            {
                reader.until = until;
            }
        }
        let mut start = 0;
        while start < readers.len() {
            let end = readers.len().min(start + READERS_PER_TURN);
            deliver(&engine, &hall, &batch.says, &mut readers[start..end]);
            start = end;
            tokio::task::yield_now().await;
        }
        readers.retain(|reader| reader.until == usize::MAX);
        readers.iter_mut().for_each(|reader| reader.from = 0);
    }
    if engine.rooms.retire(&hall) {
        tracing::trace!(room = %hall.name, "forgotten");
    }
}

/// Writes `says` to `readers`.
fn deliver(engine: &Engine, hall: &Arc<Hall>, says: &[Say], readers: &mut [Reader]) {
    let everything: Vec<&Bytes> = says.iter().map(|say| say.frame.bytes()).collect();
    let everything_sliced: Vec<IoSlice<'_>> =
        everything.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let json_for_all = says
        .iter()
        .all(|say| say.audience == Audience::Everyone && say.frame.kind() == FrameKind::Json);
    let mut rendered = Rendered::default();
    for reader in readers.iter_mut() {
        let speaks_json = matches!(
            reader.connection.endpoint.protocol,
            Protocol::Json | Protocol::EveryFrame(_)
        );
        let has_opening = !reader.opening.is_empty();
        let range = reader.from.min(says.len())..reader.until.min(says.len());
        if json_for_all && speaks_json && !has_opening {
            if !range.is_empty() {
                reader.connection.send_batch(
                    &everything[range.clone()],
                    &everything_sliced[range.clone()],
                );
            }
        } else {
            deliver_some(says, reader, &mut rendered);
        }
        if let Some(before) = reader.receipt {
            let read = &says[range.start..range.end.max(range.start)];
            let last = read.iter().rev().find_map(|say| say.seq).max(Some(before));
            if has_opening || last != Some(before) {
                reader.receipt = last;
                let seq = last.unwrap_or(before);
                reader.connection.receive_when_written(hall, seq);
            }
        }
    }
    count(engine, says, readers.len());
}

fn count(engine: &Engine, says: &[Say], readers: usize) {
    for say in says {
        let Some(message) = say.message else { continue };
        let reached = match say.audience {
            Audience::Everyone => readers,
            Audience::Only(_) => 1,
            Audience::NotUser(_) | Audience::NotConnection(_) => readers.saturating_sub(1),
        };
        engine.metrics.messages_delivered[message].inc_by(reached as u64);
    }
}

/// Writes one reader's share where it is not simply everything: openings, audiences, rendered text.
fn deliver_some(says: &[Say], reader: &mut Reader, rendered: &mut Rendered) {
    let connection = reader.connection.clone();
    let opening = std::mem::take(&mut reader.opening);
    let mut frames: Vec<Bytes> = Vec::with_capacity(opening.len() + says.len());
    for frame in &opening {
        frames.extend(form(&connection, frame));
    }
    if !frames.is_empty() {
        connection.expect_replay(frames.iter().map(Bytes::len).sum(), frames.len());
    }
    let range = reader.from.min(says.len())..reader.until.min(says.len());
    for (index, say) in says.iter().enumerate().take(range.end).skip(range.start) {
        if say.audience.includes(&connection) {
            frames.extend(rendered.get(index, &connection, &say.frame));
        }
    }
    let frames: Vec<&Bytes> = frames.iter().collect();
    let slices: Vec<IoSlice<'_>> = frames.iter().map(|bytes| IoSlice::new(bytes)).collect();
    if !frames.is_empty() {
        connection.send_batch(&frames, &slices);
    }
}

/// The bytes of `frame` in the form of the connection's endpoint; none where it gets nothing of it.
fn form(connection: &Connection, frame: &Frame) -> Option<Bytes> {
    let kind = match &connection.endpoint.protocol {
        Protocol::Json | Protocol::EveryFrame(_) => FrameKind::Json,
        Protocol::Raw(_) => FrameKind::Raw,
        Protocol::Text(text) => {
            return render::render(text, frame).map(|frame| frame.bytes().clone());
        }
    };
    (frame.kind() == kind).then(|| frame.bytes().clone())
}

/// Texts rendered once for each frame and endpoint.
#[derive(Default)]
struct Rendered(Vec<(usize, usize, Option<Bytes>)>);

impl Rendered {
    fn get(&mut self, index: usize, connection: &Connection, frame: &Frame) -> Option<Bytes> {
        let Protocol::Text(_) = connection.endpoint.protocol else {
            return form(connection, frame);
        };
        let endpoint = connection.endpoint.index;
        if let Some((_, _, bytes)) = self
            .0
            .iter()
            .find(|(i, e, _)| (*i, *e) == (index, endpoint))
        {
            return bytes.clone();
        }
        let bytes = form(connection, frame);
        self.0.push((index, endpoint, bytes.clone()));
        bytes
    }
}

/// Appends to a locked room's feed through `act`, and spawns the flush where none is due.
pub(super) fn spawn_flush(engine: &Arc<Engine>, hall: &Arc<Hall>) {
    tokio::spawn(flush(engine.clone(), hall.clone()));
}
