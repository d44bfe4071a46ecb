//! Reads the documentation as its readers do: YAML blocks are checked, JSON blocks parsed, links followed, and every
//! example's file goes through `trunkline check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The sections of a file.
const SECTIONS: [&str; 11] = [
    "version",
    "description",
    "include",
    "server",
    "pages",
    "auth",
    "rate_limits",
    "messages",
    "rooms",
    "endpoints",
    "webhooks",
];

/// What the examples' files ask of the environment.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("JWT_SECRET", "a-secret-of-the-documentation-test"),
    ("API_KEY", "an-api-key-of-the-documentation-test"),
    (
        "JOIN_SECRET",
        "a-secret-for-joins-of-the-documentation-test",
    ),
];

/// A block between fences.
struct Block {
    /// The document and the line of the fence.
    place: String,
    /// What stands behind the opening fence.
    info: String,
    text: String,
}

#[test]
fn whole_files_in_the_documentation_pass_the_check() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Blocks name the schemas that stand beside the demo's channels.yaml.
    copy_folder(&root().join("schemas"), &folder.path().join("schemas"));
    let mut count = 0;
    for block in blocks().filter(|block| block.info == "yaml") {
        let file = folder.path().join("channels.yaml");
        fs::write(&file, &block.text).expect("the block is written");
        assert_eq!(findings(&file), Vec::<String>::new(), "{}", block.place);
        count += 1;
    }
    assert!(count > 0, "there is no whole file in the documentation");
}

#[test]
fn the_demo_and_every_example_pass_the_check() {
    let mut files = vec![root().join("channels.yaml")];
    for entry in fs::read_dir(root().join("examples")).expect("examples are readable") {
        files.push(
            entry
                .expect("an example is readable")
                .path()
                .join("channels.yaml"),
        );
    }
    for file in files {
        assert_eq!(findings(&file), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn yaml_blocks_are_yaml_and_say_what_they_are() {
    for block in blocks().filter(|block| block.info.starts_with("yaml")) {
        let place = &block.place;
        let value: Value =
            serde_yaml::from_str(&block.text).unwrap_or_else(|error| panic!("{place}: {error}"));
        let map = value
            .as_object()
            .unwrap_or_else(|| panic!("{place}: the block is no map"));
        for key in map.keys() {
            assert!(
                SECTIONS.contains(&key.as_str()),
                "{place}: `{key}` is no section of a file"
            );
        }
        match block.info.as_str() {
            "yaml" => assert_eq!(
                map.get("version"),
                Some(&Value::from(1)),
                "{place}: a whole file, or a `yaml fragment`?"
            ),
            "yaml fragment" => assert!(
                !map.contains_key("version"),
                "{place}: a whole file is no fragment"
            ),
            other => panic!("{place}: write `yaml` or `yaml fragment` instead of `{other}`"),
        }
    }
}

/// What the reader asks for (`keys.count("depth")`) stands in the reference.
#[test]
fn every_key_is_documented() {
    let reference = fs::read_to_string(root().join("docs/configuration.md"));
    let reference = reference.expect("the reference is readable");
    let no_word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words: BTreeSet<&str> = reference.split(no_word).collect();
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/config/lower")).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        let text = fs::read_to_string(&path).expect("the source is readable");
        let calls = text
            .split("keys\n")
            .flat_map(|part| part.split("keys."))
            .skip(1);
        for call in calls {
            let (method, rest) = call.split_once('(').unwrap_or_default();
            let method = method.trim_start().trim_start_matches('.');
            let argument = rest.trim_start().strip_prefix('"');
            if let Some((key, _)) = argument.and_then(|argument| argument.split_once('"'))
                && !method.contains(no_word)
            {
                keys.insert(key.to_owned());
            }
        }
    }
    assert!(keys.len() > 90, "{} keys are too few: {keys:?}", keys.len());
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !words.contains(key.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
}

#[test]
fn json_blocks_hold_one_object_a_line() {
    for block in blocks().filter(|block| block.info == "json") {
        for line in block.text.lines() {
            let parsed = serde_json::from_str::<Value>(line);
            assert!(
                parsed.is_ok_and(|value| value.is_object()),
                "{}: {line}",
                block.place
            );
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("the document is readable");
        for (_, rest) in text
            .match_indices("](")
            .map(|(at, _)| text[at..].split_at(2))
        {
            let link = rest.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                _ => document.parent().unwrap_or(root()).join(path),
            };
            assert!(
                target.exists(),
                "{}: {link} leads nowhere",
                document.display()
            );
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("the target is readable");
                assert!(
                    anchors(&text).contains(anchor),
                    "{}: {link} leads nowhere",
                    document.display()
                );
            }
        }
    }
}

/// What `trunkline check` finds in a file: one line for each.
fn findings(file: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["check", "--format", "json"])
        .arg(file)
        .envs(ENVIRONMENT)
        .output()
        .expect("trunkline runs");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!(
            "`trunkline check` of {} answers no JSON: {error}\n{complaint}",
            file.display()
        )
    });
    let found = answer["findings"].as_array().expect("findings are a list");
    let line = |finding: &Value| {
        format!(
            "{}:{} {}",
            finding["line"], finding["code"], finding["message"]
        )
    };
    found.iter().map(line).collect()
}

fn blocks() -> impl Iterator<Item = Block> {
    documents().into_iter().flat_map(|document| {
        let text = fs::read_to_string(&document).expect("the document is readable");
        let name = document
            .strip_prefix(root())
            .unwrap_or(&document)
            .display()
            .to_string();
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(info), None) => {
                    open = Some(Block {
                        place: format!("{name}:{}", index + 1),
                        info: info.trim().to_owned(),
                        text: String::new(),
                    });
                }
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{name}: a fence is not closed");
        blocks
    })
}

/// Every Markdown file that readers get.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for folder in ["", "docs", "docs/adr"] {
        collect(&root().join(folder), &mut documents);
    }
    for entry in fs::read_dir(root().join("examples")).expect("examples are readable") {
        collect(
            &entry.expect("an example is readable").path(),
            &mut documents,
        );
    }
    documents.sort();
    documents
}

fn collect(folder: &Path, documents: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let words = heading
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-");
            words
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
                .collect()
        })
        .collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    for entry in fs::read_dir(from).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        fs::copy(&path, to.join(path.file_name().expect("a file has a name")))
            .expect("the file is copied");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
