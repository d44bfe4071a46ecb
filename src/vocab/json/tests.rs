//! What is taken and what is refused, and that a tape holds what a tree would.

use std::fmt;

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::vocab::json::{DEPTH_MAX, Tape, parse};

/// What is taken, as a tree: read straight into a value, without a tape.
fn oracle(text: &str, depth_max: usize) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let depth = depth_max.min(DEPTH_MAX);
    let value = Build { depth }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
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
            depth: self
                .depth
                .checked_sub(1)
                .ok_or_else(|| A::Error::custom("deep"))?,
        };
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = Self {
            depth: self
                .depth
                .checked_sub(1)
                .ok_or_else(|| A::Error::custom("deep"))?,
        };
        let mut values = serde_json::Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom("twice"));
            }
            let value = map.next_value_seed(inner)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

/// Text that is JSON, or nearly.
fn text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "\"[a-c \u{e9}\u{1f600}]{0,6}\"",
        "\"(\\\\u00[46][0-9a-f]|\\\\n|\\\\\"|\\\\ud83d\\\\ude00|\\\\u00e9|a){0,4}\"",
        prop_oneof![
            Just("-0"),
            Just("-0.0"),
            Just("1e400"),
            Just("-1e400"),
            Just("1e-400"),
            Just("01"),
            Just("1."),
            Just("+1"),
            Just("NaN"),
            Just("18446744073709551616"),
            Just("-9223372036854775809"),
            Just("\"\\ud83d\""),
            Just("\"\\ude00\""),
            Just("\"\\ud83d\\u0041\""),
            Just("\"\t\""),
            Just("\"\\x\""),
            Just("\"\\u12\""),
            Just("\""),
            Just("nul"),
            Just(""),
        ]
        .prop_map(str::to_owned),
    ];
    let key = prop_oneof![
        "\"[ab]{0,2}\"",
        Just("\"\\u0061\"".to_owned()),
        "\"k[0-9]{1,2}\"",
    ];
    let blank = "[ \n\t\r]{0,1}";
    scalar.prop_recursive(4, 64, 24, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(","))),
            (
                proptest::collection::vec((key.clone(), blank, inner), 0..24),
                "[,]{0,1}"
            )
                .prop_map(|(entries, more)| {
                    let entries: Vec<_> = entries
                        .into_iter()
                        .map(|(key, blank, value)| format!("{key}{blank}:{value}"))
                        .collect();
                    let more = if more.is_empty() || entries.len() % 7 > 0 {
                        ""
                    } else {
                        ","
                    };
                    format!("{{{}{more}}}", entries.join(","))
                }),
        ]
    })
}

proptest! {
    #[test]
    fn a_tape_holds_what_a_tree_would(text in text(), depth in 0usize..6, other in text()) {
        let expected = oracle(&text, depth);
        // Whatever was on it before.
        let mut tape = Tape::default();
        drop(tape.read(&other, DEPTH_MAX));
        let read = tape.read(&text, depth).ok().map(|()| tape.root().value());
        prop_assert_eq!(&read, &expected, "{}", text);
        if let Some(value) = read {
            prop_assert_eq!(Tape::of(&value).root().value(), value, "{}", text);
        }
    }
}

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
        let error = parse(text, 3).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn depth_is_bounded_before_the_stack_is() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert!(parse(&deep, usize::MAX).is_err());
}
