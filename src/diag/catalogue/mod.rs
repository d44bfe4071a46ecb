//! Every kind of finding, in one list. Codes are readable, documented here, and never reused for something else.
//!
//! Each section's codes stand in a file of their own, as `pub static`s and in its `ALL`.

pub mod config;
pub mod plan;
pub mod rule;
pub mod schema;
pub mod security;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be served.
    Error,
    /// The file is served, and is probably not what was meant.
    Warning,
}

/// One kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Its name, `section/what-is-wrong`.
    pub slug: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line for lists.
    pub summary: &'static str,
    /// What `trunkline explain` prints: why it matters and how to repair it.
    pub explanation: &'static str,
}

/// Every code there is.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [
        config::ALL,
        schema::ALL,
        rule::ALL,
        plan::ALL,
        security::ALL,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// The code called `slug`.
pub fn find(slug: &str) -> Option<&'static Code> {
    all().find(|code| code.slug == slug)
}
