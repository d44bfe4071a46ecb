//! From a credential to an identity: tokens, sessions, anonymous users, the application's word; and the keys of the HTTP API.
//!
//! An [`Authenticator`] is made from the Plan's auth modes. It does not serve HTTP: `transport` shows it a [`Request`]. Most modes
//! decide at once; those that ask the application or Redis leave a [`Question`], and tokens whose keys are still to come wait for
//! those, so that who needs neither never waits. No error or log line of it holds a credential. Files of sessions and keys are read
//! by [`Authenticator::watch_files`], the keys of issuers fetched by [`Authenticator::fetch_keys`], away from handshakes.

mod anonymous;
mod answer;
mod api_key;
mod application;
mod awaited;
mod error;
mod join;
mod jwt;
mod keys;
mod mint;
mod question;
mod redis;
mod request;
mod session;
mod signed;
#[cfg(test)]
mod tests;
mod upkeep;
mod watched;

pub use crate::rule::ConnectionFacts;
pub use answer::Login;
pub use api_key::{authorize_api, may_use_room};
pub use awaited::AwaitedToken;
pub use error::{AuthError, RefusalKind};
pub use join::JoinGrant;
pub use keys::{PrivateKey, PrivateKeyError};
pub use mint::{JoinMint, Mint, MintError, mint, mint_join, mint_with};
pub use question::Question;
pub use request::{Request, SUBPROTOCOL};

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::join::JoinTokens;
use crate::auth::jwt::{Verified, Verifier};
use crate::auth::keys::Keychain;
use crate::auth::question::{Oracle, Refusals};
use crate::auth::session::SessionFile;
use crate::auth::signed::CookieKey;
use crate::plan::{
    Application, AuthMethod, AuthMode, Credential, HttpCall, Lookup, Patience, Session,
};
use crate::schema::Schema;
use crate::telemetry::Metrics;
use crate::vocab::{Clock, Identity, Monotonic};
use crate::webhook::{Asking, Client};

/// What an [`Authenticator`] needs of the world.
#[derive(Clone)]
pub struct Means {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Yields the ids of anonymous users, and spreads retries.
    pub random: fn() -> u64,
    /// Asks the application.
    pub client: Arc<Client>,
    /// Counts questions and fetches.
    pub metrics: Arc<Metrics>,
}

/// Turns credentials into identities, for all auth modes of a Plan.
pub struct Authenticator {
    modes: Vec<Ready>,
    join_tokens: JoinTokens,
    clock: Arc<dyn Clock>,
    random: fn() -> u64,
    /// What every user without claims has.
    no_claims: Arc<Value>,
}

/// An auth mode with what it needs beside the Plan.
struct Ready {
    mode: Arc<AuthMode>,
    state: State,
}

enum State {
    Nothing,
    Token(Verifier),
    Sessions(SessionFile),
    Cookie(Box<CookieKey>),
    Oracle(Arc<Oracle>),
}

/// What is known of a request's sender at once.
#[derive(Debug)]
pub enum Identification {
    /// All.
    Decided(Outcome),
    /// Somebody has to be asked.
    Asked(Question),
    /// The keys of its token have to come first.
    Awaited(AwaitedToken),
}

/// What a handshake comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Somebody.
    Identified {
        /// Who, and where the application puts the connection.
        login: Login,
        /// The subprotocol to select, where one is.
        subprotocol: Option<&'static str>,
    },
    /// The first frame has to bring the token: hand it to [`Authenticator::identify_token`].
    AwaitFirstMessage {
        /// The mode that takes it.
        mode: Arc<AuthMode>,
        /// Until when.
        deadline: Monotonic,
    },
    /// Nobody.
    Refused(AuthError),
}

impl Identification {
    /// Asks where somebody has to be asked. Each mode's own timeout bounds the wait; whoever goes meanwhile drops this.
    pub async fn outcome(self) -> Outcome {
        match self {
            Self::Decided(outcome) => outcome,
            // Boxed, so that the handshakes that need no question do not carry the space for one.
            Self::Asked(question) => Box::pin(question.outcome()).await,
            Self::Awaited(token) => Box::pin(token.outcome()).await,
        }
    }
}

impl Authenticator {
    /// Makes ready `modes`, a Plan's [`auth`](crate::plan::Plan::auth), and reads their files of sessions for the first time.
    pub fn new(modes: &[Arc<AuthMode>], means: &Means) -> Self {
        let ready = |mode: &Arc<AuthMode>| Ready {
            mode: mode.clone(),
            state: state(mode, means),
        };
        let authenticator = Self {
            modes: modes.iter().map(ready).collect(),
            join_tokens: JoinTokens::default(),
            clock: means.clock.clone(),
            random: means.random,
            no_claims: Arc::new(Value::Object(Map::new())),
        };
        authenticator.refresh_sessions();
        authenticator
    }

    /// Who sends `request`: the first of an endpoint's `modes` whose credential is present decides. An anonymous mode's always
    /// is, and one that waits for the first message is reached where none before it found anything.
    pub fn identify(&self, modes: &[Arc<AuthMode>], request: &Request<'_>) -> Identification {
        for mode in modes {
            match self.try_mode(mode, request) {
                Ok(None) => {}
                Ok(Some(identification)) => return identification,
                Err(error) => return Identification::Decided(Outcome::Refused(error)),
            }
        }
        Identification::Decided(Outcome::Refused(AuthError::Missing {
            places: request::places(modes),
        }))
    }

    /// Whose token it is: for first messages, and for fresh tokens on a living connection. Waits only for keys that are being
    /// fetched, and no longer than a handshake may take.
    ///
    /// # Errors
    /// The token is not good, or the mode takes none.
    pub async fn identify_token(
        &self,
        mode: &Arc<AuthMode>,
        token: &str,
    ) -> Result<Identity, AuthError> {
        match self.verify(mode, token)? {
            Verified::Decided(identity) => identity,
            Verified::Awaited(keys) => keys.verify(&*self.clock).await,
        }
    }

    fn verify(&self, mode: &Arc<AuthMode>, token: &str) -> Result<Verified, AuthError> {
        match &self.ready(mode).state {
            State::Token(tokens) => Ok(tokens.verify(mode, token, &*self.clock)),
            _ => Err(AuthError::NoTokens),
        }
    }

    fn token(
        &self,
        mode: &Arc<AuthMode>,
        token: &str,
        request: &Request<'_>,
    ) -> Result<Identification, AuthError> {
        Ok(match self.verify(mode, token)? {
            Verified::Decided(identity) => identified(Login::from(identity?), request),
            Verified::Awaited(keys) => Identification::Awaited(AwaitedToken {
                keys,
                clock: self.clock.clone(),
                subprotocol: request.chosen_subprotocol(),
            }),
        })
    }

    /// What `mode` makes of the request; nothing where its credential is not there.
    fn try_mode(
        &self,
        mode: &Arc<AuthMode>,
        request: &Request<'_>,
    ) -> Result<Option<Identification>, AuthError> {
        let login = match &mode.method {
            AuthMethod::Anonymous { user_id, username } => {
                let templates = (user_id.as_ref(), username.as_ref());
                Login::from(anonymous::identify(
                    templates,
                    request,
                    self.clock.now(),
                    self.random,
                    &self.no_claims,
                )?)
            }
            AuthMethod::Jwt(jwt) => match &jwt.credential {
                Credential::FirstMessage(within) => {
                    let awaited = Outcome::AwaitFirstMessage {
                        mode: mode.clone(),
                        deadline: self.clock.monotonic().after(*within),
                    };
                    return Ok(Some(Identification::Decided(awaited)));
                }
                Credential::Request(places) => match request.credential(places)? {
                    Some(token) => return self.token(mode, token, request).map(Some),
                    None => return Ok(None),
                },
            },
            AuthMethod::Session(session) => match request.cookie(&session.cookie) {
                Some(cookie) => return self.session(mode, session, cookie, request).map(Some),
                None => return Ok(None),
            },
            AuthMethod::Http(application) => return self.application(mode, application, request),
        };
        Ok(Some(identified(login, request)))
    }

    fn session(
        &self,
        mode: &AuthMode,
        session: &Session,
        cookie: &str,
        request: &Request<'_>,
    ) -> Result<Identification, AuthError> {
        let now = self.clock.now();
        let login = match &self.ready(mode).state {
            State::Sessions(file) => {
                let identity = file.find(cookie, now)?;
                check_claims(&identity.user.claims, session.claims.as_deref())?;
                Login::from(identity)
            }
            State::Cookie(key) => key.open(cookie, session.claims.as_deref(), now)?,
            State::Oracle(oracle) => {
                // An empty cookie is what logging out leaves behind.
                if cookie.is_empty() {
                    return Err(AuthError::SessionUnknown);
                }
                let text = match &session.lookup {
                    Lookup::Http(_) => application::session_question(&session.cookie, cookie),
                    _ => cookie.as_bytes().to_vec().into(),
                };
                let refusals = Refusals {
                    refused: AuthError::SessionUnknown,
                    unavailable: AuthError::SessionsUnavailable,
                };
                let chosen = request.chosen_subprotocol();
                let question = oracle.question(cookie.as_bytes(), text, refusals, chosen);
                return Ok(Identification::Asked(question));
            }
            _ => return Err(AuthError::SessionsUnavailable),
        };
        Ok(identified(login, request))
    }

    fn application(
        &self,
        mode: &AuthMode,
        application: &Application,
        request: &Request<'_>,
    ) -> Result<Option<Identification>, AuthError> {
        let State::Oracle(oracle) = &self.ready(mode).state else {
            return Err(AuthError::ApplicationUnavailable);
        };
        let Some(text) = application::question(&application.forward, request)? else {
            return Ok(None);
        };
        let refusals = Refusals {
            refused: AuthError::Refused,
            unavailable: AuthError::ApplicationUnavailable,
        };
        let chosen = request.chosen_subprotocol();
        let question = oracle.question(&text.clone(), text, refusals, chosen);
        Ok(Some(Identification::Asked(question)))
    }

    fn ready(&self, mode: &AuthMode) -> &Ready {
        // A mode's index is its place in the list that `new` was given.
        &self.modes[mode.index]
    }
}

/// What a mode needs beside the Plan.
fn state(mode: &AuthMode, means: &Means) -> State {
    let asking = |patience: Patience| {
        let asker = format!("auth.{}", mode.name);
        Asking {
            patience,
            metrics: means.metrics.questions_of(&asker),
            asker: asker.into(),
            clock: means.clock.clone(),
            random: means.random,
        }
    };
    let asks = |call: &HttpCall, claims: &Option<Arc<Schema>>| {
        let (asking, client) = (asking(call.patience), means.client.clone());
        State::Oracle(Oracle::of_application(asking, client, call, claims.clone()))
    };
    match &mode.method {
        AuthMethod::Anonymous { .. } => State::Nothing,
        AuthMethod::Jwt(jwt) => State::Token(Verifier::new(Keychain::new(&jwt.keys).into())),
        AuthMethod::Session(session) => match &session.lookup {
            Lookup::File(_) => State::Sessions(SessionFile::default()),
            Lookup::Signed(signed) => State::Cookie(Box::new(CookieKey::new(signed))),
            Lookup::Http(call) => asks(call, &session.claims),
            Lookup::Redis(redis) => {
                let asking = asking(redis.patience);
                State::Oracle(Oracle::of_redis(asking, redis, session.claims.clone()))
            }
        },
        AuthMethod::Http(application) => asks(&application.call, &application.claims),
    }
}

fn identified(login: Login, request: &Request<'_>) -> Identification {
    Identification::Decided(Outcome::Identified {
        login,
        subprotocol: request.chosen_subprotocol(),
    })
}

impl From<Identity> for Login {
    fn from(identity: Identity) -> Self {
        Self {
            identity,
            rooms: Arc::default(),
        }
    }
}

/// Checks what a mode says that claims look like.
fn check_claims(claims: &Value, schema: Option<&Schema>) -> Result<(), AuthError> {
    let checked = schema.map_or(Ok(()), |schema| schema.check(claims));
    checked.map_err(|violations| AuthError::Claims {
        cause: answer::places(&violations),
    })
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.modes.iter().map(|ready| &*ready.mode.name).collect();
        f.debug_tuple("Authenticator").field(&names).finish()
    }
}
