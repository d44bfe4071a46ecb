//! How long deliveries took.

use hdrhistogram::Histogram;

/// A minute: what takes longer counts as this long.
const MICROS_MAX: u64 = 60_000_000;

/// Latencies in microseconds, to three digits.
#[derive(Clone)]
pub(super) struct Latency(Histogram<u64>);

/// What is said of many latencies, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Half of them took no longer.
    pub(super) p50: u64,
    /// 99 of 100 took no longer.
    pub(super) p99: u64,
    /// 999 of 1000 took no longer.
    pub(super) p999: u64,
    /// The longest.
    pub(super) max: u64,
}

impl Latency {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, 3);
        Self(histogram.expect("the bounds are in order"))
    }

    pub(super) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    /// What they say together; nothing where there are none.
    pub(super) fn summary(&self) -> Option<Summary> {
        let quantile = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Summary {
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: self.0.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, Summary};

    #[test]
    fn rare_long_ones_are_not_lost() {
        let mut latency = Latency::new();
        assert_eq!(latency.summary(), None);
        for _ in 0..9_900 {
            latency.record(100);
        }
        for _ in 0..99 {
            latency.record(900);
        }
        latency.record(u64::MAX);
        let Summary {
            p50,
            p99,
            p999,
            max,
        } = latency.summary().expect("there are some");
        assert_eq!((p50, p99, p999), (100, 100, 900));
        assert!(max.abs_diff(60_000_000) < 60_000, "{max}");
    }
}
