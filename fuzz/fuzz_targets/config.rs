//! Any text as `channels.yaml`: an answer, within bounds, and reports that can be shown.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports)]
#[path = "../../src/config/mod.rs"]
mod config;
#[allow(dead_code, unused_imports)]
#[path = "../../src/diag/mod.rs"]
mod diag;
#[allow(dead_code, unused_imports)]
#[path = "../../src/vocab/mod.rs"]
mod vocab;

use config::{MemoryFiles, read};
use diag::render::{Colours, human, json};

fuzz_target!(|bytes: &[u8]| {
    // The text refers to itself and to a schema, so that includes and references are walked too.
    let files = MemoryFiles::default()
        .with("channels.yaml", bytes)
        .with("rooms/a.yaml", bytes)
        .with("schemas/a.json", bytes)
        .with("schemas/b.yaml", bytes);
    let environment = BTreeMap::from([("NAME".to_owned(), "value".to_owned())]);
    let Ok(read) = read(Path::new("channels.yaml"), &files, &environment) else {
        panic!("the file is there");
    };
    let shown = human(&read.findings, &read.sources, Colours::Off);
    let reported = json(&read.findings, &read.sources);
    assert!(!shown.is_empty() && !reported.is_empty());
});
