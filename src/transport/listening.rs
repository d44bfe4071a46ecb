//! Sockets that listen: on an address of TCP or on a path.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::plan::{Address, UnixAddress};
use crate::transport::wire;

/// Connections that the kernel keeps for us between two calls to accept; it lowers the number to its own `somaxconn`. Reconnect storms
/// are what fills it.
const BACKLOG: i32 = 4096;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address that was asked for.
    pub address: Address,
    /// What the system said.
    pub cause: io::Error,
}

/// A socket that listens.
pub(super) enum Listening {
    /// On an address and a port.
    Tcp(TcpListener, SocketAddr),
    /// On a path.
    Unix(UnixSocket),
}

/// A Unix socket that listens, and its file, which goes with it.
pub(super) struct UnixSocket {
    listener: UnixListener,
    _file: SocketFile,
}

/// The other end of what was accepted; none of a Unix socket.
pub(super) type Peer = Option<SocketAddr>;

impl Listening {
    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(wire::Socket, Peer)> {
        match self {
            Self::Tcp(listener, _) => {
                let (socket, peer) = listener.accept().await?;
                Ok((wire::Socket::Tcp(socket), Some(peer)))
            }
            Self::Unix(socket) => {
                let (socket, _) = socket.listener.accept().await?;
                Ok((wire::Socket::Unix(socket), None))
            }
        }
    }

    /// Where it listens by TCP; with port 0 the system chose it.
    pub(super) const fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// Listens on the address with as many sockets as are wanted, all on one port; on a path with one.
pub(super) fn listen(
    address: &Address,
    sockets: NonZeroUsize,
) -> Result<Vec<Listening>, BindError> {
    let listening = match address {
        Address::Tcp(address) => listen_tcp(*address, sockets),
        Address::Unix(address) => listen_unix(address).map(|listening| vec![listening]),
    };
    listening.map_err(|cause| BindError {
        address: address.clone(),
        cause,
    })
}

fn listen_tcp(address: SocketAddr, sockets: NonZeroUsize) -> io::Result<Vec<Listening>> {
    let first = tcp_socket(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    let first = TcpListener::from_std(first.into())?;
    let address = first.local_addr()?;
    // Only now that it listens may the first share its port: with SO_REUSEPORT from the start, a second server of the same user
    // would get the port too, and half of the connections.
    SockRef::from(&first).set_reuse_port(true)?;
    let mut listening = vec![Listening::Tcp(first, address)];
    for _ in 1..sockets.get() {
        let further = tcp_socket(address)?;
        further.set_reuse_port(true)?;
        further.bind(&address.into())?;
        further.listen(BACKLOG)?;
        let further = TcpListener::from_std(further.into())?;
        listening.push(Listening::Tcp(further, address));
    }
    Ok(listening)
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // What is accepted inherits it, which spares each connection a call.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The file of a Unix socket, removed when this goes, unless somebody else's has taken its place.
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(std::fs::symlink_metadata(path)?.ino())
}

/// Listens on a path. The file appears under its name with its mode, and when it is listened on: nobody finds it half made.
fn listen_unix(address: &UnixAddress) -> io::Result<Listening> {
    let path = &*address.path;
    refuse_what_lives(path)?;
    let mut made = path.as_os_str().to_owned();
    made.push("~");
    let made = PathBuf::from(made);
    // Left by one that was killed at this very moment.
    let _ = std::fs::remove_file(&made);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&made)?)?;
    let named = std::fs::set_permissions(&made, std::fs::Permissions::from_mode(address.mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| std::fs::rename(&made, path));
    if let Err(error) = named {
        let _ = std::fs::remove_file(&made);
        return Err(error);
    }
    Ok(Listening::Unix(UnixSocket {
        listener: UnixListener::from_std(socket.into())?,
        _file: SocketFile {
            path: path.to_owned(),
            inode: inode(path)?,
        },
    }))
}

/// Finds what stands at the path already: only a socket that nobody listens on may be replaced.
fn refuse_what_lives(path: &Path) -> io::Result<()> {
    let file_type = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file_type.is_socket() {
        let message =
            "there is a file at this path that is no socket: remove it, or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::num::NonZeroUsize;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::{Listening, listen};
    use crate::plan::{Address, UnixAddress};

    fn on(path: &Path, mode: u32) -> Result<Vec<Listening>, io::Error> {
        let address = Address::Unix(UnixAddress {
            path: path.into(),
            mode,
        });
        listen(&address, NonZeroUsize::MIN).map_err(|error| error.cause)
    }

    #[tokio::test]
    async fn a_socket_file_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.sock");
        for mode in [0o660, 0o600, 0o666] {
            let listening = on(&path, mode).expect("listens");
            let found = std::fs::metadata(&path).expect("it is there").permissions();
            assert_eq!(found.mode() & 0o777, mode);
            drop(listening);
            assert!(!path.exists());
        }
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .expect("a folder")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn only_what_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.sock");
        let kind = |result: Result<Vec<Listening>, io::Error>| {
            result.map(|_| ()).map_err(|error| error.kind())
        };

        let other = UnixListener::bind(&path).expect("binds");
        assert_eq!(kind(on(&path, 0o660)), Err(io::ErrorKind::AddrInUse));
        // Its file stays when it goes, as after a kill.
        drop(other);
        assert!(path.exists());
        let first = on(&path, 0o660).expect("replaces it");
        assert_eq!(kind(on(&path, 0o660)), Err(io::ErrorKind::AddrInUse));
        assert!(path.exists());
        drop(first);

        std::fs::write(&path, "precious").expect("writes");
        assert_eq!(kind(on(&path, 0o660)), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(std::fs::read(&path).expect("reads"), b"precious");
    }
}
