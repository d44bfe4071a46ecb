//! Keeps the house in order: which folder may import which, where each dependency lives, who prints, how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src` from the bottom up, each with those that it may import. ARCHITECTURE.md shows the same table.
const TABLE: [(&str, Imports); 24] = [
    ("vocab", Imports::These(&[])),
    ("diag", Imports::These(&[])),
    ("telemetry", Imports::These(&["vocab"])),
    ("protocol", Imports::These(&["vocab"])),
    ("rule", Imports::These(&["vocab", "diag"])),
    ("schema", Imports::These(&["vocab", "diag"])),
    ("config", Imports::These(&["vocab", "diag"])),
    ("certificate", Imports::These(&["vocab"])),
    (
        "plan",
        Imports::These(&["config", "certificate", "rule", "schema", "diag", "vocab"]),
    ),
    ("room", Imports::These(&["plan", "protocol", "vocab"])),
    ("store", Imports::These(&["plan", "vocab", "telemetry"])),
    (
        "broker",
        Imports::These(&["room", "store", "plan", "vocab", "telemetry"]),
    ),
    (
        "decision",
        Imports::These(&["plan", "rule", "schema", "protocol", "vocab"]),
    ),
    (
        "webhook",
        Imports::These(&["store", "plan", "vocab", "telemetry"]),
    ),
    (
        "auth",
        Imports::These(&[
            "config",
            "webhook",
            "store",
            "plan",
            "rule",
            "schema",
            "vocab",
            "telemetry",
        ]),
    ),
    (
        "engine",
        Imports::These(&[
            "decision",
            "broker",
            "auth",
            "webhook",
            "store",
            "room",
            "plan",
            "rule",
            "schema",
            "protocol",
            "vocab",
            "telemetry",
        ]),
    ),
    (
        "transport",
        Imports::These(&[
            "engine",
            "decision",
            "auth",
            "certificate",
            "plan",
            "protocol",
            "vocab",
            "telemetry",
        ]),
    ),
    (
        "acme",
        Imports::These(&["transport", "certificate", "plan", "vocab", "telemetry"]),
    ),
    (
        "export",
        Imports::These(&[
            "config", "plan", "schema", "rule", "protocol", "diag", "vocab",
        ]),
    ),
    (
        "lsp",
        Imports::These(&[
            "config", "plan", "schema", "rule", "protocol", "diag", "vocab",
        ]),
    ),
    (
        "scenario",
        Imports::These(&[
            "engine",
            "auth",
            "webhook",
            "broker",
            "store",
            "room",
            "plan",
            "config",
            "schema",
            "rule",
            "protocol",
            "telemetry",
            "diag",
            "vocab",
        ]),
    ),
    ("loadgen", Imports::These(&["protocol", "vocab"])),
    ("server", Imports::EverythingAbove),
    ("cli", Imports::EverythingAbove),
];

/// What a folder may import, beside itself.
#[derive(Clone, Copy)]
enum Imports {
    These(&'static [&'static str]),
    EverythingAbove,
}

/// Crates that have one home, so that exchanging them touches one folder.
const HOMES: [(&str, &[&str]); 29] = [
    ("salvo", &["transport", "server"]),
    ("hyper", &["transport", "webhook"]),
    ("hyper_util", &["transport", "webhook", "acme"]),
    ("hyper_rustls", &["webhook", "acme"]),
    ("instant_acme", &["acme"]),
    ("rustls", &["webhook", "certificate", "transport", "acme"]),
    ("x509_parser", &["certificate"]),
    ("lru", &["webhook"]),
    ("redis", &["auth"]),
    ("socket2", &["transport", "loadgen"]),
    ("mio", &["loadgen"]),
    ("hdrhistogram", &["loadgen"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("jsonwebtoken", &["auth"]),
    ("pem", &["plan", "auth"]),
    ("simple_asn1", &["plan"]),
    ("cel", &["rule"]),
    ("jsonschema", &["schema"]),
    ("referencing", &["schema"]),
    ("serde_yaml", &["config"]),
    ("miette", &["diag"]),
    ("prometheus_client", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("governor", &["engine"]),
    ("psl", &["plan"]),
    ("flate2", &["protocol"]),
    ("ammonia", &["decision"]),
    ("unicode_normalization", &["decision"]),
];

/// Folders without async, files or logs, and what would bring those in.
const PURE: [&str; 8] = [
    "vocab",
    "certificate",
    "protocol",
    "rule",
    "schema",
    "plan",
    "room",
    "decision",
];
const IMPURE: [&str; 6] = [
    "tokio::",
    "tracing::",
    "std::fs",
    "std::env",
    "TcpStream",
    "UnixStream",
];

const LINES_MAX: usize = 400;

/// Longer files, each with the reason why splitting it would make it worse.
const LONG_FILES: [(&str, &str); 0] = [];

#[test]
fn imports_point_down_the_table() {
    let mut wrong = String::new();
    for source in sources() {
        for (line, target) in source.imports() {
            let allowed = target == source.folder
                || allowed_imports(&source.folder).contains(target.as_str());
            if !allowed {
                let (file, folder) = (&source.path, &source.folder);
                let _ = writeln!(
                    wrong,
                    "src/{file}:{line}: `{folder}` may not import `{target}`"
                );
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{wrong}The table is in ARCHITECTURE.md and at the top of tests/all/house.rs"
    );
}

#[test]
fn every_folder_has_a_row_and_paths_stay_absolute() {
    for source in sources() {
        if let "lib" | "main" = source.folder.as_str() {
            continue;
        }
        let known = TABLE.iter().any(|(folder, _)| *folder == source.folder);
        assert!(
            known,
            "src/{} is in a folder that the import table lacks",
            source.path
        );
        for (line, text) in source.code.lines().enumerate() {
            // Paths that climb would hide an edge from the test above.
            assert!(
                !text.contains("super::super"),
                "src/{}:{}: write `crate::…` instead of `super::super`",
                source.path,
                line + 1
            );
        }
    }
}

#[test]
fn architecture_shows_the_same_table() {
    let text =
        fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is readable");
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("| folder | job | may import |"));
    let mut shown = BTreeMap::new();
    for row in table.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [folder, _, imports] = cells[..] else {
            panic!("ARCHITECTURE.md: `{row}` has not three cells")
        };
        let folder = folder.trim_matches('`');
        shown.insert(folder.to_owned(), shown_imports(folder, imports));
    }
    let enforced: BTreeMap<String, BTreeSet<&str>> = TABLE
        .iter()
        .map(|(folder, _)| ((*folder).to_owned(), allowed_imports(folder)))
        .collect();
    assert_eq!(
        shown, enforced,
        "ARCHITECTURE.md (left) and tests/all/house.rs (right) differ"
    );
}

#[test]
fn each_dependency_has_one_home() {
    let mut wrong = String::new();
    for source in sources() {
        for (name, homes) in HOMES {
            if homes.contains(&source.folder.as_str()) {
                continue;
            }
            for line in source.lines_naming_crate(name) {
                let _ = writeln!(
                    wrong,
                    "src/{}:{line}: `{name}` lives in {homes:?}",
                    source.path
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn only_the_command_line_prints() {
    let macros = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
    forbid(&macros, |source| {
        !matches!(source.folder.as_str(), "cli" | "main")
    });
}

#[test]
fn nothing_unwraps() {
    forbid(&[".unwrap()"], |_| true);
}

#[test]
fn the_core_is_pure() {
    forbid(&IMPURE, |source| PURE.contains(&source.folder.as_str()));
}

#[test]
fn files_are_short() {
    let mut wrong = String::new();
    for source in sources() {
        let lines = source
            .shipped
            .lines()
            .filter(|line| !line.starts_with(TEST_MARK))
            .count();
        let excused = LONG_FILES.iter().any(|(file, _)| *file == source.path);
        let advice = match (lines > LINES_MAX, excused) {
            (true, false) => "split it by concept, or say in LONG_FILES why not",
            (false, true) => "take it out of LONG_FILES",
            _ => continue,
        };
        let _ = writeln!(
            wrong,
            "src/{} has {lines} lines without its tests: {advice}",
            source.path
        );
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Fails on every line of shipped code that holds one of `texts` in a file that `applies`.
fn forbid(texts: &[&str], applies: impl Fn(&Source) -> bool) {
    let mut wrong = String::new();
    for source in sources().into_iter().filter(applies) {
        for (index, line) in source.shipped.lines().enumerate() {
            for text in texts {
                let at = line
                    .match_indices(text)
                    .any(|(at, _)| !begins_in_a_word(line, at));
                if at {
                    let _ = writeln!(wrong, "src/{}:{}: `{text}`", source.path, index + 1);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn allowed_imports(folder: &str) -> BTreeSet<&'static str> {
    let Some(index) = TABLE.iter().position(|(name, _)| *name == folder) else {
        // `lib.rs` only declares the folders; `main.rs` only calls the command line.
        return BTreeSet::from(["cli"]);
    };
    match TABLE[index].1 {
        Imports::These(folders) => folders.iter().copied().collect(),
        Imports::EverythingAbove => TABLE[..index].iter().map(|(name, _)| *name).collect(),
    }
}

fn shown_imports(folder: &str, cell: &str) -> BTreeSet<&'static str> {
    let index = TABLE.iter().position(|(name, _)| *name == folder);
    let above = &TABLE
        [..index.unwrap_or_else(|| panic!("ARCHITECTURE.md shows the unknown folder `{folder}`"))];
    if cell == "everything above" {
        return above.iter().map(|(name, _)| *name).collect();
    }
    cell.split(", ")
        .filter(|name| *name != "–")
        .map(|name| {
            let known = TABLE.iter().find(|(known, _)| *known == name);
            known
                .unwrap_or_else(|| {
                    panic!("ARCHITECTURE.md: `{folder}` imports the unknown `{name}`")
                })
                .0
        })
        .collect()
}

/// One file of `src`.
struct Source {
    /// Below `src`, with `/`.
    path: String,
    /// The first folder below `src`, or `lib` or `main`.
    folder: String,
    /// The text without comments and without what stands in quotes; lines keep their numbers.
    code: String,
    /// The same without test modules.
    shipped: String,
}

impl Source {
    /// Line and folder of each path that begins at the crate's root.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for root in ["crate::", "trunkline::"] {
            for (at, _) in self.code.match_indices(root) {
                if begins_in_a_word(&self.code, at) {
                    continue;
                }
                let line = self.code[..at].matches('\n').count() + 1;
                let rest = &self.code[at + root.len()..];
                let targets = match rest.trim_start().strip_prefix('{') {
                    Some(group) => first_segments(group),
                    None => vec![first_word(rest)],
                };
                let folders = targets
                    .into_iter()
                    .filter(|name| TABLE.iter().any(|(folder, _)| folder == name));
                found.extend(folders.map(|name| (line, name.to_owned())));
            }
        }
        found
    }

    /// Lines with a path that begins with the crate `name`.
    fn lines_naming_crate(&self, name: &str) -> Vec<usize> {
        let path = format!("{name}::");
        let import = format!("use {name}");
        let names = |line: &str| {
            let begins = |at: usize| !begins_in_a_word(line, at) && !line[..at].ends_with("::");
            line.match_indices(&path).any(|(at, _)| begins(at))
                || line.match_indices(&import).any(|(at, found)| {
                    !begins_in_a_word(line, at) && first_word(&line[at + found.len()..]).is_empty()
                })
        };
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| names(line))
            .map(|(index, _)| index + 1)
            .collect()
    }
}

/// The first word of each path in `a::b, c::{d, e}} …`, up to the brace that closes the group.
fn first_segments(group: &str) -> Vec<&str> {
    let mut names = vec![first_word(group)];
    let mut depth = 0;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(first_word(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    &text[..end]
}

fn begins_in_a_word(text: &str, at: usize) -> bool {
    let first = text[at..].chars().next().is_some_and(is_word);
    first && text[..at].chars().next_back().is_some_and(is_word)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(
        !files.is_empty(),
        "there are no sources in {}",
        src.display()
    );
    files.iter().map(|file| read(&src, file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry is readable").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(src: &Path, file: &Path) -> Source {
    let below = file.strip_prefix(src).expect("the file is below src");
    let path = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/");
    let folder = path
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
        .to_owned();
    let code =
        without_comments_and_quotes(&fs::read_to_string(file).expect("the file is readable"));
    let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
    let shipped = if is_test {
        String::new()
    } else {
        without_tests(&code)
    };
    Source {
        path,
        folder,
        code,
        shipped,
    }
}

/// Stands for a line of a test, so that the lines behind it keep their numbers.
const TEST_MARK: &str = "#[cfg(test)]";

/// Blanks each `#[cfg(test)]` item: up to the `;` or the matching brace.
fn without_tests(code: &str) -> String {
    let mut shipped = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST_MARK) {
        shipped.push_str(&rest[..at]);
        let end = at + item_length(&rest[at..]);
        shipped.push_str(TEST_MARK);
        for _ in rest[at..end].matches('\n') {
            let _ = write!(shipped, "\n{TEST_MARK}");
        }
        rest = &rest[end..];
    }
    shipped + rest
}

fn item_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks comments and the insides of strings and characters, and keeps the lines.
fn without_comments_and_quotes(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = comment_length(rest)
            .or_else(|| string_length(rest, &code))
            .or_else(|| character_length(rest));
        match length {
            Some(length) => {
                code.push(' ');
                code.extend(rest[..length].chars().filter(|c| *c == '\n'));
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn comment_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0;
    let mut at = 0;
    while text.starts_with("/*") {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        if at >= text.len() {
            return Some(text.len());
        }
    }
    None
}

/// A string that begins here, raw or not; `before` tells `r"` from a name that ends in r.
fn string_length(text: &str, before: &str) -> Option<usize> {
    let in_a_word = before.chars().next_back().is_some_and(is_word);
    let raw = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix("cr"))
        .or_else(|| text.strip_prefix('r'));
    if let Some(raw) = raw.filter(|_| !in_a_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = text.len() - raw.len() + hashes + 1;
            return Some(
                text[start..]
                    .find(&end)
                    .map_or(text.len(), |at| start + at + end.len()),
            );
        }
    }
    if !text.starts_with('"') {
        return None;
    }
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// A character in quotes; a lifetime is none.
fn character_length(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return Some(3 + first + escape[first..].find('\'')?);
    }
    let first = inside.chars().next()?.len_utf8();
    inside[first..].starts_with('\'').then_some(2 + first)
}

#[test]
fn the_reader_of_sources_knows_rust() {
    let text = "use crate::{a::B, c::{d, e}, f}; // crate::no\n/* crate::no /* n */ */ let x = \"crate::no\";\n\
                let y = r#\"crate::\"no\"#; let q = '\"'; let l: &'static str = b; let e = '\\''; let u = '\\u{1F600}';\n\
                #[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}\nlast";
    let code = without_comments_and_quotes(text);
    assert!(!code.contains("no"), "{code}");
    assert!(code.contains("'static") && code.contains("last"), "{code}");
    let shipped = without_tests(&code);
    assert!(!shipped.contains("unwrap"), "{shipped}");
    assert_eq!(shipped.lines().count(), text.lines().count());
    assert_eq!(first_segments("a::B, c::{d, e}, f};"), ["a", "c", "f"]);
}
