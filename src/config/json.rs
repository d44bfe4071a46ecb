//! YAML trees to JSON values with places.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::config::Json;
use crate::config::node::{Kind, Node, Style};
use crate::config::reader::Reader;
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, Span};

/// Whether `${NAME}` is expanded: in configurations it is, in schema files it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expansion {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Reader<'_> {
    /// `node` as a JSON value; none where a finding says why it is none.
    pub(super) fn json(&mut self, node: &Node, expansion: Expansion) -> Option<Json> {
        let mut places = HashMap::new();
        let value = self.value(node, expansion, &mut String::new(), &mut places)?;
        Some(Json {
            value: Arc::new(value),
            span: node.span,
            places,
        })
    }

    /// Goes on behind what is wrong, so that everything is found.
    fn value(
        &mut self,
        node: &Node,
        expansion: Expansion,
        pointer: &mut String,
        places: &mut HashMap<String, Span>,
    ) -> Option<Value> {
        places.entry(pointer.clone()).or_insert(node.span);
        let length = pointer.len();
        match &node.kind {
            Kind::Scalar(_) => self.scalar_value(node, expansion),
            Kind::List(items) => {
                let mut list = Some(Vec::with_capacity(items.len()));
                for (index, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    match self.value(item, expansion, pointer, places) {
                        Some(value) => list.iter_mut().for_each(|list| list.push(value.clone())),
                        None => list = None,
                    }
                    pointer.truncate(length);
                }
                list.map(Value::Array)
            }
            Kind::Map(entries) => {
                let mut map = Some(Map::with_capacity(entries.len()));
                for (key, item) in entries {
                    pointer.push('/');
                    pointer.push_str(&key.text.replace('~', "~0").replace('/', "~1"));
                    if !matches!(item.kind, Kind::Scalar(_)) {
                        places.insert(pointer.clone(), key.span);
                    }
                    match (self.value(item, expansion, pointer, places), map.as_mut()) {
                        (Some(value), Some(map)) => {
                            map.insert(key.text.clone(), value);
                        }
                        (None, _) => map = None,
                        (Some(_), None) => {}
                    }
                    pointer.truncate(length);
                }
                map.map(Value::Object)
            }
        }
    }

    fn scalar_value(&mut self, node: &Node, expansion: Expansion) -> Option<Value> {
        let Kind::Scalar(scalar) = &node.kind else {
            return None;
        };
        if node.is_nothing() {
            return Some(Value::Null);
        }
        let text = match expansion {
            Expansion::On if scalar.value.contains("${") => {
                self.text(node, "a value")?.as_str().to_owned()
            }
            _ => scalar.value.clone(),
        };
        if scalar.style != Style::Plain {
            return Some(Value::String(text));
        }
        if matches!(
            text.trim_start_matches(['-', '+'])
                .to_ascii_lowercase()
                .as_str(),
            ".inf" | ".nan"
        ) {
            let message = "JSON has no infinity and no not-a-number";
            let finding = Diagnostic::new(&codes::NOT_JSON, node.span, message)
                .help("write a number, or leave the bound out");
            self.findings.push(finding);
            return None;
        }
        Some(plain_value(text))
    }
}

/// A bare scalar by the core schema of YAML 1.2.
fn plain_value(text: String) -> Value {
    match text.as_str() {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(&text).map_or(Value::String(text), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !unsigned.bytes().all(is_number) || !unsigned.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = plain.parse::<i64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = plain.parse::<u64>() {
        return Some(integer.into());
    }
    plain.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::json::plain_value;

    #[test]
    fn bare_scalars_have_their_json_kind() {
        for (text, value) in [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("+5", json!(5)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("1.2.3", json!("1.2.3")),
            ("e", json!("e")),
            ("1-2", json!("1-2")),
            ("2026-11-23", json!("2026-11-23")),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(plain_value(text.to_owned()), value, "{text}");
        }
    }
}
