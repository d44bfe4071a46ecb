//! What a run is to do: the options of the command line, read and checked.

use std::num::NonZeroU32;
use std::time::Duration;

use memchr::memmem;

use crate::loadgen::BenchError;
use crate::loadgen::process::Watched;
use crate::loadgen::target::Target;
use crate::loadgen::template::Template;
use crate::vocab::Secret;

/// The shape of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One room: a publisher, and readers beside it.
    Fanout {
        /// How many listen.
        readers: usize,
    },
    /// Many rooms, a publisher in each.
    Rooms {
        /// How many rooms.
        rooms: usize,
        /// How many connections in each, the publisher's included.
        members: usize,
    },
    /// Connections that hear what they send.
    Echo {
        /// How many.
        connections: usize,
    },
    /// Connections that do nothing.
    Idle {
        /// How many.
        connections: usize,
        /// How long they are kept before they are counted.
        hold: Duration,
    },
    /// Handshakes, one after the other.
    Churn {
        /// How many are under way at any time.
        concurrency: usize,
    },
    /// A crowd that reconnects at once, beside connections that work.
    Storm {
        /// The crowd.
        clients: usize,
        /// Those that work: each hears what it sends.
        busy: usize,
        /// How long they work before the crowd breaks away, and after it has come back.
        calm: Duration,
    },
}

impl Profile {
    /// As it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout { .. } => "fanout",
            Self::Rooms { .. } => "rooms",
            Self::Echo { .. } => "echo",
            Self::Idle { .. } => "idle",
            Self::Churn { .. } => "churn",
            Self::Storm { .. } => "storm",
        }
    }
}

/// How messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A closed loop: so many messages in flight, over all rooms; in `echo` on each connection.
    Window(NonZeroU32),
    /// An open loop: so many messages a second, whatever becomes of them. Latency counts from when a message was due.
    Rate(f64),
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// After so many messages.
    Messages(u64),
    /// After so long.
    Duration(Duration),
}

/// How to speak to the server.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// Sent after each handshake, in this order.
    pub hellos: Vec<Template>,
    /// A connection is ready when a message that contains this has come; without it, after its handshake.
    pub ready: Option<Box<str>>,
    /// Text messages that are answered, each with its answer.
    pub replies: Vec<(Box<str>, Box<str>)>,
    /// What a message that is refused begins with.
    pub refusal: Option<Box<str>>,
    /// Further headers of each handshake.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}

impl Dialect {
    /// Frames as they are given: for every WebSocket server.
    pub fn raw() -> Self {
        Self {
            hellos: Vec::new(),
            ready: None,
            replies: Vec::new(),
            refusal: None,
            headers: Vec::new(),
            token: None,
        }
    }

    /// trunkline's JSON: `welcome` is waited for, `ping` answered, `error` understood.
    pub fn trunkline() -> Self {
        Self {
            ready: Some(r#""type":"welcome""#.into()),
            replies: vec![(r#"{"type":"ping"}"#.into(), r#"{"type":"pong"}"#.into())],
            refusal: Some(r#"{"type":"error""#.into()),
            ..Self::raw()
        }
    }

    /// What `message` has to be answered with.
    pub(super) fn answer_to(&self, message: &[u8]) -> Option<&str> {
        let found = self
            .replies
            .iter()
            .find(|(ask, _)| ask.as_bytes() == message);
        found.map(|(_, answer)| &**answer)
    }

    /// Whether `message` is what a new connection waits for.
    pub(super) fn is_ready(&self, message: &[u8]) -> bool {
        let ready = self.ready.as_deref().unwrap_or_default();
        memmem::find(message, ready.as_bytes()).is_some()
    }

    /// Whether `message` says that something was refused.
    pub(super) fn is_refusal(&self, message: &[u8]) -> bool {
        let refusal = self.refusal.as_deref();
        refusal.is_some_and(|begin| message.starts_with(begin.as_bytes()))
    }
}

/// All that a run has to know.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its shape.
    pub profile: Profile,
    /// Where connections go.
    pub target: Target,
    /// Where publishers go instead.
    pub publish: Option<Target>,
    /// How to speak there.
    pub dialect: Dialect,
    /// What publishers send.
    pub message: Template,
    /// The bytes of the marker in a message.
    pub marker_bytes: usize,
    /// How they send it.
    pub pace: Pace,
    /// How long they do before anything is counted.
    pub warmup: Duration,
    /// How long they do then.
    pub span: Span,
    /// How long nothing may come before the run is over.
    pub patience: Duration,
    /// How many of a hundred readers stop reading once they are ready.
    pub stalled_percent: u8,
    /// Whose cost is looked at.
    pub server: Option<Watched>,
    /// Decides what is random: masks, and when who failed comes back.
    pub seed: u64,
}

impl Order {
    /// How many connections there are at most, at the same time.
    pub(super) fn connections(&self) -> usize {
        let own_publishers = usize::from(self.publish.is_some());
        match self.profile {
            Profile::Fanout { readers } => readers + 1,
            Profile::Rooms { rooms, members } => rooms * (members + own_publishers),
            Profile::Echo { connections } => connections,
            Profile::Idle { connections, .. } => connections + 1,
            Profile::Churn { concurrency } => concurrency,
            Profile::Storm { clients, busy, .. } => clients + busy,
        }
    }

    /// Rooms have to be told apart by something.
    pub(super) fn check_rooms(&self) -> Result<(), BenchError> {
        let several = matches!(self.profile, Profile::Rooms { rooms, .. } if rooms > 1);
        let apart = self.target.tells_rooms_apart()
            || self.dialect.hellos.iter().any(Template::tells_rooms_apart);
        if several && !apart {
            return Err(BenchError::OneRoom);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn frames_that_a_dialect_knows() {
        let trunkline = Dialect::trunkline();
        let ping = br#"{"type":"ping"}"#;
        assert_eq!(trunkline.answer_to(ping), Some(r#"{"type":"pong"}"#));
        assert_eq!(trunkline.answer_to(b"ping"), None);
        assert!(trunkline.is_ready(br#"{"type":"welcome","protocol":1}"#));
        assert!(!trunkline.is_ready(ping));
        assert!(trunkline.is_refusal(br#"{"type":"error","code":"forbidden"}"#));
        assert!(!trunkline.is_refusal(br#"{"type":"message","data":"error"}"#));
        assert_eq!(Dialect::raw().answer_to(ping), None);
        assert!(!Dialect::raw().is_refusal(br#"{"type":"error"}"#));
    }
}
