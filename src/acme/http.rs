//! HTTPS to the authority: HTTP/1.1 over rustls, bounded in time and size, without redirects.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::acme::error::AcmeError;

/// What one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What one answer may be long: a chain has some thousand bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Calls the authority.
pub(super) struct AuthorityClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl AuthorityClient {
    /// One that trusts what the system trusts, or the roots of `ca_file` alone.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, AcmeError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(ca_file)?)
            .https_only()
            .enable_http1()
            .build();
        // An order is seldom: nothing is gained by idle connections.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self(client))
    }
}

fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, AcmeError> {
    let roots = |error: &dyn ToString| AcmeError::Roots(error.to_string());
    let builder = || {
        ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
    };
    let Some(file) = ca_file else {
        let native = builder().with_native_roots();
        let trusting = native.unwrap_or_else(|_| builder().with_webpki_roots());
        return Ok(trusting.with_no_client_auth());
    };
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| roots(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| roots(&error))?;
        store.add(certificate).map_err(|error| roots(&error))?;
    }
    if store.is_empty() {
        return Err(roots(&"it holds no certificate"));
    }
    Ok(builder()
        .with_root_certificates(store)
        .with_no_client_auth())
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let call = call(client, request);
            let called = tokio::time::timeout(TIMEOUT, call).await;
            let called = called.unwrap_or_else(|_| Err("it did not answer in time".into()));
            called
                .map(BytesResponse::from)
                .map_err(instant_acme::Error::Other)
        })
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn call(
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Fault> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = Request::from_parts(head, Full::new(body));
    let (head, body) = client.request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok(Response::from_parts(head, Full::new(body.to_bytes())))
}

#[cfg(test)]
mod tests {
    use super::AuthorityClient;

    #[test]
    fn roots_that_cannot_be_used_are_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("roots.pem");
        let refused = || {
            AuthorityClient::new(Some(&file))
                .err()
                .map(|error| error.to_string())
        };
        assert!(refused().is_some_and(|error| error.contains("`ca_file` cannot be used")));
        std::fs::write(&file, "nothing of use").expect("writes");
        let empty = "`ca_file` cannot be used: it holds no certificate";
        assert_eq!(refused().as_deref(), Some(empty));
        let key = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("signs");
        std::fs::write(&file, key.cert.pem()).expect("writes");
        assert_eq!(refused(), None);
    }
}
