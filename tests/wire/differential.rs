//! Our framing against tokio-websockets, both ways and in both roles, in memory.

use std::fmt::Debug;

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_websockets::{
    ClientBuilder, Config, Limits as TheirLimits, Message, ServerBuilder, WebSocketStream,
};
use trunkline::protocol::websocket::{
    CloseCode, ControlPayload, Decoder, Event, Fragment, Header, Input, Limits, Masking, Opcode,
    Role, encode_binary, encode_close, encode_ping, encode_pong, encode_text, unmask,
};

const LIMITS: Limits = Limits {
    message_bytes_max: 1 << 20,
    fragments_max: 1 << 20,
};

#[derive(Debug, Clone, PartialEq)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
}

fn sent() -> impl Strategy<Value = Sent> {
    let long = prop_oneof![3 => 0..130_usize, 1 => 60_000..70_000_usize];
    let code = prop_oneof![Just(1000), Just(1011), 3000..5000_u16];
    prop_oneof![
        4 => "[a-zä€𝄞]{0,200}".prop_map(Sent::Text),
        2 => (any::<u8>(), long).prop_map(|(byte, len)| Sent::Binary((0..len).map(|i| byte.wrapping_add(i as u8)).collect())),
        1 => proptest::collection::vec(any::<u8>(), 0..126).prop_map(Sent::Ping),
        1 => proptest::collection::vec(any::<u8>(), 0..126).prop_map(Sent::Pong),
        1 => (code, "[a-zä]{0,50}").prop_map(|(code, reason)| Sent::Close(code, reason)),
    ]
}

/// A conversation as one side sends it: a close frame only at its end.
fn conversation() -> impl Strategy<Value = Vec<Sent>> {
    proptest::collection::vec(sent(), 1..12).prop_map(|mut all| {
        if let Some(at) = all.iter().position(|one| matches!(one, Sent::Close(..))) {
            all.truncate(at + 1);
        }
        all
    })
}

fn masking(role: Role, key: [u8; 4]) -> Masking {
    match role {
        Role::Client => Masking::Key(key),
        Role::Server => Masking::Plain,
    }
}

/// One message as our encoder makes it: whole, or in fragments of at most so many bytes.
fn encode(one: &Sent, masking: Masking, fragment_bytes: Option<usize>) -> Vec<u8> {
    let control = |payload| ControlPayload::new(payload).unwrap_or_default();
    match (one, fragment_bytes) {
        (Sent::Text(text), Some(len)) => {
            encode_fragments(Opcode::Text, text.as_bytes(), masking, len)
        }
        (Sent::Binary(bytes), Some(len)) => encode_fragments(Opcode::Binary, bytes, masking, len),
        (Sent::Text(text), None) => encode_text(text, masking).to_vec(),
        (Sent::Binary(bytes), None) => encode_binary(bytes, masking).to_vec(),
        (Sent::Ping(payload), _) => encode_ping(control(payload), masking).to_vec(),
        (Sent::Pong(payload), _) => encode_pong(control(payload), masking).to_vec(),
        (Sent::Close(code, reason), _) => encode_close(
            CloseCode::new(*code).unwrap_or(CloseCode::NORMAL),
            reason,
            masking,
        )
        .to_vec(),
    }
}

fn encode_fragments(first: Opcode, payload: &[u8], masking: Masking, len: usize) -> Vec<u8> {
    let pieces: Vec<&[u8]> = payload.chunks(len).collect();
    let pieces = if pieces.is_empty() {
        vec![payload]
    } else {
        pieces
    };
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { first } else { Opcode::Continuation };
        let fragment = if at + 1 == pieces.len() {
            Fragment::Last
        } else {
            Fragment::More
        };
        let header = Header {
            fragment,
            ..Header::whole(opcode, piece.len() as u64, masking)
        };
        bytes.extend_from_slice(&header.encode());
        let start = bytes.len();
        bytes.extend_from_slice(piece);
        if let Masking::Key(key) = masking {
            unmask(&mut bytes[start..], key, 0);
        }
    }
    bytes
}

/// What our decoder makes of the bytes, in pieces.
fn decode(role: Role, bytes: &[u8], pieces: &[usize]) -> Result<Vec<Sent>, String> {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut all = Vec::new();
    let mut rest = bytes;
    for len in pieces.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        let mut scratch = piece.to_vec();
        let mut input = Input::new(&mut scratch);
        while let Some(event) = decoder
            .next(&mut input)
            .map_err(|violation| violation.to_string())?
        {
            all.push(match event {
                Event::Text(text) => Sent::Text(text.to_owned()),
                Event::Binary(bytes) => Sent::Binary(bytes.to_vec()),
                Event::Ping(payload) => Sent::Ping(payload.to_vec()),
                Event::Pong(payload) => Sent::Pong(payload.to_vec()),
                Event::Close(close) => close.map_or(Sent::Close(1005, String::new()), |close| {
                    Sent::Close(close.code.get(), close.reason.to_owned())
                }),
            });
        }
    }
    Ok(all)
}

/// Their end of an open connection, which sends frames of at most so many bytes.
fn theirs(role: Role, frame_bytes: usize, stream: DuplexStream) -> WebSocketStream<DuplexStream> {
    let config = Config::default().frame_size(frame_bytes);
    let limits = TheirLimits::unlimited();
    match role {
        Role::Client => ClientBuilder::new()
            .config(config)
            .limits(limits)
            .take_over(stream),
        Role::Server => ServerBuilder::new()
            .config(config)
            .limits(limits)
            .serve(stream),
    }
}

fn their_message(one: &Sent) -> Message {
    match one {
        Sent::Text(text) => Message::text(text.clone()),
        Sent::Binary(bytes) => Message::binary(bytes.clone()),
        Sent::Ping(payload) => Message::ping(payload.clone()),
        Sent::Pong(payload) => Message::pong(payload.clone()),
        Sent::Close(code, reason) => {
            Message::close(tokio_websockets::CloseCode::try_from(*code).ok(), reason)
        }
    }
}

fn from_theirs(message: &Message) -> Sent {
    if let Some(text) = message.as_text() {
        Sent::Text(text.to_owned())
    } else if let Some((code, reason)) = message.as_close() {
        Sent::Close(code.into(), reason.to_owned())
    } else if message.is_ping() {
        Sent::Ping(message.as_payload().to_vec())
    } else if message.is_pong() {
        Sent::Pong(message.as_payload().to_vec())
    } else {
        Sent::Binary(message.as_payload().to_vec())
    }
}

fn run<T: Debug>(
    future: impl Future<Output = T>,
) -> Result<T, proptest::test_runner::TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime
        .map(|runtime| runtime.block_on(future))
        .map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))
}

/// Their encoder's bytes for all of it.
async fn encoded_by_them(role: Role, all: &[Sent], frame_bytes: usize) -> Vec<u8> {
    let (ours, stream) = tokio::io::duplex(4 << 20);
    let mut sender = theirs(role, frame_bytes, stream);
    for one in all {
        // After a close frame their side ends; the bytes are written by then.
        if sender.send(their_message(one)).await.is_err() {
            break;
        }
    }
    drop(sender);
    let mut bytes = Vec::new();
    let mut ours = ours;
    // An end is all that an in-memory stream can answer with.
    let _ = ours.read_to_end(&mut bytes).await;
    bytes
}

/// Their decoder's messages for bytes of ours, written in pieces.
async fn decoded_by_them(role: Role, bytes: &[u8], pieces: &[usize]) -> Vec<Sent> {
    let (mut ours, stream) = tokio::io::duplex(8 << 20);
    let mut receiver = theirs(role, 4096, stream);
    let mut rest = bytes;
    let mut all = Vec::new();
    for len in pieces.iter().copied().chain([usize::MAX]) {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        if ours.write_all(piece).await.is_err() {
            break;
        }
        // Poll it now, so that it sees the bytes in these pieces; the deadline is the only way to know that it wants more.
        while let Some(Some(Ok(message))) = futures_util::FutureExt::now_or_never(receiver.next()) {
            all.push(from_theirs(&message));
        }
    }
    drop(ours);
    while let Some(Ok(message)) = receiver.next().await {
        all.push(from_theirs(&message));
    }
    all
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn they_read_what_we_write(
        all in conversation(),
        sender in role(),
        key: [u8; 4],
        fragments in proptest::collection::vec(proptest::option::of(1_usize..50), 12),
        pieces in proptest::collection::vec(0_usize..5000, 0..40),
    ) {
        let frames = all.iter().zip(&fragments).map(|(one, len)| {
            // A long message in tiny fragments says nothing that a shorter one does not.
            let len = len.filter(|_| !matches!(one, Sent::Binary(bytes) if bytes.len() > 1000));
            encode(one, masking(sender, key), len)
        });
        let bytes: Vec<u8> = frames.flatten().collect();
        let received = run(decoded_by_them(other(sender), &bytes, &pieces))?;
        prop_assert_eq!(received, all);
    }

    #[test]
    fn we_read_what_they_write(
        all in conversation(),
        sender in role(),
        frame_bytes in 1_usize..5000,
        pieces in proptest::collection::vec(0_usize..5000, 0..40),
    ) {
        let bytes = run(encoded_by_them(sender, &all, frame_bytes))?;
        prop_assert_eq!(decode(other(sender), &bytes, &pieces), Ok(all));
    }

    #[test]
    fn we_agree_on_what_is_wrong(
        all in conversation(),
        key: [u8; 4],
        at: proptest::sample::Index,
        byte: u8,
    ) {
        let mut bytes: Vec<u8> = all.iter().flat_map(|one| encode(one, masking(Role::Client, key), Some(20))).collect();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let ours = decode(Role::Server, &bytes, &[]).unwrap_or_else(|_| decode_until_violation(&bytes));
        let theirs = run(decoded_by_them(Role::Server, &bytes, &[]))?;
        prop_assert_eq!(ours, theirs);
    }
}

/// What came before the violation.
fn decode_until_violation(bytes: &[u8]) -> Vec<Sent> {
    let mut longest = 0;
    let mut step = bytes.len();
    // Violations are final, so the longest prefix without one can be searched for by halves.
    while step > 0 {
        while longest + step <= bytes.len()
            && decode(Role::Server, &bytes[..longest + step], &[]).is_ok()
        {
            longest += step;
        }
        step /= 2;
    }
    decode(Role::Server, &bytes[..longest], &[]).unwrap_or_default()
}
