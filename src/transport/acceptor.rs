//! Accepting TCP connections, in the one form that lets a WebSocket have its socket back.
//!
//! salvo's own acceptor wraps the socket in a type that can be read only through buffers; this one hands on an [`HttpStream`],
//! so that [`super::upgrade`] can take the plain socket out again and wait for it with `readable()`, without a buffer. It speaks HTTP/1.1 alone: only there a connection can be upgraded as a whole (RFC 9110 §7.8).
//!
//! This is salvo's public way: an [`Acceptor`] whose stream goes to [`TcpCoupler`]. What has to happen to a socket before its first
//! request (a TLS handshake, a PROXY header, which names the client) belongs here too, since salvo fixes the client's address
//! when `accept` returns; but beside the accepting, not in front of it, or one slow client would keep all others waiting.
//!
//! An address has several listening sockets, so that threads do not wait for each other at one queue: the kernel spreads
//! connections over them (SO_REUSEPORT, socket(7)). After a few connections the others get their turn, so that a storm of
//! newcomers, whose credentials are checked within their turn, does not keep those waiting who are in.
//!
//! Its connections have [`RequestLimits`] and places in a [`Lobby`], and running out of file descriptors delays it but does not end it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use salvo::Server;
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding};
use salvo::fuse::{ArcFusePolicy, FuseConfig};
use salvo::http::Version;
use salvo::http::uri::Scheme;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::transport::lobby::Lobby;
use crate::transport::stream::HttpStream;

/// Connections that the kernel keeps for us between two calls to accept; it lowers the number to its own `somaxconn`. Reconnect storms
/// are what fills it.
const BACKLOG: i32 = 4096;

/// Connections that are accepted before whatever else is ready gets its turn. The dearest check of a credential (ES256) takes 63 µs:
/// so many of them keep a thread for a millisecond.
const ACCEPTS_PER_TURN: u32 = 16;

/// What hyper may buffer of a connection, each way, unless a request's head may be longer; its own default is 400 KB.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How long to wait after the n-th failure in a row.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a client may take before it has asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// From the connection, or from the end of the last answer, until a request's head has come whole. It ends those that say
    /// nothing, those that say it slowly, and connections kept alive without use.
    pub head_timeout: Duration,
    /// The longest head of a request: its line and its headers.
    pub head_bytes_max: usize,
    /// Between two pieces of a request's body.
    pub body_timeout: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            head_bytes_max: 16 * 1024,
            body_timeout: Duration::from_secs(10),
        }
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: io::Error,
}

/// A listening socket, as salvo wants it.
pub struct TcpAcceptor {
    listener: TcpListener,
    local_addr: SocketAddr,
    holdings: [Holding; 1],
    limits: RequestLimits,
    lobby: Arc<Lobby>,
    failures: u32,
    accepted_this_turn: u32,
}

impl TcpAcceptor {
    /// Listens on the address with as many sockets as are wanted, all on one port; with port 0 the system chooses it, which
    /// [`TcpAcceptor::local_addr`] tells. A port whose last owner has just ended can be had at once (SO_REUSEADDR).
    ///
    /// It has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, forbidden or not ours.
    pub fn bind(
        address: SocketAddr,
        sockets: NonZeroUsize,
        limits: RequestLimits,
        lobby: &Arc<Lobby>,
    ) -> Result<Vec<Self>, BindError> {
        let listeners = listen(address, sockets).map_err(|cause| BindError { address, cause })?;
        let acceptor = |(listener, local_addr): (TcpListener, SocketAddr)| Self {
            listener,
            local_addr,
            holdings: [Holding {
                local_addr: local_addr.into(),
                http_versions: vec![Version::HTTP_11],
                http_scheme: Scheme::HTTP,
            }],
            limits,
            lobby: lobby.clone(),
            failures: 0,
            accepted_this_turn: 0,
        };
        Ok(listeners.into_iter().map(acceptor).collect())
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The server on this socket, with the limits that only salvo's server can set: `Server::new` alone would take
    /// heads of up to 400 KB.
    #[must_use]
    pub fn into_server(self) -> Server<Self> {
        let head_bytes_max = self.limits.head_bytes_max;
        let mut server = Server::new(self);
        let buffer_bytes_max = BUFFER_BYTES_MAX.max(head_bytes_max);
        server
            .http1_mut()
            .max_header_size(head_bytes_max)
            .max_buf_size(buffer_bytes_max);
        server
    }

    /// Waits for a place. None where the other end may have no more.
    async fn accepted(
        &self,
        socket: TcpStream,
        remote: SocketAddr,
    ) -> Option<Accepted<TcpCoupler<HttpStream>, HttpStream>> {
        // An IPv4 client on an IPv6 socket is the same client.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let conn_ctrl = ConnCtrl::new();
        let place = self.lobby.enter(&conn_ctrl, remote.ip()).await?;
        let fuse_config = FuseConfig::disabled()
            .with_http1_header_timeout(self.limits.head_timeout)
            .with_request_body_timeout(self.limits.body_timeout);
        Some(Accepted {
            coupler: TcpCoupler::new(),
            stream: HttpStream::new(socket, place, conn_ctrl.clone()),
            fuse_config: Some(fuse_config),
            conn_ctrl,
            local_addr: self.local_addr.into(),
            remote_addr: remote.into(),
            http_scheme: Scheme::HTTP,
        })
    }

    /// Lets everything else that is ready run, once in a while.
    async fn take_turns(&mut self) {
        if self.accepted_this_turn == ACCEPTS_PER_TURN {
            self.accepted_this_turn = 0;
            tokio::task::yield_now().await;
        }
        self.accepted_this_turn += 1;
    }

    /// Waits where waiting can help: the connection stays in the kernel's queue meanwhile.
    async fn recover(&mut self, error: &io::Error) {
        if concerns_one_connection(error) {
            tracing::debug!(%error, "a connection was gone before it was accepted");
            return;
        }
        if self.failures == 0 {
            tracing::error!(address = %self.local_addr, %error, "cannot accept connections; trying again until it works");
        }
        let pause = PAUSE_MIN
            .saturating_mul(1 << self.failures.min(10))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

fn listen(
    address: SocketAddr,
    sockets: NonZeroUsize,
) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    let first = TcpListener::from_std(first.into())?;
    let address = first.local_addr()?;
    // Only now that it listens may the first share its port: with SO_REUSEPORT from the start, a second server of the same user
    // would get the port too, and half of the connections.
    SockRef::from(&first).set_reuse_port(true)?;
    let mut listeners = vec![(first, address)];
    for _ in 1..sockets.get() {
        let further = socket(address)?;
        further.set_reuse_port(true)?;
        further.bind(&address.into())?;
        further.listen(BACKLOG)?;
        listeners.push((TcpListener::from_std(further.into())?, address));
    }
    Ok(listeners)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // What is accepted inherits it, which spares each connection a call.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Errors that Linux passes on from the connection that would have been accepted (accept(2)); the next may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}

impl Acceptor for TcpAcceptor {
    type Coupler = TcpCoupler<HttpStream>;
    type Stream = HttpStream;

    fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// salvo's own fuse policy is not asked: the limits came with the acceptor, so that no server can be made without them.
    async fn accept(
        &mut self,
        _fuse_policy: Option<ArcFusePolicy>,
    ) -> io::Result<Accepted<Self::Coupler, Self::Stream>> {
        loop {
            self.take_turns().await;
            match self.listener.accept().await {
                Ok((socket, remote)) => {
                    if self.failures > 0 {
                        tracing::info!(address = %self.local_addr, failures = self.failures, "accepting connections again");
                        self.failures = 0;
                    }
                    if let Some(accepted) = self.accepted(socket, remote).await {
                        return Ok(accepted);
                    }
                }
                Err(error) => self.recover(&error).await,
            }
        }
    }
}

impl fmt::Debug for TcpAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpAcceptor")
            .field("local_addr", &self.local_addr)
            .field("limits", &self.limits)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::error::Error;
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use salvo::conn::Acceptor;
    use tokio::net::TcpStream;

    use super::{BindError, RequestLimits, TcpAcceptor, concerns_one_connection};
    use crate::telemetry::{MetricNames, Metrics};
    use crate::transport::lobby::Lobby;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn bind(address: SocketAddr, sockets: usize) -> Result<Vec<TcpAcceptor>, BindError> {
        let metrics = Arc::new(Metrics::new(&MetricNames::default()));
        let sockets = NonZeroUsize::new(sockets).unwrap_or(NonZeroUsize::MIN);
        let lobby = Lobby::new(1000, &[], metrics);
        TcpAcceptor::bind(address, sockets, RequestLimits::default(), &lobby)
    }

    #[tokio::test]
    async fn what_is_accepted_is_the_plain_socket_without_delay() -> Result<(), Box<dyn Error>> {
        for acceptor in &mut bind(ANY_PORT, 1)? {
            let client = TcpStream::connect(acceptor.local_addr()).await?;
            let accepted = acceptor.accept(None).await?;
            assert!(accepted.stream.nodelay()?);
            assert_eq!(accepted.stream.peer_addr()?, client.local_addr()?);
            assert_eq!(accepted.remote_addr.into_std(), Some(client.local_addr()?));
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() -> Result<(), Box<dyn Error>> {
        // However many sockets have it: they share it among themselves, not with another server.
        for sockets in [1, 4] {
            let first = bind(ANY_PORT, sockets)?;
            let address = first[0].local_addr();
            let error = bind(address, sockets).err().ok_or("bound twice")?;
            let expected = format!("cannot listen on {address}: ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn several_sockets_share_one_port_and_its_connections() -> Result<(), Box<dyn Error>> {
        let mut acceptors = bind(ANY_PORT, 2)?;
        let ports: BTreeSet<_> = acceptors.iter().map(TcpAcceptor::local_addr).collect();
        assert_eq!((acceptors.len(), ports.len()), (2, 1));
        let [first, second] = &mut acceptors[..] else {
            return Err("not two".into());
        };
        let (mut at_first, mut at_second) = (0, 0);
        // The kernel chooses by the client's port: that a hundred all go to one socket is as likely as a coin's hundred heads.
        for _ in 0..100 {
            let _client = TcpStream::connect(first.local_addr()).await?;
            tokio::select! {
                accepted = first.accept(None) => at_first += accepted.map(|_| 1)?,
                accepted = second.accept(None) => at_second += accepted.map(|_| 1)?,
            }
        }
        assert_eq!(at_first + at_second, 100);
        assert!(at_first > 0 && at_second > 0, "{at_first} {at_second}");
        Ok(())
    }

    #[test]
    fn what_waiting_can_help() {
        let table = [
            (libc::ECONNABORTED, true),
            (libc::EMFILE, false),
            (libc::ENFILE, false),
            (libc::ENOBUFS, false),
            (libc::ENOMEM, false),
        ];
        for (code, expected) in table {
            assert_eq!(
                concerns_one_connection(&io::Error::from_raw_os_error(code)),
                expected,
                "{code}"
            );
        }
    }
}
