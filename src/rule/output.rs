//! What leaves a rule: JSON and text.

use serde_json::{Map, Number, Value};

use crate::rule::evaluate::Run;
use crate::rule::value::{Fault, Val};

impl<'a> Run<'a> {
    /// The value as JSON.
    pub(super) fn json(&mut self, value: &Val<'a>) -> Result<Value, Fault> {
        Ok(match value {
            Val::Null => Value::Null,
            Val::Bool(value) => (*value).into(),
            Val::Int(value) => (*value).into(),
            Val::Double(value) => Number::from_f64(*value)
                .map(Value::Number)
                .ok_or(Fault::NotJson)?,
            Val::Text(_) | Val::MadeText(_) => {
                let text = value.text().unwrap_or_default();
                self.room_for_text(text.len())?;
                text.into()
            }
            Val::List(list) => {
                self.room_for_text(list.iter().map(weight).sum())?;
                Value::Array(list.to_vec())
            }
            Val::Map(map) => {
                self.room_for_text(map_weight(map))?;
                Value::Object((*map).clone())
            }
            Val::MadeList(list) => {
                self.room_for(list.len())?;
                Value::Array(
                    list.iter()
                        .map(|value| self.json(value))
                        .collect::<Result<_, _>>()?,
                )
            }
            Val::MadeMap(entries) => {
                self.room_for(entries.len())?;
                let entries = entries.iter().map(|(key, value)| {
                    Ok((key.text().unwrap_or_default().to_owned(), self.json(value)?))
                });
                Value::Object(entries.collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }

    /// Writes the value into a text: texts as they are, null as nothing, lists and maps as JSON.
    pub(super) fn write(&mut self, value: &Val<'a>, out: &mut String) -> Result<(), Fault> {
        let before = out.len();
        match value {
            Val::Null => {}
            Val::Text(_) | Val::MadeText(_) => {
                let text = value.text().unwrap_or_default();
                self.room_for_text(text.len())?;
                out.push_str(text);
                return Ok(());
            }
            Val::Bool(value) => out.push_str(&value.to_string()),
            Val::Int(value) => out.push_str(&value.to_string()),
            Val::Double(value) => out.push_str(&value.to_string()),
            Val::List(_) | Val::MadeList(_) | Val::Map(_) | Val::MadeMap(_) => {
                out.push_str(&self.json(value)?.to_string())
            }
        }
        self.room_for_text(out.len() - before)
    }
}

/// About how many bytes a copy takes.
fn weight(value: &Value) -> usize {
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(map) => map_weight(map),
        _ => 0,
    }
}

fn map_weight(map: &Map<String, Value>) -> usize {
    map.iter()
        .map(|(key, value)| size_of::<String>() + key.len() + weight(value))
        .sum()
}
