//! `auth`: ways to turn a credential into a user.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::HttpUrl;
use crate::plan::key::{JwtAlgorithm, Key};
use crate::rule::Template;
use crate::schema::Schema;

/// A named way to turn a credential into a user.
#[derive(Debug)]
pub struct AuthMode {
    /// Its number among the auth modes.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// How.
    pub method: AuthMethod,
}

/// How a credential is turned into a user.
#[derive(Debug)]
pub enum AuthMethod {
    /// Without one. The templates see `path`, `query` and `connection`.
    Anonymous {
        /// What follows `anon:`; random where there is none.
        user_id: Option<Template>,
        /// The name to show.
        username: Option<Template>,
    },
    /// A signed token.
    Jwt(Jwt),
    /// A cookie whose value is looked up.
    Session(Session),
}

/// `auth.NAME.jwt`.
#[derive(Debug)]
pub struct Jwt {
    /// What a token has to be signed with.
    pub keys: TokenKeys,
    /// Where to look for the token.
    pub credential: Credential,
    /// What `iss` must be.
    pub issuer: Option<Box<str>>,
    /// What `aud` must be or contain one of; empty where it is not looked at.
    pub audiences: Vec<Box<str>>,
    /// How far clocks may differ; five minutes at most.
    pub leeway: Duration,
    /// Whether a token has to end.
    pub lifetime: Lifetime,
    /// The claim that is the user's id.
    pub user_id: Box<str>,
    /// The claim that is the name to show.
    pub username: Option<Box<str>>,
    /// What the claims must look like.
    pub claims: Option<Arc<Schema>>,
    /// What becomes of a connection whose token ends.
    pub expiry: Expiry,
}

/// What becomes of a connection whose token ends. It may send a fresh one in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It ends with 4001.
    Close,
    /// It is asked for a fresh one before.
    Refresh,
}

/// What tokens have to be signed with.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    /// The algorithms that a token may name; never HMAC beside others.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where the keys are.
    pub source: KeySource,
}

/// Where the keys are that tokens are verified with.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Here, as long as the server runs.
    Fixed(Vec<Key>),
    /// In a JSON Web Key Set, read again when it changes.
    File {
        /// Where it is.
        path: PathBuf,
        /// What it held when the file was checked.
        keys: Vec<Key>,
    },
    /// Where their issuer publishes them.
    Issuer(IssuerKeys),
}

/// Keys that an issuer publishes, as `jwks_url` and `issuer_discovery` name them.
#[derive(Clone, Debug)]
pub struct IssuerKeys {
    /// Where its set is; or its OpenID configuration, which names that, where `issuer` is known. https, or this machine.
    pub url: HttpUrl,
    /// What the `issuer` of its OpenID configuration has to be.
    pub issuer: Option<Box<str>>,
    /// How long a handshake waits for a fetch that is under way.
    pub wait: Duration,
}

/// Whether a token has to carry `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// One without is refused.
    Ends,
    /// One without is good for ever: `require_exp: false`.
    MayBeEndless,
}

/// Where a token is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// In the request, in this order.
    Request(Vec<Place>),
    /// In the first frame, which has to come within this time.
    FirstMessage(Duration),
}

/// A place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The query parameter of that name.
    Query(Box<str>),
    /// The header of that name, after `Bearer ` where it is `authorization`.
    Header(Box<str>),
    /// The cookie of that name.
    Cookie(Box<str>),
    /// The subprotocol that begins with this and a dot.
    Subprotocol(Box<str>),
}

/// `auth.NAME.session`.
#[derive(Debug)]
pub struct Session {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// The file that maps its value to a user, read again when it changes.
    pub file: PathBuf,
}
