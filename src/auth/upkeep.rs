//! What goes on beside handshakes: files of sessions and keys are read again, the keys of issuers fetched.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::keys::{Fetching, Keychain};
use crate::auth::{Authenticator, Means, Ready, State};
use crate::plan::{AuthMethod, Lookup};
use crate::webhook::Client;

const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Authenticator {
    /// Looks at the files of sessions and reads those that changed; does nothing within a second of the last look. Blocks.
    pub fn refresh_sessions(&self) {
        for ready in &self.modes {
            if let (AuthMethod::Session(session), State::Sessions(file)) =
                (&ready.mode.method, &ready.state)
                && let Lookup::File(path) = &session.lookup
            {
                file.refresh(path, self.clock.monotonic());
            }
        }
    }

    /// Looks at the files of keys and reads those that changed; does nothing within a second of the last look. Blocks.
    pub fn refresh_key_files(&self) {
        for (_, keys) in self.keychains() {
            keys.refresh_file(self.clock.monotonic());
        }
    }

    /// Keeps fresh what is in files, as long as it runs; ends at once where no mode has any.
    pub async fn watch_files(self: Arc<Self>) {
        let sessions = |ready: &Ready| matches!(ready.state, State::Sessions(_));
        let is_watched = |(_, keys): (String, &Arc<Keychain>)| keys.is_watched();
        while self.modes.iter().any(sessions) || self.keychains().any(is_watched) {
            let this = self.clone();
            let look = move || {
                this.refresh_sessions();
                this.refresh_key_files();
            };
            if let Err(fault) = tokio::task::spawn_blocking(look).await {
                tracing::error!(%fault, "reading sessions and keys failed");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Fetches the keys of issuers as long as it runs; ends at once where no mode has any. By a client of its own: an application
    /// that hangs would otherwise take the places of its calls.
    pub async fn fetch_keys(self: Arc<Self>, means: Means) {
        let means = Means {
            client: Arc::new(Client::new()),
            ..means
        };
        let mut issuers = JoinSet::new();
        for (owner, keys) in self.fetched() {
            let name = owner.strip_prefix("auth.").unwrap_or(&owner);
            let fetching = Fetching {
                metrics: means.metrics.keys_of(name),
                owner: owner.clone(),
                means: means.clone(),
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
}
