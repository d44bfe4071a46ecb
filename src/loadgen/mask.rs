//! A client's frames: masked, with keys that follow from the seed (RFC 6455 §5.3).

use crate::protocol::websocket::{Header, Masking, Opcode, unmask};

/// Random numbers for what need not be secret: whose traffic is masked from whom, on a test machine, protects nobody.
pub(super) struct Masks(u64);

impl Masks {
    pub(super) fn new(seed: u64) -> Self {
        // splitmix64's first step: near seeds begin far from each other, and xorshift must not begin with 0.
        let mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Self((mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    /// The next number (xorshift64*).
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Appends a whole frame.
    pub(super) fn frame(&mut self, opcode: Opcode, payload: &[u8], target: &mut Vec<u8>) {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        let key = [a, b, c, d];
        let header = Header::whole(opcode, payload.len() as u64, Masking::Key(key)).encode();
        target.extend_from_slice(&header);
        let start = target.len();
        target.extend_from_slice(payload);
        unmask(&mut target[start..], key, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Masks;
    use crate::protocol::websocket::{Decoder, Event, Input, Limits, Opcode, Role};

    #[test]
    fn a_server_reads_the_frames_and_a_seed_repeats_them() {
        let write = |seed| {
            let mut frames = Vec::new();
            let mut masks = Masks::new(seed);
            for text in ["one", "two"] {
                masks.frame(Opcode::Text, text.as_bytes(), &mut frames);
            }
            frames
        };
        assert_eq!(write(7), write(7));
        assert_ne!(write(7), write(8));
        let mut frames = write(0);
        assert_ne!(frames[2..6], frames[11..15], "each has a key of its own");
        let mut decoder = Decoder::new(Role::Server, Limits::default());
        let mut input = Input::new(&mut frames);
        for text in ["one", "two"] {
            assert_eq!(decoder.next(&mut input), Ok(Some(Event::Text(text))));
        }
    }
}
