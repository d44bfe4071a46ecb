//! One version of a mode's keys, ready for verifying.

use jsonwebtoken::{Algorithm, DecodingKey};

use crate::auth::AuthError;
use crate::auth::keys::header::{Header, Parts, malformed};
use crate::plan::key::{JwtAlgorithm, Key, KeyKind};

/// With how many keys a token is tried at most. A sender who names no `kid` could otherwise have the server check a hundred
/// signatures for one.
pub(super) const TRIES_MAX: usize = 10;

pub(super) struct Ring {
    keys: Box<[(Key, DecodingKey)]>,
}

impl Ring {
    pub(super) fn new(keys: &[Key]) -> Self {
        let ready = |key: &Key| (key.clone(), decoding_key(key));
        Self {
            keys: keys.iter().map(ready).collect(),
        }
    }

    /// Whether one of the keys that the header means signed the token: those with its `kid` and those without one; all where it
    /// has none. The first ten that can do the algorithm are tried.
    pub(super) fn check(&self, header: &Header, parts: &Parts<'_>) -> Result<(), AuthError> {
        let is_meant = |key: &Key| match (&header.key_id, key.id()) {
            (Some(wanted), Some(id)) => **wanted == *id,
            _ => true,
        };
        let mut tried = false;
        let meant = self
            .keys
            .iter()
            .filter(|(key, _)| is_meant(key) && key.fits(header.algorithm));
        for (_, key) in meant.take(TRIES_MAX) {
            tried = true;
            let algorithm = library_name(header.algorithm);
            let good = jsonwebtoken::crypto::verify(parts.signature, parts.signed, key, algorithm)
                .map_err(|_| malformed("the signature is not base64url"))?;
            if good {
                return Ok(());
            }
        }
        Err(if tried {
            AuthError::Signature
        } else {
            AuthError::KeyUnknown
        })
    }
}

fn decoding_key(key: &Key) -> DecodingKey {
    match key.kind() {
        KeyKind::Hmac => DecodingKey::from_secret(key.bytes()),
        KeyKind::Rsa => DecodingKey::from_rsa_der(key.bytes()),
        KeyKind::P256 | KeyKind::P384 => DecodingKey::from_ec_der(key.bytes()),
        KeyKind::Ed25519 => DecodingKey::from_ed_der(key.bytes()),
    }
}

pub(super) const fn library_name(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Hs384 => Algorithm::HS384,
        JwtAlgorithm::Hs512 => Algorithm::HS512,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
