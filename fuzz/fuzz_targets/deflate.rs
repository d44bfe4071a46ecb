//! Compressed messages: whatever comes as one is decompressed within its limit or refused, however it is cut and read; and what
//! the compressor makes of a message is read back as that message.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports)]
#[path = "../../src/protocol/websocket/mod.rs"]
mod websocket;

use websocket::{
    Decoder, Deflater, Deflation, Event, Fragment, Header, Inflater, Input, Limits, Masking,
    Opcode, Reserved, Role, Violation, encode_binary,
};

const LIMITS: Limits = Limits {
    message_bytes_max: 4096,
    fragments_max: 8,
};
/// What a partial message may take beside its own bytes.
const OVERHEAD_BYTES_MAX: usize = 1024;

fuzz_target!(|case: (u8, Vec<u8>, &[u8])| {
    let (cut, pieces, payload) = case;
    let whole = frame(Opcode::Binary, Fragment::Last, Reserved::RSV1, payload);
    let read = decode(&whole, &[]);
    assert_eq!(decode(&whole, &pieces), read);
    let (first, rest) = payload.split_at(usize::from(cut).min(payload.len()));
    let fragments = [
        frame(Opcode::Binary, Fragment::More, Reserved::RSV1, first),
        frame(Opcode::Continuation, Fragment::Last, Reserved::NONE, rest),
    ]
    .concat();
    let in_fragments = decode(&fragments, &pieces);
    // Too large a message shows in the first header that says so.
    if payload.len() <= LIMITS.message_bytes_max as usize {
        assert_eq!(in_fragments, read);
    }
    reads_back(payload);
    let _ = Deflation::negotiate([payload]).map(|deflation| deflation.to_string());
});

/// The compressor's other end reads what went in.
fn reads_back(payload: &[u8]) {
    let Some(mut deflated) = Deflater::new()
        .deflate(&encode_binary(payload, Masking::Plain))
        .map(|frame| frame.to_vec())
    else {
        return;
    };
    assert!(deflated.len() < payload.len() + 10);
    let limits = Limits {
        message_bytes_max: u32::MAX / 2,
        fragments_max: 1,
    };
    let mut decoder = Decoder::new(Role::Client, limits).with_deflate();
    let mut input = Input::new(&mut deflated);
    assert_eq!(decoder.next(&mut input), Ok(Some(Event::Binary(payload))));
}

fn frame(opcode: Opcode, fragment: Fragment, reserved: Reserved, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        fragment,
        reserved,
        ..Header::whole(opcode, payload.len() as u64, Masking::Key([0; 4]))
    };
    [&header.encode()[..], payload].concat()
}

/// Feeds pieces of the given lengths, then the rest; a thread's decompressor is shared by all.
fn decode(bytes: &[u8], pieces: &[u8]) -> Result<Vec<Vec<u8>>, Violation> {
    let mut decoder = Decoder::new(Role::Server, LIMITS).with_deflate();
    let mut inflater = Inflater::new();
    let mut messages = Vec::new();
    let mut rest = bytes;
    let lengths = pieces.iter().map(|len| usize::from(*len));
    for len in lengths.chain([usize::MAX]) {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        let mut scratch = piece.to_vec();
        let mut input = Input::with_inflater(&mut scratch, &mut inflater);
        while let Some(event) = decoder.next(&mut input)? {
            if let Event::Binary(message) = event {
                assert!(message.len() <= LIMITS.message_bytes_max as usize);
                messages.push(message.to_vec());
            }
        }
        let bytes_max = LIMITS.message_bytes_max as usize + OVERHEAD_BYTES_MAX;
        assert!(decoder.buffered_bytes() <= bytes_max);
    }
    Ok(messages)
}
