//! `auth`.

use crate::config::keys::Keys;
use crate::config::reader::Word as _;
use crate::config::{
    Anonymous, AuthMethod, AuthMode, Credential, CredentialPlace, HttpCall, Jwt, JwtAlgorithm,
    JwtKey, KeyFile, RedisLookup, Session, SessionLookup, SignedCookie, Spanned, Text,
};
use crate::vocab::{Secret, parse_duration};

type Algorithms = Spanned<Vec<Spanned<JwtAlgorithm>>>;

const METHODS: &[&str] = &["anonymous", "jwt", "session", "http"];

pub(super) fn auth_mode(keys: &mut Keys<'_, '_>) -> AuthMode {
    let help = "write `anonymous: {}` for guests, or `jwt: {…}` for signed tokens";
    let method = match keys.one_of(METHODS, help) {
        Some("anonymous") => keys
            .section("anonymous", "`anonymous`", anonymous)
            .map(AuthMethod::Anonymous),
        Some("jwt") => keys.section("jwt", "`jwt`", jwt).map(AuthMethod::Jwt),
        Some("session") => keys
            .section("session", "`session`", session)
            .map(AuthMethod::Session),
        Some(_) => keys
            .section("http", "`http`", http_call)
            .map(AuthMethod::Http),
        None => None,
    };
    AuthMode {
        description: keys.description(),
        method,
        claims: keys.schema("claims"),
    }
}

fn anonymous(keys: &mut Keys<'_, '_>) -> Anonymous {
    Anonymous {
        user_id: keys.text("user_id", "a template"),
        username: keys.text("username", "a template"),
    }
}

fn jwt(keys: &mut Keys<'_, '_>) -> Jwt {
    let algorithms = algorithms(keys);
    let names = [
        "secret",
        "secret_file",
        "public_key_file",
        "jwks_file",
        "jwks_url",
        "issuer_discovery",
    ];
    Jwt {
        key: jwt_key(keys, &names, algorithms.as_ref()),
        algorithms,
        credential: credential(keys),
        issuer: keys.text("issuer", "a text"),
        audience: audience(keys),
        leeway: keys.quantity("leeway", parse_duration),
        require_exp: keys.flag("require_exp"),
        user_id: keys.text("user_id", "the name of a claim"),
        username: keys.text("username", "the name of a claim"),
        expiry: keys.word("expiry"),
    }
}

fn audience(keys: &mut Keys<'_, '_>) -> Option<Spanned<Vec<Text>>> {
    let (span, _) = keys.entry("audience")?;
    let audiences = keys.texts("audience", "a text")?;
    Some(Spanned::new(audiences, span))
}

/// `algorithms`, and where the list stands.
pub(super) fn algorithms(keys: &mut Keys<'_, '_>) -> Option<Algorithms> {
    keys.require(
        "algorithms",
        "name what tokens may be signed with, as in `algorithms: [HS256]`",
    );
    let (_, node) = keys.entry("algorithms")?;
    let span = node.span;
    Some(Spanned::new(keys.words("algorithms")?, span))
}

/// What tokens are verified with, under one of `names`.
pub(super) fn jwt_key(
    keys: &mut Keys<'_, '_>,
    names: &[&'static str],
    algorithms: Option<&Algorithms>,
) -> Option<JwtKey> {
    let mut algorithms = algorithms.iter().flat_map(|listed| &listed.value);
    let help = if algorithms.all(|algorithm| is_shared(algorithm.value)) {
        "write `secret: \"${JWT_SECRET}\"` for the algorithms HS…"
    } else {
        "write `public_key_file: FILE` or `jwks_url: URL`: what RS…, PS…, ES… and EdDSA sign is verified with a public key"
    };
    let found = keys.one_of(names, help)?;
    match found {
        "secret" | "secret_file" => keys.secret_of(found, "secret_file").map(JwtKey::Secret),
        "jwks_url" => keys.text(found, "a URL").map(JwtKey::JwksUrl),
        "issuer_discovery" => keys.text(found, "a URL").map(JwtKey::IssuerDiscovery),
        _ => {
            let (_, node) = keys.entry(found)?;
            let (path, text) = keys.reader.named_file(node)?;
            let file = KeyFile { path, text };
            Some(if found == "jwks_file" {
                JwtKey::JwksFile(file)
            } else {
                JwtKey::PublicKey(file)
            })
        }
    }
}

/// Whether one secret signs and verifies.
fn is_shared(algorithm: JwtAlgorithm) -> bool {
    matches!(
        algorithm,
        JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512
    )
}

fn credential(keys: &mut Keys<'_, '_>) -> Option<Spanned<Credential>> {
    keys.section("credential", "`credential`", |keys| {
        let mut places: Vec<_> = CredentialPlace::WORDS
            .iter()
            .filter_map(|(word, place)| {
                let (span, node) = keys.entry(word)?;
                let text = keys.reader.text(node, "a name")?;
                Some((Spanned::new(*place, span), text))
            })
            .collect();
        // Where to look first is said by the order in the file.
        places.sort_by_key(|(place, _)| place.span);
        let first = keys.entry("first_message").map(|(span, _)| span);
        match first.zip(places.first()) {
            Some((first, (place, _))) => {
                keys.stands_alone("first_message", first, place.span);
                Credential::Request(places)
            }
            None => match keys.quantity("first_message", parse_duration) {
                Some(wait) => Credential::FirstMessage(wait),
                None => Credential::Request(places),
            },
        }
    })
}

fn session(keys: &mut Keys<'_, '_>) -> Session {
    keys.require("cookie", "name the cookie, as in `cookie: session_token`");
    keys.require(
        "lookup",
        "say who knows the sessions, as in `lookup: {http: {url: …}}`",
    );
    let lookup = keys.section("lookup", "`lookup`", |keys| {
        let help = "write `http: {url: …}`, `redis: {url: …}`, `signed: {secret: …}` or `file: sessions.yaml`";
        match keys.one_of(&["http", "redis", "signed", "file"], help)? {
            "http" => keys
                .section("http", "`http`", http_call)
                .map(SessionLookup::Http),
            "redis" => keys
                .section("redis", "`redis`", |keys| RedisLookup {
                    url: keys.secret("url", "url_file"),
                    prefix: keys.text("prefix", "a text"),
                    timeout: keys.quantity("timeout", parse_duration),
                    cache: keys.quantity("cache", parse_duration),
                    stale: keys.quantity("stale", parse_duration),
                })
                .map(SessionLookup::Redis),
            "signed" => keys
                .section("signed", "`signed`", |keys| SignedCookie {
                    secret: keys.secret("secret", "secret_file"),
                    algorithm: keys.word("algorithm"),
                })
                .map(SessionLookup::Signed),
            _ => keys.path("file").map(SessionLookup::File),
        }
    });
    Session {
        cookie: keys.text("cookie", "the name of a cookie"),
        lookup: lookup.and_then(|lookup| lookup.value),
    }
}

/// A question to the application.
pub(super) fn http_call(keys: &mut Keys<'_, '_>) -> HttpCall {
    keys.require("url", "say which URL is asked");
    HttpCall {
        url: keys.text("url", "a URL"),
        forward: forward(keys),
        timeout: keys.quantity("timeout", parse_duration),
        cache: keys.quantity("cache", parse_duration),
        stale: keys.quantity("stale", parse_duration),
        secret: optional_secret(keys),
    }
}

fn forward(keys: &mut Keys<'_, '_>) -> Option<Spanned<Vec<Text>>> {
    let (_, node) = keys.entry("forward")?;
    let span = node.span;
    let parts = keys.texts("forward", "a part of the request such as `cookie`")?;
    Some(Spanned::new(parts, span))
}

fn optional_secret(keys: &mut Keys<'_, '_>) -> Option<Spanned<Secret>> {
    let names = ["secret", "secret_file"];
    let stands = names.map(|name| keys.entry(name).is_some());
    stands
        .contains(&true)
        .then(|| keys.secret("secret", "secret_file"))?
}
