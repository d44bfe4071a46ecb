//! What waits to be written to one socket: bounded in bytes and frames, written with as few system calls as there can be.

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::engine::link::{Backlog, Link, Pace, Phase, Written};
use crate::engine::waiting::{Bounds, Parcel, Sent, Waiting, rest_of, slices_of};

/// While frames are held back to leave together, so many bytes are let go.
const HELD_BYTES_MAX: usize = 32 * 1024;

/// Whether what is sent waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Until the first frame of all is there, whatever it takes.
    Opening,
    /// Until what came in together is answered, as long as that is not much.
    Turn,
    /// Until the endpoint's `coalesce` is over, as long as that is not much.
    Gather,
    /// It leaves at once.
    Not,
}

/// Frames that wait for one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Option<Box<Waiting>>,
    hold: Hold,
    blocked: bool,
    phase: Phase,
}

impl Outbox {
    /// An outbox that holds everything back until it is released.
    pub(super) const fn new() -> Self {
        Self {
            waiting: None,
            hold: Hold::Opening,
            blocked: false,
            phase: Phase::Open,
        }
    }

    /// How far the connection's end has come.
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes())
    }

    /// Frames that wait.
    pub(super) fn frames(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.frames())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames() == 0
    }

    /// Whether the socket took less than there is, so that the connection's own task has to go on.
    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_with(Waiting::take_spare)
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
        let opening = self.hold == Hold::Opening;
        let waiting = self.waiting();
        if opening {
            waiting.excused.bytes += replay.bytes;
            waiting.excused.frames += replay.frames;
        } else if waiting.bytes() <= bounds.bytes && waiting.frames() <= bounds.frames {
            waiting.excused = replay;
        }
    }

    /// Lets go what was held back.
    pub(super) fn release(&mut self, pace: Pace, link: &dyn Link) -> Written {
        if self.hold == Hold::Gather {
            return Written::default();
        }
        self.hold = Hold::Not;
        if self.blocked || self.is_empty() {
            return Written::default();
        }
        match pace {
            Pace::AtOnce => self.drain(link),
            Pace::Gathered => self.gather(),
        }
    }

    fn gather(&mut self) -> Written {
        self.hold = Hold::Gather;
        Written {
            gathers: true,
            ..Written::default()
        }
    }

    /// Lets go what has gathered.
    pub(super) fn let_go(&mut self, link: &dyn Link) -> Written {
        if self.hold != Hold::Gather {
            return Written::default();
        }
        self.hold = Hold::Not;
        self.drain(link)
    }

    /// Sends `answer`, which belongs to the transport, and `first` of all frames, then what was held back until now. Of a
    /// connection that is closing already the peer still gets the answer, or it could not read the close frame.
    pub(super) fn open(
        &mut self,
        answer: Bytes,
        first: Option<Bytes>,
        link: &dyn Link,
        bounds: Bounds,
    ) -> Written {
        let first = first.filter(|_| self.phase == Phase::Open);
        let has_first = first.is_some();
        let opening = match first {
            Some(first) if answer.is_empty() => first,
            // One piece: it leaves in one write anyway.
            Some(first) => [&answer[..], &first].concat().into(),
            None => answer,
        };
        if self.phase == Phase::Closed {
            return Written::default();
        }
        let is_frame = has_first || opening.is_empty();
        if !opening.is_empty() {
            self.waiting().push_first(Parcel::new(opening));
        }
        let mut done = self.release(Pace::AtOnce, link);
        if !is_frame {
            done.frames = done.frames.saturating_sub(1);
        }
        self.judge(bounds, &mut done);
        done
    }

    /// Thins what waits where it is too much, and says whether it still is.
    fn judge(&mut self, bounds: Bounds, done: &mut Written) {
        if self.phase == Phase::Open && self.exceeds(bounds) {
            done.dropped += self.waiting().thin(bounds) as u64;
            done.overflowed = self.exceeds(bounds);
        }
    }

    /// Writes what is `sent`, or keeps what the socket does not take.
    pub(super) fn push(
        &mut self,
        sent: Sent<'_>,
        pace: Pace,
        link: &dyn Link,
        bounds: Bounds,
    ) -> Written {
        let mut done = Written::default();
        if self.phase != Phase::Open || sent.parcels.is_empty() {
            return done;
        }
        let (mut rest, mut begun) = (sent.parcels, 0);
        if self.hold == Hold::Not && self.is_empty() {
            match pace {
                Pace::AtOnce => {
                    (rest, begun) = self.write_through(sent, link, &mut done);
                    if self.phase == Phase::Closed {
                        return done;
                    }
                    if rest.is_empty() {
                        if let Some(waiting) = self.waiting.take() {
                            waiting.give_back();
                        }
                        return done;
                    }
                    self.blocked = true;
                    done.wake = true;
                }
                Pace::Gathered => done.add(self.gather()),
            }
        }
        done.dropped += self.waiting().push_rest(rest, begun) as u64;
        let is_held = matches!(self.hold, Hold::Turn | Hold::Gather);
        // Who is held back by us is not slow: what is too much for the bounds leaves before anyone is judged by them.
        let is_much = self.bytes() > HELD_BYTES_MAX || self.exceeds(bounds);
        if is_held && is_much && !self.blocked {
            done.add(self.drain(link));
        }
        if self.hold != Hold::Opening {
            self.judge(bounds, &mut done);
        }
        done
    }

    /// Writes what is `sent` as far as the socket takes it; what is left, and how much of its first is written.
    fn write_through<'p>(
        &mut self,
        sent: Sent<'p>,
        link: &dyn Link,
        done: &mut Written,
    ) -> (&'p [Parcel], usize) {
        let (mut rest, mut begun) = (sent.parcels, 0);
        if let Some(joined) = sent.joined {
            let written = self.write(&[IoSlice::new(joined)], link, done);
            (rest, begun) = rest_of(rest, written.unwrap_or(0));
            done.frames += (sent.parcels.len() - rest.len()) as u64;
            return (rest, begun);
        }
        while !rest.is_empty() && begun == 0 {
            let slices = slices_of(rest);
            let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
            let Some(written) = self.write(&slices, link, done) else {
                break;
            };
            let before = rest.len();
            (rest, begun) = if written == wanted {
                (&rest[slices.len()..], 0)
            } else {
                rest_of(rest, written)
            };
            done.frames += (before - rest.len()) as u64;
            if written < wanted {
                break;
            }
        }
        (rest, begun)
    }

    fn exceeds(&self, bounds: Bounds) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|waiting| waiting.exceeds(bounds))
    }

    /// Writes what waits, as much as the socket takes.
    pub(super) fn drain(&mut self, link: &dyn Link) -> Written {
        let mut done = Written::default();
        self.blocked = false;
        let Some(mut waiting) = self.waiting.take() else {
            return done;
        };
        while !waiting.is_empty() && self.phase != Phase::Closed {
            let written = self.write(&waiting.slices(), link, &mut done);
            match written {
                Some(written) => {
                    let frames = waiting.frames();
                    waiting.forget(written);
                    done.frames += (frames - waiting.frames()) as u64;
                }
                None => break,
            }
        }
        if self.phase == Phase::Closed || waiting.is_empty() {
            waiting.give_back();
            return done;
        }
        self.waiting = Some(waiting);
        self.blocked = true;
        done.wake = true;
        done
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
        self.end();
        done.wake = true;
    }

    /// Makes `frame` the last one. What waits is still written, unless the connection is hopelessly behind: then only what has
    /// been begun.
    pub(super) fn close(&mut self, frame: Bytes, backlog: Backlog, link: &dyn Link) -> Written {
        if self.phase != Phase::Open {
            return Written::default();
        }
        let waiting = self.waiting();
        if backlog == Backlog::Drop {
            waiting.drop_unbegun();
        }
        waiting.push(Parcel::new(frame));
        self.phase = Phase::Closing;
        // What opens the connection has to come first.
        let is_opening = self.hold == Hold::Opening;
        if !is_opening {
            self.hold = Hold::Not;
        }
        let mut done = if self.blocked || is_opening {
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
        self.waiting = None;
        self.blocked = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};

    use bytes::Bytes;
    use parking_lot::Mutex;
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    use super::Outbox;
    use crate::engine::link::{Backlog, Link, Pace, Phase, Written};
    use crate::engine::waiting::{Bounds, Keep, Parcel, Sent};

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

    fn push(outbox: &mut Outbox, frames: &[Bytes], pipe: &Pipe, bounds: Bounds) -> Written {
        let parcels: Vec<Parcel> = frames.iter().cloned().map(Parcel::new).collect();
        outbox.push(Sent::pieces(&parcels), Pace::AtOnce, pipe, bounds)
    }

    fn opened(pipe: &Pipe) -> Outbox {
        let mut outbox = Outbox::new();
        outbox.release(Pace::AtOnce, pipe);
        outbox
    }

    fn text(pipe: &Pipe) -> String {
        String::from_utf8_lossy(&pipe.got.lock()).into_owned()
    }

    #[test]
    fn frames_leave_in_one_write() {
        let pipe = pipe(vec![usize::MAX]);
        let mut outbox = opened(&pipe);
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
        outbox.open(Bytes::new(), Some(Bytes::from("a")), &pipe, WIDE);
        assert_eq!(*pipe.got.lock(), b"ab");
    }

    #[test]
    fn what_is_closed_before_it_opens_is_answered_first() {
        let pipe = pipe(vec![usize::MAX, usize::MAX]);
        let mut outbox = Outbox::new();
        push(&mut outbox, &[Bytes::from("held ")], &pipe, WIDE);
        outbox.close(Bytes::from("close"), Backlog::Write, &pipe);
        assert_eq!(text(&pipe), "");
        let (answer, welcome) = (Bytes::from("101 "), Bytes::from("welcome"));
        outbox.open(answer, Some(welcome), &pipe, WIDE);
        assert_eq!(text(&pipe), "101 held close");
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_is_joined_is_kept_in_its_pieces() {
        for takes in 0..=9 {
            let pipe = pipe(vec![0, takes]);
            let mut outbox = opened(&pipe);
            let parcels = ["abc", "d", "efghi"].map(|text| Parcel::new(Bytes::from(text)));
            let joined = Bytes::from("abcdefghi");
            let sent = Sent {
                parcels: &parcels,
                joined: Some(&joined),
            };
            let written = outbox.push(sent, Pace::AtOnce, &pipe, WIDE);
            assert_eq!(outbox.bytes(), 9 - takes);
            assert_eq!(written.frames as usize, 3 - outbox.frames());
            *pipe.takes.lock() = vec![99];
            outbox.drain(&pipe);
            assert_eq!(text(&pipe), "abcdefghi", "{takes}");
        }
    }

    #[test]
    fn bounds_are_told() {
        let pipe = pipe(vec![1]);
        let mut outbox = opened(&pipe);
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
    fn a_slow_reader_gets_the_newest_of_a_subject_in_its_place_among_the_others() {
        let pipe = pipe(vec![1]);
        let mut outbox = opened(&pipe);
        let say = |text: &'static str, keep| Parcel {
            bytes: Bytes::from(text),
            keep,
        };
        let mut dropped = 0;
        for parcel in [
            say("a1 ", Keep::Newest(1)),
            say("a2 ", Keep::Newest(1)),
            say("b1 ", Keep::Newest(2)),
            say("x ", Keep::Always),
            say("a3 ", Keep::Newest(1)),
            say("b2 ", Keep::Newest(2)),
        ] {
            let written = outbox.push(Sent::pieces(&[parcel]), Pace::AtOnce, &pipe, WIDE);
            dropped += written.dropped;
        }
        *pipe.takes.lock() = vec![99];
        outbox.drain(&pipe);
        assert_eq!(text(&pipe), "a1 x a3 b2 ", "what was begun is finished");
        assert_eq!(dropped, 2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_may_go_makes_room_oldest_first() {
        let pipe = pipe(vec![]);
        let mut outbox = opened(&pipe);
        let bounds = Bounds {
            bytes: 1 << 20,
            frames: 8,
        };
        let mut dropped = 0;
        for number in 0..12u8 {
            let keep = if number % 2 == 0 {
                Keep::IfRoom
            } else {
                Keep::Always
            };
            let bytes = Bytes::from(vec![b'a' + number]);
            let parcel = Parcel { bytes, keep };
            let written = outbox.push(Sent::pieces(&[parcel]), Pace::AtOnce, &pipe, bounds);
            assert!(!written.overflowed, "{number}");
            dropped += written.dropped;
        }
        *pipe.takes.lock() = vec![99];
        outbox.drain(&pipe);
        assert_eq!((&*text(&pipe), dropped), ("bdfhjl", 6));
    }

    #[test]
    fn where_nothing_may_go_the_bounds_hold() {
        let pipe = pipe(vec![]);
        let mut outbox = opened(&pipe);
        let bounds = Bounds {
            bytes: 1 << 20,
            frames: 2,
        };
        let push_one = |outbox: &mut Outbox, keep| {
            let bytes = Bytes::from("x");
            outbox.push(
                Sent::pieces(&[Parcel { bytes, keep }]),
                Pace::AtOnce,
                &pipe,
                bounds,
            )
        };
        push_one(&mut outbox, Keep::Always);
        push_one(&mut outbox, Keep::Always);
        let written = push_one(&mut outbox, Keep::IfRoom);
        assert_eq!((written.overflowed, written.dropped), (false, 1));
        assert!(push_one(&mut outbox, Keep::Always).overflowed);
    }

    #[test]
    fn what_gathers_leaves_together() {
        let pipe = pipe(vec![99]);
        let mut outbox = opened(&pipe);
        let say = |text: &'static str| [Parcel::new(Bytes::from(text))];
        let first = outbox.push(Sent::pieces(&say("a")), Pace::Gathered, &pipe, WIDE);
        assert_eq!((first.gathers, first.calls), (true, 0));
        outbox.hold();
        let second = outbox.push(Sent::pieces(&say("b")), Pace::Gathered, &pipe, WIDE);
        assert_eq!((second.gathers, second.calls), (false, 0));
        assert_eq!(outbox.release(Pace::Gathered, &pipe).calls, 0);
        assert_eq!(outbox.let_go(&pipe).calls, 1);
        assert_eq!(text(&pipe), "ab");
        assert_eq!(outbox.let_go(&pipe).calls, 0);
    }

    #[test]
    fn who_is_held_back_is_not_slow() {
        let narrow = Bounds {
            bytes: 1 << 20,
            frames: 2,
        };
        for pace in [Pace::AtOnce, Pace::Gathered] {
            let pipe = pipe(vec![99; 9]);
            let mut outbox = opened(&pipe);
            outbox.hold();
            for text in ["a", "b", "c", "d"] {
                let parcel = Parcel::new(Bytes::from(text));
                let written = outbox.push(Sent::pieces(&[parcel]), pace, &pipe, narrow);
                assert!(!written.overflowed, "{pace:?} {text}");
            }
            outbox.release(pace, &pipe);
            outbox.let_go(&pipe);
            assert_eq!(text(&pipe), "abcd", "{pace:?}");
        }
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
        assert!(
            outbox
                .open(Bytes::new(), Some(Bytes::from("a")), &Broken, WIDE)
                .wake
        );
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
                    Step::Release => { outbox.release(Pace::AtOnce, &pipe); }
                }
                let got = pipe.got.lock().len();
                prop_assert_eq!(sent.len() - got, outbox.bytes());
                prop_assert!(outbox.bytes() > 0 || outbox.is_empty());
            }
            *pipe.takes.lock() = vec![usize::MAX; 99];
            outbox.release(Pace::AtOnce, &pipe);
            outbox.drain(&pipe);
            prop_assert_eq!(&*pipe.got.lock(), &sent);
        }
    }
}
