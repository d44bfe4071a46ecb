//! Codes of JSON Schemas and their files.

use super::Code;

/// Every code of this section.
pub static ALL: &[&Code] = &[];
