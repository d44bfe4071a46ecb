//! What is asked of the application, by who asks: an auth mode, a room.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, String)>;

/// What a question comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionOutcome {
    /// It was answered with yes.
    Allowed,
    /// It was answered with no.
    Refused,
    /// There was no answer of use.
    Failed,
    /// There was none in time.
    Timeout,
    /// It was not asked: too many were under way.
    Busy,
    /// It was not asked: the circuit breaker was open.
    Broken,
}

impl QuestionOutcome {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Allowed, "allowed"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
        (Self::Timeout, "timeout"),
        (Self::Busy, "busy"),
        (Self::Broken, "broken"),
    ];
}

/// Where an answer came from that nobody was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheHit {
    /// It was still good.
    Fresh,
    /// It was no longer, but nobody could be asked.
    Stale,
    /// Somebody else was asking the same.
    Shared,
}

impl CacheHit {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Fresh, "fresh"),
        (Self::Stale, "stale"),
        (Self::Shared, "shared"),
    ];
}

/// The families that [`QuestionMetrics`] are taken from.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    outcomes: Family<Labels, Counter>,
    hits: Family<Labels, Counter>,
    breaker: Family<Labels, Gauge>,
    in_flight: Family<Labels, Gauge>,
    entries: Family<Labels, Gauge>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
}

/// The numbers of one asker.
#[derive(Clone, Debug)]
pub struct QuestionMetrics {
    outcomes: [Counter; QuestionOutcome::ALL.len()],
    hits: [Counter; CacheHit::ALL.len()],
    /// 0 closed, 1 half open, 2 open.
    pub breaker: Gauge,
    /// Questions under way.
    pub in_flight: Gauge,
    /// Answers remembered.
    pub entries: Gauge,
    /// How long those that were asked took.
    pub seconds: Histogram,
}

impl Questions {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let buckets = || Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0]);
        let new = Self {
            outcomes: Family::default(),
            hits: Family::default(),
            breaker: Family::default(),
            in_flight: Family::default(),
            entries: Family::default(),
            seconds: Family::new_with_constructor(buckets),
        };
        registry.register(
            "questions",
            "Questions to the application, by what they came to",
            new.outcomes.clone(),
        );
        registry.register(
            "question_cache_hits",
            "Answers that nobody was asked for: still fresh, stale, or shared with somebody who was asking",
            new.hits.clone(),
        );
        registry.register(
            "question_breaker",
            "Whether the application is asked: 0 it is, 1 one question tries whether it is back, 2 it is left alone",
            new.breaker.clone(),
        );
        registry.register(
            "questions_in_flight",
            "Questions under way",
            new.in_flight.clone(),
        );
        registry.register(
            "question_cache_entries",
            "Answers remembered",
            new.entries.clone(),
        );
        registry.register(
            "question_seconds",
            "How long those that were asked took",
            new.seconds.clone(),
        );
        new
    }

    /// The numbers of `asker`, all at zero the first time.
    pub(super) fn of(&self, asker: &str) -> QuestionMetrics {
        let own = || vec![("asker", asker.to_owned())];
        let with =
            |label, value: &str| vec![("asker", asker.to_owned()), (label, value.to_owned())];
        QuestionMetrics {
            outcomes: QuestionOutcome::ALL
                .map(|(_, value)| self.outcomes.get_or_create_owned(&with("outcome", value))),
            hits: CacheHit::ALL
                .map(|(_, value)| self.hits.get_or_create_owned(&with("kind", value))),
            breaker: self.breaker.get_or_create_owned(&own()),
            in_flight: self.in_flight.get_or_create_owned(&own()),
            entries: self.entries.get_or_create_owned(&own()),
            seconds: self.seconds.get_or_create_owned(&own()),
        }
    }
}

impl QuestionMetrics {
    /// Counts a question.
    pub fn question(&self, outcome: QuestionOutcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// Counts an answer that nobody was asked for.
    pub fn hit(&self, kind: CacheHit) {
        self.hits[kind as usize].inc();
    }
}
