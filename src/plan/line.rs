//! Where the parts of a Plan were written: for answers that point at the file.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A key of the file: `rooms`, `room:{room_id}`, `may_join`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    /// The section.
    pub section: &'static str,
    /// The name within it: of an auth mode, a message type; a pattern.
    pub name: Box<str>,
    /// The key below that; empty: where it is declared.
    pub key: Box<str>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file, as findings call it.
    pub file: Arc<str>,
    /// Its number, from 1.
    pub number: usize,
}

/// Where the keys stand that decide who may do what.
#[derive(Clone, Debug, Default)]
pub struct Lines(HashMap<Clause, Line>);

impl Clause {
    /// The key `key` of what is called `name` in `section`.
    pub fn new(section: &'static str, name: &str, key: &str) -> Self {
        Self {
            section,
            name: name.into(),
            key: key.into(),
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.name)?;
        if self.key.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.key)
        }
    }
}

impl Lines {
    /// Where `clause` stands, or else where what it is a key of is declared.
    pub fn find(&self, clause: &Clause) -> Option<&Line> {
        self.0.get(clause).or_else(|| {
            let declared = Clause::new(clause.section, &clause.name, "");
            self.0.get(&declared)
        })
    }

    /// Whether `clause` itself is written.
    pub fn is_written(&self, clause: &Clause) -> bool {
        self.0.contains_key(clause)
    }
}

impl FromIterator<(Clause, Line)> for Lines {
    fn from_iter<I: IntoIterator<Item = (Clause, Line)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}
