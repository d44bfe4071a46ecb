//! What an inquiry found: step by step, each with its rule and the values that it saw.

use serde_json::{Map, Value, json};

use crate::plan::Line;
use crate::rule::{self, Answer};

/// Whether a step lets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Passed,
    /// It does not.
    Refused,
    /// It depends on what could not be told.
    Unknown,
}

/// One question on the way and its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which question: a word for programs.
    pub name: &'static str,
    /// What it was asked about: a path, a room, a message type.
    pub subject: String,
    /// The answer.
    pub verdict: Verdict,
    /// The rule that answered, as it is written.
    pub rule: Option<Box<str>>,
    /// How it came to its answer.
    pub account: Option<rule::Account>,
    /// Where in the file the answer comes from.
    pub line: Option<Line>,
    /// The code that a client is refused with.
    pub code: Option<&'static str>,
    /// The HTTP status that a handshake is refused with.
    pub status: Option<u16>,
    /// More, in a sentence.
    pub detail: Option<String>,
}

/// All steps, up to the first that refuses.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The steps, in the order in which the server takes them.
    pub steps: Vec<Step>,
}

impl Step {
    /// The step `name` about `subject`, passed for want of objections.
    pub fn new(name: &'static str, subject: impl Into<String>) -> Self {
        Self {
            name,
            subject: subject.into(),
            verdict: Verdict::Passed,
            rule: None,
            account: None,
            line: None,
            code: None,
            status: None,
            detail: None,
        }
    }

    /// With more to say.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With another answer.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Refused with an HTTP status.
    #[must_use]
    pub fn refused_with(mut self, status: u16) -> Self {
        self.verdict = Verdict::Refused;
        self.status = Some(status);
        self
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("step".to_owned(), self.name.into());
        if !self.subject.is_empty() {
            json.insert("subject".to_owned(), self.subject.as_str().into());
        }
        json.insert("passed".to_owned(), passed(self.verdict));
        if let Some(rule) = &self.rule {
            json.insert("rule".to_owned(), (**rule).into());
        }
        if let Some(account) = &self.account {
            tell(account, &mut json);
        }
        if let Some(line) = &self.line {
            json.insert("file".to_owned(), (*line.file).into());
            json.insert("line".to_owned(), line.number.into());
        }
        if let Some(code) = self.code {
            json.insert("code".to_owned(), code.into());
        }
        if let Some(status) = self.status {
            json.insert("status".to_owned(), status.into());
        }
        if let Some(detail) = &self.detail {
            json.insert("detail".to_owned(), detail.as_str().into());
        }
        Value::Object(json)
    }
}

impl Explanation {
    /// What all steps come to: one that refuses decides, whatever else could not be told.
    pub fn verdict(&self) -> Verdict {
        let any = |verdict| self.steps.iter().any(|step| step.verdict == verdict);
        if any(Verdict::Refused) {
            Verdict::Refused
        } else if any(Verdict::Unknown) {
            Verdict::Unknown
        } else {
            Verdict::Passed
        }
    }

    /// `{allowed, steps: [{step, subject?, passed, rule?, parts?, values?, file?, line?, code?, status?, detail?}]}`; `allowed` and
    /// `passed` are null where it could not be told.
    pub fn to_json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Step::to_json).collect();
        json!({"allowed": passed(self.verdict()), "steps": steps})
    }
}

fn passed(verdict: Verdict) -> Value {
    match verdict {
        Verdict::Passed => true.into(),
        Verdict::Refused => false.into(),
        Verdict::Unknown => Value::Null,
    }
}

fn tell(account: &rule::Account, json: &mut Map<String, Value>) {
    let parts: Vec<Value> = account
        .parts
        .iter()
        .map(|part| {
            let mut json =
                json!({"text": part.text, "says": says(&part.answer), "decides": part.decides});
            if let Answer::Failed(failure) = &part.answer {
                json["failure"] = failure.to_string().into();
            }
            json
        })
        .collect();
    if !parts.is_empty() {
        json.insert("parts".to_owned(), parts.into());
    }
    if !account.values.is_empty() {
        let values: Map<String, Value> = account.values.iter().cloned().collect();
        json.insert("values".to_owned(), values.into());
    }
}

fn says(answer: &Answer) -> Value {
    match answer {
        Answer::Yes => true.into(),
        Answer::No | Answer::Failed(_) => false.into(),
        Answer::Unknown => Value::Null,
    }
}
