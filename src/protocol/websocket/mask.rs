//! Masking (RFC 6455 §5.3).

/// Masks or unmasks `payload` in place: the operation is its own inverse (RFC 6455 §5.3).
///
/// `offset` is how many bytes of the same frame's payload came before these, so that a frame can be unmasked as it arrives.
///
/// Whole words at a time: the loop over `u64` is what the compiler turns into vector instructions.
pub fn unmask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let mut turned = key;
    turned.rotate_left(offset % 4);
    let [a, b, c, d] = turned;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);

    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        if let Ok(bytes) = <&mut [u8; 8]>::try_from(chunk) {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::unmask;

    /// The definition of RFC 6455 §5.3, octet by octet.
    fn by_definition(payload: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[(offset + i) % 4])
            .collect()
    }

    proptest! {
        #[test]
        fn words_do_what_octets_do(payload: Vec<u8>, key: [u8; 4], offset in 0_usize..9) {
            let mut masked = payload.clone();
            unmask(&mut masked, key, offset);
            prop_assert_eq!(&masked, &by_definition(&payload, key, offset));
        }

        #[test]
        fn a_frame_may_be_unmasked_in_two_parts(payload: Vec<u8>, key: [u8; 4], at in any::<proptest::sample::Index>()) {
            let at = at.index(payload.len() + 1);
            let mut whole = payload.clone();
            unmask(&mut whole, key, 0);
            let mut parts = payload;
            let (first, second) = parts.split_at_mut(at);
            unmask(first, key, 0);
            unmask(second, key, at);
            prop_assert_eq!(parts, whole);
        }
    }
}
