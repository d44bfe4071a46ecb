//! Keys that tokens are verified with: what a file or an issuer says, checked. Bytes in, keys out; nothing here verifies.
//!
//! [`read_pem`] reads `public_key_file`, [`read_set`] a JSON Web Key Set (RFC 7517). A key knows which algorithms it can do, so
//! that no token can have it used for another.

mod jwk;
mod pem;
#[cfg(test)]
mod tests;

pub use jwk::{KeySet, Origin, SET_BYTES_MAX, SetError, Skipped, read_set};
pub use pem::{PemError, read_pem};

use std::fmt;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    VerificationAlgorithm,
};

pub use crate::config::JwtAlgorithm;
use crate::vocab::Secret;

/// What an HMAC secret has at least, in bytes, whatever the hash (RFC 7518 §3.2 asks for the hash's length).
pub const SECRET_BYTES_MIN: usize = 32;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What a key is, and so which algorithms it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A shared secret: `HS…`.
    Hmac,
    /// RSA: `RS…`, `PS…`.
    Rsa,
    /// An elliptic curve: `ES256`.
    P256,
    /// An elliptic curve: `ES384`.
    P384,
    /// An Edwards curve: `EdDSA`.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac => "a secret",
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
        })
    }
}

impl JwtAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The name in a token's header (RFC 7518 §3.1, RFC 8037 §3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm called `name`, in exactly these letters.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The one kind of key that can do it.
    pub const fn key_kind(self) -> KeyKind {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => KeyKind::Hmac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 => KeyKind::Rsa,
            Self::Ps256 | Self::Ps384 | Self::Ps512 => KeyKind::Rsa,
            Self::Es256 => KeyKind::P256,
            Self::Es384 => KeyKind::P384,
            Self::EdDsa => KeyKind::Ed25519,
        }
    }

    /// What a secret for it has at least, in bytes; 0 where it takes none.
    pub const fn secret_bytes_min(self) -> usize {
        match self {
            Self::Hs256 => SECRET_BYTES_MIN,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 0,
        }
    }
}

/// One key, checked when it was made. Its `Debug` shows no bytes: they may be a secret's.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: Option<Box<str>>,
    kind: KeyKind,
    algorithm: Option<JwtAlgorithm>,
    bytes: Box<[u8]>,
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Whoever has it can sign.
    #[error("it is a private key")]
    Private,
    /// RSA that can be factored, or that takes too long.
    #[error("it has {0} bits: RSA keys have 2048 to 8192")]
    Size(usize),
    /// Another kind, curve or form.
    #[error("it is neither RSA nor on the curves P-256, P-384 and Ed25519")]
    Kind,
    /// Its own words say that it is for something else.
    #[error("it is not for verifying signatures")]
    Use,
    /// An algorithm that is not known here, or that such a key cannot do.
    #[error("its `alg` does not fit it, or is not known here")]
    Algorithm,
    /// A part is missing or is not what it has to be.
    #[error("its `{0}` is missing or malformed")]
    Part(&'static str),
    /// A shared secret that came over the network.
    #[error("it is a secret, which only a file of this machine may hold")]
    Secret,
}

impl Key {
    /// The key that `secret` is.
    pub fn secret(secret: &Secret) -> Self {
        Self::new(KeyKind::Hmac, secret.expose().as_bytes())
    }

    /// Its `kid`: what tokens name it by. One without fits every token.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The secret; or the public key: PKCS#1 (RFC 8017) of RSA, the point or a SubjectPublicKeyInfo (RFC 5280) of the others.
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it may verify a token that names `algorithm`.
    pub fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        self.kind == algorithm.key_kind()
            && self.algorithm.is_none_or(|only| only == algorithm)
            && self.bytes.len() >= algorithm.secret_bytes_min()
    }

    fn new(kind: KeyKind, bytes: &[u8]) -> Self {
        Self {
            id: None,
            kind,
            algorithm: None,
            bytes: bytes.into(),
        }
    }

    /// An RSA key from its PKCS#1 form or from a SubjectPublicKeyInfo; none where it is something else.
    fn rsa(der: &[u8]) -> Option<Result<Self, KeyError>> {
        let key = rsa::PublicKey::from_der(der).ok()?;
        let modulus = key.modulus();
        let modulus = modulus.big_endian_without_leading_zero();
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros()) as usize;
        let bits = modulus.len() * 8 - unused;
        Some(if RSA_BITS.contains(&bits) {
            Ok(Self::new(KeyKind::Rsa, key.as_ref()))
        } else {
            Err(KeyError::Size(bits))
        })
    }

    /// A key on the curve of `kind`, from its point or from a SubjectPublicKeyInfo; none where it is something else.
    fn curve(kind: KeyKind, bytes: &[u8]) -> Option<Self> {
        let algorithm: &'static dyn VerificationAlgorithm = match kind {
            KeyKind::P256 => &ECDSA_P256_SHA256_FIXED,
            KeyKind::P384 => &ECDSA_P384_SHA384_FIXED,
            KeyKind::Ed25519 => &ED25519,
            KeyKind::Hmac | KeyKind::Rsa => return None,
        };
        ParsedPublicKey::new(algorithm, bytes).ok()?;
        Some(Self::new(kind, bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.kind, self.id)
    }
}
