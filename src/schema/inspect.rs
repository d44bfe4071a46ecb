//! What keeps a schema from being used, found in it and in every document that its references reach.

use std::collections::HashSet;

use jsonschema::{Draft, PatternOptions, Uri};
use serde_json::{Value, json};

use crate::diag::catalogue::schema as codes;
use crate::diag::nearest;
use crate::schema::walk::{each_schema, join};
use crate::schema::{Documents, SchemaProblem, document};

const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Everything that can be said of `value` and what it refers to.
pub(super) fn problems(value: &Value, base: &str, documents: &Documents) -> Vec<SchemaProblem> {
    let own = document::uri(base);
    let mut inspection = Inspection {
        documents,
        seen: HashSet::from([own.clone()]),
        waiting: Vec::new(),
        problems: Vec::new(),
    };
    inspection.document(value, &own, None);
    while let Some(uri) = inspection.waiting.pop() {
        if let Some((name, value)) = documents.get(&uri) {
            inspection.document(value, &uri, Some(name));
        }
    }
    inspection.problems
}

struct Inspection<'a> {
    documents: &'a Documents,
    seen: HashSet<String>,
    waiting: Vec<String>,
    problems: Vec<SchemaProblem>,
}

impl Inspection<'_> {
    fn document(&mut self, root: &Value, uri: &str, name: Option<&str>) {
        let from = self.problems.len();
        if Draft::Draft202012.detect(root) == Draft::Unknown {
            let dialect = root["$schema"].as_str().unwrap_or_default();
            let problem = SchemaProblem::new(
                &codes::UNKNOWN_DIALECT,
                "/$schema",
                format!("`{dialect}` is not a dialect of JSON Schema that is known here"),
            );
            self.problems.push(problem.help(
                "leave `$schema` out for draft 2020-12, or name draft 4, 6, 7, 2019-09 or 2020-12",
            ));
        } else {
            let own_ids = has_inner_id(root);
            each_schema(root, &mut |pointer, schema| {
                self.types(pointer, schema);
                self.patterns(pointer, schema);
                if !own_ids {
                    self.references(pointer, schema, root, uri);
                }
            });
        }
        for problem in &mut self.problems[from..] {
            problem.document = name.map(str::to_owned);
        }
    }

    fn types(&mut self, pointer: &str, schema: &Value) {
        let place = join(pointer, "type");
        let words = match schema.get("type") {
            Some(Value::Array(words)) => words
                .iter()
                .enumerate()
                .map(|(index, word)| (join(&place, &index.to_string()), word))
                .collect(),
            Some(word) => vec![(place, word)],
            None => return,
        };
        for (place, word) in words {
            let Some(word) = word.as_str().filter(|word| !TYPES.contains(word)) else {
                continue;
            };
            let message = format!("`{word}` is not a type of JSON");
            let close = match word {
                "int" | "long" => Some("integer"),
                "float" | "double" | "decimal" => Some("number"),
                "str" | "text" | "date" | "datetime" | "uuid" => Some("string"),
                "bool" => Some("boolean"),
                "dict" | "map" | "struct" => Some("object"),
                "list" | "tuple" => Some("array"),
                "none" | "nil" | "None" => Some("null"),
                _ => nearest(word, TYPES),
            };
            let all = "`string`, `number`, `integer`, `boolean`, `object`, `array` and `null`";
            let help = close.map_or_else(
                || format!("the types are {all}"),
                |close| format!("did you mean `{close}`?"),
            );
            let problem = SchemaProblem::new(&codes::UNKNOWN_TYPE, &place, message);
            self.problems.push(problem.help(help));
        }
    }

    fn patterns(&mut self, pointer: &str, schema: &Value) {
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            self.pattern(pattern, &join(pointer, "pattern"));
        }
        let named = schema.get("patternProperties").and_then(Value::as_object);
        for pattern in named.into_iter().flat_map(serde_json::Map::keys) {
            let place = join(&join(pointer, "patternProperties"), pattern);
            self.pattern(pattern, &place);
        }
    }

    fn pattern(&mut self, pattern: &str, place: &str) {
        let built = jsonschema::options()
            .with_pattern_options(PatternOptions::regex())
            .with_pattern_cache(self.documents.patterns().clone())
            .offline()
            .build(&json!({ "pattern": pattern }));
        if built.is_ok() {
            return;
        }
        let looks = ["(?=", "(?!", "(?<=", "(?<!"]
            .iter()
            .any(|group| pattern.contains(group));
        let refers = pattern
            .split('\\')
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| ('1'..='9').contains(&c)));
        let (message, help) = if looks {
            (
                "look-around cannot be used in a pattern: it has no bound on its time",
                "say it with several patterns under `allOf`, or with `not: {pattern: …}`",
            )
        } else if refers {
            (
                "a back-reference cannot be used in a pattern: it has no bound on its time",
                "write the alternatives out",
            )
        } else {
            (
                "the pattern is not a regular expression",
                "look for a bracket that is not closed or a `*`, `+` or `?` with nothing before it",
            )
        };
        let message = format!("{message}: `{pattern}`");
        let problem = SchemaProblem::new(&codes::BAD_PATTERN, place, message);
        self.problems.push(problem.help(help));
    }

    fn references(&mut self, pointer: &str, schema: &Value, root: &Value, uri: &str) {
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = schema.get(keyword).and_then(Value::as_str)
                && let Err((message, help)) = self.reference(reference, root, uri)
            {
                let place = join(pointer, keyword);
                let problem = SchemaProblem::new(&codes::UNRESOLVED_REFERENCE, &place, message);
                self.problems.push(problem.help(help));
            }
        }
    }

    fn reference(
        &mut self,
        reference: &str,
        root: &Value,
        uri: &str,
    ) -> Result<(), (String, String)> {
        let base = match root.get("$id").or_else(|| root.get("id")) {
            Some(Value::String(id)) => resolve(uri, id).unwrap_or_else(|| uri.to_owned()),
            _ => uri.to_owned(),
        };
        let unreadable = || {
            (
                format!("`{reference}` is not a reference"),
                "write a path relative to this file, `#/$defs/NAME`, or both".to_owned(),
            )
        };
        let absolute = resolve(&base, reference).ok_or_else(unreadable)?;
        let (target, fragment) = absolute.split_once('#').unwrap_or((&absolute, ""));
        let same = target == base.trim_end_matches('#') || target == uri;
        if !same && Draft::from_schema_uri(target) != Draft::Unknown {
            return Ok(());
        }
        let found = if same {
            root
        } else {
            let value = self.documents.get(target).map(|(_, value)| value);
            value.ok_or_else(|| self.missing(reference))?
        };
        if !same && self.seen.insert(target.to_owned()) {
            self.waiting.push(target.to_owned());
        }
        follow(found, fragment).map_err(|help| {
            let message = format!("`{reference}` leads to nothing");
            (message, help)
        })
    }

    fn missing(&self, reference: &str) -> (String, String) {
        let message = format!("`{reference}` leads to no schema of this configuration");
        let path = reference.split('#').next().unwrap_or_default();
        let help = if path.contains("://") {
            "references resolve to files inside the configuration's folder, never to the network: \
             save that schema there and name its path"
                .to_owned()
        } else {
            let close = nearest(path, self.documents.names());
            close.map_or_else(
                || {
                    "the path is relative to the file that the reference stands in, and stays inside the configuration's folder"
                        .to_owned()
                },
                |close| format!("did you mean `{close}`?"),
            )
        };
        (message, help)
    }
}

/// `reference` as an absolute URI.
fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = Uri::parse(base).ok()?;
    let resolved = jsonschema::uri::resolve_against(&base, reference).ok()?;
    Some(resolved.as_str().to_owned())
}

/// Whether some schema within `root` starts references of its own: then only the compiler can follow them.
fn has_inner_id(root: &Value) -> bool {
    let mut found = false;
    each_schema(root, &mut |pointer, schema| {
        found |= !pointer.is_empty() && schema.get("$id").is_some_and(Value::is_string);
    });
    found
}

/// Whether `fragment` leads somewhere in `root`; otherwise the repair.
fn follow(root: &Value, fragment: &str) -> Result<(), String> {
    if fragment.is_empty() {
        return Ok(());
    }
    let fragment = percent_decode(fragment);
    if !fragment.starts_with('/') {
        let mut anchors = Vec::new();
        each_schema(root, &mut |_, schema| {
            for keyword in ["$anchor", "$dynamicAnchor", "$id", "id"] {
                let anchor = schema.get(keyword).and_then(Value::as_str);
                anchors.extend(anchor.map(|anchor| anchor.trim_start_matches('#').to_owned()));
            }
        });
        if anchors.contains(&fragment) {
            return Ok(());
        }
        return Err(format!(
            "no schema there has `$anchor: {fragment}`; a JSON Pointer begins with `#/`, as in `#/$defs/{fragment}`"
        ));
    }
    let mut place = root;
    for token in fragment[1..].split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = match place {
            Value::Object(map) => map.get(&token),
            Value::Array(list) => token.parse().ok().and_then(|index: usize| list.get(index)),
            _ => None,
        };
        let Some(next) = next else {
            let keys = place.as_object().map(|map| map.keys().map(String::as_str));
            let close = keys.and_then(|keys| nearest(&token, keys));
            return Err(close.map_or_else(
                || format!("there is no `{token}` where it points"),
                |close| format!("did you mean `{close}` instead of `{token}`?"),
            ));
        };
        place = next;
    }
    Ok(())
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = more
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
