//! PEM (RFC 7468): `public_key_file`.

use simple_asn1::ASN1Block;

use crate::plan::key::{Key, KeyError, KeyKind};

const BLOCKS_MAX: usize = 16;

/// The field of a certificate that is its SubjectPublicKeyInfo, counted behind the version (RFC 5280 §4.1).
const CERTIFICATE_KEY: usize = 5;

/// Why a text holds no public keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block begins in it, or one is damaged.
    #[error("it has no whole block `-----BEGIN PUBLIC KEY-----`")]
    NoBlock,
    /// Nobody rotates through so many.
    #[error("it has more than 16 blocks")]
    TooMany,
    /// A block cannot be used.
    #[error("`{tag}` in it cannot be used: {error}")]
    Block {
        /// What stands behind `BEGIN`.
        tag: String,
        /// Why.
        error: KeyError,
    },
}

/// The keys in `text`: a SubjectPublicKeyInfo (`PUBLIC KEY`), PKCS#1 (`RSA PUBLIC KEY`) or an X.509 certificate in each block.
/// Of a certificate only its key counts: neither dates nor issuer are looked at.
///
/// # Errors
/// There are no blocks, more than 16, or one holds something else.
pub fn read_pem(text: &str) -> Result<Vec<Key>, PemError> {
    let blocks = ::pem::parse_many(text).map_err(|_| PemError::NoBlock)?;
    match blocks.len() {
        0 => return Err(PemError::NoBlock),
        count if count > BLOCKS_MAX => return Err(PemError::TooMany),
        _ => {}
    }
    let key = |block: &::pem::Pem| {
        read_block(block.tag(), block.contents()).map_err(|error| PemError::Block {
            tag: block.tag().to_owned(),
            error,
        })
    };
    blocks.iter().map(key).collect()
}

fn read_block(tag: &str, der: &[u8]) -> Result<Key, KeyError> {
    match tag {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => public_key(der),
        "CERTIFICATE" => public_key(&certified(der).ok_or(KeyError::Kind)?),
        _ if tag.ends_with("PRIVATE KEY") => Err(KeyError::Private),
        _ => Err(KeyError::Kind),
    }
}

fn public_key(der: &[u8]) -> Result<Key, KeyError> {
    if let Some(key) = Key::rsa(der) {
        return key;
    }
    [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519]
        .into_iter()
        .find_map(|kind| Key::curve(kind, der))
        .ok_or(KeyError::Kind)
}

/// The SubjectPublicKeyInfo of a certificate.
fn certified(der: &[u8]) -> Option<Vec<u8>> {
    let blocks = simple_asn1::from_der(der).ok()?;
    let [ASN1Block::Sequence(_, certificate)] = blocks.as_slice() else {
        return None;
    };
    let ASN1Block::Sequence(_, signed) = certificate.first()? else {
        return None;
    };
    let has_version = matches!(signed.first()?, ASN1Block::Explicit(..));
    let key = signed.get(CERTIFICATE_KEY + usize::from(has_version))?;
    simple_asn1::to_der(key).ok()
}
