//! Sessions and what the application is asked about who connects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{HttpCall, Patience};
use crate::schema::Schema;
use crate::vocab::Secret;

/// `auth.NAME.session`.
#[derive(Debug)]
pub struct Session {
    /// The cookie's name.
    pub cookie: Box<str>,
    /// Who knows what its value stands for.
    pub lookup: Lookup,
    /// What the claims must look like.
    pub claims: Option<Arc<Schema>>,
}

/// Who knows the sessions.
#[derive(Debug)]
pub enum Lookup {
    /// The application; it is shown the cookie and nothing else.
    Http(HttpCall),
    /// Redis.
    Redis(RedisLookup),
    /// The cookie itself, which is signed.
    Signed(SignedCookie),
    /// A file that maps the value to a user, read again when it changes.
    File(PathBuf),
}

/// `lookup.redis`.
#[derive(Debug)]
pub struct RedisLookup {
    /// `redis://…` or `rediss://…`; it may hold a password.
    pub url: Secret,
    /// What stands before the cookie's value in the key; never empty.
    pub prefix: Box<str>,
    /// How long the answer may take, connecting included.
    pub timeout: Duration,
    /// For how long answers are good.
    pub patience: Patience,
}

/// `lookup.signed`.
#[derive(Debug)]
pub struct SignedCookie {
    /// What it is signed with.
    pub secret: Secret,
    /// How.
    pub algorithm: Hmac,
}

/// Keyed hashes (RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hmac {
    /// `HS256`: with SHA-256.
    Sha256,
    /// `HS384`: with SHA-384.
    Sha384,
    /// `HS512`: with SHA-512.
    Sha512,
}

/// `auth.NAME.http`: the application decides who connects.
#[derive(Debug)]
pub struct Application {
    /// How it is asked.
    pub call: HttpCall,
    /// What of the request it is shown; one of these has to be there.
    pub forward: Vec<Forward>,
    /// What the claims must look like.
    pub claims: Option<Arc<Schema>>,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// `cookie`: all of them.
    Cookies,
    /// `cookie.NAME`.
    Cookie(Box<str>),
    /// `authorization` or `header.NAME`, in small letters.
    Header(Box<str>),
    /// `query.NAME`.
    Query(Box<str>),
}
