//! The two directions of a TLS connection as bytes in and bytes out; no socket, no waiting.
//!
//! rustls is driven through its unbuffered side: records are decrypted where they were read to, and encrypted into a buffer of the
//! thread's. What stays with the connection is its keys, a record that came in part, and what the socket did not take.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::transport::tls::ACME_TLS_1;

/// The plaintext of one record at most (RFC 8446 §5.1).
pub(super) const RECORD_BYTES: usize = 16 * 1024;
/// What a record is longer than its plaintext, with room for a change of keys before it.
const OVERHEAD_BYTES: usize = 1024;
/// What may wait for a socket, beside one record: answers to handshake messages, which a peer may ask for without reading them.
const WAITING_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        plain: vec![0; RECORD_BYTES],
        record: vec![0; RECORD_BYTES + OVERHEAD_BYTES],
    });
}

/// What a thread keeps for writing, so that no connection has to.
struct Scratch {
    plain: Vec<u8>,
    record: Vec<u8>,
}

/// How far the two have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Agreeing on keys.
    Handshake,
    /// Application data goes both ways.
    Open,
    /// We have said that nothing follows (close_notify).
    Said,
    /// An error ended it; nothing can be written.
    Failed,
}

/// A TLS connection without its socket.
pub(super) struct Records {
    tls: UnbufferedServerConnection,
    stage: Stage,
    /// The peer has said that nothing follows.
    peer_closed: bool,
    /// Of a record that came in part.
    incoming: Vec<u8>,
    /// Decrypted, and more than the reader had room for.
    plaintext: Vec<u8>,
    /// Records that the socket has not taken yet.
    outgoing: Vec<u8>,
}

/// Plaintext as it is decrypted.
struct Sink<'a> {
    room: &'a mut [u8],
    len: usize,
    rest: &'a mut Vec<u8>,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (now, later) = bytes.split_at(bytes.len().min(self.room.len() - self.len));
        self.room[self.len..][..now.len()].copy_from_slice(now);
        self.len += now.len();
        self.rest.extend_from_slice(later);
    }
}

impl Records {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            stage: Stage::Handshake,
            peer_closed: false,
            incoming: Vec::new(),
            plaintext: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Whether nothing has come yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.stage == Stage::Handshake && self.incoming.is_empty() && self.outgoing.is_empty()
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.stage == Stage::Handshake
    }

    /// Whether nothing will come any more.
    pub(super) fn is_at_end(&self) -> bool {
        self.plaintext.is_empty() && (self.peer_closed || self.stage == Stage::Failed)
    }

    /// Whether there is plaintext to read without the socket.
    pub(super) fn has_plaintext(&self) -> bool {
        !self.plaintext.is_empty()
    }

    /// Plaintext that is there already.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let len = out.len().min(self.plaintext.len());
        out[..len].copy_from_slice(&self.plaintext[..len]);
        self.plaintext.drain(..len);
        if self.plaintext.is_empty() {
            self.plaintext = Vec::new();
        }
        len
    }

    /// What came before, to which the socket's next bytes belong.
    pub(super) fn take_incoming(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.incoming)
    }

    /// Puts back what [`Records::take_incoming`] gave where nothing came.
    pub(super) fn keep_incoming(&mut self, incoming: Vec<u8>) {
        self.incoming = incoming;
    }

    /// Takes in what came, `incoming` before it; gives the plaintext in `out`, and keeps what it has no room for. Answers that TLS
    /// itself has wait to be sent.
    ///
    /// # Errors
    /// It is not TLS as we speak it. The alert that says so waits to be sent.
    pub(super) fn receive(&mut self, came: &mut [u8], out: &mut [u8]) -> io::Result<usize> {
        let mut rest = std::mem::take(&mut self.plaintext);
        let mut sink = Sink {
            room: out,
            len: 0,
            rest: &mut rest,
        };
        let processed = self.process(came, &mut sink);
        let len = sink.len;
        self.plaintext = rest;
        let consumed = processed.map_err(|error| self.fail(&error))?;
        self.incoming = came[consumed..].to_vec();
        if self.outgoing.len() > WAITING_BYTES_MAX {
            self.stage = Stage::Failed;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.tls.alpn_protocol() == Some(ACME_TLS_1) && self.stage == Stage::Open {
            // The proof was the handshake.
            self.peer_closed = true;
        }
        Ok(len)
    }

    fn process(&mut self, came: &mut [u8], sink: &mut Sink<'_>) -> Result<usize, rustls::Error> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut came[consumed..]);
            let mut is_done = false;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        sink.put(record?.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut self.outgoing, |room| data.encode(room));
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                ConnectionState::WriteTraffic(_) => {
                    if self.stage == Stage::Handshake {
                        self.stage = Stage::Open;
                    }
                    is_done = true;
                }
                // Early data is never agreed to.
                _ => is_done = true,
            }
            consumed += discard;
            if is_done {
                break;
            }
        }
        // What comes behind the end is of no use to anyone (RFC 8446 §6.1).
        Ok(if self.peer_closed {
            came.len()
        } else {
            consumed
        })
    }

    /// The connection is over for `error`; what rustls wants to say of it waits to be sent.
    fn fail(&mut self, error: &rustls::Error) -> io::Error {
        self.stage = Stage::Failed;
        while let Ok(state) = self.tls.process_tls_records(&mut []).state {
            match state {
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut self.outgoing, |room| data.encode(room));
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => break,
            }
        }
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    }

    /// Encrypts as much of `slices` as `send` takes, and at most one record more, which waits; says how much that was.
    ///
    /// # Errors
    /// `WouldBlock` where something waits already, as `send` says it; others end the connection.
    pub(super) fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.flush(&mut send)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.stage != Stage::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut written = 0;
            loop {
                let len = gather(slices, written, &mut scratch.plain);
                if len == 0 {
                    return Ok(written);
                }
                let sealed = self.seal(&scratch.plain[..len], &mut scratch.record)?;
                written += len;
                if !self.send(&scratch.record[..sealed], &mut send)? {
                    return Ok(written);
                }
            }
        })
    }

    /// Encrypts one record into `into`, whose length is given.
    fn seal(&mut self, plain: &[u8], into: &mut [u8]) -> io::Result<usize> {
        loop {
            // A record that came in part has to be there: rustls remembers where in it the next begins.
            match self.tls.process_tls_records(&mut self.incoming).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return traffic.encrypt(plain, into).map_err(broken);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outgoing, |room| data.encode(room));
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(self.fail(&error)),
            }
        }
    }

    /// Sends `record` behind what waits; whether all of it went.
    fn send(
        &mut self,
        record: &[u8],
        send: &mut impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if !self.outgoing.is_empty() {
            self.outgoing.extend_from_slice(record);
            return self.flush(send);
        }
        let sent = send_all(record, send)?;
        self.outgoing = record[sent..].to_vec();
        Ok(self.outgoing.is_empty())
    }

    /// Says that nothing follows (close_notify, RFC 8446 §6.1), once.
    pub(super) fn say_end(&mut self) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Said;
        let mut alert = [0; 256];
        let state = self.tls.process_tls_records(&mut self.incoming).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
            && let Ok(len) = traffic.queue_close_notify(&mut alert)
        {
            self.outgoing.extend_from_slice(&alert[..len]);
        }
    }

    /// Sends what waits; whether all of it went.
    ///
    /// # Errors
    /// The socket is gone.
    pub(super) fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        if self.outgoing.is_empty() {
            return Ok(true);
        }
        let sent = send_all(&self.outgoing, &mut send)?;
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
        Ok(self.outgoing.is_empty())
    }

    /// Whether something waits to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }
}

/// Sends as much as is taken without waiting.
fn send_all(bytes: &[u8], send: &mut impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match send(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => sent += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// What `slices` hold behind their first `skip` bytes, as much as one record takes.
fn gather(slices: &[IoSlice<'_>], mut skip: usize, into: &mut [u8]) -> usize {
    let mut len = 0;
    for slice in slices {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        let slice = &slice[skipped..];
        let taken = slice.len().min(into.len() - len);
        into[len..][..taken].copy_from_slice(&slice[..taken]);
        len += taken;
        if len == into.len() {
            break;
        }
    }
    len
}

/// Appends a message of TLS's own.
fn encode(outgoing: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let begin = outgoing.len();
    // Once to hear how long it is.
    let mut room = 0;
    loop {
        outgoing.resize(begin + room, 0);
        match encode(&mut outgoing[begin..]) {
            Ok(len) => return outgoing.truncate(begin + len),
            Err(EncodeError::InsufficientSize(size)) if size.required_size > room => {
                room = size.required_size;
            }
            Err(_) => return outgoing.truncate(begin),
        }
    }
}

fn broken(error: EncryptError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error.to_string())
}
