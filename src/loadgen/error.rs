//! Why a run could not be.

use std::io;

/// Why nothing could be measured, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The URL is none, or one that is not spoken here.
    #[error("`{url}` cannot be the target: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host's name has no address.
    #[error("cannot find the host `{host}`: {source}")]
    Host {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error(
        "cannot connect to {authority}: {source}; is the server running, and is this its port?"
    )]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The template of messages has no place, or several, for the marker.
    #[error("a message has to have one `{{}}`, where its number goes; this one has {markers}")]
    Message {
        /// How many there are.
        markers: usize,
    },
    /// All rooms would be one.
    #[error(
        "neither the URL nor a --hello has `{{room}}` or `{{n}}` in it, so that all rooms would be the same one"
    )]
    OneRoom,
    /// The process may not have so many connections.
    #[error(
        "{needed} descriptors are needed and {limit} allowed: raise the limit with `ulimit -n {needed}`, or take fewer connections"
    )]
    Descriptors {
        /// One for each connection, and a few.
        needed: usize,
        /// What `ulimit -n` says.
        limit: usize,
    },
    /// The server refused a connection, or ended it, before the run could begin.
    #[error("connection {number} to {url} failed: {ended}")]
    NotConnected {
        /// The connection's number.
        number: usize,
        /// Where it went.
        url: String,
        /// How it ended.
        ended: Ended,
    },
    /// Connections were made, and then nothing happened.
    #[error("{ready} of {wanted} connections were ready, then nothing came for {seconds} s{hint}")]
    NotReady {
        /// Handshakes done and greeted.
        ready: usize,
        /// How many there should have been.
        wanted: usize,
        /// How long was waited.
        seconds: u64,
        /// What could be wrong.
        hint: String,
    },
    /// Not a single handshake succeeded.
    #[error("no handshake succeeded: {ended}")]
    NoHandshake {
        /// How the first one failed.
        ended: Ended,
    },
    /// Messages were sent and none came.
    #[error(
        "{sent} messages were sent, and within {seconds} s none of them came to a reader{hint}"
    )]
    NothingDelivered {
        /// How many were sent.
        sent: u64,
        /// How long was waited.
        seconds: u64,
        /// What the server said instead.
        hint: String,
    },
    /// Without publishers and readers there is nothing to measure.
    #[error("nobody is left to send or to read; the first connection that ended: {ended}")]
    AllGone {
        /// How it ended.
        ended: Ended,
    },
    /// The process that was named cannot be looked at.
    #[error("cannot read {path}: {source}; --pid takes a process on this machine, while it runs")]
    Process {
        /// The file.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something that every run needs.
    #[error("cannot {act}: {source}")]
    System {
        /// What was tried.
        act: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// There was no TCP connection.
    #[error("cannot connect: {0}")]
    Unreachable(io::Error),
    /// The handshake was answered with something else than 101.
    #[error("the handshake was refused with `{status}`{body}")]
    Refused {
        /// The status line.
        status: String,
        /// The body's first line after a colon, where there is one.
        body: String,
    },
    /// The answer to the handshake is no HTTP, or does not fit the request (RFC 6455 §4.1).
    #[error("the answer to the handshake is none: {0}")]
    Handshake(&'static str),
    /// A close frame.
    #[error("the server closed it{0}")]
    Closed(String),
    /// The end of the stream without a close frame.
    #[error("the server ended it without a close frame")]
    Cut,
    /// The framing was broken.
    #[error("the server broke the protocol: {0}")]
    Violation(#[from] crate::protocol::websocket::Violation),
    /// What the kernel said.
    #[error("{0}")]
    Io(io::Error),
    /// It took too long.
    #[error("nothing came in time")]
    Deadline,
}
