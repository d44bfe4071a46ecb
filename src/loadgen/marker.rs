//! What a message carries so that a reader knows it again: which run and which publisher it is from, its number, when it was sent.
//!
//! ```text
//! #RRRRPPPPPPNNNNNNNNTTTTTTTTTTxxxx…
//! ```
//!
//! in hexadecimal: the run, the publisher, the message's number (from 1), microseconds since the run began, and what pads it. Nothing
//! in it needs escaping in JSON, and no two runs take each other's messages for their own, as a server's history would have them do.

use memchr::memmem::Finder;

/// The shortest marker, in bytes.
pub const MARKER_BYTES: usize = 1 + RUN + SOURCE + NUMBER + TIME;

const RUN: usize = 4;
const SOURCE: usize = 6;
const NUMBER: usize = 8;
const TIME: usize = 10;

/// A message as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The publisher's number.
    pub(super) source: u32,
    /// The message's number among the publisher's, from 1.
    pub(super) number: u32,
    /// When it was sent, or should have been: microseconds since the run began.
    pub(super) sent: u64,
}

/// Writes and finds the markers of one run.
pub(super) struct Marker {
    run: u16,
    begin: Finder<'static>,
}

impl Marker {
    pub(super) fn new(run: u16) -> Self {
        let begin = format!("#{run:04x}");
        Self {
            run,
            begin: Finder::new(&begin).into_owned(),
        }
    }

    /// Appends a marker of `bytes` bytes, or of [`MARKER_BYTES`] where that is more.
    pub(super) fn write(&self, mark: Mark, bytes: usize, target: &mut Vec<u8>) {
        let end = target.len() + bytes;
        target.push(b'#');
        push_hex(u64::from(self.run), RUN, target);
        push_hex(u64::from(mark.source), SOURCE, target);
        push_hex(u64::from(mark.number), NUMBER, target);
        push_hex(mark.sent, TIME, target);
        if target.len() < end {
            target.resize(end, b'x');
        }
    }

    /// The first marker of this run in `message`.
    pub(super) fn find(&self, message: &[u8]) -> Option<Mark> {
        let start = self.begin.find(message)? + 1 + RUN;
        let digits = message.get(start..start + SOURCE + NUMBER + TIME)?;
        let (source, rest) = digits.split_at(SOURCE);
        let (number, sent) = rest.split_at(NUMBER);
        Some(Mark {
            source: u32::try_from(hex(source)?).ok()?,
            number: u32::try_from(hex(number)?).ok()?,
            sent: hex(sent)?,
        })
    }
}

fn push_hex(value: u64, digits: usize, target: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xF;
        target.push(b"0123456789abcdef"[digit as usize]);
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::{MARKER_BYTES, Mark, Marker};

    const MARK: Mark = Mark {
        source: 0xA_BCDE,
        number: 7,
        sent: 1_234_567,
    };

    fn written(bytes: usize) -> String {
        let mut target = Vec::new();
        Marker::new(0xBEEF).write(MARK, bytes, &mut target);
        String::from_utf8(target).expect("ASCII")
    }

    #[test]
    fn what_is_written_is_found() {
        assert_eq!(written(0), "#beef0abcde00000007000012d687");
        assert_eq!(written(0).len(), MARKER_BYTES);
        assert_eq!(written(64), format!("{:x<64}", written(0)));
        let delivery = format!(r#"{{"sender":"a#b","text":"{}"}}"#, written(64));
        assert_eq!(
            Marker::new(0xBEEF).find(delivery.as_bytes()),
            Some(MARK),
            "{delivery}"
        );
    }

    #[test]
    fn what_is_no_marker_of_this_run_is_not_found() {
        let whole = written(0);
        for message in [
            "",
            "#",
            "#beef",
            &whole[..MARKER_BYTES - 1],
            &whole.replace("beef", "cafe"),
            &whole.replace("00000007", "0000000Z"),
        ] {
            assert_eq!(
                Marker::new(0xBEEF).find(message.as_bytes()),
                None,
                "{message}"
            );
        }
    }
}
