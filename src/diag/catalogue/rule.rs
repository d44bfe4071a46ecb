//! Codes of rules, expressions and templates.

use super::{Code, Severity};

/// Every code of this section.
pub static ALL: &[&Code] = &[
    &SYNTAX,
    &UNKNOWN_NAME,
    &UNKNOWN_FIELD,
    &UNKNOWN_FUNCTION,
    &UNAVAILABLE_HERE,
    &TYPE_MISMATCH,
    &NOT_A_CONDITION,
    &BAD_PATTERN,
    &ALWAYS_FAILS,
    &TOO_COMPLEX,
];

/// The text is not CEL, or a template's braces do not fit.
pub static SYNTAX: Code = Code {
    slug: "rule/syntax",
    severity: Severity::Error,
    summary: "a rule, expression or template that cannot be read",
    explanation: "\
Rules and expressions are written in CEL, the Common Expression Language:

    may_join: \"user.id == params.user_id || 'mod' in user.claims.roles\"

Conditions are joined with `&&`, `||` and `!`, equality is `==`, and text stands in quotes. In YAML, a rule that begins
with a quote or with `!`, or that holds `: ` or ` #`, has to be quoted as a whole.

A template is text with CEL in braces, as in `room:{path.room_id}`; `{{` and `}}` are braces that mean themselves.",
};

/// A name that nothing has.
pub static UNKNOWN_NAME: Code = Code {
    slug: "rule/unknown-name",
    severity: Severity::Error,
    summary: "a rule names something that does not exist",
    explanation: "\
A rule sees `user`, `sender`, `path`, `query`, `params`, `room`, `connection`, `data` and `now`, each where it exists, and in
the template of an error `code` and `message`. Text has to stand in quotes: `user.claims.role == 'agent'`.",
};

/// A field that the value before the dot does not have.
pub static UNKNOWN_FIELD: Code = Code {
    slug: "rule/unknown-field",
    severity: Severity::Error,
    summary: "a rule reads a field that does not exist",
    explanation: "\
`user` and `sender` have `id`, `username`, `authenticated` and `claims`; `room` has `name` and `users_count`; `connection` has
`id`, `ip`, `endpoint` and `age`. `path` has the parameters of the endpoint's path, `params` those of the room's pattern.

Where an auth mode declares its `claims:`, a rule may read only the claims that stand in the schema's `properties`, so that
a slip of the pen does not quietly deny everybody. To allow others, declare them, or say `additionalProperties: true`.",
};

/// A function or method that does not exist.
pub static UNKNOWN_FUNCTION: Code = Code {
    slug: "rule/unknown-function",
    severity: Severity::Error,
    summary: "a rule calls a function that does not exist",
    explanation: "\
Functions: `size(x)`, `string(x)`, `int(x)`, `double(x)`, `bool(x)`, `has(x.y)`.
Methods of text: `contains`, `startsWith`, `endsWith`, `matches`, `size`, `lowerAscii`, `upperAscii`.
Methods of lists: `all`, `exists`, `exists_one`, `filter`, `map`, `size`, as in `data.tags.exists(tag, tag == 'urgent')`.
Whether a list holds something is said by `in`: `'mod' in user.claims.roles`.",
};

/// A name that exists elsewhere, but not where the rule stands.
pub static UNAVAILABLE_HERE: Code = Code {
    slug: "rule/unavailable-here",
    severity: Severity::Error,
    summary: "a rule names something that does not exist where it stands",
    explanation: "\
Each key sees only what exists at its moment. `params` and `room` belong to a room, so a rule about a connection has none;
`data` belongs to a message, so `may_join` has none; `path` and `query` belong to an endpoint, so the rules of a room, and of a
message type in a room, have none. The help line lists what exists where this rule stands.",
};

/// Values of kinds that do not go together.
pub static TYPE_MISMATCH: Code = Code {
    slug: "rule/type-mismatch",
    severity: Severity::Error,
    summary: "a rule puts values together that do not fit",
    explanation: "\
`user.id == 5` can never be true, because an id is text; `5 + 'a'` and `size(5)` cannot be computed. Compare text with text
(`user.id == '5'`), or convert: `int(query.page) > 1`, `string(now)`.

Claims have the types that the `claims:` of the auth mode declare; `data` may be anything until it is looked at, and a rule
that then finds the wrong kind of value denies.",
};

/// A rule whose value is neither true nor false.
pub static NOT_A_CONDITION: Code = Code {
    slug: "rule/not-a-condition",
    severity: Severity::Error,
    summary: "a rule that does not answer yes or no",
    explanation: "\
A rule has to be true or false: `may_join: user.id` says nothing, `may_join: user.id == params.user_id` does. To let everybody
in, write `may_join: \"true\"`.",
};

/// A regular expression that cannot be used.
pub static BAD_PATTERN: Code = Code {
    slug: "rule/bad-pattern",
    severity: Severity::Error,
    summary: "a regular expression that cannot be used in a rule",
    explanation: "\
The pattern of `matches` stands in the file as text, is compiled once, and matches in linear time: look-around and
back-references do not exist. It matches anywhere in the text unless it is anchored: `^[a-z]+$`.",
};

/// Constants that cannot be computed.
pub static ALWAYS_FAILS: Code = Code {
    slug: "rule/always-fails",
    severity: Severity::Error,
    summary: "a part of a rule that can never be computed",
    explanation: "\
A rule that cannot be evaluated denies. Here the reason is already known from the file, as with `1 / 0` or `int('x')`.",
};

/// A rule beyond the bounds.
pub static TOO_COMPLEX: Code = Code {
    slug: "rule/too-complex",
    severity: Severity::Error,
    summary: "a rule that is too long or too deep",
    explanation: "\
Rules run for every message, so their cost is bounded: at most 4 KiB of text, 1000 words and signs, 32 brackets and 64
operations inside each other, and no `all`, `exists`, `exists_one`, `filter` or `map` inside the body of another. What needs
more is for the application to decide when it issues a token: put the answer into a claim.",
};
