//! Certificates as files hold them: a chain and its key, read from PEM and found to belong together (RFC 7468, RFC 5280).
//!
//! `check` and the running server read them here, so that what the one accepts the other can show. It reads texts, never files, and
//! asks no clock: when a certificate ends is told, whether that is over is for who knows the time.

mod chain;
mod error;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::vocab::Timestamp;

pub use error::{CertificateError, Part};

/// A file of a chain or a key may have so many bytes; those in use have a few thousand.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A chain whose first certificate is the key's, ready to be shown to clients.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    begins: Timestamp,
    ends: Timestamp,
}

impl Certificate {
    /// Reads a chain, the server's own certificate first and each behind it the issuer of the one before, and its key.
    ///
    /// # Errors
    /// One of them is not what it has to be, or they do not belong together.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::ChainSyntax)?;
        let facts = chain::check(&certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| no_key(key))?;
        let certified = CertifiedKey::from_der(certificates, key, &aws_lc_rs::default_provider())
            .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::KeyDoesNotFit,
            _ => CertificateError::KeyNotUsable,
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            names: facts.names,
            begins: facts.begins,
            ends: facts.ends,
        })
    }

    /// What TLS needs of it.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The host names that it is for, in lower case; `*.` begins those that stand for one more label.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// From when on it is good.
    #[must_use]
    pub const fn begins(&self) -> Timestamp {
        self.begins
    }

    /// Until when it is good.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }
}

/// Whether a file has a private key in it, usable or not.
#[must_use]
pub fn holds_key(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("PRIVATE KEY-----")
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// What stands in a file where a key should.
fn no_key(text: &[u8]) -> CertificateError {
    let text = String::from_utf8_lossy(text);
    let is_encrypted =
        text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED");
    if is_encrypted {
        CertificateError::KeyEncrypted
    } else {
        CertificateError::NoKey
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

    use super::{Certificate, CertificateError};
    use crate::vocab::Timestamp;

    fn key() -> KeyPair {
        KeyPair::generate().expect("a key")
    }

    fn params(names: &[&str]) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 2);
        params
    }

    #[test]
    fn a_chain_and_its_key_are_read() {
        let authority = CertifiedIssuer::self_signed(
            {
                let mut params = params(&[]);
                params
                    .distinguished_name
                    .push(rcgen::DnType::CommonName, "an authority");
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
                params
            },
            key(),
        )
        .expect("an authority");
        let own = key();
        let leaf = params(&["RT.example.com", "*.rooms.example.com"])
            .signed_by(&own, &authority)
            .expect("signs");
        let chain = leaf.pem() + &authority.pem();
        let read = Certificate::read(chain.as_bytes(), own.serialize_pem().as_bytes());
        let read = read.expect("they belong together");
        let names: Vec<&str> = read.names().iter().map(|name| &**name).collect();
        assert_eq!(names, ["rt.example.com", "*.rooms.example.com"]);
        let moment = |text| Timestamp::parse(text).expect("a moment");
        assert_eq!(read.begins(), moment("2026-01-01T00:00:00Z"));
        assert_eq!(read.ends(), moment("2027-01-02T00:00:00Z"));
        assert_eq!(read.certified().cert.len(), 2);

        let wrong_way = authority.pem() + &leaf.pem();
        let own_key = own.serialize_pem();
        let refused = Certificate::read(wrong_way.as_bytes(), own_key.as_bytes()).err();
        assert_eq!(refused, Some(CertificateError::ChainOrder { position: 2 }));
    }

    #[test]
    fn what_does_not_belong_together_is_said() {
        let (own, other) = (key(), key());
        let certificate = params(&["a.example"])
            .self_signed(&own)
            .expect("signs")
            .pem();
        let (own_key, other_key) = (own.serialize_pem(), other.serialize_pem());
        let encrypted = own_key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let broken = certificate.replace("MII", "AAA");
        let table: [(&str, &str, CertificateError); 7] = [
            (&certificate, &other_key, CertificateError::KeyDoesNotFit),
            (&certificate, &certificate, CertificateError::NoKey),
            (&certificate, "", CertificateError::NoKey),
            (&certificate, &encrypted, CertificateError::KeyEncrypted),
            (&own_key, &own_key, CertificateError::NoCertificate),
            ("nonsense", &own_key, CertificateError::NoCertificate),
            (
                &broken,
                &own_key,
                CertificateError::NotACertificate { position: 1 },
            ),
        ];
        for (chain, key, expected) in table {
            let refused = Certificate::read(chain.as_bytes(), key.as_bytes()).err();
            assert_eq!(refused, Some(expected));
        }
    }
}
