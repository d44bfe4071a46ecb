//! The HTTP/1.1 client.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use tokio::sync::Semaphore;

use crate::plan::HttpUrl;

/// What an answer to a question may be long, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

const IN_FLIGHT_MAX: usize = 1000;
const IDLE_PER_HOST_MAX: usize = 32;
/// Below the five seconds after which Node, and the two after which gunicorn, lets go of an idle connection: a call would race it.
const IDLE_MAX: Duration = Duration::from_millis(1500);
const AGENT: &str = concat!("trunkline/", env!("CARGO_PKG_VERSION"));

type Pool = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Calls others over HTTP/1.1. Made once and shared: its idle connections are used again.
pub struct Client {
    /// Made at the first call, since it reads the system's certificates.
    pool: OnceLock<Pool>,
    places: Semaphore,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All of the body.
    pub body: Bytes,
    headers: HeaderMap,
}

/// Why there is no answer. No text of it holds a URL's query or credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// As many calls as may be are under way.
    #[error("too many calls are under way")]
    Busy,
    /// A header's value, or the URL, cannot be sent.
    #[error("the call cannot be written as HTTP")]
    Unsendable,
    /// Nobody could be reached: name, address, port or certificate.
    #[error("{url} cannot be reached: {cause}")]
    Connect {
        /// Where.
        url: HttpUrl,
        /// Why.
        cause: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {}", crate::vocab::format_duration(*.within))]
    Timeout {
        /// Where.
        url: HttpUrl,
        /// The time that it had.
        within: Duration,
    },
    /// The body is longer than may be.
    #[error("the answer of {url} is longer than {bytes_max} bytes")]
    TooLarge {
        /// Where.
        url: HttpUrl,
        /// The bound.
        bytes_max: usize,
    },
    /// What came is not HTTP, or ended in the midst.
    #[error("the answer of {url} broke off or is not HTTP: {cause}")]
    Broken {
        /// Where.
        url: HttpUrl,
        /// Why.
        cause: String,
    },
}

impl Answer {
    /// The first header called `name`, in any case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// A client without connections, for up to 1,000 calls at once.
    pub const fn new() -> Self {
        Self::with_places(IN_FLIGHT_MAX)
    }

    /// A client for up to `places` calls at once.
    pub(crate) const fn with_places(places: usize) -> Self {
        Self {
            pool: OnceLock::new(),
            places: Semaphore::const_new(places),
        }
    }

    /// Gets what stands at `url`. `timeout` is for everything from connecting to the last byte of up to `bytes_max`; redirects
    /// are answers like any other.
    ///
    /// # Errors
    /// There is no answer, or one that is longer.
    pub async fn get(
        &self,
        url: &HttpUrl,
        headers: &[(&'static str, &str)],
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let request = request(Method::GET, url, headers, Bytes::new())?;
        self.call(url, request, timeout, bytes_max).await
    }

    /// Posts `json` to `url`, as [`get`](Self::get).
    ///
    /// # Errors
    /// There is no answer, or one that is longer.
    pub async fn post(
        &self,
        url: &HttpUrl,
        json: Bytes,
        headers: &[(&'static str, &str)],
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let mut request = request(Method::POST, url, headers, json)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        self.call(url, request, timeout, bytes_max).await
    }

    async fn call(
        &self,
        url: &HttpUrl,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, CallError> {
        let _place = self.places.try_acquire().map_err(|_| CallError::Busy)?;
        let call = async {
            let response = self.pool().request(request).await;
            let response = response.map_err(|error| unreached(url, &error))?;
            let (head, body) = response.into_parts();
            Ok(Answer {
                status: head.status.as_u16(),
                body: read(url, head.status, body, bytes_max).await?,
                headers: head.headers,
            })
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Timeout {
                url: url.clone(),
                within: timeout,
            }),
        }
    }

    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| {
            let mut plain = HttpConnector::new();
            plain.enforce_http(false);
            plain.set_nodelay(true);
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls())
                .https_or_http()
                .enable_http1()
                .wrap_connector(plain);
            hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_MAX)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
                .build(connector)
        })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} places)", self.places.available_permits())
    }
}

/// Has libraries that make TLS clients of their own use the same cryptography: rustls cannot choose by itself, and panics, where
/// two are compiled in. Whoever has chosen before is left alone.
pub fn settle_cryptography() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Trusts what the system trusts; Mozilla's list where the system has none.
fn tls() -> ClientConfig {
    let builder = || {
        ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
    };
    match builder().with_native_roots() {
        Ok(trusting) => trusting.with_no_client_auth(),
        Err(error) => {
            tracing::info!(%error, "the system has no root certificates: Mozilla's are used");
            builder().with_webpki_roots().with_no_client_auth()
        }
    }
}

fn request(
    method: Method,
    url: &HttpUrl,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, CallError> {
    let unsendable = |_| CallError::Unsendable;
    let mut request = Request::builder()
        .method(method)
        .uri(url.uri().clone())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json")
        .body(Full::new(body))
        .map_err(|_| CallError::Unsendable)?;
    if let Some(basic) = url.basic() {
        let mut value = HeaderValue::from_str(basic.expose()).map_err(unsendable)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallError::Unsendable)?;
        let mut value = HeaderValue::from_str(value).map_err(unsendable)?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Reads all of a body, and no more than may be.
async fn read(
    url: &HttpUrl,
    status: StatusCode,
    mut body: Incoming,
    bytes_max: usize,
) -> Result<Bytes, CallError> {
    let too_large = || CallError::TooLarge {
        url: url.clone(),
        bytes_max,
    };
    // What it announces is not even begun.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CallError::Broken {
            url: url.clone(),
            cause: format!("status {status}, {}", root(&error)),
        })?;
        if let Some(data) = frame.data_ref() {
            if read.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            read.extend_from_slice(data);
        }
    }
    Ok(read.freeze())
}

fn unreached(url: &HttpUrl, error: &hyper_util::client::legacy::Error) -> CallError {
    let (url, cause) = (url.clone(), root(error));
    if error.is_connect() {
        CallError::Connect { url, cause }
    } else {
        CallError::Broken { url, cause }
    }
}

/// The innermost reason: the outer ones only say that there is one.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
