//! Codes of what the file means: names, limits, what contradicts itself.

use super::{Code, Severity};

/// Every code of this section.
pub static ALL: &[&Code] = &[&NOT_SUPPORTED_YET];

/// A key that the language has and this version does not run.
pub static NOT_SUPPORTED_YET: Code = Code {
    slug: "plan/not-supported-yet",
    severity: Severity::Error,
    summary: "a feature of the language that this version does not run yet",
    explanation: "\
The file uses a key that belongs to the language, but this version of trunkline does not run what it asks for. Serving the file
without it would break a promise that the file makes, so it is refused instead.

Leave the key out, or use what the message offers in its place:

    server:
      store: memory",
};
