//! Codes of what is written: YAML, keys, kinds, units, the environment, files.

use super::{Code, Severity};

/// Every code of this section.
pub static ALL: &[&Code] = &[
    &YAML_SYNTAX,
    &TOO_COMPLEX,
    &TOO_LARGE,
    &NOT_UTF_8,
    &EMPTY,
    &NOT_A_MAP,
    &MANY_DOCUMENTS,
    &BAD_KEY,
    &YAML_TAG,
    &BAD_MERGE,
    &DUPLICATE_KEY,
    &UNKNOWN_KEY,
    &MISSING_KEY,
    &WRONG_KIND,
    &BAD_QUANTITY,
    &BAD_NUMBER,
    &UNKNOWN_WORD,
    &CONFLICTING_KEYS,
    &BAD_VERSION,
    &VERSION_NOT_FIRST,
    &MISSING_ENVIRONMENT,
    &BAD_ENVIRONMENT_REFERENCE,
    &DEFINED_TWICE,
    &UNREADABLE_FILE,
    &OUTSIDE_FOLDER,
    &INCLUDE_MATCHES_NOTHING,
    &JSON_SYNTAX,
    &NOT_JSON,
    &REMOTE_REFERENCE,
];

/// The text is not YAML.
pub static YAML_SYNTAX: Code = Code {
    slug: "config/yaml-syntax",
    severity: Severity::Error,
    summary: "the text is not YAML",
    explanation: "\
The file could not be read as YAML 1.2 from the marked place on, so nothing behind it was checked. What is usually wrong: a tab in
the indentation, a text with `: ` or ` #` that is not in quotes, a bracket or quote that is not closed, keys of one section that do
not stand in one column.

    rooms:
      \"room:{room_id}\":
        may_join: \"user.id == 'a: b'\"",
};

/// Nested too deep, or multiplied by aliases.
pub static TOO_COMPLEX: Code = Code {
    slug: "config/too-complex",
    severity: Severity::Error,
    summary: "nested too deep, or multiplied by aliases",
    explanation: "\
A file of a few lines can stand for gigabytes when aliases name aliases, and deep nesting exhausts the stack. Both are bounded, far
above what a configuration needs: 64 levels, and 100,000 values copied by aliases. An alias may not stand within what it names.

Write out what is meant, or share it by its name: message types, rate limits and auth modes are declared once and cited.",
};

/// A file above 16 MiB.
pub static TOO_LARGE: Code = Code {
    slug: "config/too-large",
    severity: Severity::Error,
    summary: "a file above 16 MiB",
    explanation: "\
A configuration, and each file that it names, may have 16 MiB. A larger one is almost certainly not what was meant, such as a path
to a data file.

Check the path. A large configuration can be divided by `include: [\"rooms/*.yaml\"]`.",
};

/// The file is not UTF-8.
pub static NOT_UTF_8: Code = Code {
    slug: "config/not-utf-8",
    severity: Severity::Error,
    summary: "the file is not UTF-8",
    explanation: "\
Files are read as UTF-8. The message names the first byte that does not belong to it; the file may have been saved as UTF-16 or
Latin-1, or may not be text at all.

Save it as UTF-8: `iconv -f LATIN1 -t UTF-8 old.yaml > channels.yaml`.",
};

/// The file says nothing.
pub static EMPTY: Code = Code {
    slug: "config/empty",
    severity: Severity::Error,
    summary: "the file says nothing",
    explanation: "\
A configuration begins with its version. The smallest that serves something:

    version: 1
    auth:
      guest: {anonymous: {}}
    messages:
      echo: {schema: true, to: sender}
    endpoints:
      /ws: {auth: guest, messages: [echo]}",
};

/// The file is not a map of sections.
pub static NOT_A_MAP: Code = Code {
    slug: "config/not-a-map",
    severity: Severity::Error,
    summary: "the file is not a map of sections",
    explanation: "\
At the top of the file stand sections as keys: `version`, `server`, `auth`, `rate_limits`, `messages`, `rooms`, `endpoints`,
`webhooks`, `pages`, `include`. A list or a single value there cannot be a configuration.

    version: 1
    messages:
      chat: {schema: true, to: room}",
};

/// More than one YAML document in a file.
pub static MANY_DOCUMENTS: Code = Code {
    slug: "config/many-documents",
    severity: Severity::Error,
    summary: "more than one YAML document in a file",
    explanation: "\
`---` begins a new document, and a configuration is one. What stands behind the second `---` would be ignored.

Leave it out, or move what follows to a file of its own:

    version: 1
    include: [\"rooms/*.yaml\"]",
};

/// A key that is not a text.
pub static BAD_KEY: Code = Code {
    slug: "config/bad-key",
    severity: Severity::Error,
    summary: "a key that is not a text",
    explanation: "\
YAML allows lists and maps as keys; here every key is a text. The usual cause is a name with braces or brackets that is not in
quotes: `{room_id}:` is a map with a map as its key.

    rooms:
      \"room:{room_id}\":
        may_join: \"true\"",
};

/// A YAML tag that means nothing here.
pub static YAML_TAG: Code = Code {
    slug: "config/yaml-tag",
    severity: Severity::Error,
    summary: "a YAML tag that means nothing here",
    explanation: "\
`!word` before a value is a tag, and no tag of your own has a meaning in this file. In rules, `!` at the beginning is the usual
cause: put the rule in quotes.

    allow: \"!('muted' in user.claims.roles)\"",
};

/// `<<` that names no map.
pub static BAD_MERGE: Code = Code {
    slug: "config/bad-merge",
    severity: Severity::Error,
    summary: "`<<` that names no map",
    explanation: "\
The key `<<` takes over the keys of another map, named by an alias; its own keys win. It cannot take over a list or a value.

    endpoints:
      /ws/a: &defaults {auth: member, messages: [chat]}
      /ws/b: {<<: *defaults, reject: close}",
};

/// A key stands twice in one map.
pub static DUPLICATE_KEY: Code = Code {
    slug: "config/duplicate-key",
    severity: Severity::Error,
    summary: "a key stands twice in one map",
    explanation: "\
Most YAML readers keep the last of two equal keys and forget the other without a word, so that half of a declaration is gone. Both
places are shown.

Keep one of them, or give one another name:

    messages:
      chat: {schema: true, to: room}
      typing: {schema: true, to: others}",
};

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

/// A name that two files define.
pub static DEFINED_TWICE: Code = Code {
    slug: "config/defined-twice",
    severity: Severity::Error,
    summary: "a name that two files define",
    explanation: "\
Included files are merged into one configuration, in which every name is defined once; neither file overrides the other. `server`
stands in one file as a whole. Both places are shown.

Keep one of them, or rename one.",
};

/// A file that is named and cannot be read.
pub static UNREADABLE_FILE: Code = Code {
    slug: "config/unreadable-file",
    severity: Severity::Error,
    summary: "a file that is named and cannot be read",
    explanation: "\
The file names another, for a schema, a secret, a key, an include, and it is not there or may not be read. Relative paths are taken
from the folder of the file that names them, not from where the command runs.

    schema: schemas/message.json",
};

/// A path that leads out of the configuration's folder.
pub static OUTSIDE_FOLDER: Code = Code {
    slug: "config/outside-folder",
    severity: Severity::Error,
    summary: "a path that leads out of the configuration's folder",
    explanation: "\
Included files and schemas, and what schemas refer to, stand in the folder of the main file or below. A configuration can then be
moved, reviewed and mounted as a whole, and a schema cannot read other files of the machine. Absolute paths and `..` above the
folder are refused.

    schema: schemas/message.json",
};

/// An `include` pattern that no file matches.
pub static INCLUDE_MATCHES_NOTHING: Code = Code {
    slug: "config/include-matches-nothing",
    severity: Severity::Warning,
    summary: "an `include` pattern that no file matches",
    explanation: "\
`*` stands for any text within a name, `?` for one character, `**` for folders of any depth. The pattern is taken from the folder of
the file that holds it. A path without any of them has to exist; a pattern may match nothing, which is probably not what was meant.

    include: [\"rooms/*.yaml\", \"messages/**/*.yaml\"]",
};

/// A file that is not JSON.
pub static JSON_SYNTAX: Code = Code {
    slug: "config/json-syntax",
    severity: Severity::Error,
    summary: "a file that is not JSON",
    explanation: "\
A schema file whose name ends in `.json` is read as strict JSON: no comments, no trailing commas, keys and texts in double quotes.
The message names the first place that does not fit.

    {\"type\": \"object\", \"properties\": {\"text\": {\"type\": \"string\"}}}

A schema with comments can be a YAML file: `schema: schemas/message.yaml`.",
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

/// A schema that is to be fetched from the network.
pub static REMOTE_REFERENCE: Code = Code {
    slug: "config/remote-reference",
    severity: Severity::Error,
    summary: "a schema that is to be fetched from the network",
    explanation: "\
The same files give the same configuration, today and without a network: schemas are never fetched. References to a URL, and to files
by `file:`, are refused.

Save the schema in the folder of the configuration and refer to it there:

    schema: {$ref: \"schemas/address.json#/$defs/address\"}",
};
