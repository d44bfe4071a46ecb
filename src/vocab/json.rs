//! JSON as strangers send it: duplicate keys are refused and nesting is bounded, while the text is read once.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

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
    read(
        text,
        Build {
            depth: depth_max.min(DEPTH_MAX),
        },
    )
}

/// Checks `text` as [`parse`] does, without building anything.
///
/// # Errors
/// As [`parse`].
pub fn check(text: &str, depth_max: usize) -> Result<(), JsonError> {
    read(
        text,
        Check {
            depth: depth_max.min(DEPTH_MAX),
        },
    )
}

fn read<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> Result<S::Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

fn deeper<E: Error>(depth: usize) -> Result<usize, E> {
    depth
        .checked_sub(1)
        .ok_or_else(|| E::custom("nested too deep"))
}

fn duplicate<E: Error>(key: &str) -> E {
    let shown: String = key.chars().take(64).collect();
    E::custom(format_args!("the key `{shown}` stands twice in one object"))
}

/// The keys of one object: a short list is searched faster than it is hashed.
#[derive(Default)]
struct Keys {
    few: Vec<String>,
    many: HashSet<String>,
}

impl Keys {
    const FEW: usize = 16;

    fn add<E: Error>(&mut self, key: String) -> Result<(), E> {
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return Err(duplicate(&key));
            }
            self.few.push(key);
            if self.few.len() > Self::FEW {
                self.many = self.few.drain(..).collect();
            }
            return Ok(());
        }
        match self.many.replace(key) {
            Some(again) => Err(duplicate(&again)),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = Self {
            depth: deeper(self.depth)?,
        };
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = Self {
            depth: deeper(self.depth)?,
        };
        let mut keys = Keys::default();
        while let Some(key) = map.next_key::<String>()? {
            keys.add(key)?;
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Build {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Build {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = Self {
            depth: deeper(self.depth)?,
        };
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = Self {
            depth: deeper(self.depth)?,
        };
        let mut values = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(duplicate(&key));
            }
            let value = map.next_value_seed(inner)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::{check, parse};

    #[test]
    fn good_json_is_what_serde_json_says() {
        for text in [
            "null",
            "1",
            "-2.5e3",
            "\"\\u00e9\"",
            "[]",
            "[1,[2,{\"a\":{}}]]",
            "{\"a\":1,\"b\":{\"a\":2}}",
        ] {
            assert_eq!(
                parse(text, 32).ok(),
                serde_json::from_str(text).ok(),
                "{text}"
            );
            assert!(check(text, 32).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many = format!(
            "{{{}\"k3\":0}}",
            (0..40)
                .map(|key| format!("\"k{key}\":0,"))
                .collect::<String>()
        );
        for (text, part) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("1 2", "trailing"),
            ("{\"a\":1,\"a\":2}", "the key `a` stands twice"),
            (
                "[{\"b\":{\"\\u0061\":1,\"a\":2}}]",
                "the key `a` stands twice",
            ),
            (&many, "the key `k3` stands twice"),
            ("[[[[1]]]]", "nested too deep"),
        ] {
            for error in [parse(text, 3).err(), check(text, 3).err()] {
                let message = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    }

    #[test]
    fn depth_is_bounded_before_the_stack_is() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(check(&deep, usize::MAX).is_err());
        assert!(parse(&deep, usize::MAX).is_err());
    }
}
