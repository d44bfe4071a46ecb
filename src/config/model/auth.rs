//! `auth`: named ways to turn a credential into a user, and the application's answers.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{SchemaSource, Spanned, Text};
use crate::vocab::Secret;

/// `auth.NAME`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthMode {
    /// `description`.
    pub description: Option<Text>,
    /// `anonymous`, `jwt`, `session` or `http`: one of them, required.
    pub method: Option<AuthMethod>,
    /// `claims`: the JSON Schema of the user's claims.
    pub claims: Option<SchemaSource>,
}

/// How a credential is turned into a user.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthMethod {
    /// `anonymous`: without one.
    Anonymous(Spanned<Anonymous>),
    /// `jwt`: a signed token.
    Jwt(Spanned<Jwt>),
    /// `session`: a cookie that is looked up.
    Session(Spanned<Session>),
    /// `http`: the application is asked.
    Http(Spanned<HttpCall>),
}

/// `auth.NAME.anonymous`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Anonymous {
    /// `user_id`: a template; what follows `anon:`.
    pub user_id: Option<Text>,
    /// `username`: a template; the name to show.
    pub username: Option<Text>,
}

/// `auth.NAME.jwt`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jwt {
    /// `algorithms`, required: a token that names any other is refused.
    pub algorithms: Option<Spanned<Vec<Spanned<JwtAlgorithm>>>>,
    /// `secret`, `secret_file`, `public_key_file`, `jwks_file`, `jwks_url` or `issuer_discovery`: one of them, required.
    pub key: Option<JwtKey>,
    /// `credential`: where the token is looked for.
    pub credential: Option<Spanned<Credential>>,
    /// `issuer`: what `iss` must be.
    pub issuer: Option<Text>,
    /// `audience`: what `aud` must be or contain, or a list of which one is enough.
    pub audience: Option<Spanned<Vec<Text>>>,
    /// `leeway`: how far clocks may differ.
    pub leeway: Option<Spanned<Duration>>,
    /// `require_exp`: whether a token has to carry `exp`.
    pub require_exp: Option<Spanned<bool>>,
    /// `user_id`: the claim that is the user's id; default `sub`.
    pub user_id: Option<Text>,
    /// `username`: the claim that is the name to show.
    pub username: Option<Text>,
    /// `expiry`: what happens when the token runs out.
    pub expiry: Option<Spanned<Expiry>>,
}

/// The signatures of the JSON Web Algorithms that a token may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// `HS256`.
    Hs256,
    /// `HS384`.
    Hs384,
    /// `HS512`.
    Hs512,
    /// `RS256`.
    Rs256,
    /// `RS384`.
    Rs384,
    /// `RS512`.
    Rs512,
    /// `PS256`.
    Ps256,
    /// `PS384`.
    Ps384,
    /// `PS512`.
    Ps512,
    /// `ES256`.
    Es256,
    /// `ES384`.
    Es384,
    /// `EdDSA`.
    EdDsa,
}

/// What tokens are verified with.
#[derive(Clone, Debug, PartialEq)]
pub enum JwtKey {
    /// `secret` or `secret_file`: for HMAC.
    Secret(Spanned<Secret>),
    /// `public_key_file`: a PEM file.
    PublicKey(KeyFile),
    /// `jwks_file`: a JSON Web Key Set.
    JwksFile(KeyFile),
    /// `jwks_url`.
    JwksUrl(Text),
    /// `issuer_discovery`: the issuer, whose OpenID configuration names the keys.
    IssuerDiscovery(Text),
}

/// A file of public keys.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFile {
    /// Where it was read from.
    pub path: Spanned<PathBuf>,
    /// What it holds.
    pub text: String,
}

/// `credential`.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// `query`, `header`, `cookie`, `subprotocol`: in the request, in the order in which they are written.
    Request(Vec<(Spanned<CredentialPlace>, Text)>),
    /// `first_message`: in the first frame, which has to come within this time.
    FirstMessage(Spanned<Duration>),
}

/// A kind of place in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `query`: the query parameter of that name.
    Query,
    /// `header`: the header of that name.
    Header,
    /// `cookie`: the cookie of that name.
    Cookie,
    /// `subprotocol`: the subprotocol that begins with this and a dot.
    Subprotocol,
}

/// `expiry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// `close`: the connection ends.
    Close,
    /// `refresh`: the client may send a new token in time.
    Refresh,
}

/// `auth.NAME.session`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// `cookie`, required: the cookie's name.
    pub cookie: Option<Text>,
    /// `lookup`, required: who knows what it stands for.
    pub lookup: Option<SessionLookup>,
}

/// `auth.NAME.session.lookup`.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionLookup {
    /// `http`: the application.
    Http(Spanned<HttpCall>),
    /// `redis`.
    Redis(Spanned<RedisLookup>),
    /// `file`: a map from cookie value to user, for development.
    File(Spanned<PathBuf>),
    /// `signed`: the cookie says it all, and a signature that it is so.
    Signed(Spanned<SignedCookie>),
}

/// `lookup.signed`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignedCookie {
    /// `secret` or `secret_file`, required.
    pub secret: Option<Spanned<Secret>>,
    /// `algorithm`: `HS256`, `HS384` or `HS512`.
    pub algorithm: Option<Spanned<JwtAlgorithm>>,
}

/// `lookup.redis`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisLookup {
    /// `url` or `url_file`, required; it may hold a password.
    pub url: Option<Spanned<Secret>>,
    /// `prefix`: what stands before the cookie's value in the key.
    pub prefix: Option<Text>,
    /// `timeout`: how long the answer may take.
    pub timeout: Option<Spanned<Duration>>,
    /// `cache`: for how long an answer is good.
    pub cache: Option<Spanned<Duration>>,
    /// `stale`: for how long beyond that while Redis does not answer.
    pub stale: Option<Spanned<Duration>>,
}

/// A question to the application: `auth.NAME.http`, `lookup.http`, `may_join.http`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpCall {
    /// `url`, required.
    pub url: Option<Text>,
    /// `forward`: what of the request is passed on, such as `cookie` or `query.token`.
    pub forward: Option<Spanned<Vec<Text>>>,
    /// `timeout`: how long the answer may take.
    pub timeout: Option<Spanned<Duration>>,
    /// `cache`: for how long an answer is good.
    pub cache: Option<Spanned<Duration>>,
    /// `stale`: for how long beyond that while the application does not answer.
    pub stale: Option<Spanned<Duration>>,
    /// `secret` or `secret_file`: what proves who asks.
    pub secret: Option<Spanned<Secret>>,
}
