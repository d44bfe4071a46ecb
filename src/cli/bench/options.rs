//! What all shapes of load have in common.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::cli::bench::duration;
use crate::loadgen::{
    BenchError, Dialect, Extent, MARKER_BYTES, Order, Pace, Profile, Span, Target, Template,
    Watched,
};
use crate::vocab::Secret;

/// The window of rooms, where none is named: as many as keep a server busy, few enough that nobody's queue runs over.
const WINDOW: NonZeroU32 = NonZeroU32::new(64).expect("not zero");
/// The largest marker, in bytes.
const SIZE_MAX: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where connections go: ws://HOST[:PORT]/PATH, with numbers for {room} and for an n in braces
    url: String,
    /// How long messages are sent (in storm: before the crowd breaks away, and after it is back)
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(super) duration: Duration,
    /// How many messages are sent, or handshakes made, instead
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    messages: Option<u64>,
    /// How long before anything is counted
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    warmup: Duration,
    /// Messages in flight: over all rooms (64), or on each connection (1 in echo)
    #[arg(long, value_name = "N")]
    window: Option<NonZeroU32>,
    /// Messages a second whatever becomes of them; latency counts from when each was due
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "window")]
    rate: Option<f64>,
    /// The bytes of the marker that stands for {} in a message
    #[arg(long, value_name = "B", default_value = "64", value_parser = size)]
    size: usize,
    /// For any WebSocket server: frames as they are given, no welcome is waited for
    #[arg(long)]
    raw: bool,
    /// The type of the message that is published
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "message",
        conflicts_with = "raw"
    )]
    message_type: String,
    /// Its data, with {} for the marker
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = r#"{"text":"{}"}"#,
        conflicts_with = "raw"
    )]
    data: String,
    /// The whole message instead, with {} for the marker and the same numbers as in URL
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["message_type", "data"])]
    message: Option<String>,
    /// Where publishers connect, if not to URL
    #[arg(long, value_name = "URL")]
    publish_url: Option<String>,
    /// A frame that is sent after the handshake, with the same numbers as in URL; repeatable
    #[arg(long = "hello", value_name = "TEXT")]
    hellos: Vec<String>,
    /// A connection is ready when a frame that contains this has come
    #[arg(long, value_name = "TEXT")]
    ready: Option<String>,
    /// A frame that is answered, and its answer, repeatable: `2=3` for Socket.IO
    #[arg(long = "reply", value_name = "PING=PONG", value_parser = pair)]
    replies: Vec<(Box<str>, Box<str>)>,
    /// A further header of the handshake, repeatable
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(Box<str>, Box<str>)>,
    /// Sent as `Authorization: Bearer`
    #[arg(long, value_name = "TOKEN", value_parser = token)]
    token: Option<Secret>,
    /// How many of a hundred readers stop reading once they are ready
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = clap::value_parser!(u8).range(0..100))]
    stalled: u8,
    /// The server's process, on this machine: its processor time and memory are looked at
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The processes that it has started count too
    #[arg(long, requires = "pid")]
    children: bool,
    /// How long nothing may come before the run gives up
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    deadline: Duration,
    /// Decides what is random
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// One JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

impl Options {
    /// What a run has to know.
    pub(super) fn order(&self, profile: Profile) -> Result<Order, BenchError> {
        let span = match self.messages {
            Some(messages) => Span::Messages(messages),
            None => Span::Duration(self.duration),
        };
        let publish = self.publish_url.as_deref().map(Target::parse).transpose()?;
        let extent = if self.children {
            Extent::Children
        } else {
            Extent::Process
        };
        Ok(Order {
            profile,
            target: Target::parse(&self.url)?,
            publish,
            dialect: self.dialect(),
            message: Template::message(&self.template())?,
            marker_bytes: self.size,
            pace: self.pace(profile),
            warmup: self.warmup,
            span,
            patience: self.deadline,
            stalled_percent: self.stalled,
            server: self.pid.map(|pid| Watched { pid, extent }),
            seed: self.seed.unwrap_or_else(random),
        })
    }

    fn dialect(&self) -> Dialect {
        let mut dialect = if self.raw {
            Dialect::raw()
        } else {
            Dialect::trunkline()
        };
        dialect.hellos = self
            .hellos
            .iter()
            .map(|text| Template::text(text))
            .collect();
        if let Some(ready) = &self.ready {
            dialect.ready = Some(ready.as_str().into());
        }
        dialect.replies.extend_from_slice(&self.replies);
        dialect.headers.clone_from(&self.headers);
        dialect.token.clone_from(&self.token);
        dialect
    }

    fn template(&self) -> String {
        match &self.message {
            Some(message) => message.clone(),
            None if self.raw => "{}".to_owned(),
            None => {
                let message_type = serde_json::Value::from(self.message_type.as_str());
                format!(r#"{{"type":{message_type},"data":{}}}"#, self.data)
            }
        }
    }

    fn pace(&self, profile: Profile) -> Pace {
        match (self.rate, self.window, profile) {
            (Some(rate), ..) => Pace::Rate(rate),
            (None, Some(window), _) => Pace::Window(window),
            (None, None, Profile::Storm { busy, .. }) => Pace::Rate(busy as f64),
            (None, None, Profile::Echo { .. }) => Pace::Window(NonZeroU32::MIN),
            (None, None, _) => Pace::Window(WINDOW),
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness runs are still runs; only their markers are the same.
    let _ = getrandom::fill(&mut bytes);
    u64::from_be_bytes(bytes)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        _ => Err("write messages a second, for example 500".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ MARKER_BYTES..=SIZE_MAX) => Ok(size),
        _ => Err(format!(
            "write a number of bytes from {MARKER_BYTES}, what a marker takes at least, to {SIZE_MAX}"
        )),
    }
}

fn pair(text: &str) -> Result<(Box<str>, Box<str>), String> {
    match text.split_once('=') {
        Some((ping, pong)) if !ping.is_empty() => Ok((ping.into(), pong.into())),
        _ => Err("write PING=PONG".to_owned()),
    }
}

/// The headers that a handshake has anyway (RFC 6455 §4.1).
const OWN_HEADERS: [&str; 5] = [
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
];

fn header(text: &str) -> Result<(Box<str>, Box<str>), String> {
    let wrong = || "write `Name: value`".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let value = value.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_name) || value.chars().any(char::is_control) {
        return Err(wrong());
    }
    if OWN_HEADERS.contains(&&*name.to_ascii_lowercase()) {
        return Err(format!("`{name}` belongs to the handshake itself"));
    }
    Ok((name.into(), value.into()))
}

fn token(text: &str) -> Result<Secret, String> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("a token is one word".to_owned());
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Options, header, pair, rate, size};
    use crate::loadgen::{Dialect, Pace, Profile, Span};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Result<Options, String> {
        let line = [&["bench", "ws://a/{room}"], arguments].concat();
        let parsed = Line::try_parse_from(line);
        parsed
            .map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn messages_are_made_of_templates() {
        for (arguments, expected) in [
            (&[][..], r#"{"type":"message","data":{"text":"{}"}}"#),
            (
                &["--type", "chat", "--data", r#""{}""#],
                r#"{"type":"chat","data":"{}"}"#,
            ),
            (&["--raw"], "{}"),
            (&["--raw", "--message", "42[{}]"], "42[{}]"),
        ] {
            assert_eq!(options(arguments).expect("they fit").template(), expected);
        }
        for arguments in [
            &["--raw", "--type", "x"][..],
            &["--message", "{}", "--data", "{}"],
            &["--window", "1", "--rate", "2"],
            &["--messages", "1", "--duration", "2s"],
            &["--stalled", "100"],
            &["--children"],
            &["--window", "0"],
            &["--token", "a b"],
        ] {
            assert!(options(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn an_order_says_what_was_asked_for() {
        let echo = Profile::Echo { connections: 3 };
        let order = options(&[])
            .expect("they fit")
            .order(echo)
            .expect("it is one");
        assert!(matches!(order.pace, Pace::Window(one) if one.get() == 1));
        assert!(order.dialect.ready.is_some() && order.server.is_none());
        let arguments = [
            "--raw",
            "--messages",
            "5",
            "--rate",
            "2.5",
            "--hello",
            "40",
            "--reply",
            "2=3",
            "--ready",
            "sid",
            "--token",
            "hidden",
            "--seed",
            "7",
        ];
        let options = options(&arguments).expect("they fit");
        assert!(!format!("{options:?}").contains("hidden"));
        let order = options.order(echo).expect("it is one");
        assert_eq!(
            (order.span, order.pace, order.seed),
            (Span::Messages(5), Pace::Rate(2.5), 7)
        );
        let Dialect {
            hellos,
            ready,
            replies,
            refusal,
            ..
        } = order.dialect;
        assert_eq!(
            (hellos.len(), ready.as_deref(), refusal),
            (1, Some("sid"), None)
        );
        assert_eq!(replies, [("2".into(), "3".into())]);
    }

    #[test]
    fn single_options() {
        assert_eq!(header("X-A:  b: c "), Ok(("X-A".into(), "b: c".into())));
        for text in [
            "",
            "a",
            ": b",
            "a b: c",
            "a: b\r\nc: d",
            "Host: x",
            "upgrade: y",
        ] {
            assert!(header(text).is_err(), "{text:?}");
        }
        assert_eq!(pair("2=3=4"), Ok(("2".into(), "3=4".into())));
        assert!(pair("=3").is_err() && pair("2").is_err());
        assert!(rate("0").is_err() && rate("-1").is_err() && rate("NaN").is_err());
        assert!(size("28").is_err() && size("29").is_ok());
    }
}
