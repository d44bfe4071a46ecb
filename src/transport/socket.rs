//! A WebSocket after its upgrade: one small task that reads, and writes on where the room's flush had to stop.
//!
//! It reads into the thread's scratch buffer and keeps nothing of its own while nothing has come in part, so that an idle
//! connection costs little more than its sockets.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::engine::{Admission, Attached, Engine, Link, Phase};
use crate::plan::{ConnectionLimits, Endpoint};
use crate::protocol::CloseCode;
use crate::protocol::websocket::{
    self, Decoder, Deflation, Event, Inflater, Input, Limits, Masking, Role, Violation,
    encode_close, encode_pong,
};
use crate::transport::upgrade::Upgraded;

/// So much is read at a time.
const SCRATCH_BYTES: usize = 64 * 1024;
/// So many reads before other connections get their turn.
const READS_PER_TURN: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        bytes: vec![0; SCRATCH_BYTES],
        inflater: Inflater::new(),
    });
}

/// What a thread keeps for reading, so that no connection has to.
struct Scratch {
    bytes: Vec<u8>,
    inflater: Inflater,
}

/// The writing side that the engine sees.
struct TcpLink(TcpStream);

impl Link for TcpLink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // `send` takes the shortest way through the kernel where there is one buffer, as mostly there is.
        let socket = socket2::SockRef::from(&self.0);
        let send = || match slices {
            [slice] => socket.send(slice),
            _ => socket.send_vectored(slices),
        };
        match send() {
            // Once more in the way that makes the runtime wait for the socket: that looks at memory which is not needed otherwise.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.0.try_io(Interest::WRITABLE, send)
            }
            written => written,
        }
    }
}

/// A connection's reading side and its end.
struct Session {
    engine: Arc<Engine>,
    attached: Attached,
    link: Arc<TcpLink>,
    decoder: Decoder,
    peer_closed: bool,
    ending: bool,
}

/// The decoder that an endpoint's limits ask for, and what was agreed with the client.
pub(super) fn decoder(limits: &ConnectionLimits, deflation: Option<Deflation>) -> Decoder {
    let bound = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let limits = Limits {
        message_bytes_max: bound(limits.message_size.len()),
        fragments_max: bound(limits.fragments),
    };
    let decoder = Decoder::new(Role::Server, limits);
    match deflation {
        Some(_) => decoder.with_deflate(),
        None => decoder,
    }
}

/// Runs an admitted connection to its end, in a task of its own. `decoder` may have begun with the first message.
pub(super) fn run(engine: Arc<Engine>, admission: Admission, upgraded: Upgraded, decoder: Decoder) {
    let link = Arc::new(TcpLink(upgraded.stream));
    let attached = engine.attach(admission, link.clone(), upgraded.answer);
    let mut session = Session {
        engine,
        attached,
        link,
        decoder,
        peer_closed: false,
        ending: false,
    };
    if !upgraded.already_read.is_empty() {
        let mut bytes = upgraded.already_read.to_vec();
        SCRATCH.with_borrow_mut(|scratch| session.take_safely(&mut bytes, &mut scratch.inflater));
    }
    // A task of its own: what the handshake needed is freed, and what stays for the connection's life is small.
    tokio::spawn(async move { std::future::poll_fn(|context| session.poll(context)).await });
}

impl Session {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.attached.connection.register(context.waker());
        self.engine.metrics().guard("dealing with an answer", || {
            self.engine.open_mail(&self.attached.connection);
        });
        for _ in 0..READS_PER_TURN {
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.attached.connection.is_blocked() {
                match self.link.0.poll_write_ready(context) {
                    Poll::Ready(Ok(())) => {
                        self.attached.connection.drain();
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            match ready!(self.link.0.poll_read_ready(context)) {
                Ok(()) if self.read() => {}
                _ => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the connection is done; follows a close that was begun anywhere.
    fn is_over(&mut self) -> bool {
        let connection = &self.attached.connection;
        match connection.phase() {
            Phase::Open => return false,
            Phase::Closed => return true,
            Phase::Closing => {}
        }
        if !self.ending {
            self.ending = true;
            self.engine.abandon_later(connection);
        }
        if !connection.is_over() {
            return false;
        }
        if !self.peer_closed {
            // The close frame is out: what the peer still sends is read until it closes too, or its time is over, because
            // closing the socket over unread bytes would take the close frame away again (RFC 6455 §7.1.1).
            let _ = socket2::SockRef::from(&self.link.0).shutdown(std::net::Shutdown::Write);
            return connection.is_abandoned();
        }
        true
    }

    /// Reads once; says whether the connection goes on.
    fn read(&mut self) -> bool {
        SCRATCH.with_borrow_mut(|Scratch { bytes, inflater }| {
            let mut taken = None;
            let read = self.link.0.try_io(Interest::READABLE, || {
                let len = (&*socket2::SockRef::from(&self.link.0)).read(bytes)?;
                taken = Some(len);
                if len > 0 && len < bytes.len() {
                    // There is no more: saying so spares the call that would find nothing.
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (taken, read) {
                (Some(0), _) => false,
                (Some(len), _) => {
                    self.take_safely(&mut bytes[..len], inflater);
                    true
                }
                (None, Err(error)) => matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ),
                (None, Ok(())) => true,
            }
        })
    }

    /// A panic is our fault, and this connection's alone.
    fn take_safely(&mut self, bytes: &mut [u8], inflater: &mut Inflater) {
        let take = AssertUnwindSafe(|| self.take(Input::with_inflater(bytes, inflater)));
        if catch_unwind(take).is_err() {
            self.engine.metrics().panics.inc();
            self.attached.connection.close(CloseCode::Internal);
        }
    }

    fn take(&mut self, mut input: Input<'_>) {
        let connection = self.attached.connection.clone();
        let connection = &connection;
        self.engine
            .metrics()
            .bytes_received
            .inc_by(input.remaining().len() as u64);
        self.engine.heard(connection);
        connection.hold();
        loop {
            if connection.phase() != Phase::Open {
                self.peer_closed |= self.skip_to_close(&mut input);
                break;
            }
            match self.decoder.next(&mut input) {
                Ok(Some(Event::Text(text))) => self.engine.receive_text(connection, text),
                Ok(Some(Event::Binary(payload))) => {
                    self.engine.receive_binary(connection, payload);
                }
                Ok(Some(Event::Ping(payload))) => {
                    connection.send_control(&encode_pong(payload, Masking::Plain));
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(frame))) => {
                    self.peer_closed = true;
                    connection.close_answer(frame.map(|frame| frame.code));
                }
                Ok(None) => break,
                Err(violation) => {
                    tracing::debug!(connection = ?connection.id, %violation, "closed for its framing");
                    connection.close_for(violation.close_code(), &violation.to_string());
                }
            }
        }
        connection.release();
    }

    /// Whether the peer's close frame is among what it sent after ours.
    fn skip_to_close(&mut self, input: &mut Input<'_>) -> bool {
        loop {
            match self.decoder.next(input) {
                Ok(Some(Event::Close(_))) => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

/// Sends the answer, and waits for the first text message, which has to bring the credential. What came behind it is given too.
pub(super) async fn first_message(
    upgraded: &Upgraded,
    decoder: &mut Decoder,
) -> Result<(String, Bytes), CloseCode> {
    let stream = &upgraded.stream;
    write_all(stream, &upgraded.answer)
        .await
        .map_err(|_| CloseCode::Normal)?;
    let mut bytes = upgraded.already_read.to_vec();
    loop {
        if !bytes.is_empty() {
            let mut input = Input::new(&mut bytes);
            while let Some(event) = decoder.next(&mut input).map_err(close_code)? {
                match event {
                    Event::Text(text) => {
                        let text = text.to_owned();
                        return Ok((text, Bytes::copy_from_slice(input.remaining())));
                    }
                    Event::Ping(_) | Event::Pong(_) => {}
                    Event::Binary(_) => return Err(CloseCode::Unsupported),
                    Event::Close(_) => return Err(CloseCode::Normal),
                }
            }
        }
        stream.readable().await.map_err(|_| CloseCode::Normal)?;
        bytes = SCRATCH.with_borrow_mut(|scratch| match stream.try_read(&mut scratch.bytes) {
            Ok(0) => Err(CloseCode::Normal),
            Ok(len) => Ok(scratch.bytes[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(_) => Err(CloseCode::Normal),
        })?;
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn close_code(violation: Violation) -> CloseCode {
    match violation.close_code() {
        websocket::CloseCode::INVALID_PAYLOAD => CloseCode::InvalidPayload,
        websocket::CloseCode::TOO_LARGE => CloseCode::TooLarge,
        websocket::CloseCode::POLICY => CloseCode::NotAllowed,
        _ => CloseCode::ProtocolError,
    }
}

/// Ends a connection that was never admitted, with a code that browsers can read, behind the answer where that is not out.
pub(super) async fn refuse(
    stream: TcpStream,
    answer: &[u8],
    endpoint: &Endpoint,
    code: CloseCode,
    reason: &str,
) {
    let Some(code) = websocket::CloseCode::new(code.as_u16()) else {
        return;
    };
    let frame = encode_close(code, reason, Masking::Plain);
    let farewell = [answer, &frame].concat();
    let timeout = endpoint
        .heartbeat
        .timeout
        .min(std::time::Duration::from_secs(5));
    let end = async {
        write_all(&stream, &farewell).await?;
        socket2::SockRef::from(&stream).shutdown(std::net::Shutdown::Write)?;
        let mut rest = [0; 256];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err::<(), io::Error>(error),
            }
        }
    };
    // Whether the peer took it or not, the connection ends here.
    let _ = tokio::time::timeout(timeout, end).await;
}
