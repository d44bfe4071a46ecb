//! The keys of an issuer: fetched in the background, kept while it does not answer, fetched again for a key that is not known.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::auth::Means;
use crate::auth::keys::fetch::fetch;
use crate::auth::keys::schedule::Schedule;
use crate::plan::IssuerKeys;
use crate::plan::key::{Key, KeyError, KeySet};
use crate::telemetry::KeyMetrics;
use crate::vocab::Monotonic;

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
    /// The owner's numbers.
    pub(in crate::auth) metrics: KeyMetrics,
    /// Calls, time and randomness.
    pub(in crate::auth) means: Means,
}

/// A fetch that is under way.
pub(in crate::auth) struct Coming {
    ended: watch::Receiver<Ended>,
    /// The number of the first fetch that begins after it was asked for.
    next: u64,
    wait: Duration,
}

/// The last fetch that ended.
#[derive(Clone, Copy, Default)]
struct Ended {
    number: u64,
    brought: Brought,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Brought {
    #[default]
    Nothing,
    Keys,
}

/// What the keys that are here say of one that is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latest {
    /// The issuer does not publish it: it was asked after the token came.
    Yes,
    /// It may have been published since.
    Perhaps,
}

impl Coming {
    /// Waits for its end, for as long as a handshake may take.
    pub(super) async fn arrive(mut self) -> Latest {
        let end = tokio::time::timeout(self.wait, self.ended.changed()).await;
        let ended = *self.ended.borrow();
        if matches!(end, Ok(Ok(()))) && ended.number >= self.next && ended.brought == Brought::Keys
        {
            Latest::Yes
        } else {
            Latest::Perhaps
        }
    }
}

/// An issuer, and when it is asked.
pub(super) struct Issuer {
    keys: IssuerKeys,
    state: Mutex<State>,
    /// Has the fetching look what is due.
    wake: Notify,
    /// Who waits for a fetch hears of its end here.
    ended: watch::Sender<Ended>,
}

struct State {
    schedule: Schedule,
    /// A fetch runs, or is about to: whoever needs one waits for that.
    under_way: bool,
    /// How many have begun.
    begun: u64,
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
                begun: 0,
                told: None,
                held: Vec::new(),
            }),
            wake: Notify::new(),
            ended: watch::Sender::new(Ended::default()),
        }
    }

    /// The fetch that may bring what is wanted; none where none is due: the issuer was asked a moment ago.
    pub(super) fn seek(&self, want: Want, now: Monotonic) -> Option<Coming> {
        let mut state = self.state.lock();
        // Under the lock, as the end is told: neither the end before is heard here, nor the next one missed.
        let ended = self.ended.subscribe();
        if !state.under_way {
            if want == Want::First || !state.schedule.demand(now) {
                return None;
            }
            state.under_way = true;
            self.wake.notify_one();
        }
        Some(Coming {
            ended,
            next: state.begun + 1,
            wait: self.keys.wait,
        })
    }

    /// Has the fetching look at the clock.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Fetches whenever it is due, and hands every set to `take`, for ever.
    pub(super) async fn run(&self, fetching: &Fetching, take: impl Fn(&[Key])) {
        loop {
            let means = &fetching.means;
            let now = means.clock.monotonic();
            let wait = self.state.lock().schedule.wait(now);
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.wake.notified() => {}
                }
                continue;
            }
            let number = self.state.lock().begin();
            let fetched = fetch(&means.client, &self.keys).await;
            let (now, random) = (means.clock.monotonic(), (means.random)());
            {
                let mut state = self.state.lock();
                let brought = match fetched {
                    Ok((set, lifetime)) => {
                        state.schedule.succeeded(now, lifetime, random);
                        take(&set.keys);
                        state.succeeded(set, fetching);
                        Brought::Keys
                    }
                    Err(error) => {
                        state.schedule.failed(now, random);
                        state.failed(&error.to_string(), fetching);
                        Brought::Nothing
                    }
                };
                // Behind `take`: whoever sees that nothing is under way finds the new keys.
                state.under_way = false;
                self.ended.send_replace(Ended { number, brought });
            }
        }
    }
}

impl State {
    /// The number of the fetch that begins now.
    fn begin(&mut self) -> u64 {
        self.under_way = true;
        self.begun += 1;
        self.begun
    }

    fn succeeded(&mut self, set: KeySet, fetching: &Fetching) {
        let (owner, metrics) = (&fetching.owner, &fetching.metrics);
        metrics.fetched.inc();
        metrics.held.set(set.keys.len() as i64);
        metrics
            .fetched_at
            .set(fetching.means.clock.now().as_seconds());
        if self.told.take().is_some() {
            tracing::info!(%owner, "the issuer's keys can be fetched again");
        }
        if set.keys == self.held && !set.keys.is_empty() {
            return;
        }
        tracing::info!(%owner, keys = set.keys.len(), "keys fetched");
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
