//! Validation on a tape against jsonschema's own way over trees: the same answers, the same violations in the same order.

use std::cell::Cell;

use jsonschema::PatternOptions;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{compile, documents, written};
use crate::schema::{Documents, VIOLATIONS_MAX, document, words};
use crate::vocab::json::{DEPTH_MAX, Tape};

/// Every keyword that the schemas of this repository use, and the rest of the vocabulary.
fn schemas() -> Vec<Value> {
    let draft7 = "http://json-schema.org/draft-07/schema#";
    vec![
        json!({"type": "object", "properties": {
            "a": {"type": "string", "minLength": 1, "maxLength": 3},
            "b": {"type": "integer", "minimum": -2, "exclusiveMaximum": 10, "multipleOf": 2},
            "c": {"type": ["string", "null"]},
            "d": false,
        }, "required": ["a"], "additionalProperties": false}),
        json!({"type": "object", "required": ["a", "b", "c"], "minProperties": 1, "maxProperties": 4}),
        json!({"properties": {"a": {"enum": ["a", 1, null, [1], {"a": 1.0}, true]}, "b": {"const": 1}, "c": {"const": {"a": [0, ""]}}}}),
        json!({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3, "uniqueItems": true}),
        json!({"items": {"type": "string", "pattern": "^[a-c]+$"}}),
        json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
        json!({"contains": {"type": "integer"}, "minContains": 2, "maxContains": 3}),
        json!({"patternProperties": {"^a": {"type": "integer"}, "b$": {"type": "string"}}, "additionalProperties": {"type": "boolean"}}),
        json!({"propertyNames": {"maxLength": 1, "pattern": "^[ab]"}}),
        json!({"properties": {
            "a": {"format": "date-time"}, "b": {"format": "email"}, "c": {"format": "uuid"}, "aa": {"format": "date"},
            "d": {"format": "uri"}, "k": {"format": "ipv4"},
        }}),
        json!({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "string"}}}]}),
        json!({"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}, {"minimum": 3}]}),
        json!({"oneOf": [
            {"type": "object", "properties": {"a": {"const": "a"}, "b": {"type": "integer"}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"const": "b"}}, "required": ["a"]},
            {"type": "array"},
        ]}),
        json!({"not": {"type": "object", "required": ["a"]}}),
        json!({"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"required": ["b"]}, "else": {"maxProperties": 1}}),
        json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"properties": {"a": {"type": "null"}}}}}),
        json!({"properties": {"a": true}, "unevaluatedProperties": false, "anyOf": [{"properties": {"b": {"type": "string"}}}, {"properties": {"c": true}}]}),
        json!({"prefixItems": [true], "unevaluatedItems": {"type": "string"}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"type": "array", "items": {"$ref": "#"}}}, "additionalProperties": false}),
        json!({"$ref": "common.json#/$defs/user"}),
        json!({"$defs": {"tree": {"$anchor": "tree", "items": {"$ref": "#tree"}, "type": ["array", "integer"]}}, "$ref": "#tree"}),
        json!({"type": "integer"}),
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1e19}),
        json!({"multipleOf": 0.1}),
        json!({"const": 9_223_372_036_854_775_808u64}),
        json!({"minLength": 2, "maxLength": 2}),
        json!({"$schema": draft7, "items": [{"type": "integer"}], "additionalItems": false}),
        json!({"$schema": draft7, "dependencies": {"a": ["b"], "b": {"required": ["c"]}}}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 1, "exclusiveMinimum": true}),
        json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": false}),
    ]
}

/// JSON texts near to what the schemas above ask for.
fn text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-12i64..12).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[0-9](\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        prop_oneof![
            Just("-0"),
            Just("1.0"),
            Just("2.0"),
            Just("1e2"),
            Just("0.3"),
            Just("1e400"),
            Just("9223372036854775808"),
            Just("18446744073709551615"),
            Just("18446744073709551616"),
            Just("-9223372036854775809"),
            Just("9.223372036854775808e18"),
        ]
        .prop_map(str::to_owned),
    ];
    let string = prop_oneof![
        "[a-c]{0,4}",
        "[aé😀]{0,3}",
        "(\\\\u00[46]1|\\\\n|\\\\ud83d\\\\ude00|a){0,3}",
        prop_oneof![
            Just("2026-11-22T10:00:00Z"),
            Just("2026-11-22"),
            Just("a@b.example"),
            Just("http://b.example/"),
            Just("127.0.0.1"),
            Just("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            Just("\\ud83d"),
        ]
        .prop_map(str::to_owned),
    ];
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        number,
        string.prop_map(|text| format!("\"{text}\"")),
    ];
    let key = prop_oneof![
        Just("a"),
        Just("b"),
        Just("c"),
        Just("d"),
        Just("aa"),
        Just("ab"),
        Just("k"),
        Just("text"),
        Just("\\u0061"),
        Just(""),
    ];
    scalar.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((key.clone(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }),
        ]
    })
}

fn on_trees(schema: &Value, documents: &Documents) -> jsonschema::Validator {
    jsonschema::options()
        .with_base_uri(document::uri("schemas/own.json"))
        .with_retriever(documents.retriever())
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .build(schema)
        .expect("a schema")
}

#[test]
fn a_tape_is_judged_as_a_tree_is() {
    let documents = documents();
    let pairs: Vec<_> = schemas()
        .into_iter()
        .map(|schema| (on_trees(&schema, &documents), compile(schema)))
        .collect();
    let verdicts = [Cell::new(0), Cell::new(0)];
    proptest!(|(text in text())| {
        let mut tape = Tape::default();
        let value: Value = match tape.read(&text, DEPTH_MAX) {
            Ok(()) => serde_json::from_str(&text).expect("JSON"),
            Err(_) => return Ok(()),
        };
        for (tree, schema) in &pairs {
            let expected = if tree.is_valid(&value) {
                Ok(())
            } else {
                let mut violations = Vec::new();
                for error in tree.iter_errors(&value) {
                    words::violations(&error, &mut violations);
                }
                violations.truncate(VIOLATIONS_MAX);
                Err(written(violations))
            };
            let verdict = &verdicts[usize::from(expected.is_ok())];
            verdict.set(verdict.get() + 1);
            prop_assert_eq!(schema.check_tape(&tape).map_err(written), expected.clone(), "{} {}", text, schema.value());
            prop_assert_eq!(schema.check(&value).map_err(written), expected, "{} {}", text, schema.value());
        }
    });
    assert!(
        verdicts.iter().all(|count| count.get() > 500),
        "too few of one kind: {verdicts:?}"
    );
}
