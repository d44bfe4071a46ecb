//! Rules: questions that are answered yes or no.

use std::sync::Arc;

use crate::diag::catalogue::rule::NOT_A_CONDITION;
use crate::rule::evaluate::Run;
use crate::rule::node::Node;
use crate::rule::plain::{Plain, Stop};
use crate::rule::sight::Sight;
use crate::rule::{Facts, Failure, Known, Label, Problem, Reads, check, compile};

/// A question that is answered yes or no.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) compiled: Arc<Compiled>,
    label: Option<Arc<Label>>,
}

/// What rules of one text have in common, wherever they stand.
#[derive(Debug)]
pub(super) struct Compiled {
    text: Box<str>,
    node: Node,
    /// What nearly always answers in the node's stead.
    pub(super) plain: Option<Plain>,
    reads: Reads,
}

impl Rule {
    /// Parses and type-checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &str, known: &Known) -> Result<Self, Vec<Problem>> {
        let (node, kind) = compile(text, known)?;
        if !kind.may_be_condition() {
            let whole = text.len() - text.trim_start().len()..text.trim_end().len();
            let message = format!("a rule answers yes or no, and this is {kind}");
            return Err(vec![
                Problem::new(&NOT_A_CONDITION, whole, message)
                    .help("compare it with something, as in `user.id == '7'`"),
            ]);
        }
        let plain = Plain::of(&node);
        let mut reads = node.reads();
        reads.data_tree &= plain.is_none();
        Ok(Self {
            compiled: Arc::new(Compiled {
                text: text.into(),
                reads,
                node,
                plain,
            }),
            label: None,
        })
    }

    /// The same rule in its place.
    #[must_use]
    pub fn labelled(&self, label: Arc<Label>) -> Self {
        Self {
            compiled: self.compiled.clone(),
            label: Some(label),
        }
    }

    /// Where it stands; none for rules that are in no file.
    pub fn label(&self) -> Option<&Arc<Label>> {
        self.label.as_ref()
    }

    /// What it looks at: a fact that it does not may be left out.
    pub fn reads(&self) -> Reads {
        self.compiled.reads
    }

    /// Whether the rule says yes.
    ///
    /// # Errors
    /// It could not be evaluated: that denies, and the log names it.
    pub fn allows(&self, facts: &Facts<'_>) -> Result<bool, Failure> {
        let plain = self.compiled.plain.as_ref();
        match plain.map(|plain| plain.test(&Sight::new(facts))) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(Stop::Fault(fault))) => Err(fault.into()),
            Some(Err(Stop::Handover)) | None => self.allows_generally(facts),
        }
    }

    pub(super) fn allows_generally(&self, facts: &Facts<'_>) -> Result<bool, Failure> {
        Ok(Run::new(facts).test(&self.compiled.node)?)
    }

    /// The answer, where it is the same for all facts. Also of the literals `true` and `false`, which say it on purpose.
    pub fn constant(&self) -> Option<bool> {
        check::truth(&self.compiled.node)
    }

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        &self.compiled.text
    }
}
