//! `--name value` pairs, and a command after `--`.

use std::collections::HashMap;
use std::str::FromStr;

pub struct Arguments {
    values: HashMap<String, String>,
    pub command: Vec<String>,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("expected --name, got {word}"))?;
            let value = words
                .next()
                .ok_or_else(|| format!("--{name} needs a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self {
            values,
            command: words.collect(),
        })
    }

    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.optional(name)
            .ok_or_else(|| format!("--{name} is missing"))
    }

    pub fn optional(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        self.optional(name).map_or(Ok(default), |text| {
            text.parse()
                .map_err(|_| format!("--{name} cannot be {text}"))
        })
    }

    pub fn required<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| format!("--{name} cannot be {text}"))
    }
}
