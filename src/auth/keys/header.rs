//! The form of a token (RFC 7515): three parts, and a header of which only what may be trusted is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::auth::AuthError;
use crate::plan::key::JwtAlgorithm;
use crate::vocab::json;

/// The `typ` of join tokens.
pub(in crate::auth) const JOIN_TYPE: &str = "trunkline-join+jwt";

const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a token is for, by its `typ` (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum TokenType {
    /// Saying who one is: no `typ`, `JWT` or `at+jwt`.
    Login,
    /// Letting one user into one room: `trunkline-join+jwt`.
    Join,
}

impl TokenType {
    /// Whether `typ` says so. Media types are compared without case, and `application/` may be left out (RFC 7515 §4.1.9).
    fn is(self, typ: Option<&Value>) -> bool {
        let Some(typ) = typ else {
            return self == Self::Login;
        };
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        let short = typ.strip_prefix("application/").unwrap_or(&typ);
        match self {
            Self::Login => short == "jwt" || short == "at+jwt",
            Self::Join => short == JOIN_TYPE,
        }
    }
}

/// A token taken apart.
pub(super) struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    /// As it stands in the token: base64url.
    pub(super) signature: &'a str,
    /// What is signed: header and payload with the dot between them.
    pub(super) signed: &'a [u8],
}

/// What a header says that counts.
pub(super) struct Header {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key_id: Option<Box<str>>,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it does not have three parts"));
        };
        Ok(Self {
            header,
            payload,
            signature,
            signed: &token.as_bytes()[..header.len() + 1 + payload.len()],
        })
    }

    /// The header, if its algorithm is one of `allowed` and its type `wanted`. What it says of keys (`jwk`, `jku`, `x5c`, `x5u`)
    /// is not looked at, but for `kid`.
    pub(super) fn header(
        &self,
        allowed: &[JwtAlgorithm],
        wanted: TokenType,
    ) -> Result<Header, AuthError> {
        let header = object(self.header, "header")?;
        let named = header.get("alg").and_then(Value::as_str);
        let algorithm = named
            .and_then(JwtAlgorithm::parse)
            .filter(|named| allowed.contains(named))
            .ok_or(AuthError::Algorithm)?;
        // `b64` without `crit` is against RFC 7797 §6: two readers would disagree about what is signed.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(AuthError::Critical);
        }
        if !wanted.is(header.get("typ")) {
            return Err(AuthError::Type);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str().into()),
            Some(_) => return Err(malformed("its `kid` is not a text")),
        };
        Ok(Header { algorithm, key_id })
    }

    /// The claims. Not to be asked for before the signature was checked.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, AuthError> {
        object(self.payload, "payload")
    }
}

pub(super) fn malformed(cause: impl Into<String>) -> AuthError {
    AuthError::Malformed {
        cause: cause.into(),
    }
}

fn object(text: &str, name: &str) -> Result<Map<String, Value>, AuthError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| malformed(format!("the {name} is not base64url")))?;
    let text = str::from_utf8(&bytes).map_err(|_| malformed(format!("the {name} is not UTF-8")))?;
    // Each key once: two readers of a token must not see two different tokens in it.
    match json::parse(text, json::DEPTH_MAX) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(malformed(format!("the {name} is not an object"))),
        Err(error) => Err(malformed(format!("the {name}: {error}"))),
    }
}
