//! One order: an account, a proof for each domain, a certificate (RFC 8555 §7.1).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::acme::cache::Cache;
use crate::acme::error::AcmeError;
use crate::acme::http::AuthorityClient;
use crate::plan::Acme;
use crate::transport::tls::Certificates;

/// How long the authority may take to look at the proofs, and to sign.
const PATIENCE: Duration = Duration::from_secs(120);

/// Orders a certificate for the domains of `acme`: its chain and its key, in PEM.
pub(super) async fn order(
    acme: &Acme,
    cache: &Cache,
    certificates: &Certificates,
) -> Result<String, AcmeError> {
    let account = account(acme, cache).await?;
    let identifiers: Vec<Identifier> = acme
        .domains
        .iter()
        .map(|domain| Identifier::Dns(domain.to_string()))
        .collect();
    let order = account.new_order(&NewOrder::new(&identifiers)).await;
    let mut order = order.map_err(|error| forgotten(AcmeError::from(error), cache))?;
    let mut proofs = Proofs {
        certificates,
        domains: Vec::new(),
    };
    proofs.begin(&mut order).await?;
    let policy = RetryPolicy::new().timeout(PATIENCE);
    match order.poll_ready(&policy).await.map_err(AcmeError::from) {
        Ok(OrderStatus::Invalid) | Err(AcmeError::Refused(_)) => {
            return Err(not_proven(&mut order).await);
        }
        other => other?,
    };
    drop(proofs);
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&policy).await?;
    Ok(format!("{chain}\n{key}"))
}

/// An authority that has lost its accounts, as those for testing do, gets a new one the next time.
fn forgotten(error: AcmeError, cache: &Cache) -> AcmeError {
    match error {
        AcmeError::AccountGone => cache.forget_account().err().unwrap_or(error),
        error => error,
    }
}

/// The account that is kept, or a new one.
async fn account(acme: &Acme, cache: &Cache) -> Result<Account, AcmeError> {
    let http = Box::new(AuthorityClient::new(acme.ca_file.as_deref())?);
    let builder = Account::builder_with_http(http);
    if let Some(kept) = cache.account()? {
        let credentials: AccountCredentials =
            serde_json::from_str(&kept).map_err(|cause| cache.bad_account(&cause))?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact = acme.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let new = NewAccount {
        contact: &contact,
        // The Plan has seen that the file says so.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = acme.directory.to_string();
    let (account, credentials) = builder.create(&new, directory, None).await?;
    let text = serde_json::to_string(&credentials)
        .map_err(|error| AcmeError::Crypto(error.to_string()))?;
    cache.keep_account(&text)?;
    tracing::info!(directory = %acme.directory, account = account.id(), "account made");
    Ok(account)
}

/// The proofs that are shown; none any longer when this goes.
struct Proofs<'c> {
    certificates: &'c Certificates,
    domains: Vec<String>,
}

impl Proofs<'_> {
    /// Shows a proof for each domain that wants one, and says so to the authority.
    async fn begin(&mut self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => {
                    let domain = authorization.identifier().to_string();
                    let cause = format!("the authorization is {other:?}");
                    return Err(AcmeError::NotProven { domain, cause });
                }
            }
            let domain = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::NoChallenge(domain));
            };
            let authorized = challenge.key_authorization();
            let proof = proof(&domain, authorized.digest().as_ref())?;
            if !self.certificates.prove(&domain, proof) {
                let cause = "too many proofs are under way".to_owned();
                return Err(AcmeError::NotProven { domain, cause });
            }
            self.domains.push(domain.clone());
            // Some look at once, and say here what they saw.
            let told = challenge.set_ready().await;
            told.map_err(|error| match AcmeError::from(error) {
                AcmeError::Refused(cause) => AcmeError::NotProven { domain, cause },
                other => other,
            })?;
        }
        Ok(())
    }
}

impl Drop for Proofs<'_> {
    fn drop(&mut self) {
        for domain in &self.domains {
            self.certificates.withdraw(domain);
        }
    }
}

/// The certificate that is the proof (RFC 8737 §3): for the domain, by itself, with the digest of what the authority gave.
fn proof(domain: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, AcmeError> {
    let failed = |error: rcgen::Error| AcmeError::Crypto(error.to_string());
    let mut params = CertificateParams::new([domain.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![certificate.der().clone()];
    // Not `from_der`: it reads the certificate as a client would, who has to refuse the proof for its critical extension.
    let key = aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|error| AcmeError::Crypto(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Which domain the authority did not believe, and why.
async fn not_proven(order: &mut Order) -> AcmeError {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = match authorization {
            Ok(authorization) => authorization,
            Err(error) => return error.into(),
        };
        if let Err(error) = authorization.refresh().await {
            return error.into();
        }
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let error = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .and_then(|challenge| challenge.error.clone());
        if let Some(error) = error {
            let cause = error.to_string();
            return AcmeError::NotProven { domain, cause };
        }
    }
    AcmeError::Refused("the order is invalid, and no domain of it says why".to_owned())
}
