//! When to order: at two thirds of a certificate's time, and after failures ever later.

use std::time::Duration;

use crate::vocab::Timestamp;

/// After the first failure to reach the authority, and at most.
const OUTAGE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(15 * 60));
/// After the first refusal, and at most: Let's Encrypt allows five failed proofs an hour.
const REFUSAL: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(6 * 3600));

/// What has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody was reached.
    Outage,
    /// Somebody said no.
    Refusal,
}

/// Counts failures, and spreads what many servers do.
#[derive(Debug)]
pub(super) struct Pace {
    random: fn() -> u64,
    failures: u32,
}

impl Pace {
    pub(super) fn new(random: fn() -> u64) -> Self {
        Self {
            random,
            failures: 0,
        }
    }

    /// When a certificate of that time is renewed: at two thirds of it, up to a fiftieth of it later, so that those who got theirs in the
    /// same hour do not all come back in one.
    pub(super) fn renewal(&self, begins: Timestamp, ends: Timestamp) -> Timestamp {
        let time = ends.since(begins);
        let spread = (time / 50).mul_f64(self.share());
        begins.after(time * 2 / 3 + spread)
    }

    /// All is well.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after a failure: twice as long as after the one before, give or take a quarter.
    pub(super) fn failed(&mut self, failure: Failure) -> Duration {
        let (first, most) = match failure {
            Failure::Outage => OUTAGE,
            Failure::Refusal => REFUSAL,
        };
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(most).mul_f64(0.75 + self.share() / 2.0)
    }

    /// From 0 to 1.
    fn share(&self) -> f64 {
        f64::from((self.random)() as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failure, Pace};
    use crate::vocab::Timestamp;

    const DAY: u64 = 24 * 3600 * 1000;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds() {
        let (begins, ends) = (Timestamp::from_millis(0), Timestamp::from_millis(90 * DAY));
        for (random, expected) in [
            ((|| 0) as fn() -> u64, 60 * DAY),
            (|| u64::MAX, 60 * DAY + 90 * DAY / 50),
        ] {
            let due = Pace::new(random).renewal(begins, ends);
            assert_eq!(due, Timestamp::from_millis(expected));
        }
        // Of one whose times are nonsense there is nothing to wait for.
        assert_eq!(Pace::new(|| 0).renewal(ends, begins), ends);
    }

    #[test]
    fn failures_are_repeated_ever_later() {
        let seconds = |failure, random, count| {
            let mut pace = Pace::new(random);
            let waits = (0..count).map(|_| pace.failed(failure).as_secs());
            waits.collect::<Vec<_>>()
        };
        assert_eq!(seconds(Failure::Outage, || 0, 4), [7, 15, 30, 60]);
        assert_eq!(seconds(Failure::Outage, || u64::MAX, 2), [12, 25]);
        assert_eq!(seconds(Failure::Refusal, || 0, 3), [225, 450, 900]);
        for (failure, most) in [(Failure::Outage, 15 * 60), (Failure::Refusal, 6 * 3600)] {
            let last = seconds(failure, || u64::MAX, 100).pop();
            assert_eq!(last, Some(most * 5 / 4));
        }
        let mut pace = Pace::new(|| 0);
        pace.failed(Failure::Outage);
        pace.succeeded();
        assert_eq!(pace.failed(Failure::Outage), Duration::from_millis(7500));
    }
}
