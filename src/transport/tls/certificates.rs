//! The certificates that a listener shows, which may change while it runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::transport::tls::ACME_TLS_1;

/// Names that may be proven at a time; an order has one for each of its domains.
pub const CHALLENGES_MAX: usize = 100;

/// What is shown to whom. Handshakes that begin later see what is set, those under way what there was.
#[derive(Default)]
pub struct Certificates {
    shown: RwLock<Shown>,
    challenges: RwLock<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

/// Certificates by the names that they are for.
#[derive(Default)]
struct Shown {
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// For who names no host, or one that no certificate is for.
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// None yet: every handshake fails until [`Certificates::show`].
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Shows these from now on, instead of those before: to each client the first that is for the name it asks for (SNI, RFC 6066
    /// §3), and the first of all to those that ask for none of theirs.
    pub fn show<'c>(&self, certificates: impl IntoIterator<Item = &'c Certificate>) {
        let mut shown = Shown::default();
        for certificate in certificates {
            let certified = certificate.certified();
            shown.first.get_or_insert_with(|| certified.clone());
            for name in certificate.names() {
                let by_name = shown.by_name.entry(name.clone());
                by_name.or_insert_with(|| certified.clone());
            }
        }
        *self.shown.write() = shown;
    }

    /// Shows `certified` to an authority that asks for the proof of `domain` (`acme-tls/1`, RFC 8737 §3), until
    /// [`Certificates::withdraw`]; false where [`CHALLENGES_MAX`] others are under way.
    #[must_use]
    pub fn prove(&self, domain: &str, certified: Arc<CertifiedKey>) -> bool {
        let mut challenges = self.challenges.write();
        let domain: Box<str> = domain.to_ascii_lowercase().into();
        if challenges.len() >= CHALLENGES_MAX && !challenges.contains_key(&domain) {
            return false;
        }
        challenges.insert(domain, certified);
        true
    }

    /// Ends the proof of `domain`.
    pub fn withdraw(&self, domain: &str) {
        let domain = domain.to_ascii_lowercase();
        self.challenges.write().remove(&*domain);
    }

    fn for_name(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.read();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            shown.by_name.get(&*format!("*.{parent}"))
        };
        let found = shown.by_name.get(name).or_else(wildcard);
        found.or(shown.first.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name().map(str::to_ascii_lowercase);
        // An authority that validates offers this protocol alone (RFC 8737 §3).
        let wants_proof = client_hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(ACME_TLS_1));
        if wants_proof {
            return self.challenges.read().get(&*name?).cloned();
        }
        self.for_name(name.as_deref().unwrap_or_default())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("names", &self.shown.read().by_name.keys())
            .field("challenges", &self.challenges.read().keys())
            .finish()
    }
}
