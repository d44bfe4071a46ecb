//! A WebSocket after its upgrade: one small task that reads, and writes on where the room's flush had to stop.
//!
//! It reads into the thread's scratch buffer and keeps nothing of its own while nothing has come in part, so that an idle
//! connection costs little more than its sockets.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::engine::{Admission, Attached, Engine, Phase};
use crate::plan::{ConnectionLimits, Endpoint};
use crate::protocol::CloseCode;
use crate::protocol::websocket::{
    self, Decoder, Deflation, Event, Inflater, Input, Limits, Masking, Role, Violation,
    encode_close, encode_pong,
};
use crate::transport::upgrade::Upgraded;
use crate::transport::wire::{Socket, Wire};

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

/// A connection's reading side and its end.
struct Session<W> {
    engine: Arc<Engine>,
    attached: Attached,
    link: Arc<W>,
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
    let opened = Opened {
        answer: upgraded.answer,
        already_read: upgraded.already_read,
        decoder,
    };
    match upgraded.stream {
        Socket::Tcp(socket) => opened.run(engine, admission, socket),
        Socket::Unix(socket) => opened.run(engine, admission, socket),
        Socket::Tls(socket) => opened.run(engine, admission, *socket),
    }
}

/// What a connection begins with, beside its socket.
struct Opened {
    answer: Bytes,
    already_read: Bytes,
    decoder: Decoder,
}

impl Opened {
    fn run<W: Wire>(self, engine: Arc<Engine>, admission: Admission, socket: W) {
        let link = Arc::new(socket);
        let attached = engine.attach(admission, link.clone(), self.answer);
        let mut session = Session {
            engine,
            attached,
            link,
            decoder: self.decoder,
            peer_closed: false,
            ending: false,
        };
        if !self.already_read.is_empty() {
            let mut bytes = self.already_read.to_vec();
            SCRATCH
                .with_borrow_mut(|scratch| session.take_safely(&mut bytes, &mut scratch.inflater));
        }
        // A task of its own: what the handshake needed is freed, and what stays for the connection's life is small.
        tokio::spawn(async move {
            std::future::poll_fn(|context| session.poll(context)).await;
            if W::SAYS_END {
                session.link.end();
            }
        });
    }
}

impl<W: Wire> Session<W> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.attached.connection.register(context.waker());
        self.link.register(context.waker());
        self.engine.metrics().guard("dealing with an answer", || {
            self.engine.open_mail(&self.attached.connection);
        });
        for _ in 0..READS_PER_TURN {
            if self.is_over() {
                return Poll::Ready(());
            }
            if self.attached.connection.is_blocked() || self.link.is_waiting() {
                match self.link.poll_write_ready(context) {
                    Poll::Ready(Ok(())) => {
                        if !self.write_on() {
                            return Poll::Ready(());
                        }
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            match ready!(self.link.poll_read_ready(context)) {
                Ok(()) if self.read() => {}
                _ => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what waits; whether the connection goes on.
    fn write_on(&self) -> bool {
        if self.link.is_waiting() && self.link.flush().is_err() {
            return false;
        }
        if self.attached.connection.is_blocked() {
            self.attached.connection.drain();
        }
        true
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
        // The close frame is out: what the peer still sends is read until it closes too, or its time is over, because
        // closing the socket over unread bytes would take the close frame away again (RFC 6455 §7.1.1).
        let is_sent = (self.peer_closed && !W::SAYS_END) || self.link.end();
        (self.peer_closed && is_sent) || connection.is_abandoned()
    }

    /// Reads once; says whether the connection goes on.
    fn read(&mut self) -> bool {
        SCRATCH.with_borrow_mut(
            |Scratch { bytes, inflater }| match self.link.try_read(bytes) {
                Ok(0) => false,
                Ok(len) => {
                    self.take_safely(&mut bytes[..len], inflater);
                    true
                }
                Err(error) => matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ),
            },
        )
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
    stream
        .write_all(&upgraded.answer)
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
        bytes = read(stream).await.map_err(|_| CloseCode::Normal)?;
        if bytes.is_empty() {
            return Err(CloseCode::Normal);
        }
    }
}

/// Reads once through the thread's scratch buffer.
async fn read(stream: &Socket) -> io::Result<Vec<u8>> {
    std::future::poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = ready!(stream.poll_read(context, &mut scratch.bytes));
            Poll::Ready(read.map(|len| scratch.bytes[..len].to_vec()))
        })
    })
    .await
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
    stream: Socket,
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
        stream.write_all(&farewell).await?;
        stream.end().await?;
        let mut rest = [0; 256];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // Whether the peer took it or not, the connection ends here.
    let _ = tokio::time::timeout(timeout, end).await;
}
