//! Connections that begin with a PROXY header, on listeners that ask for it: who may say whom a connection is of, and what was said.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::plan::{Network, UNIX_PEER};
use crate::protocol::proxy::{Header, HeaderError, Source, read_header};
use crate::transport::listening::Peer;
use crate::transport::wire::Socket;

/// Who may send headers, and how long they may take.
#[derive(Clone, Debug)]
pub struct Proxied {
    /// The proxies, by their own addresses.
    pub trusted: Vec<Network>,
    /// From the connection until the header is there.
    pub timeout: Duration,
}

/// Why a connection's header is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxiedError {
    #[error("it is not of one of `trusted_proxies`")]
    Untrusted,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the PROXY header names no address that a client can have")]
    NoAddress,
    #[error("the PROXY header did not come in time")]
    Timeout,
    #[error("the connection ended before its PROXY header")]
    Ended,
    #[error("reading the PROXY header failed: {0}")]
    Read(#[from] io::Error),
}

impl Proxied {
    /// Whether `peer` may send headers.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        let ip = peer.map_or(UNIX_PEER, |peer| peer.ip().to_canonical());
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// Takes the header off the connection; the client that it names. Where it names none (`LOCAL`, `UNKNOWN`), it is the proxy
    /// itself, by its address, as one who does not [speak for others](speaks_for_others).
    pub(super) async fn client(&self, socket: &Socket, peer: Peer) -> Result<Peer, ProxiedError> {
        let header = take_header(socket);
        let source = tokio::time::timeout(self.timeout, header)
            .await
            .map_err(|_| ProxiedError::Timeout)??;
        match source {
            Source::Proxy => {
                let ip = peer.map_or(UNIX_PEER, |peer| peer.ip());
                Ok(Some(SocketAddr::new(ip, PORT_OF_NOBODY)))
            }
            Source::Client(client) if is_possible(client) => Ok(Some(client)),
            Source::Client(_) => Err(ProxiedError::NoAddress),
        }
    }
}

/// In the place of a proxy's port, where it did not say whose connection it is: no socket has it, and salvo hands on an address and
/// nothing else.
const PORT_OF_NOBODY: u16 = 0;

/// Whether what `peer` says of its clients in headers can be the word of a proxy.
pub(super) fn speaks_for_others(peer: Peer) -> bool {
    peer.is_none_or(|peer| peer.port() != PORT_OF_NOBODY)
}

fn is_possible(client: SocketAddr) -> bool {
    let ip: IpAddr = client.ip().to_canonical();
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Reads exactly the header: what follows it stays with the socket, for HTTP or TLS.
async fn take_header(socket: &Socket) -> Result<Source, ProxiedError> {
    let mut bytes = Vec::new();
    loop {
        let more = match read_header(&bytes)? {
            Header::Partial { more } => more,
            Header::Whole { source, .. } => return Ok(source),
        };
        let begin = bytes.len();
        bytes.resize(begin + more, 0);
        let came = socket.read(&mut bytes[begin..]).await?;
        if came == 0 {
            return Err(ProxiedError::Ended);
        }
        bytes.truncate(begin + came);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::{Proxied, ProxiedError, speaks_for_others};
    use crate::plan::{Network, UNIX_PEER};
    use crate::transport::wire::Socket;

    fn proxied(address: &str, prefix: u8, timeout: Duration) -> Proxied {
        let address = address.parse().expect("an address");
        Proxied {
            trusted: vec![Network { address, prefix }],
            timeout,
        }
    }

    #[test]
    fn trust_is_by_the_connection() {
        let networks = proxied("10.0.0.0", 8, Duration::ZERO);
        let peer = |text: &str| Some(text.parse().expect("an address"));
        assert!(networks.trusts(peer("10.1.2.3:4")));
        assert!(networks.trusts(peer("[::ffff:10.1.2.3]:4")));
        assert!(!networks.trusts(peer("192.0.2.1:4")));
        assert!(!networks.trusts(None));
        assert!(proxied(&UNIX_PEER.to_string(), 32, Duration::ZERO).trusts(None));
    }

    #[tokio::test]
    async fn the_header_is_taken_and_nothing_else() {
        let proxied = proxied("0.0.0.0", 0, Duration::from_secs(60));
        let (socket, mut proxy) = UnixStream::pair().expect("a pair");
        let socket = Socket::Unix(socket);
        let write = async {
            for byte in b"PROXY TCP4 192.0.2.7 10.0.0.1 5 443\r\nGET /" {
                proxy.write_all(&[*byte]).await.expect("writes");
                tokio::task::yield_now().await;
            }
        };
        let (client, ()) = tokio::join!(proxied.client(&socket, None), write);
        let client = client.expect("a header").expect("an address");
        assert_eq!(client.to_string(), "192.0.2.7:5");
        let mut rest = [0; 16];
        let len = socket.read(&mut rest).await.expect("reads");
        assert_eq!(&rest[..len], b"GET /");
    }

    #[tokio::test]
    async fn who_names_nobody_speaks_for_nobody() {
        let proxied = proxied("0.0.0.0", 0, Duration::from_secs(60));
        for peer in [None, Some("10.0.0.1:5".parse().expect("an address"))] {
            assert!(speaks_for_others(peer));
            let (socket, mut proxy) = UnixStream::pair().expect("a pair");
            let header = proxy.write_all(b"PROXY UNKNOWN\r\n").await;
            header.expect("writes");
            let client = proxied.client(&Socket::Unix(socket), peer).await;
            let client = client.expect("a header");
            assert!(!speaks_for_others(client));
            let ip = client.map(|client| client.ip());
            assert_eq!(ip, Some(peer.map_or(UNIX_PEER, |peer| peer.ip())));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_it() {
        let patient = proxied("0.0.0.0", 0, Duration::from_secs(60));
        for (sent, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "does not begin with"),
            (b"PROXY TCP4 0.0.0.0 10.0.0.1 5 443\r\n", "no address"),
            (b"PROXY TCP4 224.0.0.1 10.0.0.1 5 443\r\n", "no address"),
            (b"PROX", "ended before"),
            (b"", "ended before"),
        ] {
            let (socket, mut proxy) = UnixStream::pair().expect("a pair");
            proxy.write_all(sent).await.expect("writes");
            drop(proxy);
            let client = patient.client(&Socket::Unix(socket), None).await;
            let error = client.expect_err("it is no header").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let hasty = proxied("0.0.0.0", 0, Duration::from_millis(1));
        let (socket, _silent) = UnixStream::pair().expect("a pair");
        let client = hasty.client(&Socket::Unix(socket), None).await;
        assert!(matches!(client, Err(ProxiedError::Timeout)));
    }
}
