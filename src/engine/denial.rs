//! What rules say no to: logged with the rule and its place, counted by rule.

use crate::decision::Judge;
use crate::engine::Engine;
use crate::rule::{Facts, Failure, Label, Rule};

/// Rules are asked here: what they deny is counted and logged, and so is where they fail.
impl Judge for Engine {
    fn allows(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
        match rule.allows(facts) {
            Ok(true) => true,
            Ok(false) => {
                if let Some(label) = rule.label() {
                    let room = facts.room.map(|room| room.name);
                    self.denied(label, facts.user.map(|user| user.id.as_str()), room);
                }
                false
            }
            Err(failure) => {
                if let Some(label) = rule.label() {
                    self.failed(label, &failure);
                }
                false
            }
        }
    }
}

impl Engine {
    /// What a rule says that opens something and denies nothing; where it fails to evaluate it says no, and the log names it.
    pub(super) fn holds(&self, rule: &Rule, facts: &Facts<'_>) -> bool {
        rule.allows(facts).unwrap_or_else(|failure| {
            if let Some(label) = rule.label() {
                self.failed(label, &failure);
            }
            false
        })
    }

    /// Counts and logs that what stands at `label` said no.
    pub(super) fn denied(&self, label: &Label, user: Option<&str>, room: Option<&str>) {
        if let Some(counter) = self.metrics.denials.get(label.index) {
            counter.inc();
        }
        tracing::debug!(
            rule = &*label.name,
            place = &*label.place,
            text = &*label.text,
            user,
            room,
            "denied"
        );
    }

    fn failed(&self, label: &Label, failure: &Failure) {
        if let Some(counter) = self.metrics.rule_failures.get(label.index) {
            counter.inc();
        }
        tracing::warn!(
            rule = &*label.name,
            place = &*label.place,
            text = &*label.text,
            %failure,
            "a rule could not be evaluated, and so denies"
        );
    }
}
