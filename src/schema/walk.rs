//! The way through a schema: each place where a schema stands, with its JSON Pointer.

use serde_json::Value;

/// Keywords that refuse nothing.
pub(super) const ANNOTATIONS: [&str; 17] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Keywords whose value is a schema, or a list of schemas.
const ONE_OR_MORE: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value maps names to schemas.
const NAMED: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Calls `visit` with every object schema in `schema`, itself first, and its pointer.
pub(super) fn each_schema(schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    step(schema, &mut String::new(), visit);
}

fn step(schema: &Value, pointer: &mut String, visit: &mut impl FnMut(&str, &Value)) {
    let Some(keywords) = schema.as_object() else {
        return;
    };
    visit(pointer, schema);
    for (keyword, value) in keywords {
        let length = pointer.len();
        push(pointer, keyword);
        if ONE_OR_MORE.contains(&&**keyword) {
            match value {
                Value::Array(schemas) => {
                    for (index, schema) in schemas.iter().enumerate() {
                        below(pointer, &index.to_string(), schema, visit);
                    }
                }
                schema => step(schema, pointer, visit),
            }
        } else if NAMED.contains(&&**keyword) {
            for (name, schema) in value.as_object().into_iter().flatten() {
                below(pointer, name, schema, visit);
            }
        }
        pointer.truncate(length);
    }
}

fn below(pointer: &mut String, token: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    let length = pointer.len();
    push(pointer, token);
    step(schema, pointer, visit);
    pointer.truncate(length);
}

/// Adds a token to a JSON Pointer.
pub(super) fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

/// `pointer` with a further token.
pub(super) fn join(pointer: &str, token: &str) -> String {
    let mut longer = pointer.to_owned();
    push(&mut longer, token);
    longer
}
