//! Fan-out: what one room's readers still have to get, and the flush that writes it.
//!
//! Publishers append to the room's [`Feed`] under the room's lock and go on. The first of a scheduler turn spawns the flush; by the
//! time that it runs, it finds what all of them appended, and writes each reader's share with one vectored write. One flush of a
//! room runs at a time, so a room has one order; a reader whose socket would block is left to its own task.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::connection::{Connection, Tally};
use crate::engine::{Engine, Hall, render};
use crate::plan::Protocol;
use crate::protocol::{Frame, FrameKind};
use crate::vocab::Seq;

/// So many readers are written to before other tasks get their turn.
const READERS_PER_TURN: usize = 128;
/// So many frames may wait for a room's flush before publishers and newcomers are refused.
const WAITING_FRAMES_MAX: usize = 16_384;
/// So many bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a room's readers still have to get.
#[derive(Debug, Default)]
pub struct Feed {
    readers: Vec<Reader>,
    entering: Vec<Reader>,
    /// By the serial of a leaving connection, the number of frames that it still gets: once for each stay that ends.
    leaving: HashMap<u64, Vec<usize>>,
    says: Vec<Say>,
    says_bytes: usize,
    /// Frames for one connection each, by its serial.
    answers: HashMap<u64, Vec<Answer>>,
    flushing: bool,
}

/// A frame for one reader.
#[derive(Debug)]
struct Answer {
    /// How many stays of that connection have ended before within the batch.
    stay: usize,
    /// The number of frames for all that go before.
    before: usize,
    frame: Frame,
}

/// A connection that reads a room.
#[derive(Debug)]
struct Reader {
    connection: Arc<Connection>,
    /// Where writing a message takes it out of the inbox: the last number that the opening has.
    receipt: Option<Seq>,
    /// While it comes or goes.
    passage: Option<Box<Passage>>,
}

/// Which part of a batch a reader gets that comes or goes within it.
#[derive(Debug)]
struct Passage {
    /// What it gets before anything else.
    opening: Vec<Frame>,
    from: usize,
    until: usize,
    /// Which of the connection's stays within the batch it is.
    stay: usize,
}

const STAYS: usize = usize::MAX;

impl Reader {
    fn stays(&self) -> bool {
        self.passage
            .as_ref()
            .is_none_or(|passage| passage.until == STAYS)
    }

    fn stay(&self) -> usize {
        self.passage.as_ref().map_or(0, |passage| passage.stay)
    }

    fn see_out(&mut self, stay: usize, until: usize) {
        let passage = self.passage.get_or_insert_with(|| {
            Box::new(Passage {
                opening: Vec::new(),
                from: 0,
                until,
                stay,
            })
        });
        (passage.stay, passage.until) = (stay, until);
    }

    /// The part of `frames` frames that it gets.
    fn share(&self, frames: usize) -> Range<usize> {
        let (from, until) = self
            .passage
            .as_ref()
            .map_or((0, STAYS), |passage| (passage.from, passage.until));
        let start = from.min(frames);
        start..until.clamp(start, frames)
    }
}

/// One frame for the readers of an audience.
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
}

impl Audience {
    fn includes(self, connection: &Connection) -> bool {
        match self {
            Self::Everyone => true,
            Self::NotUser(user) => connection.user_serial != user,
            Self::NotConnection(serial) => connection.serial != serial,
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
        !(self.says.is_empty()
            && self.answers.is_empty()
            && self.entering.is_empty()
            && self.leaving.is_empty())
    }

    /// Whether so much waits that publishers and newcomers have to be refused.
    pub fn is_full(&self) -> bool {
        self.says.len() + self.entering.len() >= WAITING_FRAMES_MAX
            || self.says_bytes >= WAITING_BYTES_MAX
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
            receipt,
            passage: Some(Box::new(Passage {
                opening,
                from,
                until: STAYS,
                stay: 0,
            })),
        });
    }

    /// The connection of this number reads up to here.
    pub fn leave(&mut self, serial: u64) {
        let until = self.says.len();
        self.leaving.entry(serial).or_default().push(until);
    }

    /// A frame for one reader, in its place among those for all.
    pub fn answer(&mut self, serial: u64, frame: Frame) {
        let answer = Answer {
            stay: self.leaving.get(&serial).map_or(0, Vec::len),
            before: self.says.len(),
            frame,
        };
        self.answers.entry(serial).or_default().push(answer);
    }

    /// A frame that is no message: an announcement.
    pub fn say(&mut self, audience: Audience, frame: Frame) {
        self.push(Say {
            audience,
            frame,
            message: None,
            seq: None,
        });
    }

    /// A message.
    pub fn publish(&mut self, audience: Audience, frame: Frame, message: usize, seq: Option<Seq>) {
        self.push(Say {
            audience,
            frame,
            message: Some(message),
            seq,
        });
    }

    fn push(&mut self, say: Say) {
        self.says_bytes += say.frame.bytes().len();
        self.says.push(say);
    }

    /// Whether a flush has to be spawned for what was appended; then it counts as spawned.
    pub fn needs_flush(&mut self) -> bool {
        let needs = !self.flushing && self.has_work();
        self.flushing |= needs;
        needs
    }

    fn take(&mut self) -> Batch {
        self.says_bytes = 0;
        Batch {
            entering: std::mem::take(&mut self.entering),
            leaving: std::mem::take(&mut self.leaving),
            says: std::mem::take(&mut self.says),
            answers: std::mem::take(&mut self.answers),
        }
    }
}

/// What one round of a flush writes.
struct Batch {
    entering: Vec<Reader>,
    leaving: HashMap<u64, Vec<usize>>,
    says: Vec<Say>,
    answers: HashMap<u64, Vec<Answer>>,
}

/// Appends the flush of `hall` to what the runtime has to do.
pub(super) fn spawn_flush(engine: &Arc<Engine>, hall: &Arc<Hall>) {
    tokio::spawn(flush(engine.clone(), hall.clone()));
}

/// Writes what `hall`'s readers have to get, until nothing waits.
async fn flush(engine: Arc<Engine>, hall: Arc<Hall>) {
    // The others that are ready in this turn publish first: what they say leaves together.
    tokio::task::yield_now().await;
    let mut readers = std::mem::take(&mut hall.lock().queue.readers);
    loop {
        let mut batch = {
            let mut state = hall.lock();
            if !state.queue.has_work() {
                state.queue.readers = std::mem::take(&mut readers);
                state.queue.flushing = false;
                break;
            }
            state.queue.take()
        };
        readers.append(&mut batch.entering);
        see_out(&batch.leaving, &mut readers);
        let shared = Shared::new(&batch);
        let mut start = 0;
        while start < readers.len() {
            let end = readers.len().min(start + READERS_PER_TURN);
            let some = &mut readers[start..end];
            // A panic is our fault; the room and its other readers must not pay for it.
            let write = AssertUnwindSafe(|| shared.write(&engine, &hall, some));
            if catch_unwind(write).is_err() {
                engine.metrics.panics.inc();
                tracing::error!(room = %hall.name, "a panic while frames were written");
            }
            start = end;
            tokio::task::yield_now().await;
        }
        shared.count(&engine, readers.len());
        readers.retain(Reader::stays);
        readers.iter_mut().for_each(|reader| reader.passage = None);
    }
    if engine.rooms.retire(&hall) {
        tracing::trace!(room = %hall.name, "forgotten");
    }
}

/// Sets how far the leaving read. Who came, left and came again stands here several times: the first to come is the first to go.
fn see_out(leaving: &HashMap<u64, Vec<usize>>, readers: &mut [Reader]) {
    if leaving.is_empty() {
        return;
    }
    let mut stays: HashMap<u64, usize> = HashMap::new();
    for reader in readers.iter_mut() {
        let serial = reader.connection.serial;
        if let Some(limits) = leaving.get(&serial) {
            let stay = stays.entry(serial).or_default();
            reader.see_out(*stay, limits.get(*stay).copied().unwrap_or(STAYS));
            *stay += 1;
        }
    }
}

/// A batch, prepared once for all readers.
struct Shared<'b> {
    batch: &'b Batch,
    frames: Vec<&'b Bytes>,
    slices: Vec<IoSlice<'b>>,
    /// Every frame goes to every reader that speaks JSON.
    is_plain: bool,
}

impl<'b> Shared<'b> {
    fn new(batch: &'b Batch) -> Self {
        let frames: Vec<&Bytes> = batch.says.iter().map(|say| say.frame.bytes()).collect();
        Self {
            batch,
            slices: frames.iter().map(|bytes| IoSlice::new(bytes)).collect(),
            frames,
            is_plain: batch.says.iter().all(|say| {
                say.audience == Audience::Everyone && say.frame.kind() == FrameKind::Json
            }),
        }
    }

    /// Writes each reader's share.
    fn write(&self, engine: &Engine, hall: &Arc<Hall>, readers: &mut [Reader]) {
        let mut tally = Tally::default();
        let mut rendered = Rendered::default();
        let says = &self.batch.says;
        for reader in readers {
            let range = reader.share(says.len());
            let connection = &reader.connection;
            let answers = self.batch.answers.get(&connection.serial);
            let speaks_json = matches!(
                connection.endpoint.protocol,
                Protocol::Json | Protocol::EveryFrame(_)
            );
            let opening = reader
                .passage
                .as_mut()
                .map(|passage| std::mem::take(&mut passage.opening))
                .unwrap_or_default();
            let has_opening = !opening.is_empty();
            if self.is_plain && speaks_json && !has_opening && answers.is_none() {
                if !range.is_empty() {
                    let (frames, slices) =
                        (&self.frames[range.clone()], &self.slices[range.clone()]);
                    connection.send_batch(frames, slices, &mut tally);
                }
            } else {
                let answers = answers.map_or(&[][..], Vec::as_slice);
                self.write_some(
                    reader,
                    &opening,
                    range.clone(),
                    answers,
                    &mut rendered,
                    &mut tally,
                );
            }
            self.receipts(hall, reader, range, has_opening);
        }
        tally.count(&engine.metrics);
    }

    /// Writes one reader's share where it is not simply everything: openings, answers, audiences, rendered text.
    fn write_some(
        &self,
        reader: &Reader,
        opening: &[Frame],
        range: Range<usize>,
        answers: &[Answer],
        rendered: &mut Rendered,
        tally: &mut Tally,
    ) {
        let connection = &*reader.connection;
        let says = &self.batch.says;
        let mut frames: Vec<Bytes> =
            Vec::with_capacity(opening.len() + range.len() + answers.len());
        frames.extend(opening.iter().filter_map(|frame| form(connection, frame)));
        if !frames.is_empty() {
            connection.expect_replay(frames.iter().map(Bytes::len).sum(), frames.len());
        }
        let here = |answer: &&Answer| answer.stay == reader.stay();
        let mut answers = answers.iter().filter(here).peekable();
        for index in range.clone() {
            while let Some(answer) = answers.next_if(|answer| answer.before <= index) {
                frames.extend(form(connection, &answer.frame));
            }
            let say = &says[index];
            if say.audience.includes(connection) {
                frames.extend(rendered.get(index, connection, &say.frame));
            }
        }
        frames.extend(answers.filter_map(|answer| form(connection, &answer.frame)));
        let frames: Vec<&Bytes> = frames.iter().collect();
        let slices: Vec<IoSlice<'_>> = frames.iter().map(|bytes| IoSlice::new(bytes)).collect();
        if !frames.is_empty() {
            connection.send_batch(&frames, &slices, tally);
        }
    }

    /// Takes out of the inbox what its owner was written.
    fn receipts(
        &self,
        hall: &Arc<Hall>,
        reader: &mut Reader,
        range: Range<usize>,
        has_opening: bool,
    ) {
        let Some(before) = reader.receipt else { return };
        let connection = &reader.connection;
        let was_written = |say: &&Say| {
            say.audience.includes(connection) && form(connection, &say.frame).is_some()
        };
        let read = self.batch.says[range].iter().rev().filter(was_written);
        let mut read = read.filter_map(|say| say.seq);
        let last = read.next().unwrap_or(before).max(before);
        if has_opening || last != before {
            reader.receipt = Some(last);
            reader.connection.receive_when_written(hall, last);
        }
    }

    fn count(&self, engine: &Engine, readers: usize) {
        for say in &self.batch.says {
            let Some(message) = say.message else { continue };
            let reached = match say.audience {
                Audience::Everyone => readers,
                Audience::NotUser(_) | Audience::NotConnection(_) => readers.saturating_sub(1),
            };
            engine.metrics.messages_delivered[message].inc_by(reached as u64);
        }
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
