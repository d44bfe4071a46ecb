//! TLS 1.2 and 1.3 on an accepted socket (RFC 5246, RFC 8446), by rustls and without a task or a buffer of its own.
//!
//! [`Tls`] is what a listener shows: a configuration made once, and [`Certificates`] that can be exchanged while it runs. Each
//! connection is a [`socket::TlsSocket`], which delivery writes to as it writes to a plain one.
//!
//! Sessions are resumed by tickets that only the client keeps, under keys that change every six hours: nothing grows with the
//! number of clients. There is no early data (0-RTT), which could be replayed, and no renegotiation.

mod certificates;
mod record;
mod socket;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpStream;

pub use certificates::{CHALLENGES_MAX, Certificates};
pub use socket::TlsSocket;

/// What is spoken over TLS, as ALPN calls it (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";
/// How an authority asks for the proof that a name is ours (RFC 8737): a handshake, and nothing after it.
const ACME_TLS_1: &[u8] = b"acme-tls/1";

/// What a listener needs to speak TLS.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(#[from] rustls::Error);

impl Tls {
    /// TLS that shows `certificates`, whichever they are when somebody asks.
    ///
    /// # Errors
    /// The system gives no random keys for tickets.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec(), ACME_TLS_1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new()?;
        // One is enough for who comes back; each is a few hundred bytes of every handshake.
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            certificates,
        })
    }

    /// What it shows.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Takes over a socket whose client speaks first.
    pub(super) fn accept(&self, socket: TcpStream) -> Result<TlsSocket, TlsError> {
        Ok(TlsSocket::new(socket, self.config.clone())?)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}
