//! What all of reading shares: the files, the environment, the texts and the findings so far.

use std::path::{Path, PathBuf};

use crate::config::files::normalize;
use crate::config::node::{Key, Kind, Node};
use crate::config::scalar::{expand, unexpanded};
use crate::config::yaml::load;
use crate::config::{Document, Environment, Files, Spanned, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Code, Diagnostic, SourceId, Sources, Span, nearest};

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
            self.wrong_kind(node.span, message);
            return None;
        };
        if node.is_nothing() {
            let message = format!("{what} is due here, and there is nothing");
            self.wrong_kind(node.span, message);
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
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write {}", listed(words)),
        };
        let finding = Diagnostic::new(&codes::UNKNOWN_WORD, text.span(), message).help(help);
        self.findings.push(finding);
    }

    pub(super) fn wrong_kind(&mut self, span: Span, message: String) {
        let finding = Diagnostic::new(&codes::WRONG_KIND, span, message);
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
        let written = self.sources.text(node.span).trim_matches(['"', '\'']);
        let is_variable = written
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|inner| !inner.contains(":-") && !inner.contains('}'));
        if !is_variable && matches!(node.kind, Kind::Scalar(_)) {
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
        match decode(bytes) {
            Ok(text) => Some(text),
            Err((code, message)) => {
                let message = format!("`{shown}` {message}");
                self.findings.push(Diagnostic::new(code, span, message));
                None
            }
        }
    }

    /// Reads the YAML of the source `id`.
    pub(super) fn tree(&mut self, id: SourceId) -> Option<Node> {
        let loaded = load(&self.sources.get(id).text, id);
        self.findings.extend(loaded.findings);
        loaded.root
    }
}

/// The text of a file, or what is wrong with it: a code and the rest of a sentence.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, (&'static Code, String)> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err((&codes::TOO_LARGE, "is larger than 16MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let message = format!("is not UTF-8: see the byte at offset {place}");
        (&codes::NOT_UTF_8, message)
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// `words` as they stand in a sentence.
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
