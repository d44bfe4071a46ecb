//! What waits to be written to one socket: bounded in bytes and frames, written with as few system calls as there can be.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

/// The socket of a connection, as far as delivery needs it.
pub trait Link: Send + Sync + 'static {
    /// Writes as much as the socket takes without waiting, and says how much that was.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing now; anything else ends the connection.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// The most buffers that one system call takes (Linux's `UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;
/// Buffers that are gathered on the stack.
const SLICES: usize = 64;
/// While answers are held back to leave together, so many bytes are let go.
const HELD_BYTES_MAX: usize = 32 * 1024;

/// Bounds of an outbox.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Bytes that wait.
    pub(super) bytes: usize,
    /// Frames that wait.
    pub(super) frames: usize,
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Open,
    /// A close frame is the last that will be written.
    Closing,
    /// Nothing can be written any more.
    Closed,
}

/// Whether what is sent waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Until the first frame of all is there, whatever it takes.
    Opening,
    /// Until what came in together is answered, as long as that is not much.
    Turn,
    /// It leaves at once.
    Not,
}

/// Frames that wait for one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Bytes>,
    /// How much of the first has been written.
    written_of_first: usize,
    bytes: usize,
    hold: Hold,
    /// What may wait beyond the bounds: replays, whose bytes the rooms' logs keep anyway.
    excused: Bounds,
    blocked: bool,
    phase: Phase,
}

/// What a write came to, for counters and for who has to act on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// System calls.
    pub(super) calls: u64,
    /// Bytes that the socket took.
    pub(super) bytes: u64,
    /// The connection's own task has something to do: wait until the socket takes more, or end.
    pub(super) wake: bool,
    /// The bounds were exceeded, and the connection is closing.
    pub(super) overflowed: bool,
}

impl Outbox {
    /// An outbox that holds everything back until it is released.
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            written_of_first: 0,
            bytes: 0,
            hold: Hold::Opening,
            excused: Bounds {
                bytes: 0,
                frames: 0,
            },
            blocked: false,
            phase: Phase::Open,
        }
    }

    /// How far the connection's end has come.
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait.
    pub(super) fn frames(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the socket took less than there is, so that the connection's own task has to go on.
    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Holds back what comes now, so that it leaves together.
    pub(super) fn hold(&mut self) {
        if self.hold == Hold::Not {
            self.hold = Hold::Turn;
        }
    }

    /// A replay of this size comes next: it may wait beyond the bounds, or no room whose log is larger could be resumed. One at a
    /// time: who asks for more while as much as may be waits is too slow for it.
    pub(super) fn excuse(&mut self, replay: Bounds, bounds: Bounds) {
        if self.hold == Hold::Opening {
            self.excused.bytes += replay.bytes;
            self.excused.frames += replay.frames;
        } else if self.bytes <= bounds.bytes && self.waiting.len() <= bounds.frames {
            self.excused = replay;
        }
    }

    /// Lets go what was held back.
    pub(super) fn release(&mut self, link: &dyn Link) -> Written {
        self.hold = Hold::Not;
        if self.blocked || self.waiting.is_empty() {
            Written::default()
        } else {
            self.drain(link)
        }
    }

    /// Sends `first` of all, then what was held back until now.
    pub(super) fn open(
        &mut self,
        first: Option<Bytes>,
        link: &dyn Link,
        bounds: Bounds,
    ) -> Written {
        if self.phase != Phase::Open {
            return Written::default();
        }
        if let Some(frame) = first {
            self.bytes += frame.len();
            self.waiting.push_front(frame);
        }
        let mut done = self.release(link);
        done.overflowed = self.exceeds(bounds);
        done
    }

    /// Writes `frames`, or keeps what the socket does not take. `slices` are the same bytes: prepared once for many readers.
    pub(super) fn push(
        &mut self,
        frames: &[&Bytes],
        slices: &[IoSlice<'_>],
        link: &dyn Link,
        bounds: Bounds,
    ) -> Written {
        let mut done = Written::default();
        if self.phase != Phase::Open {
            return done;
        }
        let mut rest = Rest { frames, taken: 0 };
        if self.hold == Hold::Not && self.waiting.is_empty() {
            while rest.taken < frames.len() {
                let end = slices.len().min(rest.taken + SLICES_MAX);
                let wanted: usize = slices[rest.taken..end]
                    .iter()
                    .map(|slice| slice.len())
                    .sum();
                match self.write(&slices[rest.taken..end], link, &mut done) {
                    Some(written) if written == wanted => rest.taken = end,
                    Some(written) => {
                        self.written_of_first = rest.skip(written);
                        break;
                    }
                    None => break,
                }
            }
            if self.phase == Phase::Closed {
                return done;
            }
            self.blocked = rest.taken < frames.len();
            done.wake = self.blocked;
        }
        self.keep(&frames[rest.taken..]);
        if self.hold == Hold::Turn && self.bytes > HELD_BYTES_MAX && !self.blocked {
            done.add(self.drain(link));
        }
        done.overflowed = self.hold != Hold::Opening && self.exceeds(bounds);
        done
    }

    /// Whether more waits than may. One frame always may, however large: it was accepted, and leaves before the next.
    fn exceeds(&self, bounds: Bounds) -> bool {
        let last = self.waiting.back().map_or(0, Bytes::len);
        self.bytes.saturating_sub(last) > bounds.bytes + self.excused.bytes
            || self.waiting.len() > bounds.frames + self.excused.frames
    }

    fn keep(&mut self, frames: &[&Bytes]) {
        for frame in frames {
            self.bytes += frame.len();
            self.waiting.push_back((*frame).clone());
        }
        if frames.is_empty() {
            return;
        }
        // What a partial write took of the first is not waiting any more.
        if self.waiting.len() == frames.len() {
            self.bytes -= self.written_of_first;
        }
    }

    /// Writes what waits, as much as the socket takes.
    pub(super) fn drain(&mut self, link: &dyn Link) -> Written {
        let mut done = Written::default();
        self.blocked = false;
        while !self.waiting.is_empty() && self.phase != Phase::Closed {
            let waiting = std::mem::take(&mut self.waiting);
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, frame) in slices.iter_mut().zip(&waiting) {
                let from = if count == 0 { self.written_of_first } else { 0 };
                *slice = IoSlice::new(&frame[from..]);
                count += 1;
            }
            let written = self.write(&slices[..count], link, &mut done);
            if self.phase == Phase::Closed {
                break;
            }
            self.waiting = waiting;
            match written {
                Some(written) => self.forget(written),
                None => break,
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
            self.excused = Bounds::default();
        } else if self.phase != Phase::Closed {
            self.blocked = true;
            done.wake = true;
        }
        done
    }

    fn forget(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.waiting.front() {
            let left = first.len() - self.written_of_first;
            if written < left {
                self.written_of_first += written;
                return;
            }
            written -= left;
            self.written_of_first = 0;
            self.waiting.pop_front();
        }
    }

    /// One write; none where the socket takes nothing, or is gone.
    fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        link: &dyn Link,
        done: &mut Written,
    ) -> Option<usize> {
        loop {
            done.calls += 1;
            match link.try_write(slices) {
                Ok(0) => self.fail(done),
                Ok(written) => {
                    done.bytes += written as u64;
                    return Some(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.fail(done),
            }
            return None;
        }
    }

    fn fail(&mut self, done: &mut Written) {
        self.phase = Phase::Closed;
        self.abandon();
        done.wake = true;
    }

    fn abandon(&mut self) {
        self.waiting = VecDeque::new();
        self.written_of_first = 0;
        self.bytes = 0;
        self.blocked = false;
    }

    /// Makes `frame` the last one. What waits is still written, unless the connection is `hopeless`ly behind: then only what has
    /// been begun.
    pub(super) fn close(&mut self, frame: Bytes, backlog: Backlog, link: &dyn Link) -> Written {
        if self.phase != Phase::Open {
            return Written::default();
        }
        if backlog == Backlog::Drop {
            let begun = if self.written_of_first > 0 {
                self.waiting.pop_front()
            } else {
                None
            };
            let written_of_first = self.written_of_first;
            self.waiting.clear();
            self.bytes = 0;
            if let Some(begun) = begun {
                self.bytes = begun.len() - written_of_first;
                self.waiting.push_back(begun);
            }
        }
        self.bytes += frame.len();
        self.waiting.push_back(frame);
        self.phase = Phase::Closing;
        self.hold = Hold::Not;
        let mut done = if self.blocked {
            Written::default()
        } else {
            self.drain(link)
        };
        done.wake = true;
        done
    }

    /// Nothing can be written any more.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Closed;
        self.abandon();
    }
}

/// What becomes of the frames that wait when a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    /// They are written first.
    Write,
    /// They are dropped: the reader is too slow for them.
    Drop,
}

impl Written {
    /// Counts another write too.
    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.wake |= other.wake;
        self.overflowed |= other.overflowed;
    }
}

/// The part of a batch that has not been written.
struct Rest<'a> {
    frames: &'a [&'a Bytes],
    taken: usize,
}

impl Rest<'_> {
    /// Skips the frames that `written` bytes cover, and says how much of the next they cover.
    fn skip(&mut self, mut written: usize) -> usize {
        while written >= self.frames[self.taken].len() {
            written -= self.frames[self.taken].len();
            self.taken += 1;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};

    use bytes::Bytes;
    use parking_lot::Mutex;
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Backlog, Bounds, Link, Outbox, Phase};

    /// A socket that takes so many bytes a call, then blocks when there are no more.
    struct Pipe {
        takes: Mutex<Vec<usize>>,
        got: Mutex<Vec<u8>>,
    }

    impl Link for Pipe {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let Some(mut left) = self.takes.lock().pop().filter(|takes| *takes > 0) else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let mut written = 0;
            for slice in slices {
                let part = left.min(slice.len());
                self.got.lock().extend_from_slice(&slice[..part]);
                written += part;
                left -= part;
            }
            Ok(written)
        }
    }

    fn pipe(takes: Vec<usize>) -> Pipe {
        Pipe {
            takes: Mutex::new(takes),
            got: Mutex::default(),
        }
    }

    const WIDE: Bounds = Bounds {
        bytes: 1 << 20,
        frames: 1 << 20,
    };

    fn push(outbox: &mut Outbox, frames: &[Bytes], pipe: &Pipe, bounds: Bounds) -> super::Written {
        let frames: Vec<&Bytes> = frames.iter().collect();
        let slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        outbox.push(&frames, &slices, pipe, bounds)
    }

    #[test]
    fn frames_leave_in_one_write() {
        let pipe = pipe(vec![usize::MAX]);
        let mut outbox = Outbox::new();
        outbox.release(&pipe);
        let written = push(
            &mut outbox,
            &[Bytes::from("ab"), Bytes::from("cd")],
            &pipe,
            WIDE,
        );
        assert_eq!((written.calls, written.bytes, written.wake), (1, 4, false));
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_held_leaves_behind_the_first() {
        let pipe = pipe(vec![usize::MAX]);
        let mut outbox = Outbox::new();
        push(&mut outbox, &[Bytes::from("b")], &pipe, WIDE);
        outbox.open(Some(Bytes::from("a")), &pipe, WIDE);
        assert_eq!(*pipe.got.lock(), b"ab");
    }

    #[test]
    fn bounds_are_told() {
        let pipe = pipe(vec![1]);
        let mut outbox = Outbox::new();
        outbox.release(&pipe);
        let narrow = Bounds {
            bytes: 4,
            frames: 9,
        };
        for (frame, overflows) in [("abc", false), ("def", false), ("ghi", true)] {
            let written = push(&mut outbox, &[Bytes::from(frame)], &pipe, narrow);
            assert_eq!(written.overflowed, overflows, "{frame}");
        }
        outbox.close(Bytes::from("!"), Backlog::Drop, &pipe);
        *pipe.takes.lock() = vec![99];
        outbox.drain(&pipe);
        assert_eq!(
            *pipe.got.lock(),
            b"abc!",
            "a frame that was begun is finished"
        );
        assert_eq!(outbox.phase(), Phase::Closing);
    }

    #[test]
    fn a_broken_socket_ends_it() {
        struct Broken;
        impl Link for Broken {
            fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut outbox = Outbox::new();
        assert!(outbox.open(Some(Bytes::from("a")), &Broken, WIDE).wake);
        assert_eq!((outbox.phase(), outbox.bytes()), (Phase::Closed, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        Drain,
        Hold,
        Release,
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, Vec<usize>)>> {
        let step = proptest::prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 1..6).prop_map(Step::Push),
            2 => proptest::strategy::Just(Step::Drain),
            1 => proptest::strategy::Just(Step::Hold),
            1 => proptest::strategy::Just(Step::Release),
        ];
        prop::collection::vec((step, prop::collection::vec(0usize..9, 0..4)), 1..40)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_turned(steps in steps()) {
            let pipe = pipe(Vec::new());
            let mut outbox = Outbox::new();
            let (mut sent, mut count) = (Vec::new(), 0u8);
            for (step, takes) in steps {
                *pipe.takes.lock() = takes;
                match step {
                    Step::Push(lengths) => {
                        let frames: Vec<Bytes> = lengths.iter().map(|len| {
                            count = count.wrapping_add(1);
                            Bytes::from(vec![count; usize::from(len % 7) + 1])
                        }).collect();
                        frames.iter().for_each(|frame| sent.extend_from_slice(frame));
                        push(&mut outbox, &frames, &pipe, WIDE);
                    }
                    Step::Drain => { outbox.drain(&pipe); }
                    Step::Hold => outbox.hold(),
                    Step::Release => { outbox.release(&pipe); }
                }
                let got = pipe.got.lock().len();
                prop_assert_eq!(sent.len() - got, outbox.bytes());
                prop_assert!(outbox.bytes() > 0 || outbox.is_empty());
            }
            *pipe.takes.lock() = vec![usize::MAX; 99];
            outbox.release(&pipe);
            outbox.drain(&pipe);
            prop_assert_eq!(&*pipe.got.lock(), &sent);
        }
    }
}
