//! The flush of one room: writes what its readers have to get, each reader's share with one vectored write.

use std::collections::HashMap;
use std::io::IoSlice;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::connection::Connection;
use crate::engine::deflate::Deflated;
use crate::engine::feed::{Answer, Audience, Batch, Reader, STAYS, Say};
use crate::engine::tally::Tally;
use crate::engine::{Engine, Hall, render};
use crate::plan::Protocol;
use crate::protocol::{Frame, FrameKind};

/// So many readers are written to before other tasks get their turn.
const READERS_PER_TURN: usize = 128;

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
        let mut rendered = Rendered::default();
        let mut start = 0;
        while start < readers.len() {
            let end = readers.len().min(start + READERS_PER_TURN);
            let some = &mut readers[start..end];
            // A panic is our fault; the room and its other readers must not pay for it.
            let write = AssertUnwindSafe(|| shared.write(&engine, &hall, some, &mut rendered));
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
    fn write(
        &self,
        engine: &Engine,
        hall: &Arc<Hall>,
        readers: &mut [Reader],
        rendered: &mut Rendered,
    ) {
        let mut tally = Tally::default();
        let says = &self.batch.says;
        for reader in readers {
            let range = reader.share(says.len());
            let connection = &reader.connection;
            let answers = self.batch.answers.get(&connection.serial);
            let takes_as_is = connection.deflation.is_none()
                && matches!(
                    connection.endpoint.protocol,
                    Protocol::Json | Protocol::EveryFrame(_)
                );
            let opening = reader
                .passage
                .as_mut()
                .map(|passage| std::mem::take(&mut passage.opening))
                .unwrap_or_default();
            let has_opening = !opening.is_empty();
            if self.is_plain && takes_as_is && !has_opening && answers.is_none() {
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
                    rendered,
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
        let own = |frame| Some(connection.packed(form(connection, frame)?));
        frames.extend(opening.iter().filter_map(own));
        if !frames.is_empty() {
            connection.expect_replay(frames.iter().map(Bytes::len).sum(), frames.len());
        }
        let here = |answer: &&Answer| answer.stay == reader.stay();
        let mut answers = answers.iter().filter(here).peekable();
        for index in range.clone() {
            while let Some(answer) = answers.next_if(|answer| answer.before <= index) {
                frames.extend(own(&answer.frame));
            }
            let say = &says[index];
            if say.audience.includes(connection) {
                frames.extend(rendered.get(index, connection, &say.frame));
            }
        }
        frames.extend(answers.filter_map(|answer| own(&answer.frame)));
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

/// Texts rendered once for each frame and endpoint, and frames compressed once; what is not text is the same on every endpoint.
#[derive(Default)]
struct Rendered {
    texts: HashMap<(usize, usize), Option<Bytes>>,
    deflated: Deflated<(usize, Option<usize>)>,
}

impl Rendered {
    fn get(&mut self, index: usize, connection: &Connection, frame: &Frame) -> Option<Bytes> {
        let Protocol::Text(_) = connection.endpoint.protocol else {
            let bytes = form(connection, frame)?;
            return Some(self.deflated.packed((index, None), connection, bytes));
        };
        let endpoint = connection.endpoint.index;
        let text = self
            .texts
            .entry((index, endpoint))
            .or_insert_with(|| form(connection, frame));
        let bytes = text.clone()?;
        Some(
            self.deflated
                .packed((index, Some(endpoint)), connection, bytes),
        )
    }
}
