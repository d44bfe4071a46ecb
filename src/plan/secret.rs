//! What of a Plan no log may show.

use crate::plan::call::passwords;
use crate::plan::key::Key;
use crate::plan::{
    AuthMethod, Credential, Forward, HttpCall, KeySource, Lookup, MayJoin, Place, Plan, TokenKeys,
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
                    Lookup::Http(call) => secrets.extend(of_call(call)),
                    Lookup::Redis(redis) => secrets.extend(of_url(&redis.url)),
                    Lookup::Signed(signed) => secrets.push(signed.secret.clone()),
                    Lookup::File(_) => {}
                },
                AuthMethod::Http(application) => secrets.extend(of_call(&application.call)),
                AuthMethod::Anonymous { .. } => {}
            }
        }
        for room in &self.rooms {
            match &room.may_join {
                MayJoin::Http { call, .. } => secrets.extend(of_call(call)),
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
        KeySource::Issuer(issuer) => issuer.url.secrets().collect(),
    }
}

fn of_call(call: &HttpCall) -> impl Iterator<Item = Secret> {
    call.secret.iter().cloned().chain(call.url.secrets())
}

/// The URL as a whole, and its password: what connects there may tell of it without the rest.
fn of_url(url: &Secret) -> Vec<Secret> {
    let written = url.expose();
    let (_, rest) = written.split_once("://").unwrap_or(("", written));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let mut secrets = user.map(passwords).unwrap_or_default();
    secrets.insert(0, url.clone());
    secrets
}

#[cfg(test)]
mod tests {
    use super::of_url;
    use crate::plan::HttpUrl;
    use crate::vocab::Secret;

    fn exposed(secrets: impl IntoIterator<Item = Secret>) -> Vec<String> {
        let secrets = secrets.into_iter();
        secrets.map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn passwords_in_urls_are_secrets() {
        for (text, expected) in [
            ("redis://10.0.0.1", &[][..]),
            ("redis://u:p%40ss@10.0.0.1:6379/0", &["p%40ss", "p@ss"]),
            ("rediss://:pass@host?x=a@b", &["pass"]),
        ] {
            let found = exposed(of_url(&Secret::new(text)));
            assert_eq!(found[0], text);
            assert_eq!(found[1..], *expected);
        }
        for (text, expected) in [
            ("https://app.example/a@b", &[][..]),
            (
                "https://u:p%3Ass@app.example/",
                &["p%3Ass", "p:ss", "Basic dTpwOnNz"],
            ),
            (
                "https://key-of-ours@app.example/",
                &["key-of-ours", "Basic a2V5LW9mLW91cnM6"],
            ),
        ] {
            let url = HttpUrl::parse(text).expect("a URL");
            assert_eq!(exposed(url.secrets()), expected, "{text}");
        }
    }
}
