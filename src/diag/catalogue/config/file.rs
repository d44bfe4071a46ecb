//! Codes of the files that a configuration is made of.

use crate::diag::catalogue::{Code, Severity};

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
moved, reviewed and mounted as a whole, and a schema cannot read other files of the machine. Absolute paths, `..` above the folder
and links to files elsewhere are refused. Secrets (`secret_file`), sessions and pages may stand anywhere.

    schema: schemas/message.json",
};

/// Files that include each other.
pub static CIRCULAR_INCLUDE: Code = Code {
    slug: "config/circular-include",
    severity: Severity::Error,
    summary: "a file that includes itself",
    explanation: "\
`include` names further files to merge; one that names the file itself, or a file that includes it, directly or through others, says
nothing. All files are merged into one configuration, so what one of them declares can be used in every other without an include.
A pattern with `*` or `?` may match the file that holds it: it means the others.

    include: [\"rooms/*.yaml\"]",
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
