//! `pages`: folders of static files, and the headers that go with them.

use std::cmp::Reverse;

use crate::config::{Spanned, Text};
use crate::diag::Diagnostic;
use crate::diag::catalogue::plan as codes;
use crate::plan::Page;
use crate::plan::lower::{Lowering, finding, shown};
use crate::vocab::Pattern;

/// Paths that the server itself answers.
const OWN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// What goes with every page unless the file says otherwise. It takes nothing from a page but what others could do with it: being
/// framed by strangers, having its base or its forms redirected, plug-ins. Which scripts a page runs is for its author to say.
const DEFAULTS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
    ),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin"),
    ("x-content-type-options", "nosniff"),
];

/// Headers that belong to HTTP itself, or to the server.
const RESERVED: [&str; 12] = [
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
];

impl Lowering<'_> {
    pub(super) fn pages(&mut self) -> Vec<Page> {
        let config = self.config;
        let mut pages = Vec::new();
        for (path, page) in &config.pages {
            let folder = &page.folder;
            let parsed = Pattern::parse_path(&path.value);
            let plain = parsed
                .as_ref()
                .is_ok_and(|path| path.parameters().next().is_none());
            if !plain {
                let message = format!("`{}` is not a path without parameters", path.value);
                let help = "write the path below which the files stand, such as `/` or `/demo`";
                self.find(finding(&codes::BAD_PATTERN, path.span, message, help));
            }
            let mut endpoints = config.endpoints.iter().map(|(endpoint, _)| endpoint);
            if let Some(other) = endpoints.find(|endpoint| endpoint.value == path.value) {
                let message = format!("`{}` is an endpoint and a folder of pages", path.value);
                let help = "move one of them: pages may stand around an endpoint, not on it";
                let finding = finding(&codes::PATH_COLLISION, path.span, message, help);
                self.find(finding.also(other.span, "the endpoint"));
            }
            if self.files.list(&folder.value).is_err() {
                let message = format!(
                    "the folder `{}` does not exist",
                    shown(config, &folder.value)
                );
                let help = "folders are relative to the file that names them: create it, or correct the path";
                self.find(finding(&codes::MISSING_FOLDER, folder.span, message, help));
            }
            pages.push(Page {
                path: path.value.as_str().into(),
                folder: folder.value.clone(),
                headers: self.page_headers(&page.headers),
            });
        }
        self.own_paths();
        // A folder within another's path comes before it.
        pages.sort_by_key(|page| Reverse(page.path.trim_matches('/').split('/').count()));
        pages.sort_by_key(|page| &*page.path == "/");
        pages
    }

    /// Finds endpoints on paths that the server itself answers.
    fn own_paths(&mut self) {
        let config = self.config;
        let api = config.server.api.is_some();
        for (path, _) in &config.endpoints {
            let below = path
                .value
                .strip_prefix("/api")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let (taken, by) = match path.value.as_str() {
                own if OWN_PATHS.contains(&own) => (true, "the server itself"),
                _ => (api && below, "the HTTP API"),
            };
            if taken {
                let message = format!("`{}` is answered by {by}", path.value);
                let help = format!("choose another path, such as `/ws{}`", path.value);
                let diagnostic = Diagnostic::new(&codes::PATH_COLLISION, path.span, message);
                self.find(diagnostic.help(help));
            }
        }
    }

    /// The headers of a folder: what is written, and the defaults that are left. An empty text leaves a default out.
    fn page_headers(&mut self, written: &[(Spanned<String>, Text)]) -> Vec<(Box<str>, Box<str>)> {
        let mut headers: Vec<(Box<str>, Box<str>)> = DEFAULTS
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        for (name, value) in written {
            if !self.is_header(name, value) {
                continue;
            }
            let lower = name.value.to_ascii_lowercase();
            headers.retain(|(other, _)| **other != *lower);
            if !value.as_str().is_empty() {
                headers.push((lower.into(), value.as_str().into()));
            }
        }
        headers
    }

    fn is_header(&mut self, name: &Spanned<String>, value: &Text) -> bool {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let lower = name.value.to_ascii_lowercase();
        let (span, message, help) = if lower.is_empty() || !lower.bytes().all(is_token) {
            let message = format!("`{}` is not the name of a header", name.value);
            (
                name.span,
                message,
                "write one such as `Content-Security-Policy`",
            )
        } else if RESERVED.contains(&&*lower) {
            let message = format!("`{}` is the server's to send", name.value);
            (
                name.span,
                message,
                "leave it out: it follows from the file that is sent",
            )
        } else if !value
            .as_str()
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte))
        {
            let message = format!("the value of `{}` cannot stand in a header", name.value);
            (value.span(), message, "write it on one line, in ASCII")
        } else {
            return true;
        };
        self.find(Diagnostic::new(&codes::BAD_HEADER, span, message).help(help));
        false
    }
}
