//! Frames: a client's, of which nothing but the boundary and the payload is looked at, and a server's.

/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;
/// A close frame.
pub const CLOSE: u8 = 8;
/// A ping.
pub const PING: u8 = 9;
/// A pong.
pub const PONG: u8 = 10;

/// A client's frame.
pub struct Frame {
    /// What it is.
    pub opcode: u8,
    /// Its payload without the mask.
    pub payload: Vec<u8>,
    /// How many bytes it had on the wire.
    pub size: usize,
}

/// The frame at the start of `bytes`; `None` while it is not complete.
pub fn parse(bytes: &[u8]) -> Option<Frame> {
    let (length, head) = match bytes.get(1)? & 0x7F {
        126 => (
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            4,
        ),
        127 => (
            usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
            10,
        ),
        short => (usize::from(short), 2),
    };
    let mask = bytes.get(head..head + 4)?;
    let masked = bytes.get(head + 4..(head + 4).checked_add(length)?)?;
    let payload = masked
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    Some(Frame {
        opcode: bytes[0] & 0x0F,
        payload,
        size: head + 4 + length,
    })
}

/// A server's frame.
pub fn encode(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length @ 126..65536 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A frame that was encoded before its content is known: each message's bytes are copied to its start, the rest is filling.
pub struct Prepared {
    frame: Vec<u8>,
    head: usize,
}

impl Prepared {
    /// A text frame with a payload of so many bytes.
    pub fn new(payload_bytes: usize) -> Self {
        let frame = encode(TEXT, &vec![b'x'; payload_bytes]);
        Self {
            head: frame.len() - payload_bytes,
            frame,
        }
    }

    /// The frame with `content` at its start, cut where it is too long.
    pub fn with(&self, content: &[u8]) -> Vec<u8> {
        let mut frame = self.frame.clone();
        let length = content.len().min(frame.len() - self.head);
        frame[self.head..self.head + length].copy_from_slice(&content[..length]);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::{Prepared, TEXT, encode, parse};

    #[test]
    fn reads_what_a_client_masks() {
        let bytes = [
            0x81,
            0x85,
            1,
            2,
            3,
            4,
            b'h' ^ 1,
            b'e' ^ 2,
            b'l' ^ 3,
            b'l' ^ 4,
            b'o' ^ 1,
        ];
        assert!(parse(&bytes[..10]).is_none());
        let frame = parse(&bytes).expect("it is complete");
        assert_eq!(
            (frame.opcode, frame.payload, frame.size),
            (TEXT, b"hello".to_vec(), 11)
        );
    }

    #[test]
    fn prepared_frames_keep_their_size() {
        let prepared = Prepared::new(300);
        let frame = prepared.with(b"#1");
        assert_eq!(frame.len(), 304);
        assert_eq!(&frame[..6], &[0x81, 126, 1, 44, b'#', b'1']);
        assert_eq!(frame.len(), encode(TEXT, &[b'x'; 300]).len());
    }
}
