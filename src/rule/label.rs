//! Which of a file's rules a rule is, for logs, counters and explanations.

/// The place of a rule in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its number among the Plan's rules.
    pub index: usize,
    /// The key that holds it, such as `rooms.desk:{ticket}.may_join`.
    pub name: Box<str>,
    /// File and line, such as `channels.yaml:12`.
    pub place: Box<str>,
    /// The rule as it was written, without what the environment put into it.
    pub text: Box<str>,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.place)
    }
}
