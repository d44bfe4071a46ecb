//! What of a Plan no log may show.

use crate::plan::key::Key;
use crate::plan::{AuthMethod, Credential, KeySource, Place, Plan};
use crate::vocab::Secret;

impl Plan {
    /// The names that requests carry credentials under: of query parameters, headers and cookies.
    pub fn credential_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for mode in &self.auth {
            match &mode.method {
                AuthMethod::Jwt(jwt) => {
                    let Credential::Request(places) = &jwt.credential else {
                        continue;
                    };
                    names.extend(places.iter().map(|place| match place {
                        Place::Query(name)
                        | Place::Header(name)
                        | Place::Cookie(name)
                        | Place::Subprotocol(name) => &**name,
                    }));
                }
                AuthMethod::Session(session) => names.push(&*session.cookie),
                AuthMethod::Anonymous { .. } => {}
            }
        }
        names
    }

    /// Everything that the file keeps secret.
    pub fn secrets(&self) -> Vec<Secret> {
        let api = self.server.api.iter().flat_map(|api| &api.keys);
        let mut secrets: Vec<Secret> = api.map(|key| key.secret.clone()).collect();
        for mode in &self.auth {
            if let AuthMethod::Jwt(jwt) = &mode.method
                && let KeySource::Fixed(keys) | KeySource::File { keys, .. } = &jwt.keys.source
            {
                secrets.extend(keys.iter().filter_map(Key::as_secret));
            }
        }
        secrets
    }
}
