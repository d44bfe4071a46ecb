//! Rules, expressions and templates: each distinct text compiled once for what it may name.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::Text;
use crate::diag::catalogue::rule as codes;
use crate::diag::{Code, Diagnostic};
use crate::plan::lower::Lowering;
use crate::rule::{Expression, Known, Label, Problem, Rule, Template};

/// What has been compiled.
#[derive(Default)]
pub(super) struct Cache {
    rules: Compiled<Rule>,
    expressions: Compiled<Expression>,
    templates: Compiled<Template>,
}

type Compiled<T> = HashMap<String, Result<Arc<T>, Vec<Problem>>>;

impl Lowering<'_> {
    /// The rule in `text`, which is the value of the key `name`; findings where it does not compile.
    pub(super) fn rule(&mut self, text: &Text, known: &Known, name: &str) -> Option<Arc<Rule>> {
        let compiled = cached(&mut self.rules.rules, text, known, Rule::compile);
        let rule = report(compiled, text, &mut self.findings)?;
        Some(Arc::new(rule.labelled(self.label(text, name))))
    }

    /// What the rule is called that is written as `text` under the key `name`. A type's rule is compiled for each room that takes
    /// it, and has one label.
    fn label(&mut self, text: &Text, name: &str) -> Arc<Label> {
        let span = text.span();
        let place = self.sources.place(span);
        self.labelled(name, place, text.shown())
    }

    /// The label of what decides under the key `name`, at `place`.
    pub(super) fn labelled(&mut self, name: &str, place: String, text: String) -> Arc<Label> {
        if let Some(label) = self.labels.iter().find(|label| *label.name == *name) {
            return label.clone();
        }
        let label = Arc::new(Label {
            index: self.labels.len(),
            name: name.into(),
            place: place.into(),
            text: text.into(),
        });
        self.labels.push(label.clone());
        label
    }

    /// The expression in `text`; findings where it does not compile.
    pub(super) fn expression(&mut self, text: &Text, known: &Known) -> Option<Arc<Expression>> {
        let compiled = cached(
            &mut self.rules.expressions,
            text,
            known,
            Expression::compile,
        );
        report(compiled, text, &mut self.findings)
    }

    /// The template in `text`; findings where it does not compile.
    pub(super) fn template(&mut self, text: &Text, known: &Known) -> Option<Arc<Template>> {
        let compiled = cached(&mut self.rules.templates, text, known, Template::compile);
        report(compiled, text, &mut self.findings)
    }

    /// The template in `text`, for one owner.
    pub(super) fn own_template(&mut self, text: &Text, known: &Known) -> Option<Template> {
        Template::compile(text.as_str(), known)
            .map_err(|problems| {
                let found = problems.iter().map(|problem| diagnostic(problem, text));
                self.findings.extend(found);
            })
            .ok()
    }
}

fn cached<'c, T>(
    cache: &'c mut Compiled<T>,
    text: &Text,
    known: &Known,
    compile: impl FnOnce(&str, &Known) -> Result<T, Vec<Problem>>,
) -> &'c Result<Arc<T>, Vec<Problem>> {
    cache
        .entry(key(text.as_str(), known))
        .or_insert_with(|| compile(text.as_str(), known).map(Arc::new))
}

fn report<T: Clone>(
    compiled: &Result<T, Vec<Problem>>,
    text: &Text,
    findings: &mut Vec<Diagnostic>,
) -> Option<T> {
    match compiled {
        Ok(compiled) => Some(compiled.clone()),
        Err(problems) => {
            findings.extend(problems.iter().map(|problem| diagnostic(problem, text)));
            None
        }
    }
}

fn diagnostic(problem: &Problem, text: &Text) -> Diagnostic {
    let span = text.span_of(problem.range.clone());
    let mut diagnostic = Diagnostic::new(problem.code, span, text.conceal(&problem.message));
    let help = problem.help.as_ref().map(|help| text.conceal(help));
    diagnostic.help = help.or_else(|| repair(problem.code).map(str::to_owned));
    diagnostic
}

/// What helps against any problem of a kind.
fn repair(code: &'static Code) -> Option<&'static str> {
    if *code == codes::ALWAYS_FAILS {
        Some("correct this part: a rule that cannot be computed denies")
    } else if *code == codes::BAD_PATTERN {
        Some(
            "`matches` takes one text that runs in linear time; join several by `&&`, `||` and `!`",
        )
    } else if *code == codes::TOO_COMPLEX {
        Some(
            "let the application decide what needs more, and put the answer into a claim of the token",
        )
    } else {
        None
    }
}

/// Names the text and what of `known` it can concern: names that do not occur in it cannot.
fn key(text: &str, known: &Known) -> String {
    let mut key = String::with_capacity(text.len() + 32);
    key.push_str(text);
    for (word, exists) in [
        ("user", known.user),
        ("sender", known.sender),
        ("query", known.query),
        ("room", known.room),
        ("connection", known.connection),
        ("data", known.data),
        ("code", known.error),
        ("message", known.error),
    ] {
        if exists && text.contains(word) {
            let _ = write!(key, "\0{word}");
        }
    }
    for (word, names) in [("path", &known.path), ("params", &known.params)] {
        if let Some(names) = names
            && text.contains(word)
        {
            let _ = write!(key, "\0{word}={names:?}");
        }
    }
    if text.contains("claims") {
        for claims in &known.claims {
            let _ = write!(key, "\0{:p}", Arc::as_ptr(claims));
        }
    }
    key
}
