//! `--name value` pairs.

use std::collections::HashMap;
use std::str::FromStr;

/// What stands on the command line.
pub struct Arguments(HashMap<String, String>);

impl Arguments {
    /// Reads pairs of words until there are no more.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("expected --name, got {word}"))?;
            let value = words
                .next()
                .ok_or_else(|| format!("--{name} needs a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self(values))
    }

    /// The value of `--name`, or `default`.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        self.0.get(name).map_or(Ok(default), |text| {
            text.parse()
                .map_err(|_| format!("--{name} cannot be {text}"))
        })
    }
}
