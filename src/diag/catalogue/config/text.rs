//! Codes of YAML as such: syntax, size, keys that stand twice.

use crate::diag::catalogue::{Code, Severity};

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
