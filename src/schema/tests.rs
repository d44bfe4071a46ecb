mod differential;

use serde_json::{Value, json};

use crate::schema::{Documents, Schema, SchemaProblem, Violation, advise};

fn compile(value: Value) -> Schema {
    Schema::compile(value, "schemas/own.json", &documents()).expect("a schema")
}

fn documents() -> Documents {
    Documents::new([
        (
            "schemas/common.json".to_owned(),
            json!({"$defs": {"user": {"type": "string", "maxLength": 3}}}),
        ),
        (
            "schemas/broken.json".to_owned(),
            json!({"type": "strng", "properties": {"a": {"$ref": "common.json#/$defs/usr"}}}),
        ),
    ])
}

fn written(violations: Vec<Violation>) -> Vec<String> {
    violations
        .into_iter()
        .map(|v| format!("{} {} {}", v.path, v.keyword, v.message))
        .collect()
}

fn said(problems: Vec<SchemaProblem>) -> Vec<String> {
    problems
        .into_iter()
        .map(|p| {
            let place = p.document.unwrap_or_default() + "#" + &p.pointer;
            let help = p.help.map(|help| format!(" / {help}")).unwrap_or_default();
            format!("{} {place} {}{help}", p.code.slug, p.message)
        })
        .collect()
}

#[test]
fn violations_are_told_in_words() {
    let object = json!({
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": 5},
            "kind": {"enum": ["a", "b"]},
            "one": {"const": "x"},
            "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2},
            "many": {"type": "array", "maxItems": 1, "uniqueItems": true},
            "when": {"type": "string", "format": "date-time"},
            "slug": {"pattern": "^[a-z]+$"},
            "maybe": {"type": ["string", "null"]},
            "never": false,
            "a/b": {"type": "boolean"},
        },
        "required": ["text"],
        "additionalProperties": false,
    });
    let cases = [
        (json!(5), vec![" type must be an object"]),
        (json!({}), vec!["/text required is required"]),
        (json!({"text": 5}), vec!["/text type must be a string"]),
        (
            json!({"text": "abcdef"}),
            vec!["/text maxLength must be at most 5 characters"],
        ),
        (
            json!({"text": ""}),
            vec!["/text minLength must be at least 1 character"],
        ),
        (
            json!({"text": "a", "x": 1, "y": 2}),
            vec![
                "/x additionalProperties is not a property that is known here",
                "/y additionalProperties is not a property that is known here",
            ],
        ),
        (
            json!({"text": "a", "kind": "c"}),
            vec!["/kind enum must be one of \"a\", \"b\""],
        ),
        (
            json!({"text": "a", "one": 1}),
            vec!["/one const must be \"x\""],
        ),
        (
            json!({"text": "a", "n": 0}),
            vec!["/n minimum must be at least 1"],
        ),
        (
            json!({"text": "a", "n": 10}),
            vec!["/n exclusiveMaximum must be less than 10"],
        ),
        (
            json!({"text": "a", "n": 3}),
            vec!["/n multipleOf must be a multiple of 2"],
        ),
        (
            json!({"text": "a", "many": [1, 1]}),
            vec![
                "/many maxItems must have at most 1 item",
                "/many uniqueItems must not contain an item twice",
            ],
        ),
        (
            json!({"text": "a", "when": "today"}),
            vec!["/when format must be a date and time such as 2026-11-22T10:00:00Z"],
        ),
        (
            json!({"text": "a", "slug": "A"}),
            vec!["/slug pattern must match the pattern ^[a-z]+$"],
        ),
        (
            json!({"text": "a", "maybe": 1}),
            vec!["/maybe type must be null or a string"],
        ),
        (
            json!({"text": "a", "never": 1}),
            vec!["/never falseSchema is not allowed"],
        ),
        (
            json!({"text": "a", "a/b": 1}),
            vec!["/a~1b type must be a boolean"],
        ),
    ];
    let schema = compile(object);
    for (data, expected) in cases {
        let found = schema.check(&data).map_err(written);
        assert_eq!(
            found,
            Err(expected.iter().map(|&s| s.to_owned()).collect()),
            "{data}"
        );
    }
    assert_eq!(
        schema.check(&json!({"text": "abc", "when": "2026-11-22T10:00:00Z"})),
        Ok(())
    );
}

#[test]
fn the_branch_that_is_meant_speaks() {
    let schema = compile(json!({"oneOf": [
        {"type": "object", "properties": {"op": {"const": "add"}, "n": {"type": "integer"}}, "required": ["op", "n"]},
        {"type": "object", "properties": {"op": {"const": "del"}}, "required": ["op"]},
    ]}));
    let found = |data: Value| schema.check(&data).map_err(written);
    assert_eq!(
        found(json!({"op": "add", "n": "x"})),
        Err(vec!["/n type must be an integer".to_owned()])
    );
    assert_eq!(
        found(json!({"op": "move"})),
        Err(vec![
            " oneOf fits none of the 2 forms that are allowed".to_owned()
        ])
    );
}

#[test]
fn nothing_is_echoed_and_everything_is_bounded() {
    let many: serde_json::Map<String, Value> = (0..100)
        .map(|n| (format!("{n}{}", "k".repeat(1000)), json!(1)))
        .collect();
    let schema = compile(json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let violations = schema.check(&Value::Object(many)).expect_err("violations");
    assert_eq!(violations.len(), 16);
    assert!(violations.iter().all(|v| v.path.len() < 300));
    let secret = "hunter2".repeat(10);
    let schema =
        compile(json!({"type": "object", "properties": {"p": {"maxLength": 3, "pattern": "^a"}}}));
    let violations = schema.check(&json!({"p": secret})).expect_err("violations");
    assert!(!format!("{violations:?}").contains("hunter2"));
    let schema = compile(json!({"enum": (0..100).collect::<Vec<_>>()}));
    let violations = schema.check(&json!(100)).expect_err("violations");
    assert_eq!(
        violations[0].message,
        "must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more"
    );
}

#[test]
fn references_lead_to_documents() {
    let schema = compile(json!({"properties": {"u": {"$ref": "common.json#/$defs/user"}}}));
    assert!(schema.check(&json!({"u": "abc"})).is_ok());
    assert!(schema.check(&json!({"u": "abcd"})).is_err());
    let tree = compile(json!({
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "additionalProperties": false,
    }));
    assert!(tree.check(&json!({"children": [{"children": []}]})).is_ok());
    assert!(tree.check(&json!({"children": [{"child": []}]})).is_err());
    let own = compile(json!({"$ref": "own.json#/$defs/x", "$defs": {"x": {"type": "string"}}}));
    assert!(own.check(&json!(1)).is_err());
    let anchored =
        compile(json!({"$ref": "#x", "$defs": {"x": {"$anchor": "x", "type": "string"}}}));
    assert!(anchored.check(&json!(1)).is_err());
}

#[test]
fn drafts_are_read_as_they_are_named() {
    let old = compile(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"id": {"type": "string"}},
        "items": [{"$ref": "#/definitions/id"}],
        "additionalItems": false,
    }));
    assert!(old.check(&json!(["a"])).is_ok());
    assert!(old.check(&json!([1])).is_err());
    assert!(old.check(&json!(["a", "b"])).is_err());
}

#[test]
fn what_accepts_all_is_seen() {
    for (value, expected) in [
        (json!(true), true),
        (json!({}), true),
        (
            json!({"description": "x", "$defs": {"a": {"type": "string"}}}),
            true,
        ),
        (json!({"type": "object"}), false),
        (json!(false), false),
    ] {
        assert_eq!(compile(value.clone()).accepts_all(), expected, "{value}");
    }
    assert!(Schema::anything().accepts_all());
    assert!(compile(json!(false)).check(&json!(1)).is_err());
}

#[test]
fn problems_name_place_and_repair() {
    let cases = [
        (
            json!({"type": "strng"}),
            vec![
                "schema/unknown-type #/type `strng` is not a type of JSON / did you mean `string`?",
            ],
        ),
        (
            json!({"properties": {"a": {"type": ["int", "null"]}}}),
            vec![
                "schema/unknown-type #/properties/a/type/0 `int` is not a type of JSON / did you mean `integer`?",
            ],
        ),
        (
            json!({"pattern": "^(?!x)"}),
            vec![
                "schema/bad-pattern #/pattern look-around cannot be used in a pattern: it has no bound on its time: `^(?!x)` / say it with several patterns under `allOf`, or with `not: {pattern: …}`",
            ],
        ),
        (
            json!({"pattern": "(a)\\1"}),
            vec![
                "schema/bad-pattern #/pattern a back-reference cannot be used in a pattern: it has no bound on its time: `(a)\\1` / write the alternatives out",
            ],
        ),
        (
            json!({"patternProperties": {"(": true}}),
            vec![
                "schema/bad-pattern #/patternProperties/( the pattern is not a regular expression: `(` / look for a bracket that is not closed or a `*`, `+` or `?` with nothing before it",
            ],
        ),
        (
            json!({"$ref": "comon.json"}),
            vec![
                "schema/unresolved-reference #/$ref `comon.json` leads to no schema of this configuration / the path is relative to the file that the reference stands in, and stays inside the configuration's folder",
            ],
        ),
        (
            json!({"$ref": "common.json#/$defs/usr"}),
            vec![
                "schema/unresolved-reference #/$ref `common.json#/$defs/usr` leads to nothing / did you mean `user` instead of `usr`?",
            ],
        ),
        (
            json!({"$ref": "https://example.com/x.json"}),
            vec![
                "schema/unresolved-reference #/$ref `https://example.com/x.json` leads to no schema of this configuration / references resolve to files inside the configuration's folder, never to the network: save that schema there and name its path",
            ],
        ),
        (
            json!({"$schema": "https://example.com/mine"}),
            vec![
                "schema/unknown-dialect #/$schema `https://example.com/mine` is not a dialect of JSON Schema that is known here / leave `$schema` out for draft 2020-12, or name draft 4, 6, 7, 2019-09 or 2020-12",
            ],
        ),
        (
            json!({"required": "a"}),
            vec![
                "schema/invalid #/required `/required` must be an array / write a list: `[\"a\"]`",
            ],
        ),
        (
            json!({"minLength": "3", "properties": {"a": 5}}),
            vec![
                "schema/invalid #/properties/a `/properties/a` must be a boolean or an object",
                "schema/invalid #/minLength `/minLength` must be an integer / write `3`, without quotes",
            ],
        ),
        (
            json!({"$ref": "broken.json"}),
            vec![
                "schema/unknown-type schemas/broken.json#/type `strng` is not a type of JSON / did you mean `string`?",
                "schema/unresolved-reference schemas/broken.json#/properties/a/$ref `common.json#/$defs/usr` leads to nothing / did you mean `user` instead of `usr`?",
            ],
        ),
    ];
    for (value, expected) in cases {
        let found = Schema::compile(value.clone(), "schemas/own.json", &documents());
        let found = said(found.expect_err("problems"));
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn advice_is_given_about_what_switches_checks_off() {
    let cases = [
        (json!(true), vec![]),
        (
            json!({}),
            vec![
                "schema/accepts-all # this schema accepts anything / say what is expected, or write `true` if anything is meant",
            ],
        ),
        (
            json!(false),
            vec![
                "schema/accepts-nothing # this schema accepts nothing / say what is expected, or `true` for anything",
            ],
        ),
        (
            json!({"type": "object", "propertys": {}}),
            vec![
                "schema/unknown-keyword #/propertys `propertys` is not a keyword of JSON Schema and checks nothing / did you mean `properties`?",
            ],
        ),
        (
            json!({"type": "object", "x-note": 1, "deprecated": true, "contentMediaType": "a/b"}),
            vec![],
        ),
        (
            json!({"type": "string", "format": "datetime"}),
            vec![
                "schema/unknown-format #/format `datetime` is not a format that is checked: every string passes / did you mean `date-time`?",
            ],
        ),
        (
            json!({"properties": {"a": true}}),
            vec![
                "schema/type-missing #/properties `properties` speaks of objects alone: data of any other type passes unchecked / add `type: object`",
            ],
        ),
        (
            json!({"type": "object", "properties": {"text": true}, "required": ["txt"], "additionalProperties": false}),
            vec![
                "schema/accepts-nothing #/required/0 `txt` is required and, with `additionalProperties: false`, not allowed: nothing fits / did you mean `text`?",
            ],
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(said(advise(&value)), expected, "{value}");
    }
}
