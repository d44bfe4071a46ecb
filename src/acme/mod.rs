//! Certificates from an authority that gives them to whoever answers under a name (ACME, RFC 8555), such as Let's Encrypt.
//!
//! A [`Keeper`] keeps one certificate for the domains of one `tls: {acme: …}`: it shows the one that its folder holds, orders another
//! when two thirds of that one's time are over, proves the names within TLS itself (`acme-tls/1`, RFC 8737), and tries again where
//! that fails. It never keeps the server from starting: without a certificate handshakes fail, and the log says what to do.

mod cache;
mod error;
mod http;
mod order;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use crate::certificate::Certificate;
use crate::plan::Acme;
use crate::telemetry::Metrics;
use crate::transport::tls::Certificates;
use crate::vocab::Clock;

use cache::Cache;
use error::AcmeError;
use pace::Pace;

/// How long one order may take in all: proofs are fetched from several places, and some authorities let them queue.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest sleep: a machine that slept in the meantime finds out after it.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Keeps the certificate of one `tls`.
pub struct Keeper {
    acme: Acme,
    cache: Cache,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    random: fn() -> u64,
}

impl Keeper {
    /// Keeps what `acme` asks for, in `certificates`.
    #[must_use]
    pub fn new(
        acme: Acme,
        certificates: Arc<Certificates>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        random: fn() -> u64,
    ) -> Self {
        let cache = Cache::of(&acme);
        Self {
            acme,
            cache,
            certificates,
            clock,
            metrics,
            random,
        }
    }

    /// Shows the certificate that the folder holds, where it holds one for the domains. Blocks.
    pub fn show_kept(&self) -> Option<Certificate> {
        let kept = match self.cache.certificate() {
            Ok(kept) => kept?,
            Err(error) => {
                self.tell(&error);
                return None;
            }
        };
        if kept.ends() <= self.clock.now() {
            tracing::warn!(expired = %kept.ends(), "the certificate that was kept has expired: ordering another");
        }
        self.show(&kept);
        Some(kept)
    }

    /// Orders, and orders again, as long as it runs. `kept` is what is shown at its beginning.
    pub async fn run(self, kept: Option<Certificate>) {
        let mut pace = Pace::new(self.random);
        let mut due = kept
            .as_ref()
            .map(|kept| pace.renewal(kept.begins(), kept.ends()));
        loop {
            if let Some(wait) = due.map(|due| due.since(self.clock.now()))
                && !wait.is_zero()
            {
                tokio::time::sleep(wait.min(SLEEP_MAX)).await;
                continue;
            }
            due = Some(match self.order().await {
                Ok(certificate) => {
                    pace.succeeded();
                    pace.renewal(certificate.begins(), certificate.ends())
                }
                Err(error) => {
                    let wait = pace.failed(error.kind());
                    self.tell(&error);
                    tracing::info!(domains = ?self.acme.domains, "ordering again in {} s", wait.as_secs());
                    self.clock.now().after(wait)
                }
            });
        }
    }

    async fn order(&self) -> Result<Certificate, AcmeError> {
        tracing::info!(domains = ?self.acme.domains, directory = %self.acme.directory, "ordering a certificate");
        let order = order::order(&self.acme, &self.cache, &self.certificates);
        let issued = tokio::time::timeout(ORDER_TIMEOUT, order).await;
        let issued = issued.unwrap_or(Err(AcmeError::Timeout))?;
        let certificate = Certificate::read(issued.as_bytes(), issued.as_bytes())
            .map_err(|error| AcmeError::Unusable(error.to_string()))?;
        // Kept first: what is shown has to be there after a restart, since authorities give only so many.
        if let Err(error) = self.cache.keep_certificate(&issued) {
            self.tell(&error);
        }
        self.metrics.acme_issued.inc();
        tracing::info!(domains = ?self.acme.domains, expires = %certificate.ends(), "certificate issued");
        self.show(&certificate);
        Ok(certificate)
    }

    fn show(&self, certificate: &Certificate) {
        let name = self.acme.domains.first().map_or("", |domain| &**domain);
        self.metrics.certificate_ends(name, certificate.ends());
        self.certificates.show([certificate]);
    }

    fn tell(&self, error: &AcmeError) {
        self.metrics.acme_failures.inc();
        tracing::error!(domains = ?self.acme.domains, directory = %self.acme.directory, %error, "no certificate: {}", error.repair());
    }
}
