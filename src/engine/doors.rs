//! `may_join: {http: …}`: the application is asked whether somebody may join.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::engine::random_bytes;
use crate::plan::{MayJoin, Plan, RoomKind};
use crate::telemetry::Metrics;
use crate::vocab::{AudienceSet, Clock, Timestamp, User, UserId, json as strict};
use crate::webhook::{Answers, Asking, Client, Fault, Reply, Unanswered, Word};

/// A reason is passed on to the client up to so many characters.
const REASON_CHARS_MAX: usize = 256;

/// What the application says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether somebody may join.
    pub(super) allow: bool,
    /// The room's audiences that it is of; none: the room's rules say.
    pub(super) audiences: Option<AudienceSet>,
    /// Until when it may stay.
    pub(super) expires_at: Option<Timestamp>,
    /// Why not, for the client.
    pub(super) reason: Option<Box<str>>,
}

/// A question is told apart by its user and all that is asked.
type Key = (UserId, u64, u64);

/// The answers about one kind of rooms.
type Asked = Answers<Key, Arc<Verdict>>;

/// What is asked, by the index of the kind of rooms.
pub(super) struct Doors {
    answers: Box<[Option<Arc<Asked>>]>,
    /// Two, so that who knows one secret by chance cannot make two questions look the same.
    hashers: [RandomState; 2],
    /// None where nobody is asked.
    client: Option<Arc<Client>>,
    clock: Arc<dyn Clock>,
}

fn random_u64() -> u64 {
    u64::from_ne_bytes(random_bytes())
}

impl Doors {
    pub(super) fn new(plan: &Plan, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let answers = |kind: &Arc<RoomKind>| match &kind.may_join {
            MayJoin::Http { call, label } => Some(Answers::new(Asking {
                patience: call.patience,
                asker: (&*label.name).into(),
                metrics: metrics.questions_of(&label.name),
                clock: clock.clone(),
                random: random_u64,
            })),
            MayJoin::Rule(_) | MayJoin::Token { .. } => None,
        };
        let mut kinds: Vec<_> = plan.rooms.iter().collect();
        kinds.sort_by_key(|kind| kind.index);
        let answers: Box<[_]> = kinds.into_iter().map(answers).collect();
        Self {
            client: answers
                .iter()
                .any(Option::is_some)
                .then(|| Arc::new(Client::new())),
            answers,
            hashers: [RandomState::new(), RandomState::new()],
            clock: clock.clone(),
        }
    }

    /// Asks whether `user` may do what `question` says in a room of `kind`.
    pub(super) fn ask(
        &self,
        kind: &Arc<RoomKind>,
        user: &UserId,
        question: &Value,
    ) -> impl Future<Output = Result<Arc<Verdict>, Unanswered>> + Send + use<> {
        let body = question.to_string();
        let [one, other] = &self.hashers;
        let key = (user.clone(), one.hash_one(&body), other.hash_one(&body));
        let answers = self.answers.get(kind.index).cloned().flatten();
        let (client, clock, kind) = (self.client.clone(), self.clock.clone(), kind.clone());
        async move {
            let (Some(answers), Some(client)) = (answers, client) else {
                return Err(Unanswered::Failed);
            };
            let asked = move || async move {
                let MayJoin::Http { call, .. } = &kind.may_join else {
                    return Err(Fault::Unusable("nobody is asked about this room".into()));
                };
                match client.ask(call, Bytes::from(body)).await? {
                    Reply::Told(body) => word(&body, &kind, clock.now()),
                    Reply::Refused => Err(Fault::Unusable(
                        "whether somebody may join is told by `allow`, not by the status".into(),
                    )),
                }
            };
            answers.get(key, asked).await
        }
    }
}

/// What is asked.
pub(super) fn question(
    user: &User,
    room: &str,
    params: Map<String, Value>,
    endpoint: &str,
) -> Value {
    json!({
        "user": {
            "user_id": user.id.as_str(),
            "username": &*user.username,
            "authenticated": user.authenticated,
            "claims": &*user.claims,
        },
        "room": room,
        "params": params,
        "endpoint": endpoint,
    })
}

/// The answer in `body`, about a room of `kind`, at the moment `now`.
fn word(body: &[u8], kind: &RoomKind, now: Timestamp) -> Result<Word<Arc<Verdict>>, Fault> {
    let nonsense = |what: &str| Fault::Nonsense(what.to_owned());
    let text = str::from_utf8(body).map_err(|_| nonsense("it is not UTF-8"))?;
    let told = strict::parse(text, strict::DEPTH_MAX)
        .map_err(|error| Fault::Nonsense(error.to_string()))?;
    let allow = told.get("allow").and_then(Value::as_bool);
    let allow = allow.ok_or_else(|| nonsense("`allow` is neither true nor false"))?;
    let there = |name: &str| told.get(name).filter(|value| !value.is_null());
    let audiences = match there("audiences") {
        None => None,
        Some(names) => {
            let names = names
                .as_array()
                .ok_or_else(|| nonsense("`audiences` is not a list"))?;
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            let names = names.ok_or_else(|| nonsense("`audiences` is not a list of names"))?;
            Some(kind.audiences_named(names).map_err(Fault::Unusable)?)
        }
    };
    let expires_at = match there("expires_at") {
        None => None,
        Some(moment) => {
            let parsed = moment.as_str().map(Timestamp::parse);
            let parsed = parsed.and_then(Result::ok);
            Some(parsed.ok_or_else(|| nonsense("`expires_at` is no moment of RFC 3339"))?)
        }
    };
    let reason = there("reason").and_then(Value::as_str).map(shown);
    let is_over = expires_at.is_some_and(|expires_at| expires_at <= now);
    let verdict = Arc::new(Verdict {
        allow: allow && !is_over,
        audiences,
        expires_at,
        reason,
    });
    Ok(match verdict.allow {
        true => Word::Allowed {
            value: verdict,
            ends: expires_at,
            bytes: size_of::<Verdict>() + size_of::<Key>(),
        },
        false => Word::Refused(verdict),
    })
}

/// A reason as clients get it: one line of a bounded length.
fn shown(reason: &str) -> Box<str> {
    let line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(REASON_CHARS_MAX).collect::<String>().into()
}
