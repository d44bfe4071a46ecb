//! Keys that are fetched from issuers, by the auth mode that verifies with them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, String)>;

/// The families that [`KeyMetrics`] are taken from.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    fetches: Family<Labels, Counter>,
    held: Family<Labels, Gauge>,
    fetched: Family<Labels, Gauge>,
}

/// The numbers of one mode's keys.
#[derive(Clone, Debug)]
pub struct KeyMetrics {
    /// Fetches that brought a set.
    pub fetched: Counter,
    /// Fetches that brought none.
    pub failed: Counter,
    /// Keys that can be used.
    pub held: Gauge,
    /// When they came, in seconds since 1970; 0 before the first time. A metric of age would have to be told at each scrape.
    pub fetched_at: Gauge,
}

impl Keys {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "key_fetches",
            "Fetches of the keys that tokens are verified with",
            new.fetches.clone(),
        );
        registry.register("keys", "Fetched keys that can be used", new.held.clone());
        registry.register(
            "keys_fetched_timestamp_seconds",
            "When the keys were fetched, in seconds since 1970; 0 before the first time",
            new.fetched.clone(),
        );
        new
    }

    /// The numbers of the mode `auth`, all at zero the first time.
    pub(super) fn of(&self, auth: &str) -> KeyMetrics {
        let own = || vec![("auth", auth.to_owned())];
        let fetches = |outcome: &str| {
            let labels = vec![("auth", auth.to_owned()), ("outcome", outcome.to_owned())];
            self.fetches.get_or_create_owned(&labels)
        };
        KeyMetrics {
            fetched: fetches("fetched"),
            failed: fetches("failed"),
            held: self.held.get_or_create_owned(&own()),
            fetched_at: self.fetched.get_or_create_owned(&own()),
        }
    }
}
