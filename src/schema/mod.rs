//! JSON Schemas of message data: compiled when the file is read, offline, with violations in words.
//!
//! Formats are asserted, patterns run in linear time, and a `$ref` leads only to [`Documents`] that were handed in: nothing here
//! reads a file or a socket. [`Schema::compile`] reports all that makes a schema unusable, [`advise`] what is probably not meant.

mod advice;
mod cycle;
mod document;
mod inspect;
mod place;
mod tape;
mod walk;
mod words;

pub use advice::advise;
pub use document::Documents;
pub use place::{EVERY, TextAt, text_at};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::diag::Code;
use crate::diag::catalogue::schema as codes;
use crate::schema::tape::OnTape;
use crate::vocab::json::Tape;

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Schema {
    value: Value,
    /// None: every value fits.
    validator: Option<Validator<OnTape>>,
}

/// One way in which data does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer into the data (RFC 6901); empty: the data itself.
    pub path: String,
    /// The keyword that is violated.
    pub keyword: String,
    /// One sentence for the client.
    pub message: String,
}

/// Something wrong in a schema itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// The document it is in, as [`Documents`] call it; none: the schema that was compiled.
    pub document: Option<String>,
    /// JSON Pointer to the place.
    pub pointer: String,
    /// Which kind of problem.
    pub code: &'static Code,
    /// One sentence, without a full stop.
    pub message: String,
    /// The repair.
    pub help: Option<String>,
}

/// More than this many violations tell a client nothing.
const VIOLATIONS_MAX: usize = 16;

impl Schema {
    /// The schema `true`.
    pub fn anything() -> Self {
        Self {
            value: Value::Bool(true),
            validator: None,
        }
    }

    /// Compiles `value`, whose relative references start from `base`, its own name among `documents`.
    ///
    /// # Errors
    /// Everything that keeps it from being used.
    pub fn compile(
        value: Value,
        base: &str,
        documents: &Documents,
    ) -> Result<Self, Vec<SchemaProblem>> {
        let mut problems = inspect::problems(&value, base, documents);
        if problems.is_empty() {
            problems = cycle::problems(&value, base, documents);
        }
        if !problems.is_empty() {
            add_metaschema_problems(&value, &mut problems);
            return Err(problems);
        }
        if accepts_all(&value) {
            return Ok(Self {
                value,
                validator: None,
            });
        }
        let built = jsonschema::options_for::<OnTape>()
            .with_base_uri(document::uri(base))
            .with_retriever(documents.retriever())
            .with_pattern_options(PatternOptions::regex())
            .with_pattern_cache(documents.patterns().clone())
            .should_validate_formats(true)
            .build(&value);
        match built {
            Ok(validator) => Ok(Self {
                value,
                validator: Some(validator),
            }),
            Err(error) => {
                add_metaschema_problems(&value, &mut problems);
                if problems.is_empty() {
                    let place = error.instance_path().as_str();
                    problems.push(SchemaProblem::new(
                        &codes::INVALID,
                        place,
                        format!("the schema cannot be used: {}", words::bounded(&error)),
                    ));
                }
                Err(problems)
            }
        }
    }

    /// The schema as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether every value fits, so that nothing has to be checked.
    pub fn accepts_all(&self) -> bool {
        self.validator.is_none()
    }

    /// Checks `data`.
    ///
    /// # Errors
    /// The ways in which it does not fit, at most 16.
    pub fn check(&self, data: &Value) -> Result<(), Vec<Violation>> {
        if self.accepts_all() {
            return Ok(());
        }
        self.check_tape(&Tape::of(data))
    }

    /// Checks the data that was read onto `tape`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_tape(&self, tape: &Tape) -> Result<(), Vec<Violation>> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        if validator.is_valid(tape.into()) {
            return Ok(());
        }
        let mut violations = Vec::new();
        for error in validator.iter_errors(tape.into()) {
            words::violations(&error, &mut violations);
            if violations.len() >= VIOLATIONS_MAX {
                violations.truncate(VIOLATIONS_MAX);
                break;
            }
        }
        Err(violations)
    }
}

impl SchemaProblem {
    fn new(code: &'static Code, pointer: &str, message: impl Into<String>) -> Self {
        Self {
            document: None,
            pointer: pointer.to_owned(),
            code,
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Whether `value` has no keyword that could refuse anything.
fn accepts_all(value: &Value) -> bool {
    match value {
        Value::Bool(answer) => *answer,
        Value::Object(keywords) => keywords
            .keys()
            .all(|keyword| walk::ANNOTATIONS.contains(&&**keyword)),
        _ => false,
    }
}

/// What the metaschema says of `value`, where nothing has been said yet.
fn add_metaschema_problems(value: &Value, problems: &mut Vec<SchemaProblem>) {
    let Ok(metaschema) = jsonschema::meta::validator_for(value) else {
        return;
    };
    let mut violations = Vec::new();
    for error in metaschema.iter_errors(value).take(VIOLATIONS_MAX) {
        words::violations(&error, &mut violations);
    }
    for violation in violations {
        let known = problems.iter().any(|problem| {
            problem.document.is_none() && problem.pointer.starts_with(&violation.path)
                || violation.path.starts_with(&problem.pointer)
        });
        if !known {
            let what = match violation.path.as_str() {
                "" => "the schema".to_owned(),
                path => format!("`{path}`"),
            };
            let message = format!("{what} {}", violation.message);
            let mut problem = SchemaProblem::new(&codes::INVALID, &violation.path, message);
            problem.help = repair(value.pointer(&violation.path), &violation);
            problems.push(problem);
        }
    }
}

/// What to write instead of `found`, where that can be told.
fn repair(found: Option<&Value>, violation: &Violation) -> Option<String> {
    let found = found?;
    let due = violation.message.as_str();
    match found {
        Value::String(_) | Value::Number(_) if due.contains("an array") => {
            Some(format!("write a list: `[{}]`", words::bounded(found)))
        }
        Value::String(text) if due.contains("integer") || due.contains("number") => text
            .parse::<f64>()
            .ok()
            .map(|number| format!("write `{number}`, without quotes")),
        Value::Array(_) if violation.path.ends_with("/items") => {
            Some("write `prefixItems` for a list with one schema for each place".to_owned())
        }
        Value::Bool(_) if violation.path.ends_with("/required") => Some(
            "`required` stands beside `properties` and lists the names: `required: [text]`"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
