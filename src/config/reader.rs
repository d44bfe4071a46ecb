//! What all of reading shares: the files, the environment, the texts and the findings so far.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::files::normalize;
use crate::config::node::{Key, Kind, Node};
use crate::config::scalar::{expand, unexpanded};
use crate::config::yaml::load;
use crate::config::{Document, Environment, Files, Spanned, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, SourceId, Sources, Span, nearest};

/// The size of a file at most.
pub(super) const FILE_BYTES_MAX: usize = 16 << 20;

/// A word that stands for a value.
pub(super) trait Word: Clone + 'static {
    /// The words, in the order in which they are offered.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}

/// Reading, as far as it has come.
pub(super) struct Reader<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) environment: &'a dyn Environment,
    pub(super) sources: Sources,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) documents: Vec<Document>,
    /// The main file's folder.
    pub(super) folder: PathBuf,
    /// The name of the file that is lowered: its path from the main file's folder.
    pub(super) here: PathBuf,
}

impl Reader<'_> {
    /// The text of the scalar `node`, expanded; `what` is due there.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<Text> {
        let Kind::Scalar(scalar) = &node.kind else {
            let message = format!("{what} is due here, and this is {}", node.noun());
            let help = match node.kind {
                Kind::List(_) => "write one value, without `[` and `]`",
                _ => "write one value; a text that begins with `{` stands in quotes",
            };
            self.wrong_kind(node.span, message, help);
            return None;
        };
        if node.is_nothing() {
            let message = format!("{what} is due here, and there is nothing");
            self.wrong_kind(node.span, message, "write it, or leave the key out");
            return None;
        }
        let text = unexpanded(scalar, self.sources.text(node.span), node.span);
        expand(text, self.environment, &mut self.findings)
    }

    /// The texts of a list, or of a single value that stands for a list of one.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<Text> {
        node.items()
            .iter()
            .filter_map(|item| self.text(item, what))
            .collect()
    }

    /// The word at `node`.
    pub(super) fn word<T: Word>(&mut self, node: &Node) -> Option<Spanned<T>> {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let text = self.text(node, &format!("one of {}", listed(&words)))?;
        let found = T::WORDS.iter().find(|(word, _)| *word == text.as_str());
        if found.is_none() {
            self.unknown_word(&text, &words);
        }
        found.map(|(_, value)| Spanned::new(value.clone(), text.span()))
    }

    /// The word that a key of the user's map is.
    pub(super) fn key_word<T: Word>(&mut self, name: &Spanned<String>) -> Option<Spanned<T>> {
        let found = T::WORDS.iter().find(|(word, _)| *word == name.value);
        if found.is_none() {
            let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
            self.unknown_word(&Text::verbatim(name.clone()), &words);
        }
        found.map(|(_, value)| Spanned::new(value.clone(), name.span))
    }

    /// Reports that `text` is none of `words`.
    pub(super) fn unknown_word(&mut self, text: &Text, words: &[&str]) {
        let message = format!("`{text}` is not one of {}", listed(words));
        let near = nearest(text.as_str(), words.iter().copied()).filter(|_| !text.is_expanded());
        let help = match near {
            _ if matches!(text.as_str(), "yes" | "on" | "y") && words.contains(&"true") => {
                "write `true`".to_owned()
            }
            _ if matches!(text.as_str(), "no" | "off" | "n") && words.contains(&"false") => {
                "write `false`".to_owned()
            }
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write {}", listed(words)),
        };
        let finding = Diagnostic::new(&codes::UNKNOWN_WORD, text.span(), message).help(help);
        self.findings.push(finding);
    }

    pub(super) fn wrong_kind(&mut self, span: Span, message: String, help: &str) {
        let finding = Diagnostic::new(&codes::WRONG_KIND, span, message).help(help);
        self.findings.push(finding);
    }

    /// Names are not expanded: what cites them is written in the file.
    pub(super) fn check_name(&mut self, key: &Key) {
        if key.text.contains("${") {
            let message = format!("`{}` is a name, and names are not expanded", key.text);
            let finding = Diagnostic::new(&codes::BAD_ENVIRONMENT_REFERENCE, key.span, message)
                .help("write the name itself; `${NAME}` stands in values");
            self.findings.push(finding);
        }
    }

    /// Keeps the literal parts of the secret at `node` out of excerpts.
    pub(super) fn mask(&mut self, node: &Node) {
        let is_scalar = matches!(node.kind, Kind::Scalar(_));
        if is_scalar && !is_variable(self.sources.text(node.span)) {
            self.sources.mask(node.span);
        }
    }

    /// The path `written` in this file, from the folder of this file.
    pub(super) fn beside(&self, written: &str) -> PathBuf {
        self.folder.join(self.here_folder()).join(written)
    }

    pub(super) fn here_folder(&self) -> &Path {
        self.here.parent().unwrap_or(Path::new(""))
    }

    /// The file that `node` names, and its text.
    pub(super) fn named_file(&mut self, node: &Node) -> Option<(Spanned<PathBuf>, String)> {
        let text = self.text(node, "a path")?;
        let path = self.beside(text.as_str());
        let content = self.file(&path, text.span(), &text.shown())?;
        Some((Spanned::new(path, text.span()), content))
    }

    /// The path of a file inside the folder of the configuration, from that folder.
    pub(super) fn inside(&mut self, written: &Text) -> Option<PathBuf> {
        let path = normalize(&self.here_folder().join(written.as_str()));
        if path.is_none() {
            let message = format!("`{written}` leads out of the folder of the configuration");
            let finding = Diagnostic::new(&codes::OUTSIDE_FOLDER, written.span(), message)
                .help("move the file into the folder, and write its path from this file");
            self.findings.push(finding);
        }
        path
    }

    /// The text of the file at `path` from the main file's folder, which has to stand in that folder, links followed.
    pub(super) fn file_inside(&mut self, path: &Path, span: Span, shown: &str) -> Option<String> {
        let file = self.folder.join(path);
        let real = self.files.real_path(&file);
        let folder = self.files.real_path(&self.folder);
        if let (Ok(real), Ok(folder)) = (real, folder)
            && !real.starts_with(folder)
        {
            let message =
                format!("`{shown}` is a link that leads out of the folder of the configuration");
            let finding = Diagnostic::new(&codes::OUTSIDE_FOLDER, span, message)
                .help("put the file itself there, or a link to a file of that folder");
            self.findings.push(finding);
            return None;
        }
        self.file(&file, span, shown)
    }

    /// The text of the file at `path`, which is named at `span` as `shown`.
    pub(super) fn file(&mut self, path: &Path, span: Span, shown: &str) -> Option<String> {
        let bytes = match self.files.read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("`{shown}` cannot be read: {}", reason(&error));
                let finding = Diagnostic::new(&codes::UNREADABLE_FILE, span, message)
                    .help("paths are taken from the folder of the file that names them");
                self.findings.push(finding);
                return None;
            }
        };
        if bytes.len() > FILE_BYTES_MAX {
            let message = format!("`{shown}` is larger than 16MiB");
            let finding = Diagnostic::new(&codes::TOO_LARGE, span, message)
                .help("check that this is the file that is meant");
            self.findings.push(finding);
            return None;
        }
        let text = String::from_utf8(bytes);
        if text.is_err() {
            let message = format!("`{shown}` is not UTF-8");
            let finding = Diagnostic::new(&codes::NOT_UTF_8, span, message);
            self.findings.push(finding.help("save it as UTF-8"));
        }
        text.ok()
    }

    /// Adds a YAML file to the sources, its secrets masked.
    pub(super) fn add_source(&mut self, path: &Path, text: String) -> SourceId {
        let secrets = literal_secrets(&text);
        let source = self.sources.add(path, text);
        for range in secrets {
            let offset = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
            let (start, end) = (offset(range.start), offset(range.end));
            self.sources.mask(Span { source, start, end });
        }
        source
    }

    /// Reads the YAML of the source `id`.
    pub(super) fn tree(&mut self, id: SourceId) -> Option<Node> {
        let loaded = load(&self.sources.get(id).text, id);
        self.findings.extend(loaded.findings);
        loaded.root
    }
}

/// Values behind `secret:` and `password:`, found without understanding the text: it may be broken, and the key may stand where
/// nobody looks for it.
fn literal_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (name, word) in ["secret", "password"]
        .iter()
        .flat_map(|word| text.match_indices(word))
    {
        let rest = &text[name + word.len()..];
        let behind = rest.trim_start_matches(['"', '\'']).trim_start_matches(' ');
        let Some(value) = behind.strip_prefix(':') else {
            continue;
        };
        let value = value.trim_start_matches(' ');
        let line = value.lines().next().unwrap_or_default();
        let length = match line.chars().next() {
            Some(quote @ ('"' | '\'')) => line[1..].find(quote).map_or(line.len(), |end| end + 2),
            Some('{' | '[' | '|' | '>' | '&' | '*') | None => continue,
            Some(_) => line.find([',', '}']).unwrap_or(line.len()),
        };
        let start = text.len() - rest.len() + (rest.len() - value.len());
        if !is_variable(line[..length].trim()) {
            found.push(start..start + length);
        }
    }
    found.extend(passwords(text));
    found
}

/// What stands between `:` and `@` before the host of a URL.
fn passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(scheme, separator)| {
        let start = scheme + separator.len();
        let rest = &text[start..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'/<>`".contains(c));
        let (user, _) = rest[..end.unwrap_or(rest.len())].rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let start = start + name.len() + 1;
        let is_literal = !password.is_empty() && !is_variable(password);
        is_literal.then(|| start..start + password.len())
    })
}

/// Whether a value is nothing but a variable without a default, which may be shown as it is written.
fn is_variable(written: &str) -> bool {
    written
        .trim_matches(['"', '\''])
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inner| !inner.contains(":-") && !inner.contains('}'))
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// `words` as they stand in a sentence: "`a`, `b` or `c`".
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => format!("`{word}`"),
        [words @ .., last] => format!("`{}` or `{last}`", words.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::reader::literal_secrets;

    #[test]
    fn secrets_are_found_in_any_text() {
        for (text, secret) in [
            ("secret: abc\n", "abc"),
            ("{secret: abc, x: 1}", "abc"),
            ("client_secret : \"a, b\" }", "\"a, b\""),
            ("\"secret\": 'abc'", "'abc'"),
            ("secret: 'abc", "'abc"),
            ("secret: ${A:-abc}", "${A:-abc"),
            ("secret: ${A}b", "${A"),
            ("url: redis://u:abc@x:1/0", "abc"),
            ("{url: 'http://u:a@b@x'}", "a@b"),
            ("url: \"http://u:${A:-abc}@x/\"", "${A:-abc}"),
        ] {
            let found = literal_secrets(text);
            let shown: Vec<&str> = found.into_iter().map(|range| &text[range]).collect();
            assert_eq!(shown, [secret], "{text}");
        }
        for text in [
            "secret: \"${A}\"",
            "secret_file: a",
            "secret: {type: string}",
            "a secret",
            "secret:",
            "url: redis://u:${A}@x",
            "url: http://x:80/@a",
            "url: http://u@x",
        ] {
            assert!(literal_secrets(text).is_empty(), "{text}");
        }
    }
}
