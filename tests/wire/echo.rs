//! The smallest server over our own framing: it sends back what it gets. Its loop is the one that the engine uses: wait until
//! the socket is readable, read into the thread's scratch, decode there, write what is to be said at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use trunkline::plan::Address;
use trunkline::protocol::websocket::{
    Decoder, Event, Input, Limits, Masking, Role, encode_binary, encode_close, encode_pong,
    encode_text,
};
use trunkline::telemetry::{MetricNames, Metrics};
use trunkline::transport::acceptor::{Entrance, RequestLimits, SocketAcceptor};
use trunkline::transport::listening::BindError;
use trunkline::transport::lobby::Lobby;
use trunkline::transport::upgrade::{Agreement, UpgradeRequest, Upgraded};
use trunkline::transport::wire::Socket;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Serves on a port of the system's choice, and tells which.
pub(crate) fn serve(limits: RequestLimits) -> Result<SocketAddr, BindError> {
    let lobby = Lobby::new(1000, &[], Arc::new(Metrics::new(&MetricNames::default())));
    let any_port = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let entrance = Entrance {
        limits,
        lobby,
        tls: None,
        proxied: None,
    };
    let mut acceptors = SocketAcceptor::bind(&any_port, NonZeroUsize::MIN, entrance)?;
    let acceptor = acceptors.remove(0);
    let address = acceptor.tcp_address().expect("it listens by TCP");
    let router = Router::new()
        .push(Router::with_path("/echo").goal(Echo))
        .push(Router::with_path("/hello").get(Hello));
    tokio::spawn(acceptor.into_server().try_serve(router));
    Ok(address)
}

struct Hello;

#[async_trait]
impl Handler for Hello {
    async fn handle(
        &self,
        _: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        response.render("hello");
    }
}

struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        match UpgradeRequest::read(request) {
            Ok(upgrade) => {
                let upgrading = upgrade.accept(response, Agreement::default());
                tokio::spawn(async move {
                    let Ok(upgraded) = upgrading.finish().await else {
                        return;
                    };
                    // A client that goes away in the middle is nothing to report.
                    if let Some(mut connection) = Connection::new(upgraded) {
                        let _ = connection.run().await;
                    }
                });
            }
            Err(refusal) => refusal.write(response),
        }
    }
}

struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    /// What could not be written yet, the oldest first.
    waiting: Vec<Bytes>,
    phase: Phase,
}

#[derive(PartialEq)]
enum Phase {
    Open,
    /// The close frame is the last thing that is written.
    Closing,
}

impl Connection {
    fn new(upgraded: Upgraded) -> Option<Self> {
        let Socket::Tcp(stream) = upgraded.stream else {
            return None;
        };
        let mut connection = Self {
            stream,
            decoder: Decoder::new(Role::Server, Limits::default()),
            waiting: vec![upgraded.answer],
            phase: Phase::Open,
        };
        if !upgraded.already_read.is_empty() {
            connection.take(&mut upgraded.already_read.to_vec());
        }
        Some(connection)
    }

    /// Waits by polling, not by `readable()` and `writable()`: the connection's only task needs no place in a list of waiters,
    /// which would make it three times as large.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            while !self.write()? {
                poll_fn(|context| self.stream.poll_write_ready(context)).await?;
            }
            if self.phase == Phase::Closing
                || poll_fn(|context| self.poll_read(context)).await? == 0
            {
                return Ok(());
            }
        }
    }

    /// How many bytes came. The scratch is borrowed only while there is something to read; and a read that does not fill it
    /// spares the next one, which `try_read` would need to find out that there is nothing more.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            let len = buffer.filled().len();
            self.take(&mut scratch[..len]);
            Poll::Ready(Ok(len))
        })
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut input = Input::new(bytes);
        loop {
            let (answer, phase) = match self.decoder.next(&mut input) {
                Ok(None) => return,
                Ok(Some(Event::Text(text))) => (encode_text(text, Masking::Plain), Phase::Open),
                Ok(Some(Event::Binary(bytes))) => {
                    (encode_binary(bytes, Masking::Plain), Phase::Open)
                }
                Ok(Some(Event::Ping(payload))) => {
                    (encode_pong(payload, Masking::Plain), Phase::Open)
                }
                Ok(Some(Event::Pong(_))) => continue,
                Ok(Some(Event::Close(close))) => {
                    let code = close
                        .map_or(trunkline::protocol::websocket::CloseCode::NORMAL, |close| {
                            close.code
                        });
                    (encode_close(code, "", Masking::Plain), Phase::Closing)
                }
                Err(violation) => {
                    let reason = violation.to_string();
                    (
                        encode_close(violation.close_code(), &reason, Masking::Plain),
                        Phase::Closing,
                    )
                }
            };
            self.phase = phase;
            self.waiting.push(answer);
        }
    }

    /// Whether all is written.
    fn write(&mut self) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            let slices: SmallVec<[IoSlice<'_>; 16]> = self
                .waiting
                .iter()
                .take(16)
                .map(|frame| IoSlice::new(frame))
                .collect();
            let outcome = self.stream.try_write_vectored(&slices);
            drop(slices);
            match outcome {
                Ok(written) => self.written(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.waiting = Vec::new();
        Ok(true)
    }

    fn written(&mut self, mut bytes: usize) {
        let mut whole = 0;
        for frame in &mut self.waiting {
            if bytes < frame.len() {
                frame.advance(bytes);
                break;
            }
            bytes -= frame.len();
            whole += 1;
        }
        self.waiting.drain(..whole);
    }
}
