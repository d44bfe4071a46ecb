//! Every code of the catalogue has a folder in `tests/golden/diagnostics`, with a configuration that provokes it and the exact
//! report. `UPDATE_GOLDEN=1` writes the reports anew, and docs/diagnostics.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use trunkline::config::{DiskFiles, Entry, Files, read};
use trunkline::diag::render::{Colours, human, sort};
use trunkline::diag::{Severity, catalogue};
use trunkline::plan::build_at;
use trunkline::vocab::Timestamp;

/// The files of a folder under the names that they have in it, so that reports do not depend on where it stands. `NAME.size`
/// holds a number and stands for a file `NAME` of so many spaces, `NAME.until` a day and stands for a certificate `NAME.pem` that ends
/// then, with its key `NAME.key`; `NAME.open` makes `NAME` one that every user may read.
struct Folder(PathBuf, Mutex<BTreeMap<PathBuf, (String, String)>>);

impl Folder {
    fn new(path: &Path) -> Self {
        Self(path.to_owned(), Mutex::default())
    }

    /// The certificate or key at `path`, where it is to be made.
    fn made(&self, path: &Path) -> Option<String> {
        let until = std::fs::read_to_string(self.0.join(path.with_extension("until"))).ok()?;
        let mut days = until.trim().split('-').map(|part| part.parse::<u8>());
        let year = until.get(..4)?.parse().ok()?;
        let (_, month, day) = (days.next(), days.next()?.ok()?, days.next()?.ok()?);
        let mut made = self.1.lock().expect("nobody panicked");
        let (chain, key) = made.entry(path.with_extension("")).or_insert_with(|| {
            let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
            params.not_after = date_time_ymd(year, month, day);
            let key = KeyPair::generate().expect("a key");
            let chain = params.self_signed(&key).expect("signs");
            (chain.pem(), key.serialize_pem())
        });
        match path.extension()?.to_str()? {
            "pem" => Some(chain.clone()),
            "key" => Some(key.clone()),
            _ => None,
        }
    }
}

impl Files for Folder {
    fn is_open_to_all(&self, path: &Path) -> bool {
        self.0.join(format!("{}.open", path.display())).exists()
    }

    fn read(&self, path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
        if let Some(made) = self.made(path) {
            return Ok(made.into_bytes());
        }
        let size = self.0.join(format!("{}.size", path.display()));
        if let Ok(size) = std::fs::read_to_string(size) {
            let size: usize = size.trim().parse().expect("a number");
            return Ok(vec![b' '; size.min(bytes_max + 1)]);
        }
        DiskFiles.read(&self.0.join(path), bytes_max)
    }

    fn list(&self, path: &Path) -> std::io::Result<Vec<Entry>> {
        DiskFiles.list(&self.0.join(path))
    }

    fn real_path(&self, path: &Path) -> std::io::Result<PathBuf> {
        DiskFiles.real_path(&self.0.join(path))
    }
}

/// What `check` reports for the folder.
fn report(folder: &Path) -> String {
    let environment = BTreeMap::from([
        (
            "JWT_SECRET".to_owned(),
            "a-test-secret-of-at-least-32-bytes!!".to_owned(),
        ),
        ("EXPANDED".to_owned(), "never-to-be-seen".to_owned()),
    ]);
    let files = Folder::new(folder);
    let read = read(Path::new("channels.yaml"), &files, &environment).expect("it is there");
    let now = Timestamp::parse("2026-11-22T12:00:00Z").ok();
    let mut findings = build_at(&read, &files, now).findings;
    sort(&mut findings);
    human(&findings, &read.sources, Colours::Off)
}

/// The folder of a code: its slug with `-` for `/`.
fn folder_of(slug: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/diagnostics")
        .join(slug.replace('/', "-"))
}

#[test]
fn reports_are_as_they_were_agreed() {
    let updates = std::env::var_os("UPDATE_GOLDEN").is_some();
    let root = folder_of("");
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&root).expect("the folder is there") {
        let folder = entry.expect("an entry").path();
        let found = report(&folder);
        let expected = folder.join("expected.txt");
        if updates {
            std::fs::write(&expected, &found).expect("it is written");
        }
        let agreed = std::fs::read_to_string(&expected).unwrap_or_default();
        if found != agreed {
            wrong.push(format!(
                "{}\n--- agreed\n{agreed}\n--- found\n{found}",
                folder.display()
            ));
        }
        assert!(!found.contains("never-to-be-seen"), "{}", folder.display());
        assert!(!found.contains("a-test-secret"), "{}", folder.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each code of an attack shows a file that invites it and one that does not; both are files of its folder, and the report says so.
#[test]
fn attacks_are_shown_and_repaired() {
    for code in catalogue::security::ALL {
        let folder = folder_of(code.slug);
        let read_in = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mut examples = code
            .explanation
            .split("\n\n")
            .filter(|block| block.starts_with("    "));
        for name in ["channels.yaml", "good/channels.yaml"] {
            let file = read_in(name);
            let example = examples.next().unwrap_or_default();
            assert!(
                !example.is_empty(),
                "{} shows no example for {name}",
                code.slug
            );
            for line in example.lines().map(str::trim) {
                let stands = file.lines().any(|other| other.trim() == line);
                assert!(stands, "{}: `{line}` does not stand in {name}", code.slug);
            }
        }
        assert!(
            report(&folder).contains(code.slug),
            "{}: the bad file",
            code.slug
        );
        let good = report(&folder.join("good"));
        assert!(
            !good.contains(code.slug),
            "{}: the good file\n{good}",
            code.slug
        );
    }
}

/// docs/security.md has an item for each of them, and no other.
#[test]
fn the_check_list_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = std::fs::read_to_string(path).expect("it is there");
    let mut listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("- [ ] `")?.split('`').next())
        .collect();
    let codes = catalogue::all().map(|code| code.slug);
    let mut known: Vec<&str> = codes.filter(|slug| slug.starts_with("security/")).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(
        listed, known,
        "docs/security.md (left) and the catalogue (right) differ"
    );
}

#[test]
fn the_list_of_codes_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md");
    let mut page = "# Diagnostics

What `trunkline check` can find, section by section; `trunkline explain CODE` prints the same on a terminal. A file with errors is not
served; one with warnings is, and is probably not what was meant. Codes keep their names and their meaning.
"
    .to_owned();
    let mut section = "";
    for code in catalogue::all() {
        let (of, _) = code.slug.split_once('/').expect("a section");
        if of != section {
            section = of;
            let title = match of {
                "config" => "what is written",
                "schema" => "JSON Schemas",
                "rule" => "rules, expressions and templates",
                "plan" => "what the file means",
                "security" => "what an attacker would like about it",
                other => panic!("say what `{other}/…` is about"),
            };
            page += &format!("\n## `{of}/…`: {title}\n");
        }
        let severity = match code.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
        };
        let explanation = code.explanation.trim_end();
        page += &format!(
            "\n### `{}`\n\n**{severity}**: {}.\n\n{explanation}\n",
            code.slug, code.summary
        );
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("it is written");
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        agreed == page,
        "docs/diagnostics.md is not what the catalogue says: run this test with UPDATE_GOLDEN=1"
    );
}

#[test]
fn every_code_has_a_report() {
    let missing: Vec<&str> = catalogue::all()
        .map(|code| code.slug)
        .filter(|slug| {
            let folder = folder_of(slug);
            !folder.join("channels.yaml").exists() || !report(&folder).contains(*slug)
        })
        .collect();
    assert_eq!(
        missing,
        Vec::<&str>::new(),
        "codes without a golden folder that shows them"
    );
}

#[test]
fn codes_are_unique_and_explain_themselves() {
    let mut seen = BTreeMap::new();
    for code in catalogue::all() {
        assert!(
            seen.insert(code.slug, ()).is_none(),
            "{} stands twice",
            code.slug
        );
        assert!(
            code.slug.contains('/') && !code.summary.ends_with('.'),
            "{}",
            code.slug
        );
        assert!(
            code.explanation.len() > 60,
            "{} explains too little",
            code.slug
        );
        assert_eq!(catalogue::find(code.slug), Some(code));
    }
}
