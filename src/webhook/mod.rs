//! Questions to the application: who somebody is, whether somebody may join, which keys sign tokens.
//!
//! A [`Client`] makes the calls: pooled, bounded in time, size and number, without redirects and proxies. [`Answers`] stands
//! before what is asked often: it asks once for all who want the same, remembers for as long as it may, and leaves an application
//! that is down alone until it may be back. Nothing here knows what the answers mean, and no error here shows the query or the
//! credentials of a URL.

mod answers;
#[cfg(test)]
pub(crate) mod application;
mod breaker;
mod call;
mod client;
mod kept;
#[cfg(test)]
mod tests;

pub use answers::{Answers, Asking, Unanswered, Word};
pub use call::{Fault, Reply};
pub use client::{ANSWER_BYTES_MAX, Answer, CallError, Client, settle_cryptography};
