//! The files of a configuration: the main one, what it includes, and what those name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Component, Path, PathBuf};

use crate::config::files::normalize;
use crate::config::lower::{self, Rank};
use crate::config::node::Kind;
use crate::config::reader::{FILE_BYTES_MAX, Reader};
use crate::config::{Config, Environment, Files, Read, Text};
use crate::diag::catalogue::config as codes;
use crate::diag::{Code, Diagnostic, SourceId, Sources, Span};

/// Files that one configuration may include.
const INCLUDES_MAX: usize = 10_000;

const BEGIN: &str = "begin with `version: 1`; `trunkline explain config/empty` shows a whole file";

/// Why there is nothing to check.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The main file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Reads the configuration whose main file is at `path`.
///
/// # Errors
/// The main file cannot be read. Whatever is wrong with what it says is a finding instead.
pub fn read(
    path: &Path,
    files: &dyn Files,
    environment: &dyn Environment,
) -> Result<Read, ReadError> {
    let bytes = files
        .read(path, FILE_BYTES_MAX)
        .map_err(|source| ReadError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
    let mut reader = Reader {
        files,
        environment,
        sources: Sources::default(),
        findings: Vec::new(),
        documents: Vec::new(),
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        here: path.file_name().map(PathBuf::from).unwrap_or_default(),
    };
    let mut config = Config::default();
    if bytes.len() > FILE_BYTES_MAX {
        let id = reader.sources.add(path, String::new());
        let message = "the file is larger than 16MiB".to_owned();
        let help = "check that this is the file that is meant";
        reader.unusable(&codes::TOO_LARGE, start_of(id), message, help);
    } else {
        match String::from_utf8(bytes) {
            Ok(text) => {
                let id = reader.add_source(path, text);
                reader.all_files(id, &mut config);
            }
            Err(error) => reader.not_text(path, &error),
        }
    }
    config.folder = reader.folder;
    config.documents = reader.documents;
    Ok(Read {
        sources: reader.sources,
        config,
        findings: once_each(reader.findings),
    })
}

/// What several aliases repeat is told once.
fn once_each(findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let mut once = findings;
    once.retain(|finding| seen.insert((finding.span, finding.code.slug, finding.message.clone())));
    once
}

fn start_of(source: SourceId) -> Span {
    Span {
        source,
        start: 0,
        end: 0,
    }
}

/// Which file includes which, as far as it is known: what a wildcard finds again adds nothing.
#[derive(Default)]
struct Includes(BTreeMap<PathBuf, BTreeSet<PathBuf>>);

impl Includes {
    fn add(&mut self, from: &Path, to: &Path) {
        let included = self.0.entry(from.to_owned()).or_default();
        included.insert(to.to_owned());
    }

    /// Whether `from` is `to`, or includes it, directly or through others.
    fn lead(&self, from: &Path, to: &Path) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(path) = waiting.pop() {
            if path == to {
                return true;
            }
            if seen.insert(path) {
                let included = self.0.get(path).into_iter().flatten();
                waiting.extend(included.map(PathBuf::as_path));
            }
        }
        false
    }
}

impl Reader<'_> {
    fn all_files(&mut self, main: SourceId, config: &mut Config) {
        let mut seen = BTreeSet::from([self.here.clone()]);
        let mut waiting = VecDeque::from([(main, self.here.clone(), Rank::Main)]);
        let mut includes = Includes::default();
        while let Some((id, name, rank)) = waiting.pop_front() {
            self.here = name;
            for pattern in self.lower_file(id, rank, config) {
                for (path, shown) in self.included(&pattern) {
                    let named = !has_wildcard(&pattern);
                    if named && includes.lead(&path, &self.here) {
                        self.circular(&pattern, &path);
                        continue;
                    }
                    let known = seen.len() >= INCLUDES_MAX || !seen.insert(path.clone());
                    if named || !known {
                        includes.add(&self.here, &path);
                    }
                    if known {
                        continue;
                    }
                    if let Some(text) = self.file_inside(&path, pattern.span(), &shown) {
                        let id = self.add_source(&self.folder.join(&path), text);
                        waiting.push_back((id, path, Rank::Included));
                    }
                }
            }
        }
    }

    fn circular(&mut self, pattern: &Text, path: &Path) {
        let message = if path == self.here {
            format!("`{pattern}` is this file itself")
        } else {
            format!("`{pattern}` includes this file, directly or through others")
        };
        let help = "remove it: all files are merged into one, and none has to include those that include it";
        self.unusable(&codes::CIRCULAR_INCLUDE, pattern.span(), message, help);
    }

    /// Lowers one file; returns what it includes.
    fn lower_file(&mut self, id: SourceId, rank: Rank, config: &mut Config) -> Vec<Text> {
        let broken = self.findings.len();
        let Some(root) = self.tree(id) else {
            if self.findings.len() == broken {
                self.unusable(
                    &codes::EMPTY,
                    start_of(id),
                    "the file is empty".to_owned(),
                    BEGIN,
                );
            }
            return Vec::new();
        };
        if !matches!(root.kind, Kind::Map(_)) {
            if root.is_nothing() {
                self.unusable(
                    &codes::EMPTY,
                    start_of(id),
                    "the file is empty".to_owned(),
                    BEGIN,
                );
            } else {
                let message = format!(
                    "a configuration is a map of sections, and this is {}",
                    root.noun()
                );
                self.unusable(&codes::NOT_A_MAP, root.span, message, BEGIN);
            }
            return Vec::new();
        }
        let start = start_of(id);
        self.section(&root, start, "a configuration", |keys| {
            lower::file(keys, rank, config)
        })
        .unwrap_or_default()
    }

    fn unusable(&mut self, code: &'static Code, span: Span, message: String, help: &str) {
        let finding = Diagnostic::new(code, span, message).help(help);
        self.findings.push(finding);
    }

    /// Reports a main file that is no text, with what can be shown of it.
    fn not_text(&mut self, path: &Path, error: &std::string::FromUtf8Error) {
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let source = self.add_source(path, shown);
        let start = u32::try_from(error.utf8_error().valid_up_to()).unwrap_or(u32::MAX);
        let end = start + u32::try_from(char::REPLACEMENT_CHARACTER.len_utf8()).unwrap_or(0);
        let message = "the file is not UTF-8 from here on".to_owned();
        let help = "save it as UTF-8";
        self.unusable(
            &codes::NOT_UTF_8,
            Span { source, start, end },
            message,
            help,
        );
    }

    /// The files that `pattern` names, from the main file's folder, each with what to call it.
    fn included(&mut self, pattern: &Text) -> Vec<(PathBuf, String)> {
        let Some(path) = self.inside(pattern) else {
            return Vec::new();
        };
        if !has_wildcard(pattern) {
            return vec![(path, pattern.shown())];
        }
        let segments: Vec<String> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        let mut found = BTreeSet::new();
        self.matching(PathBuf::new(), &segments, &mut found);
        let own = normalize(&self.here).is_some_and(|own| found.remove(&own));
        if found.is_empty() {
            let but = if own { " but this one" } else { "" };
            let message = format!("no file{but} matches `{pattern}`");
            let finding = Diagnostic::new(&codes::INCLUDE_MATCHES_NOTHING, pattern.span(), message)
                .help("patterns are taken from the folder of this file");
            self.findings.push(finding);
        }
        found
            .into_iter()
            .map(|path| {
                let shown = path.display().to_string();
                (path, shown)
            })
            .collect()
    }

    /// Adds the files below `folder` whose path matches `segments`.
    fn matching(&self, folder: PathBuf, segments: &[String], found: &mut BTreeSet<PathBuf>) {
        let Some((segment, rest)) = segments.split_first() else {
            return;
        };
        if folder.components().count() > 32 || found.len() >= INCLUDES_MAX {
            return;
        }
        if segment == "**" {
            self.matching(folder.clone(), rest, found);
        }
        let mut entries = self
            .files
            .list(&self.folder.join(&folder))
            .unwrap_or_default();
        entries.sort();
        for entry in entries {
            let path = folder.join(&entry.name);
            // As in shells, what begins with a dot is not meant by a wildcard.
            if segment == "**" {
                if entry.is_folder && !entry.name.starts_with('.') {
                    self.matching(path, segments, found);
                }
            } else if matches_wildcards(segment, &entry.name) {
                if entry.is_folder {
                    self.matching(path, rest, found);
                } else if rest.is_empty() {
                    found.insert(path);
                }
            }
        }
    }
}

fn has_wildcard(pattern: &Text) -> bool {
    pattern.as_str().contains(['*', '?'])
}

/// Whether `name` is `pattern` with any text for `*` and any character for `?`.
fn matches_wildcards(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at, place));
                at += 1;
            }
            Some(expected) if *expected == '?' || *expected == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match retry {
                Some((star, start)) => {
                    retry = Some((star, start + 1));
                    at = star + 1;
                    place = start + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use crate::config::read::matches_wildcards;

    #[test]
    fn wildcards_match_names() {
        for (pattern, name, matches) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", ".yaml", false),
            ("*.yaml", "a.yml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "x", true),
        ] {
            assert_eq!(
                matches_wildcards(pattern, name),
                matches,
                "{pattern} {name}"
            );
        }
    }
}
