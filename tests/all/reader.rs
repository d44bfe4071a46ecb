//! Reading: whatever the text, an answer; and what the language's own example comes to.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop, proptest};
use trunkline::config::{Config, MayJoin, MemoryFiles, Read, Route, Schema, read};
use trunkline::diag::render::{Colours, human, json};

const GOOD: &str = include_str!("../golden/whole.yaml");

fn environment() -> BTreeMap<String, String> {
    ["API_KEY", "CONSOLE_KEY", "JWT_SECRET", "HOOK_SECRET"]
        .map(|name| {
            (
                name.to_owned(),
                format!("secret of {name}, long enough for all"),
            )
        })
        .into()
}

fn read_text(text: &str) -> Read {
    let files = MemoryFiles::default()
        .with("channels.yaml", text)
        .with(
            "schemas/message.json",
            r#"{"type": "object", "properties": {"text": {"$ref": "text.json#/$defs/line"}}}"#,
        )
        .with(
            "schemas/text.json",
            r#"{"$defs": {"line": {"type": "string"}}}"#,
        )
        .with("schemas/price.json", "{}")
        .with("schemas/cursor.json", "true");
    read(Path::new("channels.yaml"), &files, &environment()).expect("the file is there")
}

fn shown(read: &Read) -> String {
    human(&read.findings, &read.sources, Colours::Off)
}

#[test]
fn the_whole_language_is_read() {
    let read = read_text(GOOD);
    assert_eq!(read.findings, [], "{}", shown(&read));
    let Config {
        server,
        messages,
        rooms,
        endpoints,
        documents,
        ..
    } = read.config;
    assert_eq!(server.listen.len(), 1);
    let names: Vec<&str> = documents
        .iter()
        .map(|document| document.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "schemas/message.json",
            "schemas/text.json",
            "schemas/price.json",
            "schemas/cursor.json"
        ]
    );
    let echo = &messages.last().expect("echo").1;
    assert_eq!(
        echo.schema.as_ref().map(|schema| &schema.schema),
        Some(&Schema::Anything)
    );
    assert_eq!(
        echo.rules.to.as_ref().map(|to| &to.value),
        Some(&Route::Sender)
    );
    let Some(MayJoin::Rule(rule)) = &rooms[2].1.may_join else {
        panic!("a rule");
    };
    let place =
        rule.span_of(rule.as_str().find("params").expect("it is there")..rule.as_str().len());
    assert_eq!(read.sources.text(place), "params.user_id");
    let endpoint = &endpoints[0].1;
    assert_eq!(endpoint.auth.len(), 1);
    assert_eq!(endpoint.auto_join.len(), 2);
    assert_eq!(
        endpoint.auto_join[1]
            .when_allowed
            .as_ref()
            .map(|flag| flag.value),
        Some(true)
    );
}

#[test]
fn secrets_stay_out_of_excerpts() {
    let text = "version: 1\nwebhooks:\n  a: {url: x, secret: \"a literal one\", retrys: 3}\n  \
                b: {secret: '${HOOK_SECRET}', url: x, timeout: 5}\n";
    let read = read_text(text);
    let report = shown(&read);
    assert!(!report.contains("literal"), "{report}");
    assert!(!report.contains("secret of"), "{report}");
    assert!(report.contains("${HOOK_SECRET}"), "{report}");
    let column = text.lines().nth(2).and_then(|line| line.find("retrys"));
    let place = format!("channels.yaml:3:{}", column.expect("it is there") + 1);
    assert!(report.contains(&place), "{report}");
    assert!(json(&read.findings, &read.sources).contains("\"errors\": 2"));
}

#[test]
fn secrets_stay_out_of_excerpts_of_broken_files() {
    for text in [
        "version: 1\nwebhooks: {a: {secret: hunter2, url: x}\n",
        "version: 1\nwebhooks: {a: {secret: hunter2, secret: 'hunter2', url: x}}\n",
        "version: 1\nwebhooks: {a: {my_secret: hunter2, url: x}}\n",
        "version: 1\nserver: {console: {key: hunter2, kei: 1}, broker: {redis: {url: hunter2, x: 1}}}\n",
    ] {
        let report = shown(&read_text(text));
        assert!(
            report.contains('…') && !report.contains("hunter2"),
            "{report}"
        );
    }
}

#[test]
fn terminals_are_not_told_what_to_do() {
    let report = shown(&read_text("version: 1\n\"a\\eb\": \"\u{9b}\"\nx: \u{7f}\n"));
    assert!(
        !report
            .chars()
            .any(|character| character.is_control() && character != '\n'),
        "{report:?}"
    );
}

#[test]
fn a_large_file_is_read_at_once() {
    let mut text = GOOD.to_owned();
    for room in 0..1800 {
        text.push_str(&format!(
            "  hook{room}: {{url: \"http://127.0.0.1/{room}\", secret: \"${{HOOK_SECRET}}\"}}\n"
        ));
    }
    let begun = std::time::Instant::now();
    let read = read_text(&text);
    let taken = begun.elapsed();
    assert_eq!(read.findings, []);
    // A debug build on a busy machine: the bound is against quadratic work, `benches` know the true figure.
    assert!(taken.as_secs() < 5, "{taken:?}");
    println!("{} lines in {taken:?}", text.lines().count());
}

#[test]
fn a_bomb_is_defused() {
    let mut text = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let read = read_text(&text);
    assert!(
        read.findings
            .iter()
            .any(|finding| finding.code.slug == "config/too-complex")
    );
    let deep = format!("version: 1\nmessages: {}", "[".repeat(100_000));
    assert!(
        read_text(&deep)
            .findings
            .iter()
            .any(|finding| finding.code.slug == "config/too-complex")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes of a good file replaced, removed and doubled.
    #[test]
    fn mutated_files_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<prop::sample::Index>()), 1..12)) {
        let mut text: Vec<char> = GOOD.chars().collect();
        let odd: Vec<char> = "{}[]:,&*!|>'\"%@`#\t\n\r -?\\$\u{feff}\u{85}ä…0~<".chars().collect();
        for (place, action, with) in edits {
            let place = place.index(text.len());
            match action {
                0 => text[place] = *with.get(&odd),
                1 => { text.remove(place); }
                _ => text.insert(place, *with.get(&odd)),
            }
        }
        let text: String = text.into_iter().collect();
        let read = read_text(&text);
        let report = shown(&read);
        assert!(!report.contains("secret of"));
        assert!(json(&read.findings, &read.sources).len() > 10);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let read = read_text(&text);
        shown(&read);
    }
}
