//! The frame decoder under arbitrary bytes in arbitrary pieces: it never panics, what it keeps stays within its limits, and
//! what comes out does not depend on how the bytes were split.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports)]
#[path = "../../src/protocol/websocket/mod.rs"]
mod websocket;

use websocket::{Decoder, Event, Input, Limits, Role, Violation};

const LIMITS: Limits = Limits {
    message_bytes_max: 4096,
    fragments_max: 8,
};
/// What a partial message may take beside its own bytes: the state of the parts, and a control frame in between.
const OVERHEAD_BYTES_MAX: usize = 1024;

#[derive(Debug, PartialEq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Violation(Violation),
}

fuzz_target!(|case: (bool, Vec<u8>, &[u8])| {
    let (from_client, pieces, bytes) = case;
    let role = if from_client {
        Role::Server
    } else {
        Role::Client
    };
    let whole = decode(role, bytes, &[]);
    assert_eq!(decode(role, bytes, &pieces), whole);
    assert_eq!(decode(role, bytes, &vec![1; bytes.len()]), whole);
});

/// Feeds pieces of the given lengths, then the rest.
fn decode(role: Role, bytes: &[u8], pieces: &[u8]) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut seen = Vec::new();
    let mut rest = bytes;
    for len in pieces
        .iter()
        .map(|len| usize::from(*len))
        .chain([usize::MAX])
    {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        let mut scratch = piece.to_vec();
        let mut input = Input::new(&mut scratch);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(event)) => seen.push(own(&event)),
                Ok(None) => break,
                Err(violation) => seen.push(Seen::Violation(violation)),
            }
        }
        let bytes_max = LIMITS.message_bytes_max as usize + OVERHEAD_BYTES_MAX;
        assert!(
            decoder.buffered_bytes() <= bytes_max,
            "{} bytes are kept",
            decoder.buffered_bytes()
        );
    }
    seen
}

fn own(event: &Event<'_>) -> Seen {
    match event {
        Event::Text(text) => Seen::Text((*text).to_owned()),
        Event::Binary(bytes) => Seen::Binary(bytes.to_vec()),
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Close(close) => {
            Seen::Close(close.map(|close| (close.code.get(), close.reason.to_owned())))
        }
    }
}
