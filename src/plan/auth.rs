//! `auth`: ways to turn a credential into a user.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Application, Session};
use crate::rule::Template;
use crate::schema::Schema;
use crate::vocab::Secret;

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
    /// The application is asked.
    Http(Application),
}

/// `auth.NAME.jwt`.
#[derive(Debug)]
pub struct Jwt {
    /// The algorithms that a token may name.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The key.
    pub secret: Secret,
    /// Where to look for the token.
    pub credential: Credential,
    /// What `iss` must be.
    pub issuer: Option<Box<str>>,
    /// What `aud` must contain.
    pub audience: Option<Box<str>>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The claim that is the user's id.
    pub user_id: Box<str>,
    /// The claim that is the name to show.
    pub username: Option<Box<str>>,
    /// What the claims must look like.
    pub claims: Option<Arc<Schema>>,
}

/// The signatures that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
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
