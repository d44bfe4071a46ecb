//! What tokens have to be signed with: `algorithms` and their keys, in `auth.NAME.jwt` and wherever else tokens are taken.

use crate::config::{JwtKey, KeyFile, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::key::{self, JwtAlgorithm, Key, KeyError, KeyKind, KeySet, Origin, PemError};
use crate::plan::lower::server::{HANDSHAKE_TIMEOUT, value};
use crate::plan::lower::{Lowering, finding, shown};
use crate::plan::{HttpUrl, IssuerKeys, KeySource, TokenKeys};
use crate::vocab::Secret;

type Algorithms = [Spanned<JwtAlgorithm>];

const PUBLIC: [KeyKind; 4] = [KeyKind::Rsa, KeyKind::P256, KeyKind::P384, KeyKind::Ed25519];
const PEM_HELP: &str = "export the public key as PEM, for example with `openssl pkey -in private.pem -pubout`; \
    an SSH key with `ssh-keygen -e -m PKCS8 -f key.pub`";

impl Lowering<'_> {
    /// The keys, and the algorithms that they can do; none where a finding says why.
    pub(super) fn token_keys(
        &mut self,
        listed: Option<&Spanned<Vec<Spanned<JwtAlgorithm>>>>,
        written: Option<&JwtKey>,
    ) -> Option<TokenKeys> {
        let written = written?;
        if let Some(listed) = listed {
            self.algorithms(&listed.value, listed.span);
        }
        let algorithms = listed.map_or(&[][..], |listed| &listed.value);
        let source = match written {
            JwtKey::Secret(secret) => self.secret(secret, algorithms),
            JwtKey::PublicKey(file) => self.public_keys(file, algorithms),
            JwtKey::JwksFile(file) => self.key_set(file, algorithms),
            JwtKey::JwksUrl(url) => self.issuer(url, None, algorithms),
            JwtKey::IssuerDiscovery(issuer) => {
                self.issuer(issuer, Some(issuer.as_str()), algorithms)
            }
        };
        Some(TokenKeys {
            algorithms: algorithms.iter().map(|written| written.value).collect(),
            source: source?,
        })
    }

    /// Finds lists that are empty, say something twice, or mix secrets with public keys.
    fn algorithms(&mut self, algorithms: &Algorithms, list: Span) {
        if algorithms.is_empty() && self.complete {
            let message = "`algorithms` is empty, so that every token is refused".to_owned();
            let help = "name what the issuer signs with, as in `algorithms: [RS256]`";
            self.find(finding(&codes::WRONG_ALGORITHM, list, message, help));
        }
        for (index, algorithm) in algorithms.iter().enumerate() {
            let before = &algorithms[..index];
            if let Some(first) = before.iter().find(|other| other.value == algorithm.value) {
                let message = format!("`{}` stands twice in this list", algorithm.value.as_str());
                let finding = Diagnostic::new(&codes::REPEATED, algorithm.span, message)
                    .help("remove one of them")
                    .also(first.span, "it stands here first");
                self.find(finding);
            }
        }
        let is_secret = |one: &&Spanned<JwtAlgorithm>| one.value.key_kind() == KeyKind::Hmac;
        let shared = algorithms.iter().find(is_secret);
        let public = algorithms.iter().find(|one| !is_secret(one));
        if let (Some(shared), Some(public)) = (shared, public) {
            let (one, other) = (shared.value.as_str(), public.value.as_str());
            let message = format!(
                "`{one}` and `{other}` in one mode: what verifies the one could be used to forge the other"
            );
            let help = "make two auth modes, and name both on the endpoint";
            let finding = finding(&codes::WRONG_ALGORITHM, shared.span, message, help)
                .also(public.span, format!("`{other}` stands here"));
            self.find(finding);
        }
    }

    fn secret(&mut self, secret: &Spanned<Secret>, algorithms: &Algorithms) -> Option<KeySource> {
        let help = "a secret does `HS256`, `HS384` and `HS512`; for the others write `public_key_file`, `jwks_file`, `jwks_url` or `issuer_discovery`";
        self.only(&[KeyKind::Hmac], algorithms, "a secret", help);
        let strictest = algorithms.iter().map(|one| one.value);
        let strictest = strictest.max_by_key(|algorithm| algorithm.secret_bytes_min());
        self.strong(secret, strictest.unwrap_or(JwtAlgorithm::Hs256));
        Some(KeySource::Fixed(vec![Key::secret(&secret.value)]))
    }

    /// Finds a secret that is too short for `algorithm`.
    pub(super) fn strong(&mut self, secret: &Spanned<Secret>, algorithm: JwtAlgorithm) {
        let least = algorithm.secret_bytes_min().max(key::SECRET_BYTES_MIN);
        if secret.value.expose().len() >= least {
            return;
        }
        let needed = if least > key::SECRET_BYTES_MIN {
            format!(", which `{}` needs", algorithm.as_str())
        } else {
            String::new()
        };
        let message = format!(
            "the secret has fewer than {least} bytes{needed}: tokens could be forged by guessing it"
        );
        let help = format!(
            "use at least {least} random bytes, for example from `openssl rand -base64 {least}`"
        );
        self.find(finding(&codes::WEAK_SECRET, secret.span, message, &help));
    }

    fn public_keys(&mut self, file: &KeyFile, algorithms: &Algorithms) -> Option<KeySource> {
        let name = shown(self.config, &file.path.value).to_string();
        let keys = match key::read_pem(&file.text) {
            Ok(keys) => keys,
            Err(error) => {
                self.bad_pem(&error, &name, file.path.span);
                return None;
            }
        };
        let kinds: Vec<KeyKind> = keys.iter().map(Key::kind).collect();
        let held = format!("`{name}`, which holds {}", in_words(&kinds));
        let help = format!("write {}", doable(&kinds));
        self.only(&kinds, algorithms, &held, &help);
        let is_used = |kind: &KeyKind| algorithms.iter().any(|one| one.value.key_kind() == *kind);
        // Where none is, the algorithms have been told apart from the keys already.
        if kinds.iter().any(is_used) {
            for kind in kinds.into_iter().filter(|kind| !is_used(kind)) {
                let message = format!("{kind} in `{name}` can do none of the `algorithms`");
                let help = format!("add {}, or remove the key from the file", doable(&[kind]));
                let span = file.path.span;
                self.find(finding(&codes::WRONG_ALGORITHM, span, message, &help));
            }
        }
        Some(KeySource::Fixed(keys))
    }

    fn bad_pem(&mut self, error: &PemError, name: &str, span: Span) {
        let (code, help) = match error {
            PemError::Block {
                error: KeyError::Private,
                ..
            } => (
                &codes::PRIVATE_KEY,
                "the server needs the public key alone: make it with `openssl pkey -in private.pem -pubout`, and keep the private one where tokens are signed",
            ),
            PemError::Block {
                error: KeyError::Size(_),
                ..
            } => (
                &codes::WEAK_KEY,
                "make a new pair, for example with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`",
            ),
            PemError::TooMany => (&codes::BAD_KEYS, "keep the keys that are in use"),
            PemError::NoBlock | PemError::Block { .. } => (&codes::BAD_KEYS, PEM_HELP),
        };
        let message = match error {
            PemError::Block { tag, error } => {
                format!("`{tag}` in `{name}` cannot be used: {error}")
            }
            PemError::NoBlock | PemError::TooMany => format!("`{name}` cannot be used: {error}"),
        };
        self.find(finding(code, span, message, help));
    }

    fn key_set(&mut self, file: &KeyFile, algorithms: &Algorithms) -> Option<KeySource> {
        let name = shown(self.config, &file.path.value).to_string();
        let span = file.path.span;
        let set = match key::read_set(&file.text, Origin::File) {
            Ok(set) => set,
            Err(error) => {
                let message = format!("`{name}` is no JSON Web Key Set: {error}");
                let help = "write `{\"keys\": […]}` as RFC 7517 has it; a PEM file goes under `public_key_file`";
                self.find(finding(&codes::BAD_KEYS, span, message, help));
                return None;
            }
        };
        let private = set
            .skipped
            .iter()
            .find(|one| one.error == KeyError::Private);
        if let Some(private) = private {
            let message = format!("key {} of `{name}` is a private key", private.number);
            let help = "remove `d` and what else is private from the key: the server needs the public part alone";
            self.find(finding(&codes::PRIVATE_KEY, span, message, help));
        } else if !algorithms.is_empty() && !any_fits(&set, algorithms) {
            let message = format!("no key of `{name}` can do any of the `algorithms`");
            let help = match set.skipped.first() {
                Some(skipped) => format!("key {} is left out: {}", skipped.number, skipped.error),
                None if set.keys.is_empty() => "it has no keys at all".to_owned(),
                None => {
                    let kinds: Vec<KeyKind> = set.keys.iter().map(Key::kind).collect();
                    format!("it holds {}: write {}", in_words(&kinds), doable(&kinds))
                }
            };
            self.find(finding(&codes::WRONG_ALGORITHM, span, message, &help));
        }
        Some(KeySource::File {
            path: file.path.value.clone(),
            keys: set.keys,
        })
    }

    /// The set at `written`, or that of the issuer which has this name.
    fn issuer(
        &mut self,
        written: &Text,
        issuer: Option<&str>,
        algorithms: &Algorithms,
    ) -> Option<KeySource> {
        if issuer.is_some()
            && let Some((alone, _)) = written.shown().split_once("/.well-known/")
        {
            let message =
                "this is where an issuer says what it is, not the issuer's name".to_owned();
            let help = format!("write the issuer alone, `{alone}`, as `iss` of its tokens has it");
            self.find(finding(&codes::BAD_ISSUER, written.span(), message, &help));
            return None;
        }
        let help = "an issuer publishes public keys; a secret goes under `secret` or `secret_file`";
        self.only(&PUBLIC, algorithms, "what everybody may fetch", help);
        let url = match issuer {
            Some(issuer) => {
                let folder = issuer.strip_suffix('/').unwrap_or(issuer);
                format!("{folder}/.well-known/openid-configuration")
            }
            None => written.as_str().to_owned(),
        };
        let (message, help) = match HttpUrl::parse(&url) {
            Ok(url) if url.is_exposed() => (
                "keys that come over plain `http` may be anybody's".to_owned(),
                "write `https://`; plain `http` is for this machine alone",
            ),
            Ok(_) if issuer.is_some_and(|issuer| issuer.contains(['?', '@'])) => (
                "an issuer is a URL without query and credentials".to_owned(),
                "write what stands in `iss`, like `https://id.example.com`",
            ),
            Ok(url) => {
                let limits = &self.config.server.limits;
                return Some(KeySource::Issuer(IssuerKeys {
                    url,
                    issuer: issuer.map(Into::into),
                    wait: value(limits.handshake, HANDSHAKE_TIMEOUT),
                }));
            }
            Err(error) => (
                format!("keys cannot be fetched from this URL: {error}"),
                "write it like `https://id.example.com`",
            ),
        };
        self.find(finding(&codes::BAD_ISSUER, written.span(), message, help));
        None
    }

    /// Finds algorithms that need another kind of key than `kinds`, which `held` has.
    fn only(&mut self, kinds: &[KeyKind], algorithms: &Algorithms, held: &str, help: &str) {
        for algorithm in algorithms {
            let needed = algorithm.value.key_kind();
            if !kinds.contains(&needed) {
                let name = algorithm.value.as_str();
                let message = format!("`{name}` needs {needed}: it cannot be done with {held}");
                self.find(finding(
                    &codes::WRONG_ALGORITHM,
                    algorithm.span,
                    message,
                    help,
                ));
            }
        }
    }
}

fn any_fits(set: &KeySet, algorithms: &Algorithms) -> bool {
    let fits = |key: &Key| algorithms.iter().any(|one| key.fits(one.value));
    set.keys.iter().any(fits)
}

fn in_words(kinds: &[KeyKind]) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in kinds.iter().map(KeyKind::to_string) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" and ")
}

/// The algorithms that keys of `kinds` can do.
fn doable(kinds: &[KeyKind]) -> String {
    let names: Vec<String> = JwtAlgorithm::ALL
        .into_iter()
        .filter(|algorithm| kinds.contains(&algorithm.key_kind()))
        .map(|algorithm| format!("`{}`", algorithm.as_str()))
        .collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
