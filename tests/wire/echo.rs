//! The smallest server over our own framing: it sends back what it gets. Its loop is the one that the engine uses: wait until
//! the socket is readable, read into the thread's scratch, decode there, write what is to be said at once.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Buf, Bytes};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};
use smallvec::SmallVec;
use tokio::net::TcpStream;
use trunkline::protocol::websocket::{
    Decoder, Event, Input, Limits, Masking, Role, encode_binary, encode_close, encode_pong,
    encode_text,
};
use trunkline::transport::acceptor::{BindError, RequestLimits, TcpAcceptor};
use trunkline::transport::upgrade::{UpgradeRequest, Upgraded};

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
}

/// Serves on a port of the system's choice, and tells which.
pub(crate) fn serve(limits: RequestLimits) -> Result<SocketAddr, BindError> {
    let acceptor = TcpAcceptor::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), limits)?;
    let address = acceptor.local_addr();
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
                let upgrading = upgrade.accept(response, None);
                tokio::spawn(async move {
                    if let Ok(upgraded) = upgrading.finish().await {
                        // A client that goes away in the middle is nothing to report.
                        let _ = Connection::new(upgraded).run().await;
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
    already_read: Bytes,
    phase: Phase,
}

#[derive(PartialEq)]
enum Phase {
    Open,
    /// The close frame is the last thing that is written.
    Closing,
}

impl Connection {
    fn new(upgraded: Upgraded) -> Self {
        Self {
            stream: upgraded.stream,
            decoder: Decoder::new(Role::Server, Limits::default()),
            waiting: Vec::new(),
            already_read: upgraded.already_read,
            phase: Phase::Open,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        let already_read = std::mem::take(&mut self.already_read);
        if !already_read.is_empty() {
            self.take(&mut already_read.to_vec());
        }
        drop(already_read);
        loop {
            while !self.write()? {
                self.stream.writable().await?;
            }
            if self.phase == Phase::Closing {
                return Ok(());
            }
            self.stream.readable().await?;
            if self.read()? == 0 {
                return Ok(());
            }
        }
    }

    /// How many bytes came; a false alarm counts as one.
    fn read(&mut self) -> io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(scratch) {
            Ok(len) => {
                self.take(&mut scratch[..len]);
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(1),
            Err(error) => Err(error),
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
