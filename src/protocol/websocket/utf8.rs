//! Text that comes in pieces (RFC 6455 §8.1), refused at the first byte that no valid text can have there.

use super::violation::Violation;

/// A text so far, and the start of a character that the last piece cut through.
#[derive(Default)]
pub(super) struct TextSoFar {
    text: String,
    cut: [u8; 4],
    cut_len: u8,
}

impl TextSoFar {
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let rest = self.mend(piece)?;
        match std::str::from_utf8(rest) {
            Ok(text) => self.text.push_str(text),
            Err(error) => {
                let (whole, cut) = rest.split_at(error.valid_up_to());
                // With an `error_len` no continuation could make it valid; without one the piece merely ends too early.
                if error.error_len().is_some() {
                    return Err(Violation::InvalidUtf8);
                }
                self.text
                    .push_str(std::str::from_utf8(whole).map_err(|_| Violation::InvalidUtf8)?);
                self.cut[..cut.len()].copy_from_slice(cut);
                self.cut_len = cut.len() as u8;
            }
        }
        Ok(())
    }

    /// A text may not end here if that is within a character.
    pub(super) fn end(&self) -> Result<(), Violation> {
        if self.cut_len == 0 {
            Ok(())
        } else {
            Err(Violation::InvalidUtf8)
        }
    }

    /// The text without a character that has come only in part.
    pub(super) fn whole_characters(&self) -> &str {
        &self.text
    }

    pub(super) fn len(&self) -> usize {
        self.text.len() + usize::from(self.cut_len)
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(super) fn reserve_exact(&mut self, additional: usize) {
        self.text.reserve_exact(additional);
    }

    /// Completes the character that the last piece cut through, and returns what follows it.
    fn mend<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], Violation> {
        let mut rest = piece;
        while self.cut_len > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            self.cut[usize::from(self.cut_len)] = byte;
            self.cut_len += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.cut_len)]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(Violation::InvalidUtf8),
                Err(_) => {}
            }
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use proptest::strategy::Strategy;

    use super::{TextSoFar, Violation};

    /// How many bytes go in, one at a time, before the text is refused.
    fn refused_after(bytes: &[u8]) -> Option<usize> {
        let mut text = TextSoFar::default();
        bytes.iter().position(|byte| text.push(&[*byte]).is_err())
    }

    #[test]
    fn refused_at_the_first_impossible_byte() {
        let table: &[(&[u8], Option<usize>)] = &[
            ("Hellö €𝄞".as_bytes(), None),
            (b"a\x80", Some(1)),
            (b"a\xc0", Some(1)),
            (b"\xc3\x28", Some(1)),
            // Surrogates and overlong forms show in the second byte, beyond U+10FFFF too (Autobahn 6.4).
            (b"\xed\xa0\x80", Some(1)),
            (b"\xe0\x80\x80", Some(1)),
            (b"\xf4\x90\x80\x80", Some(1)),
            (b"\xf0\x80", Some(1)),
            (b"\xf5", Some(0)),
            (b"\xe2\x82\x28", Some(2)),
        ];
        for (bytes, expected) in table {
            assert_eq!(refused_after(bytes), *expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_text_may_not_end_within_a_character() {
        let mut text = TextSoFar::default();
        assert_eq!(text.push(b"a\xe2\x82"), Ok(()));
        assert_eq!(text.end(), Err(Violation::InvalidUtf8));
        assert_eq!(text.len(), 3);
        assert_eq!(text.push(b"\xac"), Ok(()));
        assert_eq!(text.end(), Ok(()));
        assert_eq!(text.whole_characters(), "a€");
    }

    /// Bytes that are mostly, but not always, UTF-8.
    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        let harm = proptest::option::of((any::<proptest::sample::Index>(), any::<u8>()));
        ("[a-zäß€𝄞]{0,40}", harm).prop_map(|(text, harm)| {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = harm
                && !bytes.is_empty()
            {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn pieces_judge_as_the_standard_library_judges_the_whole(bytes in nearly_text(), cuts: Vec<proptest::sample::Index>) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let mut text = TextSoFar::default();
            let pushed: Result<(), _> = at.windows(2).try_for_each(|ends| text.push(&bytes[ends[0]..ends[1]]));
            let whole = std::str::from_utf8(&bytes).ok();
            let assembled = pushed.and_then(|()| text.end()).ok().map(|()| text.whole_characters());
            prop_assert_eq!(assembled, whole);
        }

        #[test]
        fn refused_neither_early_nor_late(bytes in nearly_text()) {
            // A prefix is hopeless exactly when no continuation can repair it, which the standard library knows.
            let hopeless = |end: &usize| std::str::from_utf8(&bytes[..*end]).is_err_and(|error| error.error_len().is_some());
            let first = (1..=bytes.len()).find(hopeless).map(|end| end - 1);
            prop_assert_eq!(refused_after(&bytes), first);
        }
    }
}
