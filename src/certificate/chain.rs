//! What the certificates of a chain say of themselves (RFC 5280 §4.1).

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::certificate::CertificateError;
use crate::vocab::Timestamp;

/// What is asked of the first of them.
pub(super) struct Facts {
    pub(super) names: Vec<Box<str>>,
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
}

/// Reads all, and finds that each is the issuer of the one before it.
pub(super) fn check(chain: &[CertificateDer<'_>]) -> Result<Facts, CertificateError> {
    let mut read: Vec<X509Certificate<'_>> = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let position = index + 1;
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| CertificateError::NotACertificate { position })?;
        let is_issuer = |before: &X509Certificate<'_>| before.issuer() == certificate.subject();
        if !read.last().is_none_or(is_issuer) {
            return Err(CertificateError::ChainOrder { position });
        }
        read.push(certificate);
    }
    let first = read.first().ok_or(CertificateError::NoCertificate)?;
    Ok(Facts {
        names: names(first),
        begins: moment(first.validity().not_before),
        ends: moment(first.validity().not_after),
    })
}

/// The subject's alternative names; its common name says nothing of hosts any more (RFC 9525 §2).
fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
            _ => None,
        })
        .collect()
}

fn moment(time: ASN1Time) -> Timestamp {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    Timestamp::from_millis(seconds.saturating_mul(1000))
}
