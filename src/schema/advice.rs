//! What a usable schema probably does not mean to say.

use jsonschema::Draft;
use serde_json::Value;

use crate::diag::catalogue::schema as codes;
use crate::diag::nearest;
use crate::schema::walk::{ANNOTATIONS, each_schema, join};
use crate::schema::{SchemaProblem, accepts_all};

/// Formats that are checked.
const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Keywords that other tools read, harmless here.
const HARMLESS: [&str; 4] = ["example", "markdownDescription", "errorMessage", "tsType"];

/// Keywords that speak of one type alone, and the type.
const OF_ONE_TYPE: [(&str, &str); 12] = [
    ("properties", "object"),
    ("required", "object"),
    ("additionalProperties", "object"),
    ("minProperties", "object"),
    ("items", "array"),
    ("minItems", "array"),
    ("maxItems", "array"),
    ("minLength", "string"),
    ("maxLength", "string"),
    ("pattern", "string"),
    ("minimum", "number"),
    ("maximum", "number"),
];

/// Warnings about `value`, a schema that compiles. The literal `true` is never one of them.
pub fn advise(value: &Value) -> Vec<SchemaProblem> {
    let mut found = Vec::new();
    if value.is_object() && accepts_all(value) {
        let problem = SchemaProblem::new(&codes::ACCEPTS_ALL, "", "this schema accepts anything");
        found.push(problem.help("say what is expected, or write `true` if anything is meant"));
    }
    if *value == Value::Bool(false) {
        let problem =
            SchemaProblem::new(&codes::ACCEPTS_NOTHING, "", "this schema accepts nothing");
        found.push(problem.help("say what is expected, or `true` for anything"));
    }
    type_missing(value, &mut found);
    let draft = Draft::Draft202012.detect(value);
    each_schema(value, &mut |pointer, schema| {
        unknown_keywords(draft, pointer, schema, &mut found);
        unknown_format(pointer, schema, &mut found);
        never_fits(pointer, schema, &mut found);
    });
    found
}

fn unknown_keywords(draft: Draft, pointer: &str, schema: &Value, found: &mut Vec<SchemaProblem>) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        let known = draft.is_known_keyword(keyword)
            || ANNOTATIONS.contains(&&**keyword)
            || HARMLESS.contains(&&**keyword)
            || keyword.starts_with("x-")
            || keyword.starts_with('$');
        if known {
            continue;
        }
        let spelled = OF_ONE_TYPE.map(|(keyword, _)| keyword);
        let others = [
            "type",
            "enum",
            "const",
            "format",
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "prefixItems",
            "uniqueItems",
            "contains",
            "maxProperties",
            "patternProperties",
            "description",
            "examples",
            "default",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ];
        let help = match keyword.as_str() {
            "nullable" if *value == Value::Bool(true) => {
                "write `type: [\"string\", \"null\"]` with the type that it has otherwise".to_owned()
            }
            "optional" => "a property is optional unless `required` names it".to_owned(),
            word => nearest(word, spelled.into_iter().chain(others)).map_or_else(
                || "validators ignore keywords that they do not know; begin its name with `x-` if it is a note".to_owned(),
                |close| format!("did you mean `{close}`?"),
            ),
        };
        let message = format!("`{keyword}` is not a keyword of JSON Schema and checks nothing");
        let place = join(pointer, keyword);
        found.push(SchemaProblem::new(&codes::UNKNOWN_KEYWORD, &place, message).help(help));
    }
}

fn unknown_format(pointer: &str, schema: &Value, found: &mut Vec<SchemaProblem>) {
    let Some(format) = schema.get("format").and_then(Value::as_str) else {
        return;
    };
    if FORMATS.contains(&format) {
        return;
    }
    let help = nearest(format, FORMATS).map_or_else(
        || format!("use `pattern`, or one of {}", FORMATS.join(", ")),
        |close| format!("did you mean `{close}`?"),
    );
    let message = format!("`{format}` is not a format that is checked: every string passes");
    let place = join(pointer, "format");
    found.push(SchemaProblem::new(&codes::UNKNOWN_FORMAT, &place, message).help(help));
}

/// A property that is required and, by `additionalProperties: false`, not allowed.
fn never_fits(pointer: &str, schema: &Value, found: &mut Vec<SchemaProblem>) {
    if schema.get("additionalProperties") != Some(&Value::Bool(false))
        || schema.get("patternProperties").is_some()
    {
        return;
    }
    let names: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let required = schema.get("required").and_then(Value::as_array);
    for (index, name) in required.into_iter().flatten().enumerate() {
        let Some(name) = name.as_str().filter(|name| !names.contains(name)) else {
            continue;
        };
        let help = nearest(name, names.iter().copied()).map_or_else(
            || format!("declare `{name}` under `properties`"),
            |close| format!("did you mean `{close}`?"),
        );
        let message = format!(
            "`{name}` is required and, with `additionalProperties: false`, not allowed: nothing fits"
        );
        let place = join(&join(pointer, "required"), &index.to_string());
        found.push(SchemaProblem::new(&codes::ACCEPTS_NOTHING, &place, message).help(help));
    }
}

/// Keywords that speak of objects let every string and number pass.
fn type_missing(value: &Value, found: &mut Vec<SchemaProblem>) {
    let Some(keywords) = value.as_object() else {
        return;
    };
    let constrained = [
        "type",
        "enum",
        "const",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "$dynamicRef",
    ];
    if constrained
        .iter()
        .any(|keyword| keywords.contains_key(*keyword))
    {
        return;
    }
    let Some((keyword, type_)) = OF_ONE_TYPE
        .into_iter()
        .find(|(keyword, _)| keywords.contains_key(*keyword))
    else {
        return;
    };
    let message = format!(
        "`{keyword}` speaks of {} alone: data of any other type passes unchecked",
        match type_ {
            "array" => "arrays",
            "object" => "objects",
            "string" => "strings",
            _ => "numbers",
        }
    );
    let problem = SchemaProblem::new(&codes::TYPE_MISSING, &join("", keyword), message);
    found.push(problem.help(format!("add `type: {type_}`")));
}
