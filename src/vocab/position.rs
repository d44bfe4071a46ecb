//! Where in a room's history a reader stands.

use std::fmt;

use crate::vocab::RoomName;

/// One life of a room's log: it changes when the log was lost, so that an old position cannot be mistaken for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch made of these random bits.
    pub const fn from_random(bits: u32) -> Self {
        Self(bits)
    }

    /// Reads eight hexadecimal digits.
    ///
    /// # Errors
    /// The text is anything else.
    pub fn parse(text: &str) -> Result<Self, PositionError> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PositionError);
        }
        u32::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| PositionError)
    }
}

/// Eight hexadecimal digits.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The number of a stored message in its room and epoch: the first is 1, 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// The number `value`.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number as an integer.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Epoch and seq: what a client says to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// The last message that the reader has.
    pub seq: Seq,
}

/// Why a text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is an epoch of eight hexadecimal digits and a seq")]
pub struct PositionError;

impl Position {
    /// Reads the `since` parameter of an endpoint's URL: `ROOM@EPOCH-SEQ`. Room names may hold `@`, so the last one counts.
    ///
    /// # Errors
    /// The text has another form, or its room is no room name.
    pub fn parse_of_room(text: &str) -> Result<(RoomName, Self), PositionError> {
        let (room, position) = text.rsplit_once('@').ok_or(PositionError)?;
        let (epoch, seq) = position.split_once('-').ok_or(PositionError)?;
        let seq = seq.parse().map(Seq).map_err(|_| PositionError)?;
        let room = RoomName::parse(room).map_err(|_| PositionError)?;
        Ok((
            room,
            Self {
                epoch: Epoch::parse(epoch)?,
                seq,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Position, Seq};

    #[test]
    fn since_is_read_from_its_last_at_sign() {
        let (room, position) =
            Position::parse_of_room("user:a@b.example@0000002a-17").expect("a position");
        assert_eq!(room.as_str(), "user:a@b.example");
        assert_eq!(
            position,
            Position {
                epoch: Epoch::from_random(42),
                seq: Seq::new(17)
            }
        );
        for wrong in [
            "",
            "room:1",
            "room:1@2a-1",
            "room:1@0000002a",
            "room:1@0000002a-x",
            "room:1@+000002a-1",
            "ro om@0000002a-1",
        ] {
            assert!(Position::parse_of_room(wrong).is_err(), "{wrong}");
        }
    }
}
