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

/// What may be kept of a message that came in part: agreeing on keys, one of several records (a client's first is 2 KB); then, one
/// record, or two with a change of keys between them, which is 5 bytes.
const HANDSHAKE_PART_BYTES_MAX: usize = 32 * 1024;
const PART_BYTES_MAX: usize = RECORD_BYTES + 2 * OVERHEAD_BYTES;

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
        let part_max = match self.stage {
            Stage::Handshake => HANDSHAKE_PART_BYTES_MAX,
            _ => PART_BYTES_MAX,
        };
        if self.incoming.len() > part_max || self.outgoing.len() > WAITING_BYTES_MAX {
            self.stage = Stage::Failed;
            self.incoming = Vec::new();
            let message = "more came, or had to be answered, than TLS is given room for";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
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
        // Only as long as there is something to say: without the bytes that came rustls must not look for more (it would panic).
        while self.tls.wants_write() {
            match self.tls.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.outgoing, |room| data.encode(room));
                }
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

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice, Read as _, Write as _};
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

    use super::{OVERHEAD_BYTES, RECORD_BYTES, Records, gather};
    use crate::certificate::Certificate;
    use crate::transport::tls::{Certificates, Tls};

    /// What happens next between the two.
    #[derive(Clone, Debug)]
    enum Step {
        /// The client says so many bytes.
        Ask(usize),
        /// The client changes its keys and wants ours changed (TLS 1.3 alone).
        ChangeKeys,
        /// So many bytes of the client's come, to a reader with so much room.
        Come(usize, usize),
        /// The server says so many bytes, in slices of this length.
        Answer(usize, usize),
        /// The socket takes so many bytes, until it is asked again.
        Take(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0usize..40_000).prop_map(Step::Ask),
            Just(Step::ChangeKeys),
            (1usize..20_000, 1usize..20_000).prop_map(|(len, room)| Step::Come(len, room)),
            (1usize..8, 1usize..50).prop_map(|(len, room)| Step::Come(len, room)),
            (1usize..70_000, 1usize..40_000).prop_map(|(len, slice)| Step::Answer(len, slice)),
            (0usize..50_000).prop_map(Step::Take),
        ];
        prop::collection::vec(step, 0..40)
    }

    /// A client and the server's side, with what is between them.
    struct Pair {
        client: ClientConnection,
        server: Records,
        to_server: Vec<u8>,
        to_client: Vec<u8>,
        /// What the socket takes now.
        room: usize,
        asked: Vec<u8>,
        heard: Vec<u8>,
        answered: Vec<u8>,
        read: Vec<u8>,
    }

    impl Pair {
        fn new(version: &'static SupportedProtocolVersion) -> Self {
            let key = rcgen::KeyPair::generate().expect("a key");
            let params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
            let made = params.self_signed(&key).expect("signs");
            let certificate =
                Certificate::read(made.pem().as_bytes(), key.serialize_pem().as_bytes());
            let certificates = Certificates::none();
            certificates.show([&certificate.expect("it is good")]);
            let tls = Tls::new(certificates).expect("it is set up");
            let mut roots = RootCertStore::empty();
            roots.add(made.der().clone()).expect("it is one");
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let host = ServerName::try_from("a.example").expect("a host");
            Self {
                client: ClientConnection::new(Arc::new(config), host).expect("a client"),
                server: Records::new(tls.config.clone()).expect("a server"),
                to_server: Vec::new(),
                to_client: Vec::new(),
                room: 0,
                asked: Vec::new(),
                heard: Vec::new(),
                answered: Vec::new(),
                read: Vec::new(),
            }
        }

        /// Everything goes its way until nothing is left.
        fn settle(&mut self) {
            for _ in 0..1000 {
                self.room = usize::MAX;
                let (to, room) = (&mut self.to_client, &mut self.room);
                self.server
                    .flush(|bytes| take(to, room, bytes))
                    .expect("it is there");
                self.client_reads();
                let is_still = self.to_server.is_empty() && !self.server.is_waiting();
                if is_still && !self.server.has_plaintext() {
                    return;
                }
                self.come(100_000, 5000);
            }
            panic!("they never come to an end");
        }

        fn client_reads(&mut self) {
            while !self.to_client.is_empty() {
                let mut bytes = &self.to_client[..];
                self.client
                    .read_tls(&mut bytes)
                    .expect("memory can be read");
                let len = self.to_client.len() - bytes.len();
                self.to_client.drain(..len);
                self.client.process_new_packets().expect("it is TLS");
                let mut part = vec![0; 100_000];
                while let Ok(len @ 1..) = self.client.reader().read(&mut part) {
                    self.read.extend_from_slice(&part[..len]);
                }
            }
            while self.client.wants_write() {
                self.client
                    .write_tls(&mut self.to_server)
                    .expect("memory takes it");
            }
        }

        fn come(&mut self, len: usize, room: usize) {
            let mut out = vec![0; room];
            if self.server.has_plaintext() {
                let len = self.server.read(&mut out);
                self.heard.extend_from_slice(&out[..len]);
                return;
            }
            let len = len.min(self.to_server.len());
            if len == 0 {
                return;
            }
            let mut came = self.server.take_incoming();
            came.extend(self.to_server.drain(..len));
            let len = self.server.receive(&mut came, &mut out).expect("it is TLS");
            self.heard.extend_from_slice(&out[..len]);
        }

        fn ask(&mut self, len: usize) {
            let bytes = pattern(self.asked.len(), len);
            self.client
                .writer()
                .write_all(&bytes)
                .expect("it is buffered");
            self.asked.extend_from_slice(&bytes);
            self.client_reads();
        }

        fn answer(&mut self, len: usize, slice: usize) {
            let bytes = pattern(self.answered.len(), len);
            let slices: Vec<IoSlice<'_>> = bytes.chunks(slice).map(IoSlice::new).collect();
            let (to, room) = (&mut self.to_client, &mut self.room);
            match self.server.write(&slices, |bytes| take(to, room, bytes)) {
                Ok(written) => self.answered.extend_from_slice(&bytes[..written]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            // At most one record more than the socket took, beside a change of keys.
            assert!(self.server.outgoing.len() <= RECORD_BYTES + 2 * OVERHEAD_BYTES);
        }
    }

    fn take(to: &mut Vec<u8>, room: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(*room);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *room -= len;
        to.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn pattern(begin: usize, len: usize) -> Vec<u8> {
        (begin..begin + len).map(|at| (at % 251) as u8).collect()
    }

    fn lives_through(version: &'static SupportedProtocolVersion, steps: Vec<Step>) {
        let mut pair = Pair::new(version);
        pair.client_reads();
        pair.settle();
        assert!(!pair.server.is_handshaking());
        for step in steps {
            match step {
                Step::Ask(len) => pair.ask(len),
                Step::ChangeKeys => {
                    let _ = pair.client.refresh_traffic_keys();
                    pair.client_reads();
                }
                Step::Come(len, room) => pair.come(len, room),
                Step::Answer(len, slice) => pair.answer(len, slice),
                Step::Take(len) => {
                    pair.room = len;
                    pair.client_reads();
                }
            }
        }
        pair.settle();
        assert!(pair.heard == pair.asked, "the server heard something else");
        assert!(
            pair.read == pair.answered,
            "the client heard something else"
        );
        // What is quiet keeps nothing.
        assert_eq!(pair.server.incoming.capacity(), 0);
        assert_eq!(pair.server.outgoing.capacity(), 0);
        assert_eq!(pair.server.plaintext.capacity(), 0);
        pair.client.send_close_notify();
        pair.client_reads();
        pair.settle();
        assert!(pair.server.is_at_end());
        pair.server.say_end();
        pair.settle();
        let closed = pair.client.process_new_packets().expect("it is TLS");
        assert!(closed.peer_has_closed());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn both_hear_each_other_however_bytes_travel(is_new: bool, steps in steps()) {
            let version = if is_new { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
            lives_through(version, steps);
        }

        #[test]
        fn nonsense_ends_it(begin in 0usize..600, nonsense in prop::collection::vec(any::<u8>(), 1..400)) {
            let mut pair = Pair::new(&rustls::version::TLS13);
            pair.client_reads();
            let begin = begin.min(pair.to_server.len());
            let mut came = [&pair.to_server[..begin], &nonsense].concat();
            let mut out = [0; 100];
            // An error, or more is waited for; never plaintext.
            if let Ok(len) = pair.server.receive(&mut came, &mut out) {
                prop_assert_eq!(len, 0);
                prop_assert!(pair.server.is_handshaking());
            } else {
                prop_assert!(pair.server.is_at_end());
            }
        }
    }

    #[test]
    fn keys_change_within_a_record_that_comes_in_part() {
        // A KeyUpdate of 5 bytes in one record; whatever stands between its bytes, the server may speak.
        let mut pair = Pair::new(&rustls::version::TLS13);
        pair.client_reads();
        pair.settle();
        pair.client.refresh_traffic_keys().expect("TLS 1.3 can");
        pair.client_reads();
        pair.room = usize::MAX;
        while !pair.to_server.is_empty() {
            pair.come(1, 10);
            pair.answer(100, 7);
        }
        pair.settle();
        assert_eq!(pair.read, pair.answered);
    }

    #[test]
    fn an_error_is_said() {
        let mut pair = Pair::new(&rustls::version::TLS13);
        pair.client_reads();
        // A hello in part, and then a record of no type that there is: what stands before it is still remembered.
        let mut came = vec![22, 3, 1, 0, 5, 1, 0, 0, 200, 3];
        came.extend([99; 100]);
        assert!(pair.server.receive(&mut came, &mut [0; 10]).is_err());
        // Fatal, decode_error.
        assert_eq!(pair.server.outgoing, [21, 3, 3, 0, 2, 2, 50]);
        assert!(pair.server.is_at_end());
    }

    #[test]
    fn a_message_in_parts_is_kept_within_its_bound() {
        // The head of a ClientHello of 60,000 bytes, and record by record what it would say.
        let mut pair = Pair::new(&rustls::version::TLS13);
        let mut came = vec![22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60];
        came.resize(5 + RECORD_BYTES, 0);
        let further = [&[22, 3, 1, 0x40, 0][..], &[0; RECORD_BYTES]].concat();
        let mut out = [0; 100];
        let mut kept = 0;
        while pair.server.receive(&mut came, &mut out).is_ok() {
            assert!(pair.server.incoming.len() <= super::HANDSHAKE_PART_BYTES_MAX);
            came = pair.server.take_incoming();
            came.extend_from_slice(&further);
            kept += 1;
        }
        assert_eq!(kept, 1);
        assert!(pair.server.is_at_end());
    }

    #[test]
    fn slices_are_gathered_from_anywhere() {
        let parts: [&[u8]; 4] = [b"ab", b"", b"cde", b"f"];
        let slices = parts.map(IoSlice::new);
        for (skip, room, expected) in [
            (0, 10, &b"abcdef"[..]),
            (0, 3, b"abc"),
            (1, 3, b"bcd"),
            (2, 2, b"cd"),
            (4, 5, b"ef"),
            (6, 5, b""),
        ] {
            let mut into = vec![0; room];
            let len = gather(&slices, skip, &mut into);
            assert_eq!(&into[..len], expected, "{skip} {room}");
        }
    }
}
