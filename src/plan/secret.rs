//! What of a Plan no log may show.

use crate::plan::key::Key;
use crate::plan::{
    AuthMethod, Credential, Forward, KeySource, Lookup, MayJoin, Place, Plan, TokenKeys,
};
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
                AuthMethod::Http(application) => {
                    names.extend(application.forward.iter().filter_map(|part| match part {
                        Forward::Cookies => None,
                        Forward::Cookie(name) | Forward::Header(name) | Forward::Query(name) => {
                            Some(&**name)
                        }
                    }));
                }
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
            match &mode.method {
                AuthMethod::Jwt(jwt) => secrets.extend(of_keys(&jwt.keys)),
                AuthMethod::Session(session) => match &session.lookup {
                    Lookup::Http(call) => secrets.extend(call.secret.clone()),
                    Lookup::Redis(redis) => secrets.push(redis.url.clone()),
                    Lookup::Signed(signed) => secrets.push(signed.secret.clone()),
                    Lookup::File(_) => {}
                },
                AuthMethod::Http(application) => secrets.extend(application.call.secret.clone()),
                AuthMethod::Anonymous { .. } => {}
            }
        }
        for room in &self.rooms {
            match &room.may_join {
                MayJoin::Http { call, .. } => secrets.extend(call.secret.clone()),
                MayJoin::Token { keys, .. } => secrets.extend(of_keys(keys)),
                MayJoin::Rule(_) => {}
            }
        }
        secrets
    }
}

fn of_keys(keys: &TokenKeys) -> Vec<Secret> {
    match &keys.source {
        KeySource::Fixed(keys) | KeySource::File { keys, .. } => {
            keys.iter().filter_map(Key::as_secret).collect()
        }
        KeySource::Issuer(_) => Vec::new(),
    }
}
