//! The steps of an inquiry as they are taken.

use std::cell::RefCell;

use crate::decision::{Explanation, Judge, Step, Verdict};
use crate::plan::{Clause, Lines, Plan};
use crate::protocol::{Reject, RejectCode};
use crate::rule::{Account, Answer, Facts, Reads, Rule};

/// How refusals are told where the steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// By an HTTP status: a handshake.
    Status,
    /// By an `error` frame with a code.
    Code,
    /// Not at all: what is refused is left out.
    LeftOut,
}

/// Steps, with the lines of the file that they come from.
pub struct Trail<'a> {
    lines: &'a Lines,
    steps: Vec<Step>,
}

/// Asks rules and keeps how the last of them came to its answer. What is unknown lets on, and is said so.
pub struct Witness {
    unknown: Reads,
    heard: RefCell<Option<(Box<str>, Account)>>,
}

impl Judge for Witness {
    fn allows(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
        let (text, account) = told(rule, facts, self.unknown);
        let lets_on = matches!(account.answer, Answer::Yes | Answer::Unknown);
        *self.heard.borrow_mut() = Some((text, account));
        lets_on
    }

    fn holds(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
        rule.account(facts, self.unknown).answer == Answer::Yes
    }
}

/// A rule as it is written, and how it comes to its answer. Of one that the environment has a part in, neither parts nor values
/// are told: they would show that part.
pub(super) fn told(rule: &Rule, facts: &Facts<'_>, unknown: Reads) -> (Box<str>, Account) {
    let account = rule.account(facts, unknown);
    match rule.label() {
        Some(label) if *label.text != *rule.text() => {
            let account = Account {
                parts: Vec::new(),
                values: Vec::new(),
                ..account
            };
            (label.text.clone(), account)
        }
        _ => (rule.text().into(), account),
    }
}

impl<'a> Trail<'a> {
    /// A trail without steps.
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            lines: &plan.lines,
            steps: Vec::new(),
        }
    }

    /// What was found.
    pub fn finish(self) -> Explanation {
        Explanation { steps: self.steps }
    }

    /// Takes a step; none where it refuses.
    pub fn take(&mut self, mut step: Step, clauses: &[Clause]) -> Option<()> {
        step.line = self.line(clauses);
        let lets_on = step.verdict != Verdict::Refused;
        self.steps.push(step);
        lets_on.then_some(())
    }

    /// Takes a step that `ask` decides, which may ask rules through the witness; none where it refuses. `unknown` are the facts
    /// that nobody could tell.
    pub fn ask<T>(
        &mut self,
        step: Step,
        clauses: &[Clause],
        telling: Telling,
        unknown: Reads,
        ask: impl FnOnce(&Witness) -> Result<T, Reject>,
    ) -> Option<T> {
        let (step, answer) = self.judged(step, clauses, telling, unknown, ask);
        self.steps.push(step);
        answer.ok()
    }

    /// Takes a step only where `answer` refuses; none then.
    pub fn demand<T>(
        &mut self,
        step: Step,
        clauses: &[Clause],
        telling: Telling,
        answer: Result<T, Reject>,
    ) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(reject) => self.ask(step, clauses, telling, Reads::default(), |_| Err(reject)),
        }
    }

    fn judged<T>(
        &self,
        mut step: Step,
        clauses: &[Clause],
        telling: Telling,
        unknown: Reads,
        ask: impl FnOnce(&Witness) -> Result<T, Reject>,
    ) -> (Step, Result<T, Reject>) {
        let witness = Witness {
            unknown,
            heard: RefCell::new(None),
        };
        let answer = ask(&witness);
        step.line = self.line(clauses);
        if let Some((rule, account)) = witness.heard.into_inner() {
            step.rule = Some(rule);
            if account.answer == Answer::Unknown && answer.is_ok() {
                step.verdict = Verdict::Unknown;
                step.detail = Some("the rule asks for what only a running server knows".to_owned());
            }
            if let Answer::Failed(failure) = &account.answer {
                step.detail = Some(format!(
                    "the rule could not be evaluated ({failure}), and so denies"
                ));
            }
            step.account = Some(account);
        }
        if let Err(reject) = &answer {
            refuse(&mut step, reject, telling);
        }
        (step, answer)
    }

    fn line(&self, clauses: &[Clause]) -> Option<crate::plan::Line> {
        let written = clauses.iter().find(|clause| self.lines.is_written(clause));
        let clause = written.or(clauses.last())?;
        self.lines.find(clause).cloned()
    }
}

/// The step refuses as `reject` says.
fn refuse(step: &mut Step, reject: &Reject, telling: Telling) {
    step.verdict = match telling {
        Telling::LeftOut => Verdict::Passed,
        Telling::Status | Telling::Code => Verdict::Refused,
    };
    match telling {
        Telling::LeftOut => {}
        Telling::Status => {
            step.status = Some(match reject.code {
                RejectCode::RateLimited => 429,
                _ => 403,
            });
        }
        Telling::Code => step.code = Some(reject.code.as_str()),
    }
    if step.detail.is_none() {
        let violations = reject
            .details
            .as_ref()
            .and_then(|details| details.as_array());
        let violations: Vec<String> = violations
            .into_iter()
            .flatten()
            .filter_map(|violation| {
                let text = |name: &str| violation.get(name).and_then(serde_json::Value::as_str);
                Some(format!("data{} {}", text("path")?, text("message")?))
            })
            .collect();
        step.detail = Some(match violations.as_slice() {
            [] | [_] => reject.message.to_string(),
            several => several.join("; "),
        });
    }
    if telling == Telling::LeftOut {
        let why = step.detail.take().unwrap_or_default();
        step.detail = Some(format!(
            "left out, since it stands under `when_allowed`: {why}"
        ));
    }
}
