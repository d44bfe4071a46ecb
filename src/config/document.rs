//! JSON Schemas: where they stand, and the files that they refer to.

use std::path::Path;

use serde_json::Value;

use crate::config::files::normalize;
use crate::config::json::Expansion;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{Document, DocumentId, Json, Schema, SchemaSource, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, SourceId, Span};

/// The keywords whose values are data, not schemas: a `$ref` in them refers to nothing.
const DATA_KEYWORDS: [&str; 5] = ["const", "enum", "default", "examples", "example"];

impl Reader<'_> {
    /// The schema at `node`, the value of the key at `key`: `true`, a path or the schema itself.
    pub(super) fn schema(&mut self, key: Span, node: &Node) -> Option<SchemaSource> {
        let schema = match &node.kind {
            Kind::Scalar(_) if node.plain() == Some("true") => Schema::Anything,
            Kind::Scalar(_) if node.plain() != Some("false") => {
                let text = self.text(node, "a JSON Schema, the path of one, or `true`")?;
                Schema::Document(self.named_document(&text)?)
            }
            Kind::List(_) => {
                let message = "a JSON Schema is a map, a path or `true`, and this is a list";
                let help = "several types are written `schema: {type: [string, number]}`";
                self.wrong_kind(node.span, message.to_owned(), help);
                return None;
            }
            _ => {
                let json = self.json(node, Expansion::On)?;
                let here = self.here.clone();
                self.follow(&json, &here);
                let base = name_of(&here);
                Schema::Inline { json, base }
            }
        };
        let span = match schema {
            Schema::Inline { .. } => key,
            _ => node.span,
        };
        Some(SchemaSource { span, schema })
    }

    fn named_document(&mut self, text: &Text) -> Option<DocumentId> {
        let written = text.as_str();
        if is_remote(written) {
            self.remote(text.span(), &text.shown());
            return None;
        }
        let (path, fragment) = match written.split_once('#') {
            Some((path, fragment)) => (path, Some(fragment)),
            None => (written, None),
        };
        if fragment.is_some() || !is_schema_file(Path::new(path)) {
            let message = format!("`{text}` is not the path of a schema file");
            let help = match fragment {
                Some(_) => {
                    format!("to name a part of a file, write `schema: {{$ref: \"{text}\"}}`")
                }
                None => "a schema file ends in `.json`, `.yaml` or `.yml`; `true` accepts anything"
                    .to_owned(),
            };
            let finding = Diagnostic::new(&codes::WRONG_KIND, text.span(), message).help(help);
            self.findings.push(finding);
            return None;
        }
        let path = self.inside(text)?;
        self.document(&path, text.span(), &text.shown())
    }

    /// The document at `path` from the main file's folder; read where it is not yet, and all that it refers to.
    fn document(&mut self, path: &Path, span: Span, shown: &str) -> Option<DocumentId> {
        let name = name_of(path);
        if let Some(known) = self.documents.iter().position(|known| known.name == name) {
            return Some(DocumentId(known));
        }
        let file = self.folder.join(path);
        let text = self.file_inside(path, span, shown)?;
        let source = self.sources.add(&file, text);
        let is_json = path
            .extension()
            .is_some_and(|extension| extension == "json");
        let json = if is_json {
            self.strict_json(source)?
        } else {
            let root = self.tree(source)?;
            self.json(&root, Expansion::Off)?
        };
        let id = DocumentId(self.documents.len());
        self.documents.push(Document {
            name,
            path: file,
            source,
            json: json.clone(),
        });
        self.follow(&json, path);
        Some(id)
    }

    /// The JSON text of the source `id`, strictly read. Its places come from reading it as YAML, which nearly all JSON is.
    fn strict_json(&mut self, id: SourceId) -> Option<Json> {
        let text = &self.sources.get(id).text;
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                let offset = offset_of(text, error.line(), error.column());
                let end = (offset as usize).saturating_add(1).min(text.len());
                let span = Span {
                    source: id,
                    start: offset,
                    end: u32::try_from(end).unwrap_or(offset),
                };
                let message = error.to_string();
                let reason = message.split(" at line ").next().unwrap_or_default();
                let message = format!("the file is not JSON: {reason}");
                let finding = Diagnostic::new(&codes::JSON_SYNTAX, span, message).help(
                    "JSON has no comments and no trailing commas; a schema with comments can be a `.yaml` file",
                );
                self.findings.push(finding);
                return None;
            }
        };
        let loaded = crate::config::yaml::load(text, id);
        let duplicates = loaded
            .findings
            .into_iter()
            .filter(|finding| *finding.code == codes::DUPLICATE_KEY);
        self.findings.extend(duplicates);
        let json = loaded
            .root
            .and_then(|root| self.json(&root, Expansion::Off));
        let whole = Span {
            source: id,
            start: 0,
            end: 0,
        };
        let (span, places) = json.map_or_else(
            || (whole, std::collections::HashMap::new()),
            |json| (json.span, json.places),
        );
        let value = std::sync::Arc::new(value);
        Some(Json {
            value,
            span,
            places,
        })
    }

    /// Reads the documents that the references in `json` lead to; `json` stands in the file `base`.
    fn follow(&mut self, json: &Json, base: &Path) {
        let mut references = Vec::new();
        collect(&json.value, &mut String::new(), &mut references);
        for (pointer, reference) in references {
            let span = json.span_of(&pointer);
            let target = reference.split('#').next().unwrap_or_default();
            if target.is_empty() || self.is_identifier(json, target) {
                continue;
            }
            if is_remote(target) {
                self.remote(span, &reference);
                continue;
            }
            let relative = base
                .parent()
                .unwrap_or(Path::new(""))
                .join(target.replace("%20", " "));
            match normalize(&relative) {
                Some(path) => {
                    self.document(&path, span, target);
                }
                None => {
                    let message =
                        format!("`{reference}` leads out of the folder of the configuration");
                    let finding = Diagnostic::new(&codes::OUTSIDE_FOLDER, span, message)
                        .help("move the file into the folder, and write its path from this file");
                    self.findings.push(finding);
                }
            }
        }
    }

    /// Whether `target` is what a schema calls itself, or a metaschema, which everyone has.
    fn is_identifier(&self, json: &Json, target: &str) -> bool {
        let calls_itself = |value: &Value| value.get("$id").and_then(Value::as_str) == Some(target);
        let is_metaschema = target
            .strip_prefix("http://json-schema.org/draft-")
            .is_some()
            || target
                .strip_prefix("https://json-schema.org/draft/")
                .is_some();
        is_metaschema || calls_itself(&json.value)
    }

    fn remote(&mut self, span: Span, shown: &str) {
        let message = format!("`{shown}` would have to be fetched from the network");
        let finding = Diagnostic::new(&codes::REMOTE_REFERENCE, span, message)
            .help("save the schema in the folder of the configuration, and write its path");
        self.findings.push(finding);
    }
}

/// The `$ref`s in `value` with their pointers.
fn collect(value: &Value, pointer: &mut String, references: &mut Vec<(String, String)>) {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                match value.as_str() {
                    Some(reference) if key == "$ref" || key == "$dynamicRef" => {
                        references.push((pointer.clone(), reference.to_owned()));
                    }
                    _ if DATA_KEYWORDS.contains(&key.as_str()) => {}
                    _ => collect(value, pointer, references),
                }
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                collect(item, pointer, references);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// A scheme is letters before a colon; a single letter would be a drive.
fn is_remote(target: &str) -> bool {
    target.starts_with("//")
        || target.split_once(':').is_some_and(|(scheme, _)| {
            scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

fn is_schema_file(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| matches!(extension, "json" | "yaml" | "yml"))
}

/// A path as references write it.
fn name_of(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

/// The offset of a line and column, which serde_json counts from 1 in bytes.
fn offset_of(text: &str, line: usize, column: usize) -> u32 {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let mut offset = (start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    u32::try_from(offset).unwrap_or(u32::MAX)
}
