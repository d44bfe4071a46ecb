//! When an issuer is asked for its keys: before they run out, soon after it did not answer, and at once for a key that is not known.

use std::time::Duration;

use crate::vocab::Monotonic;

/// Bounds for what an issuer says its set is good for: below, a mistake would become a flood; above, a removed key would live long.
pub(super) const GOOD_FOR: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 3600);
/// For how long a set is good of which the issuer says nothing.
pub(super) const GOOD_FOR_UNSAID: Duration = Duration::from_secs(5 * 60);
/// Unknown keys are made up as easily as written, so that they do not have the issuer asked more often.
pub(super) const DEMAND_EVERY: Duration = Duration::from_secs(30);

const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// When the next fetch is due. Time and randomness come in as arguments.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// At once in the beginning.
    due: Monotonic,
    /// How many fetches in a row failed.
    failures: u32,
    demanded: Option<Monotonic>,
}

impl Schedule {
    /// How long to wait for the next fetch; zero where it is due.
    pub(super) fn wait(&self, now: Monotonic) -> Duration {
        self.due.since(now)
    }

    /// A fetch brought a set that is good for `lifetime`: the next is due when between a fifth and a tenth of that is left.
    pub(super) fn succeeded(&mut self, now: Monotonic, lifetime: Duration, random: u64) {
        self.failures = 0;
        self.due = now.after(portion(lifetime, 0.8, 0.9, random));
    }

    /// A fetch failed: the next is due after a second, or double what the last wait was, up to 5 minutes, half of it at random so
    /// that servers that failed together do not come back together.
    pub(super) fn failed(&mut self, now: Monotonic, random: u64) {
        let doubled = RETRY_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.due = now.after(portion(doubled.min(RETRY_MAX), 0.5, 1.0, random));
    }

    /// Makes a fetch due for a key that is not known. `false` where that was done within the last 30 seconds.
    pub(super) fn demand(&mut self, now: Monotonic) -> bool {
        if self
            .demanded
            .is_some_and(|last| now.since(last) < DEMAND_EVERY)
        {
            return false;
        }
        self.demanded = Some(now);
        self.due = now;
        true
    }

    /// How many fetches in a row failed.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}

/// Between `least` and `most` of `whole`.
fn portion(whole: Duration, least: f64, most: f64, random: u64) -> Duration {
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    whole.mul_f64(least + (most - least) * share)
}

/// For how long an answer with this `Cache-Control` and `Age` is good (RFC 9111 §4.2.1), within [`GOOD_FOR`].
pub(super) fn lifetime(cache_control: Option<&str>, age: Option<&str>) -> Duration {
    let directives = cache_control.unwrap_or_default().split(',').map(str::trim);
    let mut said = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return *GOOD_FOR.start(),
            "max-age" if said.is_none() => {
                let seconds = value.trim().trim_matches('"').parse::<u64>();
                said = seconds.ok().map(Duration::from_secs);
            }
            _ => {}
        }
    }
    let age = age.and_then(|age| age.trim().parse::<u64>().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    said.map_or(GOOD_FOR_UNSAID, |said| said.saturating_sub(age))
        .clamp(*GOOD_FOR.start(), *GOOD_FOR.end())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Schedule, lifetime};
    use crate::vocab::Monotonic;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lifetime_is_what_the_issuer_says_within_bounds() {
        for (cache_control, age, seconds) in [
            (None, None, 300),
            (Some(""), None, 300),
            (Some("public"), None, 300),
            (Some("max-age=600"), None, 600),
            (Some("public, Max-Age = 600 , must-revalidate"), None, 600),
            (Some("max-age=\"600\""), None, 600),
            (Some("max-age=600, max-age=5"), None, 600),
            (Some("max-age=600"), Some("100"), 500),
            (Some("max-age=600"), Some("10000"), 60),
            (Some("max-age=600"), Some("x"), 600),
            (None, Some("100"), 300),
            (Some("max-age=0"), None, 60),
            (Some("max-age=59"), None, 60),
            (Some("max-age=86401"), None, 86_400),
            (Some("max-age=18446744073709551615"), None, 86_400),
            (Some("max-age=18446744073709551616"), None, 300),
            (Some("max-age=-1"), None, 300),
            (Some("max-age=x"), None, 300),
            (Some("no-store"), None, 60),
            (Some("max-age=600, no-cache"), None, 60),
            (Some("s-maxage=600"), None, 300),
        ] {
            let found = lifetime(cache_control, age);
            assert_eq!(found.as_secs(), seconds, "{cache_control:?} {age:?}");
        }
    }

    #[test]
    fn a_set_is_fetched_before_it_runs_out() {
        for (random, seconds) in [(0, 480), (1 << 63, 510), (u64::MAX, 540)] {
            let mut schedule = Schedule::default();
            assert!(schedule.wait(at(0)).is_zero());
            schedule.succeeded(at(10), Duration::from_secs(600), random);
            assert_eq!(schedule.wait(at(10)).as_secs(), seconds);
            assert!(schedule.wait(at(550)).is_zero());
        }
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let mut schedule = Schedule::default();
        let waits: Vec<u64> = (0..40)
            .map(|_| {
                schedule.failed(at(7), 0);
                schedule.wait(at(7)).as_millis() as u64
            })
            .collect();
        assert_eq!(waits[..5], [500, 1000, 2000, 4000, 8000]);
        assert!(waits[9..].iter().all(|wait| *wait == 150_000), "{waits:?}");
        assert_eq!(schedule.failures(), 40);
        schedule.failed(at(7), u64::MAX);
        assert!(schedule.wait(at(7)) > Duration::from_secs(299));
        schedule.succeeded(at(8), Duration::from_secs(60), 0);
        schedule.failed(at(9), 0);
        assert_eq!(schedule.wait(at(9)), Duration::from_millis(500));
    }

    #[test]
    fn an_unknown_key_has_the_issuer_asked_every_thirty_seconds() {
        let mut schedule = Schedule::default();
        schedule.succeeded(at(0), Duration::from_secs(3600), 0);
        for (second, allowed) in [(1, true), (2, false), (30, false), (31, true), (60, false)] {
            assert_eq!(schedule.demand(at(second)), allowed, "{second}");
            if allowed {
                assert!(schedule.wait(at(second)).is_zero());
                schedule.succeeded(at(second), Duration::from_secs(3600), 0);
            }
        }
    }
}
