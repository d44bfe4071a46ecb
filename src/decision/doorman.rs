//! Join tokens, for inquiries.

use crate::decision::Target;
use crate::protocol::Reject;
use crate::vocab::{AudienceSet, UserId};

/// Who verifies join tokens, as the server does. Looking changes nothing.
pub trait Doorman: Send + Sync {
    /// What `tokens`, all that were brought, come to for `user` before the room.
    fn opens(&self, target: &Target, user: &UserId, tokens: &[Box<str>]) -> Opened;
}

/// What join tokens come to.
#[derive(Debug)]
pub enum Opened {
    /// One of them lets in, and may say of which audiences the user is; else the room's rules do.
    Yes(Option<AudienceSet>),
    /// None of them lets in.
    No(Reject),
    /// Nobody can tell, and why.
    Unknown(String),
}
