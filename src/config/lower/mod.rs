//! Trees to the [`Config`]: every key of the language, section by section; shorthands get their long form here.

mod auth;
mod endpoint;
mod message;
mod room;
mod server;
mod word;

use std::collections::HashMap;

use crate::config::keys::Keys;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{Burst, Config, Page, RateLimit, Spanned, Text, Webhook};
use crate::diag::catalogue::config as codes;
use crate::diag::{Diagnostic, Span};
use crate::vocab::{ByteSize, Rate, parse_duration};

/// Which file of a configuration is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// The one that was asked for.
    Main,
    /// One that another includes.
    Included,
}

/// Lowers the top of a file into `config`; returns what the file includes.
pub(super) fn file(keys: &mut Keys<'_, '_>, rank: Rank, config: &mut Config) -> Vec<Text> {
    let version = version(keys, rank);
    let includes = keys.texts("include", "a path").unwrap_or_default();
    let description = keys.description();
    if rank == Rank::Main {
        config.version = version;
        config.description = description;
    }
    if let Some(server) = keys.section("server", "`server`", server::server) {
        match config.server.span {
            Some(first) => {
                let twice = Spanned::new("`server`".to_owned(), server.span);
                keys.reader.defined_twice(&twice, "section", first);
            }
            None => config.server = server.value,
        }
    }
    let pages = keys.pairs("pages", page);
    keys.reader.merge(&mut config.pages, pages, "page");
    let auth = keys.sections("auth", "an auth mode", auth::auth_mode);
    keys.reader.merge(&mut config.auth, auth, "auth mode");
    let limits = keys.sections("rate_limits", "a rate limit", rate_limit);
    keys.reader
        .merge(&mut config.rate_limits, limits, "rate limit");
    let messages = keys.sections("messages", "a message type", message::message);
    keys.reader
        .merge(&mut config.messages, messages, "message type");
    let rooms = keys.sections("rooms", "a room", room::room);
    keys.reader.merge(&mut config.rooms, rooms, "room");
    let endpoints = keys.sections("endpoints", "an endpoint", endpoint::endpoint);
    keys.reader
        .merge(&mut config.endpoints, endpoints, "endpoint");
    let webhooks = keys.sections("webhooks", "a webhook", webhook);
    keys.reader.merge(&mut config.webhooks, webhooks, "webhook");
    includes
}

/// A folder of static files: its path alone, or with headers.
fn page(reader: &mut Reader<'_>, span: Span, node: &Node) -> Option<Page> {
    if !matches!(node.kind, Kind::Map(_)) {
        let text = reader.text(node, "the path of a folder")?;
        return Some(Page {
            folder: Spanned::new(reader.beside(text.as_str()), text.span()),
            headers: Vec::new(),
        });
    }
    reader.section(node, span, "a folder of pages", |keys| {
        keys.require("folder", "name the folder, as in `folder: ./public`");
        let headers = keys.pairs("headers", |reader, _, node| {
            reader.text(node, "the value of a header")
        });
        let folder = keys.path("folder")?;
        Some(Page { folder, headers })
    })?
}

/// Where the version is said.
fn version(keys: &mut Keys<'_, '_>, rank: Rank) -> Option<Span> {
    let first = keys.first().map(|key| key.span);
    let Some((span, node)) = keys.entry("version") else {
        if rank == Rank::Main {
            let message = "the file does not say which version of the language it is written in";
            let finding = Diagnostic::new(&codes::BAD_VERSION, first.unwrap_or(keys.span), message)
                .help("begin it with `version: 1`");
            keys.reader.findings.push(finding);
        }
        return None;
    };
    let text = keys.reader.text(node, "the version of the language")?;
    if text.as_str() != "1" {
        let message = format!("there is no version `{text}` of the language");
        let finding =
            Diagnostic::new(&codes::BAD_VERSION, text.span(), message).help("write `version: 1`");
        keys.reader.findings.push(finding);
    } else if first != Some(span) {
        let message = "`version` is not the first key of the file";
        let finding = Diagnostic::new(&codes::VERSION_NOT_FIRST, span, message)
            .help("move it to the top of the file");
        keys.reader.findings.push(finding);
    }
    Some(span)
}

impl Reader<'_> {
    /// Adds what a file declares to what earlier files do.
    fn merge<T>(
        &mut self,
        all: &mut Vec<(Spanned<String>, T)>,
        more: Vec<(Spanned<String>, T)>,
        kind: &str,
    ) {
        let known: HashMap<String, Span> = all
            .iter()
            .map(|(name, _)| (name.value.clone(), name.span))
            .collect();
        for (name, value) in more {
            match known.get(&name.value) {
                Some(first) => self.defined_twice(&name, kind, *first),
                None => all.push((name, value)),
            }
        }
    }

    fn defined_twice(&mut self, name: &Spanned<String>, kind: &str, first: Span) {
        let message = match kind {
            "section" => format!("the section {} is defined in two files", name.value),
            kind => format!("the {kind} `{}` is defined in two files", name.value),
        };
        let finding = Diagnostic::new(&codes::DEFINED_TWICE, name.span, message)
            .label("again here")
            .also(first, "first here")
            .help(match kind {
                "section" => "keep one of them: this section stands in one file as a whole",
                _ => "keep one of them, or rename one",
            });
        self.findings.push(finding);
    }
}

fn rate_limit(keys: &mut Keys<'_, '_>) -> RateLimit {
    keys.require("rate", "say how fast the bucket fills, as in `rate: 10/s`");
    keys.require("per", "say what has a bucket of its own, as in `per: user`");
    RateLimit {
        description: keys.description(),
        rate: keys.quantity("rate", Rate::parse),
        burst: burst(keys),
        per: keys.word("per"),
        on_exceed: keys.word("on_exceed"),
        dry_run: keys.flag("dry_run"),
    }
}

/// A number, or a size where the rate counts bytes.
fn burst(keys: &mut Keys<'_, '_>) -> Option<Spanned<Burst>> {
    let (_, node) = keys.entry("burst")?;
    let text = keys
        .reader
        .text(node, "a number, or a size such as `256KiB`")?;
    if text.as_str().ends_with('B') {
        let size = keys.quantity("burst", ByteSize::parse)?;
        return Some(Spanned::new(Burst::Bytes(size.value), size.span));
    }
    let count = keys.positive("burst")?;
    Some(Spanned::new(Burst::Count(count.value), count.span))
}

fn webhook(keys: &mut Keys<'_, '_>) -> Webhook {
    keys.require("url", "say which URL is called");
    Webhook {
        description: keys.description(),
        url: keys.text("url", "a URL"),
        secret: keys.secret("secret", "secret_file"),
        timeout: keys.quantity("timeout", parse_duration),
        retries: keys.count("retries"),
    }
}
