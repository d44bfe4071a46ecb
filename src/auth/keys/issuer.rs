//! The keys of an issuer: fetched in the background, kept while it does not answer, fetched again for a key that is not known.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::auth::keys::fetch::fetch;
use crate::auth::keys::schedule::Schedule;
use crate::plan::IssuerKeys;
use crate::plan::key::{Key, KeyError, KeySet};
use crate::telemetry::KeyMetrics;
use crate::vocab::{Clock, Monotonic};
use crate::webhook::Client;

/// What a token needs that cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Any keys: there are none yet.
    First,
    /// Other keys: its own is not among those that are here.
    Other,
}

/// What fetching needs beside the issuer.
pub(in crate::auth) struct Fetching {
    /// What the log calls the keys' owner, such as `auth.member`.
    pub(in crate::auth) owner: String,
    /// Makes the calls.
    pub(in crate::auth) client: Arc<Client>,
    /// The owner's numbers.
    pub(in crate::auth) metrics: KeyMetrics,
    /// Time.
    pub(in crate::auth) clock: Arc<dyn Clock>,
    /// Spreads the fetches of many servers.
    pub(in crate::auth) random: fn() -> u64,
}

/// An issuer, and when it is asked.
pub(super) struct Issuer {
    keys: IssuerKeys,
    state: Mutex<State>,
    /// Has the fetching look what is due.
    wake: Notify,
    /// Who waits for a fetch hears of its end here.
    ended: watch::Sender<()>,
}

struct State {
    schedule: Schedule,
    /// A fetch runs, or is about to: whoever needs one waits for that.
    under_way: bool,
    /// What went wrong the last time, as the log has it: it is told once.
    told: Option<String>,
    held: Vec<Key>,
}

impl Issuer {
    /// An issuer that has not been asked yet, and is about to be.
    pub(super) fn new(keys: IssuerKeys) -> Self {
        Self {
            keys,
            state: Mutex::new(State {
                schedule: Schedule::default(),
                under_way: true,
                told: None,
                held: Vec::new(),
            }),
            wake: Notify::new(),
            ended: watch::Sender::new(()),
        }
    }

    /// Waits for the fetch that may bring what is wanted, for as long as a handshake may take. `false` where none is due: the
    /// issuer was asked a moment ago.
    pub(super) async fn wait(&self, want: Want, now: Monotonic) -> bool {
        // Before looking, so that an end in between is not missed.
        let mut ended = self.ended.subscribe();
        {
            let mut state = self.state.lock();
            if !state.under_way {
                if want == Want::First || !state.schedule.demand(now) {
                    return false;
                }
                state.under_way = true;
                self.wake.notify_one();
            }
        }
        let end = tokio::time::timeout(self.keys.wait, ended.changed()).await;
        matches!(end, Ok(Ok(())))
    }

    /// Has the fetching look at the clock.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Fetches whenever it is due, and hands every set to `take`, for ever.
    pub(super) async fn run(&self, fetching: &Fetching, take: impl Fn(&[Key])) {
        loop {
            let wait = self.state.lock().schedule.wait(fetching.clock.monotonic());
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.wake.notified() => {}
                }
                continue;
            }
            self.state.lock().under_way = true;
            let fetched = fetch(&fetching.client, &self.keys).await;
            let now = fetching.clock.monotonic();
            {
                let mut state = self.state.lock();
                match fetched {
                    Ok((set, lifetime)) => {
                        state.schedule.succeeded(now, lifetime, (fetching.random)());
                        take(&set.keys);
                        state.succeeded(set, fetching);
                    }
                    Err(error) => {
                        state.schedule.failed(now, (fetching.random)());
                        state.failed(&error.to_string(), fetching);
                    }
                }
                state.under_way = false;
            }
            self.ended.send_replace(());
        }
    }
}

impl State {
    fn succeeded(&mut self, set: KeySet, fetching: &Fetching) {
        let (owner, metrics) = (&fetching.owner, &fetching.metrics);
        metrics.fetched.inc();
        metrics.held.set(set.keys.len() as i64);
        metrics.fetched_at.set(fetching.clock.now().as_seconds());
        if self.told.take().is_some() {
            tracing::info!(%owner, "the issuer's keys can be fetched again");
        }
        if set.keys == self.held && !set.keys.is_empty() {
            return;
        }
        let ids: Vec<&str> = set.keys.iter().filter_map(Key::id).collect();
        tracing::info!(%owner, keys = set.keys.len(), ?ids, "keys fetched");
        if set.keys.is_empty() {
            tracing::warn!(%owner, "the issuer publishes no key that can be used: its tokens are refused");
        }
        for skipped in &set.skipped {
            let (number, error) = (skipped.number, &skipped.error);
            match error {
                // Published by mistake, and now known to everybody.
                KeyError::Secret | KeyError::Private => {
                    tracing::warn!(%owner, number, %error, "a key of the issuer is left out");
                }
                _ => tracing::debug!(%owner, number, %error, "a key of the issuer is left out"),
            }
        }
        self.held = set.keys;
    }

    fn failed(&mut self, error: &str, fetching: &Fetching) {
        let owner = &fetching.owner;
        fetching.metrics.failed.inc();
        let failures = self.schedule.failures();
        if self.told.as_deref() == Some(error) {
            tracing::debug!(%owner, %error, failures, "the issuer's keys cannot be fetched");
            return;
        }
        let kept = self.held.len();
        tracing::warn!(%owner, %error, failures, kept, "the issuer's keys cannot be fetched: asking again and again");
        self.told = Some(error.to_owned());
    }
}
