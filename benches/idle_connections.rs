//! What an idle WebSocket costs in user space: `cargo bench --bench idle_connections [-- CONNECTIONS]`.
//!
//! The server of the wire tests runs in this process, its clients in another, so that only the server's memory is counted: the
//! growth of RssAnon between a first and the last of the connections, which leaves out what the process costs by itself. With
//! `burst`, handshakes come in hundreds at a time, as after a restart, and whatever that does to the allocator is counted too.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};
use trunkline::protocol::websocket::{Masking, encode_text};
use trunkline::transport::acceptor::RequestLimits;

#[path = "../tests/wire/echo.rs"]
mod echo;

const HANDSHAKE: &[u8] =
    b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const BURST: usize = 500;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", address, width] => client(address.parse()?, width.parse()?),
        [] => measure_both(10_000),
        [connections] => measure_both(connections.parse()?),
        _ => Err("usage: idle_connections [CONNECTIONS]".into()),
    }
}

fn measure_both(connections: usize) -> Outcome<()> {
    for (name, width) in [("one after the other", 1), ("in bursts", BURST)] {
        let bytes = measure(connections, width)?;
        writeln!(
            std::io::stdout(),
            "{connections} idle connections, opened {name}: {bytes:.0} bytes each"
        )?;
    }
    Ok(())
}

/// Bytes of RssAnon for each connection after the first tenth.
fn measure(connections: usize, width: usize) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let address = runtime.block_on(async { echo::serve(RequestLimits::default()) })?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["client", &address.to_string(), &width.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let first = connections / 10;
    open(&mut child, first)?;
    let before = anonymous_bytes()?;
    open(&mut child, connections - first)?;
    let after = anonymous_bytes()?;
    child.kill()?;
    child.wait()?;
    Ok((after - before) / (connections - first) as f64)
}

/// Has the client open so many connections more, and waits until each of them has had an echo.
fn open(child: &mut Child, connections: usize) -> Outcome<()> {
    let stdin = child.stdin.as_mut().ok_or("no stdin")?;
    writeln!(stdin, "{connections}")?;
    let stdout = child.stdout.as_mut().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::with_capacity(1, stdout).read_line(&mut line)?;
    if line.trim() == "open" {
        Ok(())
    } else {
        Err("the client failed; see `ulimit -n`".into())
    }
}

fn anonymous_bytes() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .ok_or("no RssAnon")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// The other process: opens as many as it is told to, `width` handshakes at a time, and keeps them.
fn client(address: SocketAddr, width: usize) -> Outcome<()> {
    let mut kept = Vec::new();
    for line in std::io::stdin().lines() {
        let mut left: usize = line?.parse()?;
        while left > 0 {
            let mut burst = Vec::new();
            for _ in 0..left.min(width) {
                burst.push(connect(address, kept.len())?);
            }
            left -= burst.len();
            for stream in &mut burst {
                stream.write_all(HANDSHAKE)?;
            }
            for stream in &mut burst {
                read_until(stream, b"\r\n\r\n")?;
                stream.write_all(&encode_text("hello", Masking::Key([1, 2, 3, 4])))?;
            }
            for stream in &mut burst {
                read_until(stream, b"\x81\x05hello")?;
            }
            kept.extend(burst);
        }
        writeln!(std::io::stdout(), "open")?;
    }
    Ok(())
}

/// From an address of this process's own for every 5,000: the kernel's search for a free port takes seconds where many are in
/// use or have just been.
fn connect(address: SocketAddr, number: usize) -> Outcome<TcpStream> {
    let [.., high, low] = std::process::id().to_be_bytes();
    let from = Ipv4Addr::new(127, high | 0x80, low, u8::try_from(number / 5000)?);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&address.into())?;
    Ok(socket.into())
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> Outcome<()> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) {
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    Ok(())
}
