//! Codes of JSON Schemas and their files.

use super::{Code, Severity};

/// Not a JSON Schema.
pub static INVALID: Code = Code {
    slug: "schema/invalid",
    severity: Severity::Error,
    summary: "a schema breaks the rules of JSON Schema",
    explanation: "\
Every schema is checked against the metaschema of its draft before anything is served: a keyword with a value of the wrong
kind (`required: text` instead of `required: [text]`, `minLength: \"3\"`) would otherwise be ignored, and what it should have
refused would pass.

The message names the place within the schema as a JSON Pointer. The draft is 2020-12 unless `$schema` names another; there,
a list under `items` is written `prefixItems`.",
};

/// A word under `type` that is none.
pub static UNKNOWN_TYPE: Code = Code {
    slug: "schema/unknown-type",
    severity: Severity::Error,
    summary: "`type` names something that JSON does not have",
    explanation: "\
The types of JSON Schema are `string`, `number`, `integer`, `boolean`, `object`, `array` and `null`. Dates, UUIDs and e-mail
addresses are strings with a `format`:

    when: {type: string, format: date-time}

Several types are a list: `type: [string, \"null\"]`.",
};

/// A pattern that cannot run, or not in linear time.
pub static BAD_PATTERN: Code = Code {
    slug: "schema/bad-pattern",
    severity: Severity::Error,
    summary: "a `pattern` cannot be used",
    explanation: "\
Patterns run on what strangers send, so only regular expressions whose time is bounded by the length of the text are taken.
Look-around (`(?=`, `(?!`, `(?<=`, `(?<!`) and back-references (`\\1`) are not: one hostile string of a few bytes can keep such
a pattern busy for seconds.

Most uses of look-ahead are two conditions. Say them as two:

    allOf: [{pattern: \"[0-9]\"}, {pattern: \"[a-z]\"}]
    not: {pattern: \"^admin\"}",
};

/// A reference that leads nowhere.
pub static UNRESOLVED_REFERENCE: Code = Code {
    slug: "schema/unresolved-reference",
    severity: Severity::Error,
    summary: "a `$ref` leads nowhere",
    explanation: "\
A `$ref` is a path relative to the file that it stands in (`common.json`), a JSON Pointer within it (`#/$defs/user`), or both
(`common.json#/$defs/user`). It may lead to files inside the configuration's folder and nowhere else: never above it and never
to the network, so that the same files always mean the same thing.

A schema with an absolute `$id` resolves its references against that: leave `$id` out, or make it the file's own path.",
};

/// References that never come to an end.
pub static CIRCULAR_REFERENCE: Code = Code {
    slug: "schema/circular-reference",
    severity: Severity::Error,
    summary: "a schema refers to itself and says nothing on the way",
    explanation: "\
Following `$ref`, `allOf`, `anyOf`, `oneOf`, `not` and `if` from this schema leads back to it while the value that is looked at stays
the same, so no answer is ever reached. Below `properties` or `items` a schema may refer to itself: there the data gets smaller.

    $defs:
      comment: {type: object, properties: {text: {type: string}, replies: {type: array, items: {$ref: \"#/$defs/comment\"}}}}",
};

/// A way through schemas that is too long.
pub static TOO_COMPLEX: Code = Code {
    slug: "schema/too-complex",
    severity: Severity::Error,
    summary: "too many schemas are asked about one value",
    explanation: "\
A `$ref` to a schema that is itself a `$ref`, an `allOf` within an `allOf`: each is a step that validation takes without going down in
the data. At each level of the data there may be 12 of them, so that no message exhausts the server's stack.

Refer to the last schema directly, or put what the steps say into fewer schemas.",
};

/// A `$schema` that is not known.
pub static UNKNOWN_DIALECT: Code = Code {
    slug: "schema/unknown-dialect",
    severity: Severity::Error,
    summary: "`$schema` names a dialect that is not known",
    explanation: "\
Schemas are read as JSON Schema draft 2020-12 unless `$schema` names draft 4, 6, 7, 2019-09 or 2020-12 by its usual URI, for
example `http://json-schema.org/draft-07/schema#`. Other dialects (OpenAPI's, MongoDB's, one's own) give keywords another
meaning, which this server would silently get wrong.",
};

/// A format that is not checked.
pub static UNKNOWN_FORMAT: Code = Code {
    slug: "schema/unknown-format",
    severity: Severity::Warning,
    summary: "`format` names a format that is not checked",
    explanation: "\
Formats are asserted: `format: email` refuses what is no e-mail address. A format of another name asserts nothing, so every
string passes. Write a `pattern` for a form of your own; if the format is only a note for other tools, name it `x-format`.",
};

/// A keyword that JSON Schema does not have.
pub static UNKNOWN_KEYWORD: Code = Code {
    slug: "schema/unknown-keyword",
    severity: Severity::Warning,
    summary: "a schema has a keyword that checks nothing",
    explanation: "\
JSON Schema ignores keywords that it does not know, so a slip such as `propertys` or `maxLenght` switches a check off without
a word. Keywords that begin with `x-` are notes and never reported.",
};

/// Anything passes, though the schema does not look it.
pub static ACCEPTS_ALL: Code = Code {
    slug: "schema/accepts-all",
    severity: Severity::Warning,
    summary: "a schema accepts anything without saying so",
    explanation: "\
A schema without a keyword that refuses something accepts every value of every type and size up to `message_size`. If that is
meant, write `schema: true`: it is never reported.",
};

/// Nothing passes.
pub static ACCEPTS_NOTHING: Code = Code {
    slug: "schema/accepts-nothing",
    severity: Severity::Warning,
    summary: "no value fits a schema",
    explanation: "\
Every message of this type would be refused: the schema is `false`, or a property is required that
`additionalProperties: false` does not allow because `properties` does not declare it, usually a slip in one of the two names.",
};

/// Keywords of one type without the type.
pub static TYPE_MISSING: Code = Code {
    slug: "schema/type-missing",
    severity: Severity::Warning,
    summary: "a schema constrains one type and lets every other pass",
    explanation: "\
Keywords speak of one type each: `properties` and `required` of objects, `maxLength` of strings, `minimum` of numbers. Data of
another type passes them all: `{properties: {text: {type: string}}, required: [text]}` accepts the number 5. Add the `type`.",
};

/// Every code of this section.
pub static ALL: &[&Code] = &[
    &INVALID,
    &UNKNOWN_TYPE,
    &BAD_PATTERN,
    &UNRESOLVED_REFERENCE,
    &CIRCULAR_REFERENCE,
    &TOO_COMPLEX,
    &UNKNOWN_DIALECT,
    &UNKNOWN_FORMAT,
    &UNKNOWN_KEYWORD,
    &ACCEPTS_ALL,
    &ACCEPTS_NOTHING,
    &TYPE_MISSING,
];
