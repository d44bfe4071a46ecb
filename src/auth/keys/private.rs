//! Keys that sign, for minting tokens in development. A server that serves never reads a private one.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair,
};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use crate::auth::keys::ring::library_name;
use crate::plan::key::{JwtAlgorithm, Key, KeyKind};

/// A key that signs: a private one from a PEM file, or a mode's own secret.
pub struct PrivateKey {
    kind: KeyKind,
    /// What a secret has, in bytes: longer hashes need longer ones.
    secret_bytes: usize,
    key: EncodingKey,
}

/// Why a text holds no key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// It is not PEM, or no block of it is a private key.
    #[error("it has no whole block `-----BEGIN PRIVATE KEY-----`")]
    Missing,
    /// It is locked with a password.
    #[error("it is encrypted: `openssl pkey -in FILE` writes it in the clear")]
    Encrypted,
    /// Another kind, or a damaged one.
    #[error("it is neither RSA with 2048 to 8192 bits nor on the curves P-256, P-384 and Ed25519")]
    Kind,
}

impl PrivateKey {
    /// The first private key in `text`: PKCS#8 (`PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn from_pem(text: &str) -> Result<Self, PrivateKeyError> {
        let blocks = pem::parse_many(text).map_err(|_| PrivateKeyError::Missing)?;
        let mut blocks = blocks.iter();
        let block = blocks.find(|block| block.tag().ends_with("PRIVATE KEY"));
        let block = block.ok_or(PrivateKeyError::Missing)?;
        let der = block.contents();
        let found = match block.tag() {
            "PRIVATE KEY" => rsa(block, RsaKeyPair::from_pkcs8(der).is_ok())
                .or_else(|| ed25519(der))
                .or_else(|| curve(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok())),
            "RSA PRIVATE KEY" => rsa(block, RsaKeyPair::from_der(der).is_ok()),
            "EC PRIVATE KEY" => {
                curve(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok())
            }
            "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyError::Encrypted),
            _ => None,
        };
        found.ok_or(PrivateKeyError::Kind)
    }

    /// The secret that `key` is; none where it is a public key.
    pub(in crate::auth) fn of_secret(key: &Key) -> Option<Self> {
        (key.kind() == KeyKind::Hmac).then(|| Self {
            kind: KeyKind::Hmac,
            secret_bytes: key.bytes().len(),
            key: EncodingKey::from_secret(key.bytes()),
        })
    }

    /// What it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether it can sign with `algorithm`.
    pub(in crate::auth) fn does(&self, algorithm: JwtAlgorithm) -> bool {
        self.kind == algorithm.key_kind() && self.secret_bytes >= algorithm.secret_bytes_min()
    }

    /// A token with these claims; none where the key cannot do `algorithm`.
    pub(in crate::auth) fn sign(
        &self,
        algorithm: JwtAlgorithm,
        typ: &str,
        claims: &Map<String, Value>,
    ) -> Option<String> {
        let mut header = Header::new(library_name(algorithm));
        header.typ = Some(typ.to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).ok()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.kind)
    }
}

/// jsonwebtoken takes the key out of its PKCS#8 wrapping itself.
fn rsa(block: &pem::Pem, is_good: bool) -> Option<PrivateKey> {
    let key = is_good.then(|| EncodingKey::from_rsa_pem(pem::encode(block).as_bytes()).ok());
    Some(PrivateKey {
        kind: KeyKind::Rsa,
        secret_bytes: 0,
        key: key.flatten()?,
    })
}

fn ed25519(der: &[u8]) -> Option<PrivateKey> {
    Ed25519KeyPair::from_pkcs8(der).ok()?;
    Some(PrivateKey {
        kind: KeyKind::Ed25519,
        secret_bytes: 0,
        key: EncodingKey::from_ed_der(der),
    })
}

fn curve(
    read: impl Fn(&'static EcdsaSigningAlgorithm) -> Option<EcdsaKeyPair>,
) -> Option<PrivateKey> {
    let curves = [
        (KeyKind::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        (KeyKind::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ];
    curves.into_iter().find_map(|(kind, algorithm)| {
        let document = read(algorithm)?.to_pkcs8v1().ok()?;
        Some(PrivateKey {
            kind,
            secret_bytes: 0,
            key: EncodingKey::from_ec_der(document.as_ref()),
        })
    })
}
