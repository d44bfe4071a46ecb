//! A line of the log that could be written for every frame, and is at most once a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::vocab::Monotonic;

const EVERY: Duration = Duration::from_secs(1);

/// When the line may be written again, and how often it was not.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    due_at_nanos: AtomicU64,
    left_out: AtomicU64,
}

impl Seldom {
    /// How many were left out before this one, where it is to be written.
    pub(super) fn due(&self, now: Monotonic) -> Option<u64> {
        let due_at = self.due_at_nanos.load(Ordering::Relaxed);
        let next = now.after(EVERY).as_nanos();
        let is_due = now.as_nanos() >= due_at
            // Of several at the same moment one writes it.
            && self
                .due_at_nanos
                .compare_exchange(due_at, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Seldom;
    use crate::vocab::Monotonic;

    #[test]
    fn a_line_is_written_once_a_second_and_the_others_are_counted() {
        let seldom = Seldom::default();
        let due = |millis: u64| seldom.due(Monotonic::from_nanos(millis * 1_000_000));
        assert_eq!(due(0), Some(0));
        assert_eq!(due(0), None);
        assert_eq!(due(999), None);
        assert_eq!(due(1000), Some(2));
        assert_eq!(due(5000), Some(0));
        assert_eq!(due(5001), None);
    }
}
