//! Codes of keys and their values.

use crate::diag::catalogue::{Code, Severity};

/// A key that does not exist here.
pub static UNKNOWN_KEY: Code = Code {
    slug: "config/unknown-key",
    severity: Severity::Error,
    summary: "a key that does not exist here",
    explanation: "\
A misspelt key would do nothing: a limit that is not a limit, a rule that is never asked. So a key that is unknown where it stands is
an error. The message offers the nearest key, or all that exist at this place.

    endpoints:
      /ws:
        auth: member
        heartbeat: {idle: 60s}

The keys of every section are in the reference of `channels.yaml`.",
};

/// A key that has to be there.
pub static MISSING_KEY: Code = Code {
    slug: "config/missing-key",
    severity: Severity::Error,
    summary: "a key that has to be there",
    explanation: "\
Some decisions have no safe default: who may connect (`auth`), who may join (`may_join`), what data looks like (`schema`), where a
message goes (`to`). They have to be made in the file; \"anything\" is said on purpose.

    rooms:
      \"lobby\":
        may_join: \"true\"
    messages:
      chat: {schema: true, to: room}",
};

/// A list, map or value where another kind is due.
pub static WRONG_KIND: Code = Code {
    slug: "config/wrong-kind",
    severity: Severity::Error,
    summary: "a list, map or value where another kind is due",
    explanation: "\
Every key takes one kind of value: a single value, a list or a map. A few have a shorthand for their obvious form (`auth: member`
for `auth: [member]`); the message says what is due.

    endpoints:
      /ws:
        auth: [member, guest]
        limits: {message_size: 64KiB}",
};

/// A duration, size or rate without its unit, or with a wrong one.
pub static BAD_QUANTITY: Code = Code {
    slug: "config/bad-quantity",
    severity: Severity::Error,
    summary: "a duration, size or rate without its unit, or with a wrong one",
    explanation: "\
A bare number could be seconds or milliseconds, bytes or kibibytes, so quantities carry their unit:

    heartbeat: {idle: 60s}               # 250ms 60s 5m 24h 7d
    limits: {message_size: 64KiB}        # 512B 64KiB 1MiB 4GiB
    rate_limits:
      chatty: {rate: 10/s, per: user}    # 10/s 300/min 1000/h",
};

/// Not a whole number, or one out of bounds.
pub static BAD_NUMBER: Code = Code {
    slug: "config/bad-number",
    severity: Severity::Error,
    summary: "not a whole number, or one out of bounds",
    explanation: "\
Counts are whole numbers from 0 on, written as digits alone: no sign, no decimal point, no unit, no `_` or `,` between them. A few,
such as `burst`, begin at 1.

    limits: {connections: 100000}",
};

/// A word that is not one of those that a key takes.
pub static UNKNOWN_WORD: Code = Code {
    slug: "config/unknown-word",
    severity: Severity::Error,
    summary: "a word that is not one of those that a key takes",
    explanation: "\
Some keys take one of a few words. The message offers the nearest, or names them all.

    messages:
      typing:
        schema: true
        sent_by: client      # client, server, any
        to: others           # room, others, other_connections, sender, none, or a map",
};

/// Keys of which only one may stand.
pub static CONFLICTING_KEYS: Code = Code {
    slug: "config/conflicting-keys",
    severity: Severity::Error,
    summary: "keys of which only one may stand",
    explanation: "\
Where a thing is of one of several kinds, or has one of several sources, exactly one of their keys stands: an auth mode is
`anonymous` or `jwt` or `session` or `http`, a secret is `secret` or `secret_file`.

    auth:
      member:
        jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\"}
      guest:
        anonymous: {}

An endpoint that takes several lists their modes: `auth: [member, guest]`.",
};

/// The version of the language is missing or unknown.
pub static BAD_VERSION: Code = Code {
    slug: "config/bad-version",
    severity: Severity::Error,
    summary: "the version of the language is missing or unknown",
    explanation: "\
The first key of the file says which version of the language it is written in, so that a later server can tell what it meant. There
is one so far:

    version: 1",
};

/// `version` is not the first key.
pub static VERSION_NOT_FIRST: Code = Code {
    slug: "config/version-not-first",
    severity: Severity::Warning,
    summary: "`version` is not the first key",
    explanation: "\
Who opens the file, person or program, should see first which language it is written in. The file works all the same.

    version: 1
    server: {listen: 127.0.0.1:8000}",
};

/// A variable of the environment is not set.
pub static MISSING_ENVIRONMENT: Code = Code {
    slug: "config/missing-environment-variable",
    severity: Severity::Error,
    summary: "a variable of the environment is not set",
    explanation: "\
The file cites `${NAME}`, and there is no such variable. An empty text in its place could be an empty secret, so it is an error.
Expanded values are never shown, only the names of variables.

    secret: \"${JWT_SECRET}\"                          # has to be set
    secret: \"${JWT_SECRET:?ask the platform team}\"   # the same, and says why
    listen: \"${LISTEN:-127.0.0.1:8000}\"              # or this",
};

/// `${` that does not begin the name of a variable.
pub static BAD_ENVIRONMENT_REFERENCE: Code = Code {
    slug: "config/bad-environment-reference",
    severity: Severity::Error,
    summary: "`${` that does not begin the name of a variable",
    explanation: "\
`${NAME}`, `${NAME:-default}` and `${NAME:?why}` are replaced by values of the environment; names are letters, digits and `_`. Any
other text that begins with `${` is an error rather than taken as it is.

A literal `${` is written with two dollars:

    username: \"costs $${5}\"",
};

/// A value that JSON does not have.
pub static NOT_JSON: Code = Code {
    slug: "config/not-json",
    severity: Severity::Error,
    summary: "a value that JSON does not have",
    explanation: "\
Schemas and examples are JSON, written as YAML. YAML's infinity and not-a-number (`.inf`, `.nan`) have no place in it.

    schema: {type: number, maximum: 1000000}",
};
