//! `Config` to [`Plan`]: every name resolved, every rule and schema compiled, every contradiction found, all in one pass.
//!
//! Each section has its file. A part that cannot be lowered leaves a finding and a gap; the Plan is handed out only where nothing
//! found is an error.

mod acme;
mod api;
mod audience;
mod auth;
mod call;
mod contradiction;
mod endpoint;
mod frame;
mod idle;
mod joining;
mod known;
mod limit;
mod line;
mod listen;
mod message;
mod name;
mod origin;
mod page;
mod reach;
mod room;
mod rule;
mod sanitize;
mod schema;
mod security;
mod server;
mod session;
mod shape;
mod tls;
mod token;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Files, Read, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::catalogue::schema as schema_codes;
use crate::diag::render::sort;
use crate::diag::{Code, Diagnostic, Severity, Sources, Span};
use crate::plan::{Lines, Message, Plan, RateLimit, Webhook};
use crate::rule::Label;
use crate::vocab::{ByteSize, Timestamp};

use name::{Names, Paths};
use reach::Reach;

/// What came of planning.
#[derive(Debug)]
pub struct Outcome {
    /// The Plan, unless a finding is an error.
    pub plan: Option<Plan>,
    /// All findings, those of reading too, in the order of the files.
    pub findings: Vec<Diagnostic>,
}

/// Says what `read` means. Of `files` those are asked that are read while serving: whether they exist, and what certificates say.
pub fn build(read: &Read, files: &dyn Files) -> Outcome {
    build_at(read, files, None)
}

/// As [`build`], and finds what is over at the moment `now`. The Plan does not depend on it.
pub fn build_at(read: &Read, files: &dyn Files, now: Option<Timestamp>) -> Outcome {
    let complete = !has_error(&read.findings);
    let mut lowering = Lowering::new(read, files, complete);
    lowering.now = now;
    let plan = lowering.run().map(|plan| Plan {
        lines: line::lines(read),
        ..plan
    });
    lowering.findings.extend(security::secrets_in_file(read));
    let mut findings = read.findings.clone();
    let told: Vec<Span> = findings.iter().map(|finding| finding.span).collect();
    let missing = &schema_codes::UNRESOLVED_REFERENCE;
    lowering
        .findings
        .retain(|finding| finding.code != missing || !told.contains(&finding.span));
    findings.append(&mut lowering.findings);
    findings.sort_by(|one, two| one.message.cmp(&two.message));
    sort(&mut findings);
    findings.dedup_by(|later, first| {
        later.span == first.span && later.code == first.code && later.message == first.message
    });
    Outcome {
        plan: plan.filter(|_| !has_error(&findings)),
        findings,
    }
}

fn has_error(findings: &[Diagnostic]) -> bool {
    findings
        .iter()
        .any(|finding| finding.code.severity == Severity::Error)
}

/// The work and what it has found so far.
struct Lowering<'a> {
    config: &'a Config,
    files: &'a dyn Files,
    /// Whether everything that is written could be read: otherwise what seems unused may be used in what could not.
    complete: bool,
    now: Option<Timestamp>,
    findings: Vec<Diagnostic>,
    sources: &'a Sources,
    rules: rule::Cache,
    /// Every rule that is written, in the order in which they were met.
    labels: Vec<Arc<Label>>,
    schemas: schema::Cache,
    auth_names: Names<'a>,
    limit_names: Names<'a>,
    message_names: Names<'a>,
    room_names: Names<'a>,
    webhook_names: Names<'a>,
    rooms: Paths,
    endpoints: Paths,
    reach: Reach,
    limits: Vec<Option<Arc<RateLimit>>>,
    declared: Vec<message::Declared>,
    messages: Vec<Option<Arc<Message>>>,
    webhooks: Vec<Option<Arc<Webhook>>>,
}

/// What can be bounded.
trait Amount: Copy {
    /// What zero comes to.
    const AT_ZERO: &'static str = "nothing could ever pass";

    fn is_zero(&self) -> bool;
}

impl Amount for usize {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Amount for u32 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Amount for Duration {
    const AT_ZERO: &'static str = "the time is always over";

    fn is_zero(&self) -> bool {
        Duration::is_zero(self)
    }
}

impl Amount for ByteSize {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<'a> Lowering<'a> {
    fn new(read: &'a Read, files: &'a dyn Files, complete: bool) -> Self {
        let config = &read.config;
        Self {
            config,
            sources: &read.sources,
            labels: Vec::new(),
            files,
            complete,
            now: None,
            findings: Vec::new(),
            rules: rule::Cache::default(),
            schemas: schema::Cache::new(&config.documents),
            auth_names: Names::new(
                &config.auth,
                "auth",
                "an auth mode",
                &codes::UNKNOWN_AUTH_MODE,
            ),
            limit_names: Names::new(
                &config.rate_limits,
                "rate_limits",
                "a rate limit",
                &codes::UNKNOWN_RATE_LIMIT,
            ),
            message_names: Names::new(
                &config.messages,
                "messages",
                "a message type",
                &codes::UNKNOWN_MESSAGE,
            ),
            room_names: Names::new(
                &config.rooms,
                "rooms",
                "a room pattern",
                &codes::UNKNOWN_ROOM,
            ),
            webhook_names: Names::new(
                &config.webhooks,
                "webhooks",
                "a webhook",
                &codes::UNKNOWN_WEBHOOK,
            ),
            rooms: Paths::default(),
            endpoints: Paths::default(),
            reach: Reach::default(),
            limits: Vec::new(),
            declared: Vec::new(),
            messages: Vec::new(),
            webhooks: Vec::new(),
        }
    }

    fn run(&mut self) -> Option<Plan> {
        self.read_patterns();
        self.reach = Reach::find(self.config, &self.rooms);
        let server = self.server();
        let pages = self.pages();
        self.limits = self.rate_limits();
        let auth = self.auth();
        self.webhooks = self.webhooks();
        self.messages = self.base_messages();
        let rooms = self.rooms();
        let endpoints = self.endpoints(&auth, &rooms);
        if self.complete {
            if self.config.endpoints.is_empty() {
                self.no_endpoint();
            } else {
                self.slips();
                self.unreachable();
                self.unused();
                self.idle_rules();
            }
        }
        self.security();
        Some(Plan {
            server: server?,
            pages,
            auth: auth.into_iter().collect::<Option<_>>()?,
            rate_limits: self.limits.drain(..).collect::<Option<_>>()?,
            rules: std::mem::take(&mut self.labels),
            messages: self.messages.drain(..).collect::<Option<_>>()?,
            rooms: self.rooms.ordered(rooms)?,
            endpoints: self.endpoints.ordered(endpoints)?,
            webhooks: self.webhooks.drain(..).collect::<Option<_>>()?,
            lines: Lines::default(),
        })
    }

    fn find(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    /// Finds that `what` (in the user's words) belongs to the language and does not run.
    fn unsupported(&mut self, span: Span, what: &str, instead: &str) {
        let message = format!("{what} does not run in this version");
        self.find(Diagnostic::new(&codes::NOT_SUPPORTED_YET, span, message).help(instead));
    }

    fn no_effect(&mut self, span: Span, message: String, help: &str) {
        self.find(Diagnostic::new(&codes::NO_EFFECT, span, message).help(help));
    }

    /// The written amount or the default; a finding where it is zero.
    fn above_zero<T: Amount>(&mut self, written: Option<Spanned<T>>, default: T, key: &str) -> T {
        if let Some(written) = written
            && written.value.is_zero()
        {
            let message = format!("`{key}` is zero, so {}", T::AT_ZERO);
            let help = "write more, or leave the key out for the default";
            self.find(Diagnostic::new(&codes::ZERO_LIMIT, written.span, message).help(help));
        }
        written.map_or(default, |written| written.value)
    }

    /// Finds names that stand twice in a list.
    fn repeated<'t>(&mut self, names: impl IntoIterator<Item = &'t Text>) {
        let mut seen: Vec<&Text> = Vec::new();
        for name in names {
            match seen.iter().find(|other| other.as_str() == name.as_str()) {
                Some(first) => {
                    let message = format!("`{name}` stands twice in this list");
                    let finding = Diagnostic::new(&codes::REPEATED, name.span(), message)
                        .help("remove one of them")
                        .also(first.span(), "it stands here first");
                    self.find(finding);
                }
                None => seen.push(name),
            }
        }
    }
}

/// `path` as people know it: from the main file's folder where it is below.
fn shown<'p>(config: &Config, path: &'p Path) -> std::path::Display<'p> {
    path.strip_prefix(&config.folder).unwrap_or(path).display()
}

/// A finding that needs its code, place, sentence and repair.
fn finding(code: &'static Code, span: Span, message: String, help: &str) -> Diagnostic {
    Diagnostic::new(code, span, message).help(help)
}
