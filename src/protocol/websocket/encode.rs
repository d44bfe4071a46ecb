//! From messages to bytes (RFC 6455 §5.2, §6.1): header and payload side by side in one allocation, to be shared by all readers.

use std::fmt;
use std::io;

use bytes::{Buf as _, Bytes};

use super::close::{CloseCode, REASON_BYTES_MAX};
use super::frame::{CONTROL_BYTES_MAX, ControlPayload, Header, Masking, Opcode};
use super::mask::unmask;

/// The longest header without a masking key.
const PLAIN_HEADER_BYTES_MAX: usize = 10;

/// A text message in one frame (RFC 6455 §5.6).
#[must_use]
pub fn encode_text(text: &str, masking: Masking) -> Bytes {
    encode(Opcode::Text, text.as_bytes(), masking)
}

/// A binary message in one frame (RFC 6455 §5.6).
#[must_use]
pub fn encode_binary(payload: &[u8], masking: Masking) -> Bytes {
    encode(Opcode::Binary, payload, masking)
}

/// A ping (RFC 6455 §5.5.2).
#[must_use]
pub fn encode_ping(payload: ControlPayload<'_>, masking: Masking) -> Bytes {
    encode(Opcode::Ping, &payload, masking)
}

/// A pong, with the payload of the ping that it answers (RFC 6455 §5.5.3).
#[must_use]
pub fn encode_pong(payload: ControlPayload<'_>, masking: Masking) -> Bytes {
    encode(Opcode::Pong, &payload, masking)
}

/// A close frame (RFC 6455 §5.5.1). A reason over [`REASON_BYTES_MAX`] bytes is cut at the last whole character.
#[must_use]
pub fn encode_close(code: CloseCode, reason: &str, masking: Masking) -> Bytes {
    let mut payload = [0; CONTROL_BYTES_MAX];
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let end = 2 + reason.len();
    payload[..2].copy_from_slice(&code.get().to_be_bytes());
    payload[2..end].copy_from_slice(reason);
    encode(Opcode::Close, &payload[..end], masking)
}

fn encode(opcode: Opcode, payload: &[u8], masking: Masking) -> Bytes {
    let header = Header::whole(opcode, payload.len() as u64, masking).encode();
    let mut frame = Vec::with_capacity(header.len() + payload.len());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    if let Masking::Key(key) = masking {
        unmask(&mut frame[header.len()..], key, 0);
    }
    Bytes::from(frame)
}

/// A server's text frame whose payload is written into it piece by piece, by a serialiser say, so that it is never copied:
/// the header, whose length depends on the payload's, is put in front at the end (RFC 6455 §5.2).
///
/// What is written has to be UTF-8 in the end (RFC 6455 §5.6).
pub struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// A frame that expects about so many bytes of payload.
    #[must_use]
    pub fn text(payload_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(PLAIN_HEADER_BYTES_MAX + payload_bytes);
        bytes.resize(PLAIN_HEADER_BYTES_MAX, 0);
        Self { bytes }
    }

    /// Adds to the payload.
    pub fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// How many bytes of payload have been written.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len() - PLAIN_HEADER_BYTES_MAX
    }

    /// The frame, with its header in front.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let header =
            Header::whole(Opcode::Text, self.payload_bytes() as u64, Masking::Plain).encode();
        let start = PLAIN_HEADER_BYTES_MAX - header.len();
        self.bytes[start..PLAIN_HEADER_BYTES_MAX].copy_from_slice(&header);
        let mut bytes = Bytes::from(self.bytes);
        bytes.advance(start);
        bytes
    }
}

impl fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("payload_bytes", &self.payload_bytes())
            .finish()
    }
}

impl io::Write for FrameWriter {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.push(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameWriter, encode_close, encode_ping, encode_text};
    use crate::protocol::websocket::{CloseCode, ControlPayload, Masking};

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6455 §5.7.
        assert_eq!(&encode_text("Hello", Masking::Plain)[..], b"\x81\x05Hello");
        let key = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(
            &encode_text("Hello", Masking::Key(key))[..],
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        let ping = ControlPayload::new(b"Hello").unwrap_or_default();
        assert_eq!(&encode_ping(ping, Masking::Plain)[..], b"\x89\x05Hello");
    }

    #[test]
    fn close_frames() {
        let long = "ä".repeat(100);
        let table = [("", 4), ("bye", 7), (&long, 2 + 2 + 122)];
        for (reason, len) in table {
            let frame = encode_close(CloseCode::AWAY, reason, Masking::Plain);
            assert_eq!(frame.len(), len);
            assert_eq!(frame[..4], [0x88, len as u8 - 2, 0x03, 0xe9]);
            assert!(reason.as_bytes().starts_with(&frame[4..]));
        }
    }

    #[test]
    fn written_in_pieces_is_encoded_at_once() {
        for payload_bytes in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = "x".repeat(payload_bytes);
            let mut writer = FrameWriter::text(10);
            for piece in payload.as_bytes().chunks(1000) {
                writer.push(piece);
            }
            assert_eq!(writer.payload_bytes(), payload_bytes);
            assert_eq!(writer.finish(), encode_text(&payload, Masking::Plain));
        }
    }
}
