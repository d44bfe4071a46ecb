//! Sessions that the cookie itself holds: `BASE64URL(JSON).BASE64URL(HMAC of what stands before the dot)`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::AuthError;
use crate::auth::answer::{self, Login};
use crate::plan::{Hmac, SignedCookie};
use crate::schema::Schema;
use crate::vocab::Timestamp;

/// Browsers keep cookies of up to 4 KiB (RFC 6265 §6.1).
const COOKIE_BYTES_MAX: usize = 4096;

/// Checks the cookies of one auth mode.
pub(super) struct CookieKey(hmac::Key);

impl CookieKey {
    pub(super) fn new(signed: &SignedCookie) -> Self {
        let algorithm = match signed.algorithm {
            Hmac::Sha256 => hmac::HMAC_SHA256,
            Hmac::Sha384 => hmac::HMAC_SHA384,
            Hmac::Sha512 => hmac::HMAC_SHA512,
        };
        Self(hmac::Key::new(algorithm, signed.secret.expose().as_bytes()))
    }

    /// Whose cookie it is, if it is good at the moment `now`.
    pub(super) fn open(
        &self,
        cookie: &str,
        claims: Option<&Schema>,
        now: Timestamp,
    ) -> Result<Login, AuthError> {
        let unusable = |cause: &str| AuthError::SessionUnusable {
            cause: cause.to_owned(),
        };
        if cookie.len() > COOKIE_BYTES_MAX {
            return Err(unusable("it is longer than 4 KiB"));
        }
        let (payload, signature) = cookie
            .split_once('.')
            .ok_or_else(|| unusable("it has no dot"))?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('='));
        let signature =
            decode(signature).map_err(|_| unusable("the signature is not base64url"))?;
        // Compares in constant time.
        hmac::verify(&self.0, payload.as_bytes(), &signature)
            .map_err(|_| AuthError::SessionForged)?;
        let payload = decode(payload).map_err(|_| unusable("the payload is not base64url"))?;
        let login = answer::read(&payload, claims).map_err(|error| unusable(&error.to_string()))?;
        match login.identity.expires_at {
            None => Err(unusable("there is no `expires_at`")),
            Some(ends) if now >= ends => Err(AuthError::SessionExpired),
            Some(_) => Ok(login),
        }
    }
}
