//! Which room's message is due, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender as Stop, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;

use crate::loadgen::order::{Pace, Span};

/// The shortest sleep of the clock: below it, waking would cost more than the messages.
const TICK_MIN: Duration = Duration::from_micros(100);

/// What a window of messages belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All rooms together, which take turns.
    Run,
    /// Each room.
    Room,
}

/// A message that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) room: u32,
    /// When it was meant to be sent, in the run's microseconds.
    pub(super) moment: u64,
}

/// Decides for one phase of a run; it knows no clock, the time comes as an argument.
pub(super) struct Sender {
    pace: Pace,
    scope: Scope,
    span: Span,
    rooms: u32,
    begun: u64,
    sent: u64,
    turn: u32,
    /// In a closed loop: rooms that may send, one entry for each message.
    free: VecDeque<u32>,
}

impl Sender {
    pub(super) fn new(pace: Pace, scope: Scope, span: Span, rooms: usize, now: u64) -> Self {
        let mut sender = Self {
            pace,
            scope,
            span,
            rooms: rooms as u32,
            begun: now,
            sent: 0,
            turn: 0,
            free: VecDeque::new(),
        };
        if let Pace::Window(window) = pace {
            let windows = match scope {
                Scope::Run => 1,
                Scope::Room => sender.rooms,
            };
            for _ in 0..u64::from(window.get()) * u64::from(windows) {
                let room = sender.next_turn();
                sender.free.push_back(room);
            }
        }
        sender
    }

    /// The next message, if it is due.
    pub(super) fn next(&mut self, now: u64) -> Option<Due> {
        if self.is_over(now) {
            return None;
        }
        let due = match self.pace {
            Pace::Window(_) => Due {
                room: self.free.pop_front()?,
                moment: now,
            },
            Pace::Rate(rate) => {
                let moment = self.moment(rate);
                if moment > now {
                    return None;
                }
                Due {
                    room: self.next_turn(),
                    moment,
                }
            }
        };
        self.sent += 1;
        Some(due)
    }

    /// A message of the room has been delivered.
    pub(super) fn complete(&mut self, room: u32) {
        if matches!(self.pace, Pace::Window(_)) {
            let next = match self.scope {
                Scope::Run => self.next_turn(),
                Scope::Room => room,
            };
            self.free.push_back(next);
        }
    }

    /// A message that was due has nobody to go to.
    pub(super) fn skip(&mut self, due: Due) {
        if matches!(self.pace, Pace::Window(_)) {
            self.sent -= 1;
            if self.scope == Scope::Run {
                self.complete(due.room);
            }
        }
    }

    /// Whether nothing more will be sent.
    pub(super) fn is_over(&self, now: u64) -> bool {
        match (self.span, self.pace) {
            (Span::Messages(messages), _) => self.sent >= messages,
            (Span::Duration(duration), Pace::Window(_)) => now >= self.begun + micros(duration),
            // What was due before the end is sent late rather than never, as long as it is not too late.
            (Span::Duration(duration), Pace::Rate(rate)) => {
                let is_too_late = now >= self.begun + 2 * micros(duration);
                is_too_late || self.moment(rate) >= self.begun + micros(duration)
            }
        }
    }

    /// In an open loop: how many messages were due by the end and have not been sent.
    pub(super) fn unsent(&self) -> u64 {
        match (self.span, self.pace) {
            (Span::Duration(duration), Pace::Rate(rate)) => {
                let due = (duration.as_secs_f64() * rate) as u64;
                due.saturating_sub(self.sent)
            }
            _ => 0,
        }
    }

    /// When the next message is due in an open loop.
    fn moment(&self, rate: f64) -> u64 {
        self.begun + (self.sent as f64 * 1e6 / rate) as u64
    }

    /// The room whose turn it is.
    pub(super) fn turn(&self) -> usize {
        self.turn as usize
    }

    fn next_turn(&mut self) -> u32 {
        let room = self.turn;
        self.turn = (self.turn + 1) % self.rooms;
        room
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

/// Wakes the run when a message is due: epoll's own waits are whole milliseconds, which would count as the server's latency.
pub(super) struct Metronome {
    stop: Option<Stop<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    /// Wakes so many times a second from the moment `begun` on.
    pub(super) fn start(rate: f64, begun: Instant, waker: Arc<Waker>) -> Self {
        let (stop, stopped) = channel();
        let period = Duration::from_secs_f64(1.0 / rate).max(TICK_MIN);
        let thread = std::thread::spawn(move || {
            let mut ticks = 0_u32;
            loop {
                ticks = ticks.wrapping_add(1);
                let due = begun + period.saturating_mul(ticks);
                let wait = due.saturating_duration_since(Instant::now());
                match stopped.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) if waker.wake().is_ok() => {}
                    _ => return,
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Due, Scope, Sender};
    use crate::loadgen::order::{Pace, Span};

    fn rooms(sender: &mut Sender, now: u64) -> Vec<u32> {
        std::iter::from_fn(|| sender.next(now).map(|due| due.room)).collect()
    }

    fn window(count: u32) -> Pace {
        Pace::Window(NonZeroU32::new(count).expect("not zero"))
    }

    #[test]
    fn a_window_is_filled_up_as_messages_complete() {
        let span = Span::Messages(6);
        let mut run = Sender::new(window(2), Scope::Run, span, 3, 0);
        assert_eq!(rooms(&mut run, 0), [0, 1]);
        run.complete(1);
        assert_eq!(rooms(&mut run, 0), [2], "they take turns");
        let mut each = Sender::new(window(2), Scope::Room, span, 2, 0);
        assert_eq!(rooms(&mut each, 0), [0, 1, 0, 1]);
        each.complete(1);
        each.complete(1);
        assert_eq!(rooms(&mut each, 0), [1, 1]);
        each.complete(1);
        assert!(each.is_over(0));
        assert!(rooms(&mut each, 0).is_empty(), "six are sent");
    }

    #[test]
    fn what_is_late_keeps_the_time_when_it_was_due() {
        let span = Span::Duration(Duration::from_millis(5));
        let mut sender = Sender::new(Pace::Rate(1000.0), Scope::Run, span, 2, 500);
        let due = |room, moment| Some(Due { room, moment });
        assert_eq!(sender.next(500), due(0, 500));
        assert_eq!(sender.next(1_499), None);
        assert_eq!(sender.next(6_000), due(1, 1_500));
        assert_eq!(sender.next(9_000), due(0, 2_500));
        assert_eq!(sender.next(9_000), due(1, 3_500));
        assert_eq!((sender.unsent(), sender.is_over(9_000)), (1, false));
        assert_eq!(sender.next(10_500), None, "that is too late");
        assert!(sender.is_over(10_500));
        assert_eq!(sender.next(9_000), due(0, 4_500));
        assert_eq!((sender.unsent(), sender.is_over(9_000)), (0, true));
    }

    #[test]
    fn a_room_without_anyone_is_skipped() {
        let span = Span::Messages(2);
        let mut run = Sender::new(window(1), Scope::Run, span, 2, 0);
        let due = run.next(0).expect("a window is open");
        run.skip(due);
        assert_eq!(rooms(&mut run, 0), [1]);
        run.complete(1);
        assert_eq!(rooms(&mut run, 0), [0], "what was skipped does not count");
        let mut each = Sender::new(window(1), Scope::Room, span, 2, 0);
        let due = each.next(0).expect("a window is open");
        each.skip(due);
        assert_eq!(rooms(&mut each, 0), [1], "the room is out");
    }

    #[test]
    fn a_closed_loop_ends_with_its_time() {
        let span = Span::Duration(Duration::from_millis(3));
        let mut sender = Sender::new(window(1), Scope::Run, span, 1, 500);
        assert!(!sender.is_over(3_499));
        assert!(sender.is_over(3_500));
        assert_eq!(sender.next(3_500), None);
    }
}
