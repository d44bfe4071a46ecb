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

/// What is found, as `file:line:column code`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut memory = MemoryFiles::default();
    for (name, text) in files {
        memory = memory.with(format!("conf/{name}"), *text);
    }
    let read = read(Path::new("conf/channels.yaml"), &memory, &environment()).expect("it is there");
    read.findings
        .iter()
        .map(|finding| {
            let place = read
                .sources
                .line_column(finding.span.source, finding.span.start);
            let path = read.sources.get(finding.span.source).path.display();
            format!(
                "{path}:{}:{} {}",
                place.line, place.column, finding.code.slug
            )
        })
        .collect()
}

#[test]
fn places_are_exact_through_aliases_and_merges() {
    let text = "version: 1\nendpoints:\n  /a: &a\n    auth: x\n    heartbeat: &h {idle: 5, käy: 1}\n  \
                /b: {<<: *a, heartbeat: *h, reject: no}\n  /c: {<<: [*a, {limits: {depth: x}}]}\n";
    assert_eq!(
        found(&[("channels.yaml", text)]),
        [
            "conf/channels.yaml:5:26 config/bad-quantity",
            "conf/channels.yaml:5:29 config/unknown-key",
            "conf/channels.yaml:6:39 config/unknown-word",
            "conf/channels.yaml:7:34 config/bad-number",
        ]
    );
}

#[test]
fn files_of_other_systems_are_read() {
    let text = "\u{feff}version: 1\r\nrooms:\r\n  a: {may_join: \"true\", colour: 1}\r\n";
    assert_eq!(
        found(&[("channels.yaml", text)]),
        ["conf/channels.yaml:3:25 config/unknown-key"]
    );
    let report = shown(&read_text(text));
    assert!(report.contains("[channels.yaml:3:25]"), "{report}");
}

#[test]
fn schema_files_are_json_with_tabs_too() {
    let files = [
        (
            "channels.yaml",
            "version: 1\nmessages: {a: {to: room, schema: a.json}, b: {to: room, schema: b.json}}\n",
        ),
        (
            "a.json",
            "{\n\t\"type\": \"object\",\n\t\"$ref\": \"missing.json\"\n}\n",
        ),
        (
            "b.json",
            "{\"type\": 1, \"type\": 2, \"x\": \"\\ud83d\\ude00\"}",
        ),
    ];
    assert_eq!(
        found(&files),
        [
            "conf/a.json:3:10 config/unreadable-file",
            "conf/b.json:1:13 config/duplicate-key"
        ]
    );
}

#[test]
fn includes_are_merged_and_stay_inside() {
    let main =
        "version: 1\ninclude: [rooms/*.yaml, \"deep/**/m.yaml\", \"rooms/../../out.yaml\"]\n";
    let files = [
        ("channels.yaml", main),
        (
            "rooms/a.yaml",
            "include: [../channels.yaml, b.yaml]\nrooms: {a: {may_join: \"true\"}}\n",
        ),
        (
            "rooms/b.yaml",
            "rooms: {b: {may_join: 1, params: {x: ../schemas/x.json}}, a: {may_join: \"true\"}}\n",
        ),
        ("rooms/.hidden.yaml", "never read"),
        (
            "deep/er/still/m.yaml",
            "messages: {m: {to: room, schema: ../../../schemas/x.json}, n: {to: room, schema: y.json}}\n",
        ),
        ("deep/m.yaml", "version: 3\n"),
        ("schemas/x.json", "{\"$ref\": \"sub/z.yaml\"}"),
        (
            "schemas/sub/z.yaml",
            "properties:\n  a: {$ref: missing.json}\n  b: {$ref: ../x.json}\n",
        ),
    ];
    assert_eq!(
        found(&files),
        [
            "conf/channels.yaml:2:43 config/outside-folder",
            "conf/schemas/sub/z.yaml:2:13 config/unreadable-file",
            "conf/rooms/b.yaml:1:59 config/defined-twice",
            "conf/deep/er/still/m.yaml:1:82 config/unreadable-file",
            "conf/deep/m.yaml:1:10 config/bad-version",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
