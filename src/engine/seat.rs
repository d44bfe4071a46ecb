//! A connection's place in a room.

use std::ops::Deref;
use std::sync::Arc;

use crate::engine::Hall;
use crate::vocab::AudienceSet;

/// A room that a connection is in.
#[derive(Clone)]
pub(super) struct Seat {
    /// The room.
    pub(super) hall: Arc<Hall>,
    /// Tells it from all other stays of the connection.
    pub(super) stay: u32,
    /// The room's audiences that the connection is of.
    pub(super) audiences: AudienceSet,
    /// Who says so.
    pub(super) said_by: SaidBy,
}

/// Who let somebody in, and who says which audiences it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaidBy {
    /// The room's rules, both.
    Rules,
    /// The application let it in when it connected; the room's rules say what it reads.
    Grant,
    /// What let it in: the application, or a token.
    Pass,
}

impl Deref for Seat {
    type Target = Arc<Hall>;

    fn deref(&self) -> &Arc<Hall> {
        &self.hall
    }
}

#[cfg(test)]
mod tests {
    use super::Seat;

    /// Each member has one.
    #[test]
    fn a_seat_is_small() {
        assert_eq!(size_of::<Seat>(), 16);
    }
}
