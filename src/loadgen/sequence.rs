//! What a reader has heard of one publisher, and what each further number means.

/// How many numbers back a late message is told from a repeated one.
const REMEMBERED: u32 = 128;

/// What one reader has heard of one publisher, whose numbers begin at 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    last: u32,
    /// Bit n: `last - n` has been heard.
    recent: u128,
}

/// What a number means to who has heard those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next one, or one further on: so many were skipped.
    Ahead { skipped: u32 },
    /// One that had been skipped.
    Late,
    /// One that had been heard, or one from so far back that nobody knows.
    Again,
}

impl Heard {
    /// The highest number heard, 0 before the first.
    pub(super) fn last(self) -> u32 {
        self.last
    }

    /// Takes in one number.
    pub(super) fn take(&mut self, number: u32) -> Arrival {
        if let Some(ahead) = number.checked_sub(self.last).filter(|ahead| *ahead > 0) {
            self.recent = self.recent.checked_shl(ahead).unwrap_or(0) | 1;
            self.last = number;
            return Arrival::Ahead { skipped: ahead - 1 };
        }
        let back = self.last - number;
        if back >= REMEMBERED || number == 0 || self.recent & (1 << back) != 0 {
            return Arrival::Again;
        }
        self.recent |= 1 << back;
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Heard};

    /// Losses, repeats and turns of a stream, as a run counts them.
    fn check(numbers: &[u32], expected: (u32, u32, u32)) {
        let mut heard = Heard::default();
        let (mut lost, mut again, mut late) = (0, 0, 0);
        for number in numbers {
            match heard.take(*number) {
                Arrival::Ahead { skipped } => lost += skipped,
                Arrival::Late => (lost, late) = (lost - 1, late + 1),
                Arrival::Again => again += 1,
            }
        }
        assert_eq!((lost, again, late), expected, "{numbers:?}");
    }

    #[test]
    fn numbers_say_what_was_lost_repeated_and_turned() {
        check(&[1, 2, 3], (0, 0, 0));
        check(&[2, 3], (1, 0, 0));
        check(&[1, 3, 4], (1, 0, 0));
        check(&[1, 1, 2, 2], (0, 2, 0));
        check(&[1, 3, 2, 4], (0, 0, 1));
        check(&[1, 3, 2, 2], (0, 1, 1));
        check(&[1, 4, 4, 2, 2], (1, 2, 1));
        check(&[1, 200, 1, 150], (197, 1, 1));
        check(&[1, 128, 1], (126, 1, 0));
        check(&[1, 129, 1, 0], (127, 2, 0));
    }
}
