//! Whether a text can stand at a place of data that fits a schema.

use serde_json::{Map, Value};

/// The segment of a path that stands for every element of a list, or every value of a map.
pub const EVERY: &str = "*";

/// References that are followed on one way: those that lead in a circle are not.
const REFERENCES_MAX: usize = 32;

/// Keywords whose schemas say more of the same value.
const MORE: [&str; 6] = ["allOf", "anyOf", "oneOf", "if", "then", "else"];

/// Whether a text can be at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextAt {
    /// It can, or the schema does not say.
    Possible,
    /// The schema declares these names there, and not this one, though it lets it pass.
    Undeclared(Vec<String>),
    /// It cannot: nothing is there, or something of this type.
    Never(Option<String>),
}

/// Whether a text can be at `path` (segments of a JSON Pointer, unescaped) of data that fits `schema`.
pub fn text_at(schema: &Value, path: &[String]) -> TextAt {
    let mut search = Search {
        root: schema,
        references: 0,
        possible: false,
        undeclared: None,
        other: None,
    };
    search.look(schema, path);
    match (search.possible, search.undeclared, search.other) {
        (true, ..) => TextAt::Possible,
        (false, Some(known), _) => TextAt::Undeclared(known),
        (false, None, other) => TextAt::Never(other),
    }
}

struct Search<'s> {
    root: &'s Value,
    references: usize,
    possible: bool,
    undeclared: Option<Vec<String>>,
    other: Option<String>,
}

impl<'s> Search<'s> {
    fn look(&mut self, schema: &'s Value, path: &[String]) {
        let Value::Object(keywords) = schema else {
            self.possible |= *schema == Value::Bool(true);
            return;
        };
        let says_more = self.look_further(keywords, path);
        match path.split_first() {
            None => self.look_here(keywords, says_more),
            Some((segment, rest)) => self.look_below(keywords, segment, rest, says_more),
        }
    }

    /// Looks at what else says something of this value; says whether anything does.
    fn look_further(&mut self, keywords: &'s Map<String, Value>, path: &[String]) -> bool {
        let mut says_more = false;
        for keyword in MORE {
            let more = keywords.get(keyword).into_iter();
            for schema in more.flat_map(|more| match more {
                Value::Array(schemas) => schemas.as_slice(),
                schema => std::slice::from_ref(schema),
            }) {
                says_more = true;
                self.look(schema, path);
            }
        }
        match keywords.get("$ref") {
            Some(Value::String(reference)) => {
                says_more = true;
                let target = reference.strip_prefix('#');
                let target = target.and_then(|pointer| self.root.pointer(pointer));
                self.references += 1;
                match target {
                    Some(schema) if self.references <= REFERENCES_MAX => self.look(schema, path),
                    // It leads into another document, or in a circle.
                    _ => self.possible = true,
                }
            }
            _ => self.possible |= keywords.contains_key("$dynamicRef"),
        }
        says_more
    }

    fn look_here(&mut self, keywords: &Map<String, Value>, says_more: bool) {
        let values = keywords.get("enum").and_then(Value::as_array);
        let values = values.into_iter().flatten().chain(keywords.get("const"));
        let mut values = values.peekable();
        match keywords.get("type") {
            Some(_) if has_type(keywords, "string") => self.possible = true,
            Some(found) => {
                self.other = Some(found.to_string().replace('"', ""));
            }
            None if values.peek().is_some() => {
                self.possible |= values.any(Value::is_string);
                self.other = Some("enum".to_owned());
            }
            None => self.possible |= !says_more,
        }
    }

    fn look_below(
        &mut self,
        keywords: &'s Map<String, Value>,
        segment: &str,
        rest: &[String],
        says_more: bool,
    ) {
        let (mut is_said, untyped) = (false, !keywords.contains_key("type"));
        if untyped || has_type(keywords, "object") {
            is_said |= self.look_into_map(keywords, segment, rest);
        }
        if untyped || has_type(keywords, "array") {
            is_said |= self.look_into_list(keywords, segment, rest);
        }
        let may_have_parts = untyped || has_type(keywords, "object") || has_type(keywords, "array");
        self.possible |= may_have_parts && !is_said && !says_more;
    }

    /// Says whether the schema says anything of maps.
    fn look_into_map(
        &mut self,
        keywords: &'s Map<String, Value>,
        segment: &str,
        rest: &[String],
    ) -> bool {
        let schemas = |keyword: &str| keywords.get(keyword).and_then(Value::as_object);
        let (properties, patterns) = (schemas("properties"), schemas("patternProperties"));
        let additional = keywords.get("additionalProperties");
        if let Some(schema) = properties.and_then(|properties| properties.get(segment)) {
            self.look(schema, rest);
            return true;
        }
        let by_pattern = patterns.into_iter().flat_map(Map::values);
        let every = properties.filter(|_| segment == EVERY);
        for schema in by_pattern.chain(every.into_iter().flat_map(Map::values)) {
            self.look(schema, rest);
        }
        match (additional, properties) {
            (Some(Value::Bool(true)) | None, Some(properties)) if segment != EVERY => {
                if patterns.is_none() {
                    self.undeclared = Some(properties.keys().cloned().collect());
                }
            }
            (Some(schema), _) => self.look(schema, rest),
            (None, _) => {}
        }
        properties.is_some() || patterns.is_some() || additional.is_some()
    }

    /// Says whether the schema says anything of lists.
    fn look_into_list(
        &mut self,
        keywords: &'s Map<String, Value>,
        segment: &str,
        rest: &[String],
    ) -> bool {
        let first = keywords.get("prefixItems").and_then(Value::as_array);
        let items = keywords.get("items");
        let number: Option<usize> = segment.parse().ok();
        if segment != EVERY && number.is_none() {
            return first.is_some() || items.is_some();
        }
        let first = first.map_or(&[][..], Vec::as_slice);
        let meant = first
            .iter()
            .enumerate()
            .filter(|(index, _)| number.is_none_or(|number| number == *index));
        for (_, schema) in meant {
            self.look(schema, rest);
        }
        if let Some(schema) = items.filter(|_| number.is_none_or(|number| number >= first.len())) {
            self.look(schema, rest);
        }
        !first.is_empty() || items.is_some()
    }
}

fn has_type(keywords: &Map<String, Value>, name: &str) -> bool {
    match keywords.get("type") {
        Some(Value::String(found)) => found == name,
        Some(Value::Array(found)) => found.iter().any(|found| found == name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{TextAt, text_at};

    fn found(schema: &Value, pointer: &str) -> TextAt {
        let path: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
        text_at(schema, &path)
    }

    #[test]
    fn texts_are_found() {
        let text = || json!({"type": "string"});
        let closed = json!({"type": "object", "properties": {"text": text(), "n": {"type": "integer"}}, "additionalProperties": false});
        let open = json!({"properties": {"text": text()}});
        let list = json!({"type": "array", "items": {"properties": {"text": text()}, "additionalProperties": false}});
        let pair = json!({"prefixItems": [{"type": "number"}, text()], "items": false});
        let any = json!({"anyOf": [{"properties": {"a": text()}, "additionalProperties": false}, {"type": "null"}]});
        let map = json!({"type": "object", "additionalProperties": text()});
        let by_pattern =
            json!({"patternProperties": {"^t": text()}, "additionalProperties": false});
        let referring = json!({"$defs": {"line": closed}, "type": "object", "properties": {"line": {"$ref": "#/$defs/line"}}});
        let circle = json!({"$ref": "#"});
        let elsewhere = json!({"$ref": "other.json"});
        let (yes, nothing) = (TextAt::Possible, TextAt::Never(None));
        let never = |kind: &str| TextAt::Never(Some(kind.to_owned()));
        for (schema, pointer, expected) in [
            (&text(), "", yes.clone()),
            (&json!({"type": ["string", "null"]}), "", yes.clone()),
            (&json!({"type": "integer"}), "", never("integer")),
            (&json!({"enum": ["a", 1]}), "", yes.clone()),
            (&json!({"enum": [1, 2]}), "", never("enum")),
            (&json!({"const": "a"}), "", yes.clone()),
            (&json!({"minLength": 1}), "", yes.clone()),
            (&json!(true), "/a/b", yes.clone()),
            (&json!(false), "/a", nothing.clone()),
            (&closed, "/text", yes.clone()),
            (&closed, "/n", never("integer")),
            (&closed, "/txt", nothing.clone()),
            (&closed, "/text/more", nothing.clone()),
            (&closed, "/*", yes.clone()),
            (&open, "/txt", TextAt::Undeclared(vec!["text".to_owned()])),
            (&list, "/*/text", yes.clone()),
            (&list, "/0/text", yes.clone()),
            (&list, "/-/text", nothing.clone()),
            (&list, "/*/other", nothing.clone()),
            (&list, "/text", nothing.clone()),
            (&pair, "/1", yes.clone()),
            (&pair, "/0", never("number")),
            (&pair, "/2", nothing.clone()),
            (&pair, "/*", yes.clone()),
            (&any, "/a", yes.clone()),
            (&any, "/b", nothing.clone()),
            (&map, "/whatever", yes.clone()),
            (&by_pattern, "/title", yes.clone()),
            (&json!({"type": "object"}), "/a", yes.clone()),
            (&referring, "/line/text", yes.clone()),
            (&referring, "/line/n", never("integer")),
            (&circle, "/a", yes.clone()),
            (&elsewhere, "/a", yes.clone()),
        ] {
            assert_eq!(found(schema, pointer), expected, "{pointer} of {schema}");
        }
    }
}
