//! A message's data on its way: read once, onto a tape that the thread uses again for the next message.

use std::cell::{Cell, OnceCell};

use serde_json::Value;

use crate::plan::{Message, Route};
use crate::rule::{DataFacts, Reads};
use crate::vocab::json::Tape;

/// A tape that has grown beyond this is not kept.
const TAPE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static TAPE: Cell<Tape> = const { Cell::new(Tape::new()) };
}

/// Data that is JSON as it is taken here.
pub(super) struct Data {
    /// What validation looks at.
    tape: Tape,
    /// What expressions look at, and what rules do that are not plain.
    tree: OnceCell<Value>,
}

impl Data {
    /// The thread's tape, with nothing on it.
    pub(super) fn blank() -> Self {
        Self {
            tape: TAPE.take(),
            tree: OnceCell::new(),
        }
    }

    /// Makes what is looked at.
    pub(super) fn prepare(&self, reads: Reads) {
        if reads.data_tree {
            self.facts().tree();
        }
    }

    /// What the data is to be read onto.
    pub(super) const fn tape_mut(&mut self) -> &mut Tape {
        &mut self.tape
    }

    pub(super) const fn tape(&self) -> &Tape {
        &self.tape
    }

    pub(super) const fn facts(&self) -> DataFacts<'_> {
        DataFacts::Tape(self.tape.root(), &self.tree)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let tape = std::mem::take(&mut self.tape);
        if tape.kept_bytes() <= TAPE_BYTES_MAX {
            TAPE.set(tape);
        }
    }
}

/// What the rule and the expressions of a message type ask for.
pub(super) fn reads(message: &Message) -> Reads {
    let allow = message.allow.as_ref().map(|rule| rule.reads());
    let to = match &message.to {
        Route::User(expression) => Some(expression.reads()),
        Route::OtherRoom(template) => Some(template.reads()),
        _ => None,
    };
    let reply = message.reply.as_ref().filter(|reply| !reply.is_data());
    let reply = reply.map(|expression| expression.reads());
    let key = message
        .conflate
        .as_ref()
        .and_then(|conflate| conflate.key.as_ref())
        .map(|key| key.reads());
    [allow, to, reply, key].into_iter().flatten().collect()
}
