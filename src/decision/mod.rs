//! Who may do what: each question that connecting, joining and sending come down to, answered in one place for whoever asks.
//!
//! The engine asks while it serves, and counts and logs what comes of it; an [`Inquiry`] asks the same functions in the same order
//! and keeps how each was answered, for people who want to know why. Nothing here has an effect: no token is spent, no room made,
//! nobody told. What changes while the server runs comes from outside, as [`Surroundings`].

mod account;
mod doorman;
mod inquiry;
mod message;
mod places;
mod room;
mod sanitize;
mod sending;
mod surroundings;
mod trail;

pub use account::{Explanation, Step, Verdict};
pub use doorman::{Doorman, Opened};
pub use inquiry::{Inquiry, Visitor};
pub use message::{
    Seat, Taker, fits, fits_sanitized, is_allowed, no_room, not_joined, other_room, read,
    recipient, size_fits, taker, taker_of_plain, thinning_key,
};
pub use places::Crowd;
pub use room::{
    Target, audiences, automatic, has_place, is_joined_here, is_let_in, may_connect, may_not_join,
    no_room_left, room_left, target,
};
pub use sanitize::cleaned;
pub use sending::Sending;
pub use surroundings::{Asker, FileAlone, Standing, Surroundings};
pub use trail::{Telling, Trail, Witness};

use crate::rule::{Facts, Rule};

/// Whoever asks rules: the engine counts and logs what they say, an inquiry keeps how they came to it.
pub trait Judge {
    /// What `rule` says; one that fails to evaluate denies.
    fn allows(&self, rule: &Rule, facts: &Facts<'_>) -> bool;

    /// What `rule` says, which opens something and denies nothing.
    fn holds(&self, rule: &Rule, facts: &Facts<'_>) -> bool;
}
