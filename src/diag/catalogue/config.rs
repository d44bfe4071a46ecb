//! Codes of what is written: YAML, keys, kinds, units, the environment, files.

use super::Code;

/// Every code of this section.
pub static ALL: &[&Code] = &[];
