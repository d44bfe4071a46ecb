//! Why a credential does not make a user.

/// A refusal: its text is for the client, [`AuthError::cause`] for the log. Neither ever holds the credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// None of the auth modes found a credential.
    #[error("no credential was sent: it is looked for in {places}")]
    Missing {
        /// The places, in words.
        places: String,
    },
    /// The same place holds two credentials, and guessing which is meant would be wrong.
    #[error("the credential stands twice in {place}")]
    Ambiguous {
        /// The place, in words.
        place: String,
    },
    /// Longer than any honest token.
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// Not three parts of base64url, or not JSON objects with each key once.
    #[error("the token is not a JSON Web Token")]
    Malformed {
        /// Which part, and what is wrong with it.
        cause: String,
    },
    /// It names an algorithm that the mode does not list.
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    /// Its `typ` says that it is something else than a login.
    #[error("the token's `typ` says that it is not for logging in")]
    Type,
    /// It has a `crit` header, and no extension is understood here (RFC 7515 §4.1.11).
    #[error("the token demands an extension that is not supported")]
    Critical,
    /// Another key signed it, or its content was changed.
    #[error("the token's signature does not match")]
    Signature,
    /// It names a key that is not here, or none that is here can do its algorithm.
    #[error("the token is signed with a key that is not known here")]
    KeyUnknown,
    /// The keys have not come yet.
    #[error("the keys that tokens are verified with are not here yet")]
    KeysUnavailable,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// A claim that is needed is not there.
    #[error("the token has no `{0}`")]
    ClaimMissing(Box<str>),
    /// A claim that is needed has an unusable value.
    #[error("the token's `{claim}` is not {expected}")]
    ClaimUnusable {
        /// The claim's name.
        claim: Box<str>,
        /// What it has to be.
        expected: &'static str,
    },
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is meant for another audience")]
    Audience,
    /// The claims do not fit the mode's schema.
    #[error("the token's claims are not what is expected here")]
    Claims {
        /// Paths and keywords, without values.
        cause: String,
    },
    /// No session has the cookie's value.
    #[error("the session does not exist")]
    SessionUnknown,
    /// The session's time is over.
    #[error("the session has expired")]
    SessionExpired,
    /// The sessions cannot be looked up now.
    #[error("sessions cannot be looked up now")]
    SessionsUnavailable,
    /// A signed session that somebody else signed, or changed.
    #[error("the session's signature does not match")]
    SessionForged,
    /// A signed session of another form than it has to have.
    #[error("the session is not as it has to be")]
    SessionUnusable {
        /// What is wrong with it, without values.
        cause: String,
    },
    /// The application knows the credential, or does not, and says no.
    #[error("the credential is not accepted")]
    Refused,
    /// The application cannot be asked now, or does not make sense.
    #[error("the credential cannot be checked now")]
    ApplicationUnavailable,
    /// The request makes no user: a template failed, or yields what is no id or name.
    #[error("the request does not say who the user is")]
    Anonymous {
        /// What failed.
        cause: String,
    },
    /// A join token is for somebody else.
    #[error("the token lets another user in")]
    JoinUser,
    /// A join token is for another room.
    #[error("the token is for another room")]
    JoinRoom,
    /// A token was sent to a mode that takes none.
    #[error("a token is not accepted here")]
    NoTokens,
    /// No key of the HTTP API has this secret.
    #[error("the API key is not known")]
    ApiKey,
}

/// What kind of answer a refusal deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The client's doing: 401, or `unauthenticated`.
    Unauthenticated,
    /// Ours: 503, or `unavailable`; the same credential may pass later.
    Unavailable,
}

impl AuthError {
    /// Whose doing it is.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::SessionsUnavailable | Self::ApplicationUnavailable | Self::KeysUnavailable => {
                RefusalKind::Unavailable
            }
            _ => RefusalKind::Unauthenticated,
        }
    }

    /// More, for the log alone.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Malformed { cause }
            | Self::Claims { cause }
            | Self::SessionUnusable { cause }
            | Self::Anonymous { cause } => Some(cause),
            _ => None,
        }
    }
}
