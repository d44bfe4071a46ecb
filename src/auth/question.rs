//! Credentials that only somebody else knows: the application, or Redis.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;

use crate::auth::answer::{self, Login, Unreadable};
use crate::auth::redis::RedisSessions;
use crate::auth::{AuthError, Outcome};
use crate::plan::{HttpCall, RedisLookup};
use crate::schema::Schema;
use crate::vocab::Clock;
use crate::webhook::{Answers, Asking, Client, Fault, Reply, Word};

/// What a login takes in the cache beside the text that it was read from.
const LOGIN_BYTES: usize = 512;

/// Answers by a hash of the question: what is remembered holds no credential.
type Key = [u8; 32];

/// Nobody where the credential was refused.
type Said = Option<Login>;

/// Who is asked about the credentials of one auth mode.
pub(super) struct Oracle {
    answers: Arc<Answers<Key, Said>>,
    source: Source,
    claims: Option<Arc<Schema>>,
    clock: Arc<dyn Clock>,
}

enum Source {
    Application {
        client: Arc<Client>,
        call: Arc<HttpCall>,
    },
    Redis(Arc<RedisSessions>),
}

/// A question that has to be asked before it is known who somebody is.
pub struct Question {
    oracle: Arc<Oracle>,
    key: Key,
    /// What is posted, or the key that is read.
    text: Bytes,
    refusals: Refusals,
    subprotocol: Option<&'static str>,
}

/// What a client is told where it is not let in.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    pub(super) refused: AuthError,
    pub(super) unavailable: AuthError,
}

impl Oracle {
    pub(super) fn of_application(
        asking: Asking,
        client: Arc<Client>,
        call: &HttpCall,
        claims: Option<Arc<Schema>>,
    ) -> Arc<Self> {
        let call = Arc::new(call.clone());
        Self::new(asking, Source::Application { client, call }, claims)
    }

    pub(super) fn of_redis(
        asking: Asking,
        lookup: &RedisLookup,
        claims: Option<Arc<Schema>>,
    ) -> Arc<Self> {
        let redis = Arc::new(RedisSessions::new(lookup));
        Self::new(asking, Source::Redis(redis), claims)
    }

    fn new(asking: Asking, source: Source, claims: Option<Arc<Schema>>) -> Arc<Self> {
        Arc::new(Self {
            clock: asking.clock.clone(),
            answers: Answers::new(asking),
            source,
            claims,
        })
    }

    /// The question `text`. What is remembered is known by `credential`, all that the answer may depend on.
    pub(super) fn question(
        self: &Arc<Self>,
        credential: &[u8],
        text: Bytes,
        refusals: Refusals,
        subprotocol: Option<&'static str>,
    ) -> Question {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, credential).as_ref());
        Question {
            oracle: self.clone(),
            key,
            text,
            refusals,
            subprotocol,
        }
    }

    fn ask(&self, text: Bytes) -> impl Future<Output = Result<Word<Said>, Fault>> + Send + 'static {
        let source = match &self.source {
            Source::Application { client, call } => Source::Application {
                client: client.clone(),
                call: call.clone(),
            },
            Source::Redis(redis) => Source::Redis(redis.clone()),
        };
        let claims = self.claims.clone();
        async move {
            let said = match source {
                Source::Application { client, call } => match client.ask(&call, text).await? {
                    Reply::Told(body) => Some(body),
                    Reply::Refused => None,
                },
                Source::Redis(redis) => redis.read(&text).await?,
            };
            let Some(said) = said else {
                return Ok(Word::Refused(None));
            };
            let login = answer::read(&said, claims.as_deref()).map_err(fault)?;
            Ok(Word::Allowed {
                ends: login.identity.expires_at,
                // Text becomes a tree of several times its size.
                bytes: LOGIN_BYTES + 4 * said.len(),
                value: Some(login),
            })
        }
    }
}

impl Question {
    /// Asks, unless the answer is known, and says what it comes to.
    pub(super) async fn outcome(self) -> Outcome {
        let Self {
            oracle,
            key,
            text,
            refusals,
            subprotocol,
        } = self;
        let said = oracle.answers.get(key, || oracle.ask(text)).await;
        let now = oracle.clock.now();
        match said {
            Ok(Some(login)) => {
                let is_over = |ends| now >= ends;
                if login.identity.expires_at.is_some_and(is_over) {
                    return Outcome::Refused(AuthError::SessionExpired);
                }
                Outcome::Identified { login, subprotocol }
            }
            Ok(None) => Outcome::Refused(refusals.refused),
            // Its own metrics and log lines say why.
            Err(_) => Outcome::Refused(refusals.unavailable),
        }
    }
}

fn fault(error: Unreadable) -> Fault {
    match error {
        Unreadable::Form(cause) => Fault::Nonsense(cause),
        Unreadable::Value(cause) => Fault::Unusable(cause),
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question(…)")
    }
}
