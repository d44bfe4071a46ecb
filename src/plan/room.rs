//! `rooms`: kinds of rooms and what holds in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{CountLimit, HttpCall, Message, RoomWebhooks, TokenKeys};
use crate::rule::{Expression, Label, Rule};
use crate::schema::Schema;
use crate::vocab::{AudienceSet, MessageName, Pattern};

/// A declared pattern of rooms.
#[derive(Debug)]
pub struct RoomKind {
    /// Its number among the kinds of rooms.
    pub index: usize,
    /// The names of its rooms.
    pub pattern: Pattern,
    /// What the parameters of the name must look like.
    pub parameters: Vec<(Arc<str>, Arc<Schema>)>,
    /// Who may join.
    pub may_join: MayJoin,
    /// Groups of readers, by their number in an [`AudienceSet`].
    pub audiences: Vec<Audience>,
    /// The message types that it takes, with its overrides.
    pub messages: HashMap<MessageName, Arc<Message>>,
    /// Who is here, where that is told.
    pub presence: Presence,
    /// What is kept of its messages.
    pub history: Option<History>,
    /// What is kept for an absent owner.
    pub inbox: Option<Inbox>,
    /// Users at a time.
    pub users: CountLimit,
    /// For how long idempotency keys are remembered.
    pub idempotency_window: Duration,
    /// How many idempotency keys one room remembers; the oldest goes first.
    pub idempotency_keys_max: usize,
    /// Who is told what happens.
    pub webhooks: RoomWebhooks,
}

impl RoomKind {
    /// Its audiences of these names.
    ///
    /// # Errors
    /// It has none of one of the names, in words.
    pub fn audiences_named<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<AudienceSet, String> {
        let named = |name: &str| {
            let mut audiences = self.audiences.iter();
            let number = audiences.position(|audience| *audience.name == *name);
            number.and_then(AudienceSet::of).ok_or_else(|| {
                let shown: String = name.chars().take(64).collect();
                format!("the room has no audience `{shown}`")
            })
        };
        names.into_iter().map(named).collect()
    }
}

/// Who may join.
#[derive(Debug)]
pub enum MayJoin {
    /// Whom this rule lets in.
    Rule(Arc<Rule>),
    /// Whom the application lets in.
    Http {
        /// How it is asked.
        call: HttpCall,
        /// Where that is written.
        label: Arc<Label>,
    },
    /// Who has a signed token.
    Token {
        /// What it has to be signed with.
        keys: TokenKeys,
        /// Where that is written.
        label: Arc<Label>,
    },
}

impl MayJoin {
    /// Where it is written; none for rules that are in no file.
    pub fn label(&self) -> Option<&Arc<Label>> {
        match self {
            Self::Rule(rule) => rule.label(),
            Self::Http { label, .. } | Self::Token { label, .. } => Some(label),
        }
    }
}

/// Readers of a room whom some of its messages are for.
#[derive(Debug)]
pub struct Audience {
    /// Its name.
    pub name: Box<str>,
    /// Who is of it: sees what `may_join` sees, and is evaluated when somebody joins.
    pub rule: Arc<Rule>,
}

/// `presence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Whether clients may ask for the members.
    pub members: bool,
    /// How long a user whose last connection broke still counts.
    pub grace: Duration,
    /// The frame that says that a user came.
    pub joined: Option<MessageName>,
    /// The frame that says that a user went.
    pub left: Option<MessageName>,
    /// The frame that gives the newcomer everyone.
    pub present: Option<MessageName>,
    /// Whether the newcomer hears of itself too.
    pub announce_to: AnnounceTo,
}

/// Who hears that a user came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceTo {
    /// The other users.
    Others,
    /// Everyone.
    Room,
}

/// `history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Messages at most.
    pub messages_max: usize,
    /// How long they are kept.
    pub age: Duration,
    /// How many a newcomer gets.
    pub replay_on_join: usize,
}

/// `inbox`.
#[derive(Debug)]
pub struct Inbox {
    /// The id of the user whose inbox it is; sees `params`.
    pub owner: Arc<Expression>,
    /// What takes a message out.
    pub receipt: Receipt,
    /// Messages at most; the oldest goes first.
    pub messages_max: usize,
    /// How long they are kept.
    pub age: Duration,
}

/// What takes a message out of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// One of the owner's connections says `received`.
    User,
    /// Each device says `received`.
    Device,
    /// It was written to a connection of the owner.
    OnWrite,
}
