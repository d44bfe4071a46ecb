//! The flush of one room: writes what its readers have to get, each reader's share with one vectored write.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use crate::engine::connection::Connection;
use crate::engine::deflate::Deflated;
use crate::engine::feed::{Answer, Audience, Batch, Say};
use crate::engine::form::Form;
use crate::engine::reader::{Change, Reader, STAYS, Writing};
use crate::engine::tally::Tally;
use crate::engine::waiting::{Parcel, Sent};
use crate::engine::{Engine, Hall};
use crate::protocol::Frame;
use crate::protocol::websocket::Deflation;
use crate::vocab::AudienceSet;

/// So many readers are written to before other tasks get their turn.
const READERS_PER_TURN: usize = 128;
/// A batch of up to so many bytes is copied together once, so that the kernel has one piece to copy for each reader.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// Appends the flush of `hall` to what the runtime has to do.
pub(super) fn spawn_flush(engine: &Arc<Engine>, hall: &Arc<Hall>) {
    tokio::spawn(flush(engine.clone(), hall.clone()));
}

/// Writes what `hall`'s readers have to get, until nothing waits.
async fn flush(engine: Arc<Engine>, hall: Arc<Hall>) {
    let mut readers = std::mem::take(&mut hall.lock().queue.readers);
    loop {
        // The others that are ready in this turn publish first: what they say leaves together.
        tokio::task::yield_now().await;
        let mut batch = hall.lock().queue.take();
        let moves = batch.moves();
        readers.append(&mut batch.entering);
        see_out(&batch.leaving, &mut readers);
        turn(&batch.changes, &mut readers);
        write(&engine, &hall, &batch, &mut readers).await;
        if moves {
            readers.retain(Reader::stays);
            readers.iter_mut().for_each(Reader::settle);
        }
        batch.changes.iter().for_each(|change| change.over.done());
        let mut state = hall.lock();
        if state.queue.has_work() {
            continue;
        }
        let is_left = readers.is_empty() && state.room.is_forgettable();
        state.queue.readers = readers;
        state.queue.flushing = false;
        drop(state);
        if is_left && engine.rooms.retire(&hall) {
            tracing::trace!(room = %hall.name, "forgotten");
        }
        return;
    }
}

/// Writes each reader's share of `batch`, some readers in each turn.
async fn write(engine: &Engine, hall: &Arc<Hall>, batch: &Batch, readers: &mut [Reader]) {
    let mut shares = Shares::new(batch);
    let mut rest = &mut *readers;
    while !rest.is_empty() {
        let (some, others) = rest.split_at_mut(rest.len().min(READERS_PER_TURN));
        shares.write(engine, hall, some);
        rest = others;
        if !rest.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    count(engine, batch, readers);
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

/// Sets from where on readers are of other audiences.
fn turn(changes: &[Change], readers: &mut [Reader]) {
    if changes.is_empty() {
        return;
    }
    let mut of_serial: HashMap<u64, Vec<&Change>> = HashMap::new();
    for change in changes {
        of_serial.entry(change.serial).or_default().push(change);
    }
    for reader in readers {
        let changes = of_serial.get(&reader.connection.serial);
        for change in changes.into_iter().flatten() {
            if change.stay == reader.stay() {
                reader.turn(change.from, change.audiences);
            }
        }
    }
}

fn count(engine: &Engine, batch: &Batch, readers: &[Reader]) {
    for (index, say) in batch.says.iter().enumerate() {
        let Some(message) = say.message else { continue };
        let reads = |reader: &&Reader| reader.reads_at(index, say.of);
        let of_audience = if say.of.is_empty() {
            readers.len()
        } else {
            readers.iter().filter(reads).count()
        };
        let reached = match say.audience {
            Audience::Everyone => of_audience,
            Audience::NotUser(_) | Audience::NotConnection(_) => of_audience.saturating_sub(1),
        };
        engine.metrics.messages_delivered[message].inc_by(reached as u64);
    }
}

/// What is compressed once: a say, of texts that of one endpoint.
type DeflatedSay = (usize, Option<usize>);
/// What readers with the same frames have in common: an endpoint, what they agreed on about compression, and those of their
/// audiences that any of the frames is for.
type Alike = (usize, Option<Deflation>, AudienceSet);

/// A batch in one form, made once for all readers that get it.
struct Prepared {
    parcels: Vec<Parcel>,
    /// How many parcels the first so many says came to.
    before: Vec<u32>,
    /// All parcels in one piece, where there are several.
    joined: Option<Bytes>,
}

impl Prepared {
    /// The frames of `says` as a reader of `audiences` gets them over `connection`.
    fn new(
        connection: &Connection,
        audiences: AudienceSet,
        says: &[Say],
        deflated: &mut Deflated<DeflatedSay>,
    ) -> Self {
        let form = connection.form();
        let text_of = matches!(form, Form::Text(_)).then_some(connection.endpoint.index);
        let mut parcels = Vec::with_capacity(says.len());
        let mut before = Vec::with_capacity(says.len() + 1);
        before.push(0);
        for (index, say) in says.iter().enumerate() {
            if audiences.has(say.of) {
                parcels.extend(form.bytes(&say.frame).map(|bytes| Parcel {
                    bytes: deflated.packed((index, text_of), connection, bytes),
                    keep: say.keep,
                }));
            }
            before.push(parcels.len() as u32);
        }
        let joined = join(&parcels);
        Self {
            parcels,
            before,
            joined,
        }
    }

    fn sent(&self, says: Range<usize>) -> Sent<'_> {
        let parcels = self.share(says);
        Sent {
            parcels,
            joined: self
                .joined
                .as_ref()
                .filter(|_| parcels.len() == self.parcels.len()),
        }
    }

    fn share(&self, says: Range<usize>) -> &[Parcel] {
        &self.parcels[self.before[says.start] as usize..self.before[says.end] as usize]
    }
}

/// Several parcels in one piece, unless that is a large one.
fn join(parcels: &[Parcel]) -> Option<Bytes> {
    let len: usize = parcels.iter().map(|parcel| parcel.bytes.len()).sum();
    if parcels.len() < 2 || len > JOINED_BYTES_MAX {
        return None;
    }
    let mut joined = Vec::with_capacity(len);
    parcels
        .iter()
        .for_each(|parcel| joined.extend_from_slice(&parcel.bytes));
    Some(joined.into())
}

/// Everyone's shares of a batch.
struct Shares<'b> {
    batch: &'b Batch,
    /// Those whom a say leaves out: everyone else gets all of them.
    left_out: HashSet<Audience>,
    /// The audiences that any of it is for.
    audiences: AudienceSet,
    /// The forms that readers got so far.
    forms: Vec<(Alike, Prepared)>,
    deflated: Deflated<DeflatedSay>,
    /// For shares that are one reader's own.
    own: Vec<Parcel>,
}

impl<'b> Shares<'b> {
    fn new(batch: &'b Batch) -> Self {
        let audiences = batch.says.iter().map(|say| say.audience);
        Self {
            batch,
            left_out: audiences
                .filter(|audience| *audience != Audience::Everyone)
                .collect(),
            audiences: batch.says.iter().map(|say| say.of).collect(),
            forms: Vec::new(),
            deflated: Deflated::default(),
            own: Vec::new(),
        }
    }

    /// Writes some readers' shares.
    fn write(&mut self, engine: &Engine, hall: &Arc<Hall>, readers: &mut [Reader]) {
        let mut tally = Tally::default();
        for reader in readers {
            // The room and its other readers must not pay for a fault of ours.
            engine.metrics.guard("writing a room's frames", || {
                self.write_one(hall, reader, &mut tally);
            });
        }
        tally.count(&engine.metrics);
    }

    fn write_one(&mut self, hall: &Arc<Hall>, reader: &mut Reader, tally: &mut Tally) {
        let opening = reader.take_opening();
        let connection = &reader.connection;
        let range = reader.share(self.batch.says.len());
        let answers = self.batch.answers(connection.serial);
        let at = self.prepare(connection, reader.all_audiences());
        let prepared = &self.forms[at].1;
        let is_shared = answers.is_empty() && !self.leaves_out(connection) && !reader.changes();
        if opening.is_empty() && is_shared {
            let sent = prepared.sent(range.clone());
            if !sent.parcels.is_empty() {
                connection.send_batch(sent, tally);
            }
        } else {
            let mut own = std::mem::take(&mut self.own);
            let prepared = &self.forms[at].1;
            let replayed =
                self.gather_own(reader, &opening, range.clone(), answers, prepared, &mut own);
            match (own.is_empty(), replayed) {
                (true, _) => {}
                (false, 0) => reader.connection.send_batch(Sent::pieces(&own), tally),
                (false, _) => reader.connection.send_replay(&own, replayed, tally),
            }
            own.clear();
            self.own = own;
        }
        if reader.writing == Writing::Receives {
            let before = reader.written;
            let written = self.last_written(&reader.connection, &self.forms[at].1, range);
            let last = written.unwrap_or(before).max(before);
            if !opening.is_empty() || last != before {
                reader.written = last;
                reader.connection.receive_when_written(hall, last);
            }
        }
    }

    /// Makes the form of `connection`, unless it was made before; says where it stands.
    fn prepare(&mut self, connection: &Connection, audiences: AudienceSet) -> usize {
        let audiences = audiences.and(self.audiences);
        let alike = (connection.endpoint.index, connection.deflation, audiences);
        if let Some(at) = self.forms.iter().position(|(known, _)| *known == alike) {
            return at;
        }
        let prepared = Prepared::new(connection, audiences, &self.batch.says, &mut self.deflated);
        self.forms.push((alike, prepared));
        self.forms.len() - 1
    }

    /// Whether any of the says is not for `connection`.
    fn leaves_out(&self, connection: &Connection) -> bool {
        !self.left_out.is_empty()
            && (self
                .left_out
                .contains(&Audience::NotUser(connection.user_serial))
                || self
                    .left_out
                    .contains(&Audience::NotConnection(connection.serial)))
    }

    /// Gathers what is one reader's own: its opening, its answers in their places, what is not said to everyone. What is for one
    /// reader alone is not compressed here: that would be done anew for each of those who come back at once. Returns how many frames
    /// the opening came to.
    fn gather_own(
        &self,
        reader: &Reader,
        opening: &[Frame],
        range: Range<usize>,
        answers: &[Answer],
        prepared: &Prepared,
        own: &mut Vec<Parcel>,
    ) -> usize {
        let connection = &*reader.connection;
        let form = connection.form();
        let parcel = |frame: &Frame| form.bytes(frame).map(Parcel::new);
        own.extend(opening.iter().filter_map(parcel));
        let replayed = own.len();
        let stay = reader.stay();
        let mut answers = answers
            .iter()
            .filter(|answer| answer.stay == stay)
            .peekable();
        for index in range {
            while let Some(answer) = answers.next_if(|answer| answer.before <= index) {
                own.extend(parcel(&answer.frame));
            }
            let say = &self.batch.says[index];
            if say.audience.includes(connection) && reader.reads_at(index, say.of) {
                own.extend_from_slice(prepared.share(index..index + 1));
            }
        }
        own.extend(answers.filter_map(|answer| parcel(&answer.frame)));
        replayed
    }

    /// The number of the last stored message of the range that `connection` was written.
    fn last_written(
        &self,
        connection: &Connection,
        prepared: &Prepared,
        range: Range<usize>,
    ) -> Option<crate::vocab::Seq> {
        let was_written = |index: &usize| {
            let say = &self.batch.says[*index];
            say.audience.includes(connection) && !prepared.share(*index..*index + 1).is_empty()
        };
        let mut written = range.rev().filter(was_written);
        written.find_map(|index| self.batch.says[index].seq)
    }
}
