//! From a credential to an identity: tokens, sessions, anonymous users; and the keys of the HTTP API.
//!
//! An [`Authenticator`] is made from the Plan's auth modes. It does not know HTTP: `transport` shows it a [`Request`]. No error or
//! log line of it holds a credential. Files of sessions and keys are read by [`Authenticator::watch_sessions`] and
//! [`Authenticator::watch_key_files`], the keys of issuers fetched by [`Authenticator::fetch_keys`], away from handshakes: these wait
//! only for keys that are not there yet.

mod anonymous;
mod api_key;
mod error;
mod join;
mod jwt;
mod keys;
mod mint;
mod request;
mod session;
#[cfg(test)]
mod tests;

pub use crate::rule::ConnectionFacts;
pub use api_key::{authorize_api, may_use_room};
pub use error::{AuthError, RefusalKind};
pub use join::JoinGrant;
pub use keys::{PrivateKey, PrivateKeyError};
pub use mint::{JoinMint, Mint, MintError, mint, mint_join, mint_with};
pub use request::{Request, SUBPROTOCOL};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::auth::join::JoinTokens;
use crate::auth::jwt::Verifier;
use crate::auth::keys::{Fetching, Keychain};
use crate::auth::session::SessionFile;
use crate::plan::{AuthMethod, AuthMode, Credential, Place, RoomKind};
use crate::telemetry::Metrics;
use crate::vocab::{Clock, Identity, Monotonic, UserId};
use crate::webhook::Client;

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
}

/// What a handshake comes to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Somebody, and the subprotocol to select where one is.
    Identified(Identity, Option<&'static str>),
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

impl Authenticator {
    /// Makes ready `modes`, a Plan's [`auth`](crate::plan::Plan::auth), and reads their files of sessions for the first time;
    /// `random` yields the ids of anonymous users.
    pub fn new(modes: &[Arc<AuthMode>], clock: Arc<dyn Clock>, random: fn() -> u64) -> Self {
        let ready = |mode: &Arc<AuthMode>| Ready {
            mode: mode.clone(),
            state: match &mode.method {
                AuthMethod::Anonymous { .. } => State::Nothing,
                AuthMethod::Jwt(jwt) => {
                    State::Token(Verifier::new(Keychain::new(&jwt.keys).into()))
                }
                AuthMethod::Session(_) => State::Sessions(SessionFile::default()),
            },
        };
        let authenticator = Self {
            modes: modes.iter().map(ready).collect(),
            join_tokens: JoinTokens::default(),
            clock,
            random,
            no_claims: Arc::new(Value::Object(Map::new())),
        };
        authenticator.refresh_sessions();
        authenticator
    }

    /// Makes ready for the join tokens of `rooms`, a Plan's [`rooms`](crate::plan::Plan::rooms), too.
    #[must_use]
    pub fn with_join_tokens(self, rooms: &[Arc<RoomKind>]) -> Self {
        Self {
            join_tokens: JoinTokens::new(rooms),
            ..self
        }
    }

    /// What the join token `token` grants `user` in the room `room`, which is of `kind`.
    ///
    /// # Errors
    /// The token is not good, or is for another user or room, or the kind takes none.
    pub async fn open_join_token(
        &self,
        kind: &RoomKind,
        token: &str,
        user: &UserId,
        room: &str,
    ) -> Result<JoinGrant, AuthError> {
        let tokens = &self.join_tokens;
        tokens.open(kind, token, user, room, &*self.clock).await
    }

    /// Who sends `request`: the first of an endpoint's `modes` whose credential is present decides. An anonymous mode's always
    /// is, and one that waits for the first message is reached where none before it found anything.
    pub async fn identify(&self, modes: &[Arc<AuthMode>], request: &Request<'_>) -> Outcome {
        for mode in modes {
            match self.try_mode(mode, request).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(error) => return Outcome::Refused(error),
            }
        }
        Outcome::Refused(AuthError::Missing {
            places: places_in_words(modes),
        })
    }

    /// Whose token it is: for first messages, and for fresh tokens on a living connection.
    ///
    /// # Errors
    /// The token is not good, or the mode takes none.
    pub async fn identify_token(
        &self,
        mode: &AuthMode,
        token: &str,
    ) -> Result<Identity, AuthError> {
        match (&mode.method, &self.ready(mode).state) {
            (AuthMethod::Jwt(jwt), State::Token(tokens)) => {
                tokens.verify(jwt, token, &*self.clock).await
            }
            _ => Err(AuthError::NoTokens),
        }
    }

    /// Looks at the files of sessions and reads those that changed; does nothing within a second of the last look. Blocks.
    pub fn refresh_sessions(&self) {
        for ready in &self.modes {
            if let (AuthMethod::Session(session), State::Sessions(file)) =
                (&ready.mode.method, &ready.state)
            {
                file.refresh(&session.file, self.clock.monotonic());
            }
        }
    }

    /// Looks at the files of keys and reads those that changed; does nothing within a second of the last look. Blocks.
    pub fn refresh_key_files(&self) {
        for (_, keys) in self.keychains() {
            keys.refresh_file(self.clock.monotonic());
        }
    }

    /// Keeps the keys fresh that are in files, as long as it runs; ends at once where no mode has any.
    pub async fn watch_key_files(self: Arc<Self>) {
        while self.keychains().any(|(_, keys)| keys.is_watched()) {
            let this = self.clone();
            if let Err(fault) = tokio::task::spawn_blocking(move || this.refresh_key_files()).await
            {
                tracing::error!(%fault, "reading keys failed");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Keeps the sessions fresh as long as it runs; ends at once where no mode has a file of sessions.
    pub async fn watch_sessions(self: Arc<Self>) {
        let any = |ready: &Ready| matches!(ready.state, State::Sessions(_));
        while self.modes.iter().any(any) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let this = self.clone();
            if let Err(fault) = tokio::task::spawn_blocking(move || this.refresh_sessions()).await {
                tracing::error!(%fault, "reading sessions failed");
            }
        }
    }

    /// Fetches the keys of issuers with `client` as long as it runs; ends at once where no mode has any. `metrics` gives each
    /// such mode its numbers.
    pub async fn fetch_keys(self: Arc<Self>, client: Arc<Client>, metrics: Arc<Metrics>) {
        let mut issuers = JoinSet::new();
        for (owner, keys) in self.fetched() {
            let name = owner.strip_prefix("auth.").unwrap_or(&owner);
            let fetching = Fetching {
                metrics: metrics.keys_of(name),
                owner: owner.clone(),
                client: client.clone(),
                clock: self.clock.clone(),
                random: self.random,
            };
            let keys = keys.clone();
            issuers.spawn(async move { keys.fetch(&fetching).await });
        }
        while issuers.join_next().await.is_some() {}
    }

    /// Waits until the keys of all issuers have come for the first time; at once where no mode has any.
    pub async fn first_keys(&self) {
        for (_, keys) in self.fetched() {
            keys.arrive().await;
        }
    }

    /// Whether any keys are fetched, so that [`first_keys`](Self::first_keys) may have to wait.
    pub fn awaits_keys(&self) -> bool {
        self.fetched().next().is_some()
    }

    /// Has the fetching of keys look at the clock, for clocks that are moved.
    pub fn look_at_clock(&self) {
        for (_, keys) in self.fetched() {
            keys.wake();
        }
    }

    fn fetched(&self) -> impl Iterator<Item = (String, &Arc<Keychain>)> {
        self.keychains().filter(|(_, keys)| keys.is_fetched())
    }

    /// All keys, each with where the file has them.
    fn keychains(&self) -> impl Iterator<Item = (String, &Arc<Keychain>)> {
        let logins = self.modes.iter().filter_map(|ready| match &ready.state {
            State::Token(tokens) => Some((format!("auth.{}", ready.mode.name), tokens.keys())),
            _ => None,
        });
        let joins = self.join_tokens.keychains();
        logins.chain(joins.map(|(name, keys)| (name.to_owned(), keys)))
    }

    /// What `mode` makes of the request; nothing where its credential is not there.
    async fn try_mode(
        &self,
        mode: &Arc<AuthMode>,
        request: &Request<'_>,
    ) -> Result<Option<Outcome>, AuthError> {
        let identity = match &mode.method {
            AuthMethod::Anonymous { user_id, username } => {
                let templates = (user_id.as_ref(), username.as_ref());
                anonymous::identify(
                    templates,
                    request,
                    self.clock.now(),
                    self.random,
                    &self.no_claims,
                )?
            }
            AuthMethod::Jwt(jwt) => match &jwt.credential {
                Credential::FirstMessage(within) => {
                    return Ok(Some(Outcome::AwaitFirstMessage {
                        mode: mode.clone(),
                        deadline: self.clock.monotonic().after(*within),
                    }));
                }
                Credential::Request(places) => match request.credential(places)? {
                    Some(token) => self.identify_token(mode, token).await?,
                    None => return Ok(None),
                },
            },
            AuthMethod::Session(session) => match request.cookie(&session.cookie) {
                Some(cookie) => self.identify_session(mode, cookie)?,
                None => return Ok(None),
            },
        };
        let subprotocol = request.chosen_subprotocol();
        Ok(Some(Outcome::Identified(identity, subprotocol)))
    }

    fn identify_session(&self, mode: &AuthMode, cookie: &str) -> Result<Identity, AuthError> {
        match &self.ready(mode).state {
            State::Sessions(file) => file.find(cookie, self.clock.now()),
            _ => Err(AuthError::SessionsUnavailable),
        }
    }

    fn ready(&self, mode: &AuthMode) -> &Ready {
        // A mode's index is its place in the list that `new` was given.
        &self.modes[mode.index]
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.modes.iter().map(|ready| &*ready.mode.name).collect();
        f.debug_tuple("Authenticator").field(&names).finish()
    }
}

fn places_in_words(modes: &[Arc<AuthMode>]) -> String {
    let mut words: Vec<String> = Vec::new();
    for mode in modes {
        let places: &[Place] = match &mode.method {
            AuthMethod::Jwt(jwt) => match &jwt.credential {
                Credential::Request(places) => places,
                Credential::FirstMessage(_) => &[],
            },
            AuthMethod::Session(session) => &[Place::Cookie(session.cookie.clone())],
            AuthMethod::Anonymous { .. } => &[],
        };
        for word in places.iter().map(request::words) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
