//! A circuit breaker: who does not answer is left alone for a while, since each question would only make somebody wait.

use std::fmt;
use std::time::Duration;

use crate::vocab::Monotonic;

const FAILURES_MAX: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Whether one URL is asked.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    failures: u32,
    /// The wait before the next probe; the one after it is twice as long.
    wait: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    /// Nobody asks before then.
    Open { until: Monotonic },
    /// One question is under way; its answer decides.
    HalfOpen,
}

/// What the metric shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        })
    }
}

/// Questions are not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// When it is worth trying again.
    pub(super) retry_after: Duration,
}

impl Breaker {
    /// Whether a question may be asked; who is told yes has to report what became of it.
    pub(super) fn permit(&mut self, now: Monotonic) -> Result<(), Open> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen;
                Ok(())
            }
            State::Open { until } => Err(Open {
                retry_after: until.since(now),
            }),
            State::HalfOpen => Err(Open {
                retry_after: FIRST_WAIT,
            }),
        }
    }

    /// Somebody answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Nobody answered. `random` spreads the probes of many servers.
    pub(super) fn failed(&mut self, now: Monotonic, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.wait = match self.state {
            // The call began before the breaker opened: known already.
            State::Open { .. } => return,
            State::Closed if self.failures < FAILURES_MAX => return,
            State::Closed => FIRST_WAIT,
            State::HalfOpen => (self.wait * 2).min(WAIT_MAX),
        };
        self.state = State::Open {
            until: now.after(jittered(self.wait, random)),
        };
    }

    /// The question that was permitted came to nothing that says whether others would be answered.
    pub(super) fn abandoned(&mut self, now: Monotonic) {
        if self.state == State::HalfOpen {
            self.state = State::Open { until: now };
        }
    }

    pub(super) const fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::HalfOpen => Position::HalfOpen,
            State::Open { .. } => Position::Open,
        }
    }
}

/// Three to five quarters of `wait`, at most 30 s.
fn jittered(wait: Duration, random: u64) -> Duration {
    let thousandths = 750 + (random % 501) as u32;
    (wait * thousandths / 1000).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Position};
    use crate::vocab::Monotonic;
    use std::time::Duration;

    /// What makes the jitter vanish.
    const EVEN: u64 = 250;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_nanos(millis * 1_000_000)
    }

    fn asked(breaker: &mut Breaker, now: u64) -> Result<(), u64> {
        let permit = breaker.permit(at(now));
        permit.map_err(|open| u64::try_from(open.retry_after.as_millis()).expect("short"))
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_probes_come_ever_later() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(at(0), EVEN);
        }
        breaker.succeeded();
        for _ in 0..4 {
            assert_eq!(asked(&mut breaker, 0), Ok(()));
            breaker.failed(at(0), EVEN);
        }
        assert_eq!(breaker.position().to_string(), "closed");
        breaker.failed(at(0), EVEN);
        assert_eq!(breaker.position().to_string(), "open");
        let mut now = 0;
        for wait in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert_eq!(asked(&mut breaker, now), Err(wait));
            assert_eq!(asked(&mut breaker, now + wait - 1), Err(1));
            now += wait;
            assert_eq!(asked(&mut breaker, now), Ok(()), "the probe");
            assert_eq!(breaker.position().to_string(), "half-open");
            assert_eq!(asked(&mut breaker, now), Err(1000), "one probe alone");
            breaker.failed(at(now), EVEN);
            // Who asked before it opened says nothing new.
            breaker.failed(at(now + 1), EVEN);
        }
        now += 30_000;
        assert_eq!(asked(&mut breaker, now), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.position(), Position::Closed);
        assert_eq!(asked(&mut breaker, now), Ok(()));
    }

    #[test]
    fn a_probe_without_a_result_leaves_the_next_one_its_turn() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(at(0), EVEN);
        }
        assert_eq!(asked(&mut breaker, 1000), Ok(()));
        breaker.abandoned(at(1000));
        assert_eq!(asked(&mut breaker, 1000), Ok(()));
    }

    #[test]
    fn probes_are_spread() {
        let wait = |random| super::jittered(Duration::from_secs(1), random).as_millis();
        assert_eq!((wait(0), wait(250), wait(500)), (750, 1000, 1250));
        let longest = super::jittered(super::WAIT_MAX, 500);
        assert_eq!(longest, super::WAIT_MAX);
    }
}
