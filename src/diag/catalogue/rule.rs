//! Codes of rules, expressions and templates.

use super::Code;

/// Every code of this section.
pub static ALL: &[&Code] = &[];
