//! JSON as strangers send it: duplicate keys are refused and nesting is bounded, while the text is read once.
//!
//! It is read onto a [`Tape`], a flat list that can be used again for the next text; whoever needs a tree makes one from that.

mod read;
mod tape;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use read::Reading;
pub use tape::{Entries, Item, Items, Tape, View};

/// The deepest nesting that can be asked for; serde_json itself refuses more than 128.
pub const DEPTH_MAX: usize = 127;

/// Why a text is no JSON that is taken here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads `text`, nested at most `depth_max` deep (a scalar has depth 0).
///
/// # Errors
/// It is no JSON, repeats a key of an object, or is nested deeper.
pub fn parse(text: &str, depth_max: usize) -> Result<Value, JsonError> {
    let mut tape = Tape::default();
    tape.read(text, depth_max)?;
    Ok(tape.root().value())
}
