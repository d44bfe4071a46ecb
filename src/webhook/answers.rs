//! What stands before questions that are asked often.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::plan::Patience;
use crate::telemetry::{CacheHit, QuestionMetrics, QuestionOutcome};
use crate::vocab::{Clock, Monotonic, Timestamp};
use crate::webhook::breaker::Breaker;
use crate::webhook::kept::{Entry, Kept};
use crate::webhook::{CallError, Fault};

const ENTRIES_MAX: usize = 10_000;
/// Beside those there is one refusal for so many.
const REFUSALS_SHARE: usize = 10;
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes beside what its answer does.
const ENTRY_BYTES: usize = 256;
const IN_FLIGHT_MAX: usize = 1000;
const WARN_EVERY: Duration = Duration::from_secs(1);
/// Somebody who was refused logs in and comes back: that has to be seen soon.
const REFUSAL_KEPT_MAX: Duration = Duration::from_secs(5);

/// An answer as the cache keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<V> {
    /// Yes: good for [`Patience::cache`], and [`Patience::stale`] beyond that.
    Allowed {
        /// What was answered.
        value: V,
        /// When it ends of itself.
        ends: Option<Timestamp>,
        /// What `value` takes in memory, about.
        bytes: usize,
    },
    /// No: good for [`Patience::cache`] and at most 5 s, so that a login is seen soon.
    Refused(V),
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many are being asked.
    #[error("too many questions are under way")]
    Busy,
    /// Those before it were not answered: nobody is asked for a while.
    #[error("the last questions were not answered: asking again in {retry_after:?}")]
    Open {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// It was asked, in vain; the cause is in the log.
    #[error("the question was not answered")]
    Failed,
}

/// How questions are asked and counted.
pub struct Asking {
    /// For how long answers are good.
    pub patience: Patience,
    /// What the log calls the asker, such as `auth.browser`.
    pub asker: Arc<str>,
    /// The asker's numbers.
    pub metrics: QuestionMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Spreads the probes of many servers.
    pub random: fn() -> u64,
}

/// The answers to questions that go to one place: each is asked once for all who want the same at the same time, remembered as
/// long as it may be, and not asked at all while the place does not answer.
pub struct Answers<K, V> {
    asking: Asking,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    kept: Kept<K, V>,
    /// Those that said no, apart and fewer: whoever makes up credentials must not push out the answers about honest ones.
    refusals: Kept<K, V>,
    /// Those that are being asked; who wants the same waits for the same result.
    asked: HashMap<K, watch::Receiver<Outcome<V>>>,
    breaker: Breaker,
    /// When the log last said that a question was not answered.
    warned: Option<Monotonic>,
}

/// Nothing as long as it is being asked.
type Outcome<V> = Option<Result<V, Unanswered>>;

enum Begun<V> {
    Known(V),
    Asked(watch::Receiver<Outcome<V>>),
}

impl<K, V> Answers<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No answers yet; up to 10,000 are kept, in 64 MiB, beside 1,000 refusals, and up to 1,000 questions are under way at once.
    pub fn new(asking: Asking) -> Arc<Self> {
        Self::with_room(asking, ENTRIES_MAX)
    }

    pub(super) fn with_room(asking: Asking, entries_max: usize) -> Arc<Self> {
        let state = State {
            kept: Kept::new(entries_max, BYTES_MAX),
            refusals: Kept::new(entries_max.div_ceil(REFUSALS_SHARE), BYTES_MAX),
            asked: HashMap::new(),
            breaker: Breaker::default(),
            warned: None,
        };
        Arc::new(Self {
            asking,
            state: Mutex::new(state),
        })
    }

    /// The answer to the question `key`, which `ask` asks where it has to be. It goes on when the one who wanted it has gone, since
    /// others may wait for the same. `ask` has to end of itself.
    ///
    /// # Errors
    /// There is none, and no stale one that may be told instead.
    pub async fn get<F>(
        self: &Arc<Self>,
        key: K,
        ask: impl FnOnce() -> F + Send,
    ) -> Result<V, Unanswered>
    where
        F: Future<Output = Result<Word<V>, Fault>> + Send + 'static,
    {
        let mut outcome = match self.begin(key, ask)? {
            Begun::Known(value) => return Ok(value),
            Begun::Asked(outcome) => outcome,
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(Unanswered::Failed)),
            Err(_) => Err(Unanswered::Failed),
        }
    }

    /// The answer where it is known and fresh.
    pub fn known(&self, key: &K) -> Option<V> {
        let now = self.asking.clock.monotonic();
        let State { kept, refusals, .. } = &mut *self.state.lock();
        let found = [kept, refusals].into_iter().find_map(|kept| {
            let entry = kept.get(key).filter(|entry| now < entry.fresh_until)?;
            Some(entry.value.clone())
        })?;
        self.asking.metrics.hit(CacheHit::Fresh);
        Some(found)
    }

    /// Forgets one answer, so that the next who wants it asks.
    pub fn forget(&self, key: &K) {
        let mut state = self.state.lock();
        state.kept.remove(key);
        state.refusals.remove(key);
        self.show(&state);
    }

    fn begin<F>(self: &Arc<Self>, key: K, ask: impl FnOnce() -> F) -> Result<Begun<V>, Unanswered>
    where
        F: Future<Output = Result<Word<V>, Fault>> + Send + 'static,
    {
        if let Some(value) = self.known(&key) {
            return Ok(Begun::Known(value));
        }
        let Asking { metrics, clock, .. } = &self.asking;
        let now = clock.monotonic();
        let mut state = self.state.lock();
        let state = &mut *state;
        let is_full = state.asked.len() >= IN_FLIGHT_MAX;
        let place = match state.asked.entry(key) {
            Place::Occupied(asked) => {
                metrics.hit(CacheHit::Shared);
                return Ok(Begun::Asked(asked.get().clone()));
            }
            Place::Vacant(place) => place,
        };
        if is_full {
            metrics.question(QuestionOutcome::Busy);
            return Err(Unanswered::Busy);
        }
        if let Err(open) = state.breaker.permit(now) {
            if let Some(value) = self.stale(&mut state.kept, place.key(), now) {
                return Ok(Begun::Known(value));
            }
            metrics.question(QuestionOutcome::Broken);
            let retry_after = open.retry_after;
            return Err(Unanswered::Open { retry_after });
        }
        let (told, outcome) = watch::channel(None);
        let question = Question {
            answers: self.clone(),
            key: place.key().clone(),
            told,
            since: now,
        };
        place.insert(outcome.clone());
        self.show(state);
        let asked = ask();
        tokio::spawn(async move {
            let result = asked.await;
            question.finish(result);
        });
        Ok(Begun::Asked(outcome))
    }

    fn stale(&self, kept: &mut Kept<K, V>, key: &K, now: Monotonic) -> Option<V> {
        let entry = kept.get(key).filter(|entry| now < entry.stale_until)?;
        self.asking.metrics.hit(CacheHit::Stale);
        Some(entry.value.clone())
    }

    /// What of an answer is remembered, and for how long.
    fn entry(&self, word: Word<V>, now: Monotonic) -> Entry<V> {
        let Patience { cache, stale } = self.asking.patience;
        let (value, bytes, fresh, stale) = match word {
            Word::Allowed { value, ends, bytes } => {
                let left = ends.map(|ends| ends.since(self.asking.clock.now()));
                let capped = |time: Duration| left.map_or(time, |left| time.min(left));
                (value, bytes, capped(cache), capped(cache + stale))
            }
            Word::Refused(value) => {
                let kept = cache.min(REFUSAL_KEPT_MAX);
                (value, 0, kept, kept)
            }
        };
        Entry {
            value,
            bytes: bytes + ENTRY_BYTES,
            fresh_until: now.after(fresh),
            stale_until: now.after(stale),
        }
    }

    /// Tells the log, once a second at most: clients can bring about more.
    fn warn(&self, state: &mut State<K, V>, fault: &Fault, now: Monotonic) {
        let asker = &self.asking.asker;
        let breaker = state.breaker.position();
        if state
            .warned
            .is_some_and(|last| now.since(last) < WARN_EVERY)
        {
            tracing::debug!(%asker, %fault, %breaker, "a question was not answered");
            return;
        }
        state.warned = Some(now);
        tracing::warn!(%asker, %fault, %breaker, "a question was not answered");
    }

    fn show(&self, state: &State<K, V>) {
        let metrics = &self.asking.metrics;
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let entries = state.kept.len() + state.refusals.len();
        metrics.entries.set(gauge(entries));
        metrics.in_flight.set(gauge(state.asked.len()));
        metrics.breaker.set(state.breaker.position() as i64);
    }
}

/// One question under way. It ends once, also where asking panics.
struct Question<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    answers: Arc<Answers<K, V>>,
    key: K,
    told: watch::Sender<Outcome<V>>,
    since: Monotonic,
}

impl<K, V> Question<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn finish(self, result: Result<Word<V>, Fault>) {
        let Asking {
            metrics,
            clock,
            random,
            ..
        } = &self.answers.asking;
        let now = clock.monotonic();
        metrics.seconds.observe(now.since(self.since).as_secs_f64());
        let mut state = self.answers.state.lock();
        let state = &mut *state;
        let outcome = match result {
            Ok(word) => {
                state.breaker.succeeded();
                let State { kept, refusals, .. } = &mut *state;
                let (outcome, keeps, other) = match &word {
                    Word::Allowed { .. } => (QuestionOutcome::Allowed, kept, refusals),
                    Word::Refused(_) => (QuestionOutcome::Refused, refusals, kept),
                };
                metrics.question(outcome);
                let entry = self.answers.entry(word, now);
                let value = entry.value.clone();
                other.remove(&self.key);
                keeps.insert(self.key.clone(), entry, now);
                Ok(value)
            }
            Err(fault) => {
                if fault.is_outage() {
                    state.breaker.failed(now, random());
                } else if !matches!(fault, Fault::Call(_)) {
                    state.breaker.succeeded();
                }
                metrics.question(outcome_of(&fault));
                self.answers.warn(state, &fault, now);
                let stale = self.answers.stale(&mut state.kept, &self.key, now);
                stale.ok_or(Unanswered::Failed)
            }
        };
        // Nobody may wait any more.
        self.told.send_replace(Some(outcome));
    }
}

impl<K, V> Drop for Question<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let now = self.answers.asking.clock.monotonic();
        let mut state = self.answers.state.lock();
        state.asked.remove(&self.key);
        // What was finished has moved the breaker on; what was not leaves its turn to the next.
        state.breaker.abandoned(now);
        self.answers.show(&state);
    }
}

const fn outcome_of(fault: &Fault) -> QuestionOutcome {
    match fault {
        Fault::Call(CallError::Timeout { .. }) => QuestionOutcome::Timeout,
        Fault::Call(CallError::Busy) => QuestionOutcome::Busy,
        _ => QuestionOutcome::Failed,
    }
}

impl<K, V> fmt::Debug for Answers<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({})", self.asking.asker)
    }
}
