//! Accepting connections, in the one form that lets a WebSocket have its socket back.
//!
//! salvo's own acceptor wraps the socket in a type that can be read only through buffers; this one hands on an [`HttpStream`],
//! so that [`super::upgrade`] can take the socket out again and wait for it by its readiness, without a buffer. It speaks HTTP/1.1 alone: only there a connection can be upgraded as a whole (RFC 9110 §7.8).
//!
//! This is salvo's public way: an [`Acceptor`] whose stream goes to [`TcpCoupler`]. salvo fixes the client's address when `accept`
//! returns, so that a PROXY header, which names the client, is read before; but beside the accepting, not in front of it, or one slow
//! proxy would keep all others waiting. TLS is agreed on later, when HTTP reads its first bytes.
//!
//! An address has several listening sockets, so that threads do not wait for each other at one queue: the kernel spreads
//! connections over them (SO_REUSEPORT, socket(7)). After a few connections the others get their turn, so that a storm of
//! newcomers, whose credentials are checked within their turn, does not keep those waiting who are in.
//!
//! Its connections have [`RequestLimits`] and places in a [`Lobby`], and running out of file descriptors delays it but does not end it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use salvo::Server;
use salvo::conn::tcp::TcpCoupler;
use salvo::conn::{Accepted, Acceptor, ConnCtrl, Holding};
use salvo::fuse::{ArcFusePolicy, FuseConfig};
use salvo::http::Version;
use salvo::http::uri::Scheme;
use tokio::task::JoinSet;

use crate::plan::Address;
use crate::transport::listening::{BindError, Listening, Peer, listen};
use crate::transport::lobby::{Lobby, Place};
use crate::transport::proxied::{Proxied, ProxiedError};
use crate::transport::stream::HttpStream;
use crate::transport::tls::Tls;
use crate::transport::wire::Socket;

/// Connections that are accepted before whatever else is ready gets its turn. The dearest check of a credential (ES256) takes 63 µs:
/// so many of them keep a thread for a millisecond.
const ACCEPTS_PER_TURN: u32 = 16;

/// What hyper may buffer of a connection, each way, unless a request's head may be longer; its own default is 400 KB.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Connections of one listening socket whose PROXY header has not come; more wait in the kernel's queue.
const ARRIVING_MAX: usize = 1024;

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

/// What a connection passes through before its first request.
pub struct Entrance {
    /// What it may take.
    pub limits: RequestLimits,
    /// Where it has its place.
    pub lobby: Arc<Lobby>,
    /// TLS, where the listener speaks it.
    pub tls: Option<Tls>,
    /// The PROXY protocol, where connections begin with it.
    pub proxied: Option<Arc<Proxied>>,
}

type Connection = Accepted<TcpCoupler<HttpStream>, HttpStream>;

/// A listening socket, as salvo wants it.
pub struct SocketAcceptor {
    listening: Listening,
    address: Address,
    holdings: [Holding; 1],
    entrance: Arc<Entrance>,
    arriving: JoinSet<Option<Connection>>,
    failures: u32,
    accepted_this_turn: u32,
}

impl SocketAcceptor {
    /// Listens on the address with as many sockets as are wanted, all on one port, or with one on a path; with port 0 the system
    /// chooses it, which [`SocketAcceptor::tcp_address`] tells. A port whose last owner has just ended can be had at once
    /// (SO_REUSEADDR), and so can a path that nobody listens on any more.
    ///
    /// It has to be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, forbidden or not ours.
    pub fn bind(
        address: &Address,
        sockets: NonZeroUsize,
        entrance: Entrance,
    ) -> Result<Vec<Self>, BindError> {
        let entrance = Arc::new(entrance);
        let acceptor = |listening: Listening| {
            let address = match listening.tcp_address() {
                Some(chosen) => Address::Tcp(chosen),
                None => address.clone(),
            };
            Self {
                holdings: [Holding {
                    local_addr: local_addr(&listening),
                    http_versions: vec![Version::HTTP_11],
                    http_scheme: scheme(&entrance),
                }],
                listening,
                address,
                entrance: entrance.clone(),
                arriving: JoinSet::new(),
                failures: 0,
                accepted_this_turn: 0,
            }
        };
        let listening = listen(address, sockets)?;
        Ok(listening.into_iter().map(acceptor).collect())
    }

    /// Where it listens by TCP.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.listening.tcp_address()
    }

    /// The server on this socket, with the limits that only salvo's server can set: `Server::new` alone would take
    /// heads of up to 400 KB.
    #[must_use]
    pub fn into_server(self) -> Server<Self> {
        let head_bytes_max = self.entrance.limits.head_bytes_max;
        let mut server = Server::new(self);
        let buffer_bytes_max = BUFFER_BYTES_MAX.max(head_bytes_max);
        server
            .http1_mut()
            .max_header_size(head_bytes_max)
            .max_buf_size(buffer_bytes_max);
        server
    }

    /// Lets somebody in, who may have to wait for a place. None where the other end may have no more, or has still to say who it is.
    async fn let_in(&mut self, socket: Socket, peer: Peer) -> Option<Connection> {
        let local_addr = self.holdings[0].local_addr.clone();
        let guest = Guest::enter(&self.entrance, local_addr, peer).await?;
        let Some(proxied) = &self.entrance.proxied else {
            return guest.seat(socket, peer);
        };
        if !proxied.trusts(peer) {
            guest.refuse(peer, &ProxiedError::Untrusted);
            return None;
        }
        let proxied = proxied.clone();
        self.arriving.spawn(async move {
            match proxied.client(&socket, peer).await {
                Ok(client) => guest.seat(socket, client),
                Err(error) => {
                    guest.refuse(peer, &error);
                    None
                }
            }
        });
        None
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
            tracing::error!(address = %self.address, %error, "cannot accept connections; trying again until it works");
        }
        let pause = PAUSE_MIN
            .saturating_mul(1 << self.failures.min(10))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

/// Somebody with a place in the lobby, and not yet a socket.
struct Guest {
    entrance: Arc<Entrance>,
    place: Place,
    conn_ctrl: ConnCtrl,
    local_addr: salvo::conn::SocketAddr,
}

impl Guest {
    async fn enter(
        entrance: &Arc<Entrance>,
        local_addr: salvo::conn::SocketAddr,
        peer: Peer,
    ) -> Option<Self> {
        let conn_ctrl = ConnCtrl::new();
        // Who comes over a Unix socket is somebody on this machine.
        let ip = peer.map_or(IpAddr::from(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let place = entrance.lobby.enter(&conn_ctrl, ip.to_canonical()).await?;
        Some(Self {
            entrance: entrance.clone(),
            place,
            conn_ctrl,
            local_addr,
        })
    }

    /// What salvo serves; none where TLS cannot begin.
    fn seat(self, socket: Socket, client: Peer) -> Option<Connection> {
        let Entrance { limits, tls, .. } = &*self.entrance;
        let fuse_config = FuseConfig::disabled()
            .with_http1_header_timeout(limits.head_timeout)
            .with_request_body_timeout(limits.body_timeout);
        let socket = match (tls, socket) {
            (Some(tls), Socket::Tcp(socket)) => match tls.accept(socket) {
                Ok(secured) => Socket::Tls(Box::new(secured)),
                Err(error) => {
                    tracing::error!(%error, "a connection cannot have TLS");
                    return None;
                }
            },
            (_, socket) => socket,
        };
        Some(Accepted {
            coupler: TcpCoupler::new(),
            http_scheme: scheme(&self.entrance),
            stream: HttpStream::new(socket, self.place, self.conn_ctrl.clone()),
            fuse_config: Some(fuse_config),
            conn_ctrl: self.conn_ctrl,
            local_addr: self.local_addr,
            remote_addr: remote_addr(client),
        })
    }

    fn refuse(&self, peer: Peer, error: &ProxiedError) {
        self.place.not_proxied();
        tracing::debug!(?peer, %error, "a connection without a PROXY header that can be believed");
    }
}

/// An IPv4 client on an IPv6 socket is the same client.
fn remote_addr(client: Peer) -> salvo::conn::SocketAddr {
    match client {
        Some(client) => SocketAddr::new(client.ip().to_canonical(), client.port()).into(),
        None => salvo::conn::SocketAddr::Unknown,
    }
}

fn local_addr(listening: &Listening) -> salvo::conn::SocketAddr {
    match listening.tcp_address() {
        Some(address) => address.into(),
        None => salvo::conn::SocketAddr::Unknown,
    }
}

fn scheme(entrance: &Entrance) -> Scheme {
    match entrance.tls {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    }
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

impl Acceptor for SocketAcceptor {
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
            let accepted = tokio::select! {
                Some(arrived) = self.arriving.join_next(), if !self.arriving.is_empty() => {
                    match arrived {
                        Ok(Some(connection)) => return Ok(connection),
                        _ => continue,
                    }
                }
                accepted = self.listening.accept(), if self.arriving.len() < ARRIVING_MAX => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    if self.failures > 0 {
                        tracing::info!(address = %self.address, failures = self.failures, "accepting connections again");
                        self.failures = 0;
                    }
                    if let Some(connection) = self.let_in(socket, peer).await {
                        return Ok(connection);
                    }
                }
                Err(error) => self.recover(&error).await,
            }
        }
    }
}

impl fmt::Debug for SocketAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketAcceptor")
            .field("address", &self.address)
            .field("limits", &self.entrance.limits)
            .finish_non_exhaustive()
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

    use super::{Entrance, RequestLimits, SocketAcceptor, concerns_one_connection};
    use crate::plan::Address;
    use crate::telemetry::{MetricNames, Metrics};
    use crate::transport::listening::BindError;
    use crate::transport::lobby::Lobby;
    use crate::transport::wire::Socket;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn bind(address: SocketAddr, sockets: usize) -> Result<Vec<SocketAcceptor>, BindError> {
        let metrics = Arc::new(Metrics::new(&MetricNames::default()));
        let sockets = NonZeroUsize::new(sockets).unwrap_or(NonZeroUsize::MIN);
        let entrance = Entrance {
            limits: RequestLimits::default(),
            lobby: Lobby::new(1000, &[], metrics),
            tls: None,
            proxied: None,
        };
        SocketAcceptor::bind(&Address::Tcp(address), sockets, entrance)
    }

    fn address(acceptor: &SocketAcceptor) -> SocketAddr {
        acceptor.tcp_address().expect("it listens by TCP")
    }

    #[tokio::test]
    async fn what_is_accepted_is_the_plain_socket_without_delay() -> Result<(), Box<dyn Error>> {
        for acceptor in &mut bind(ANY_PORT, 1)? {
            let client = TcpStream::connect(address(acceptor)).await?;
            let accepted = acceptor.accept(None).await?;
            let Socket::Tcp(socket) = accepted.stream.socket() else {
                return Err("it is not plain".into());
            };
            assert!(socket.nodelay()?);
            assert_eq!(socket.peer_addr()?, client.local_addr()?);
            assert_eq!(accepted.remote_addr.into_std(), Some(client.local_addr()?));
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() -> Result<(), Box<dyn Error>> {
        // However many sockets have it: they share it among themselves, not with another server.
        for sockets in [1, 4] {
            let first = bind(ANY_PORT, sockets)?;
            let address = address(&first[0]);
            let error = bind(address, sockets).err().ok_or("bound twice")?;
            let expected = format!("cannot listen on {address}: ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn several_sockets_share_one_port_and_its_connections() -> Result<(), Box<dyn Error>> {
        let mut acceptors = bind(ANY_PORT, 2)?;
        let ports: BTreeSet<_> = acceptors.iter().map(address).collect();
        assert_eq!((acceptors.len(), ports.len()), (2, 1));
        let [first, second] = &mut acceptors[..] else {
            return Err("not two".into());
        };
        let (mut at_first, mut at_second) = (0, 0);
        // The kernel chooses by the client's port: that a hundred all go to one socket is as likely as a coin's hundred heads.
        for _ in 0..100 {
            let _client = TcpStream::connect(address(first)).await?;
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
