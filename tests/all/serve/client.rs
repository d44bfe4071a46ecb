//! Requests over HTTP and clients of endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

/// How long anything may take that has to come.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What a client may speak over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for S {}

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Response {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) async fn write_head(
    stream: &mut impl Wire,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost:8000\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
}

pub(super) async fn read_response(stream: &mut impl Wire) -> Response {
    let read = async {
        let (status, headers) = read_head(stream).await;
        read_body(stream, status, headers).await
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .expect("an answer")
}

async fn read_body(
    stream: &mut impl Wire,
    status: u16,
    headers: BTreeMap<String, String>,
) -> Response {
    let mut body = Vec::new();
    match headers.get("content-length") {
        _ if status == 204 => {}
        Some(length) => {
            body.resize(length.parse().expect("a number"), 0);
            stream.read_exact(&mut body).await.expect("the body");
        }
        None => {
            stream.read_to_end(&mut body).await.expect("the body");
        }
    }
    Response {
        status,
        headers,
        body: String::from_utf8(body).expect("UTF-8"),
    }
}

/// Byte by byte, so that nothing of what follows is taken.
pub(super) async fn read_head(stream: &mut impl Wire) -> (u16, BTreeMap<String, String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("UTF-8");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let status = status.and_then(|status| status.parse().ok());
    (status.expect("a status"), headers)
}

/// Asks for an upgrade on `stream`.
pub(super) async fn upgrade<S: Wire>(
    mut stream: S,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Client<S>, Response> {
    let own = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    write_head(&mut stream, "GET", path, &[&own[..], headers].concat()).await;
    let head = tokio::time::timeout(DEADLINE, read_head(&mut stream)).await;
    let (status, headers) = head.expect("an answer");
    if status != 101 {
        let body = read_body(&mut stream, status, headers);
        return Err(tokio::time::timeout(DEADLINE, body)
            .await
            .expect("an answer"));
    }
    let socket = ClientBuilder::new()
        .limits(Limits::unlimited())
        .take_over(stream);
    Ok(Client { socket, headers })
}

/// A client of an endpoint.
pub(super) struct Client<S = TcpStream> {
    socket: WebSocketStream<S>,
    /// The headers of the handshake's answer.
    pub(super) headers: BTreeMap<String, String>,
}

/// What a client gets.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    /// The code and reason of the close frame; 1006 where the connection broke.
    Closed(u16, String),
}

impl<S: Wire> Client<S> {
    pub(super) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(super) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text.to_owned())).await;
    }

    pub(super) async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.expect("it is taken");
    }

    /// Sends several frames in one write.
    pub(super) async fn send_together(&mut self, frames: &[Value]) {
        for frame in frames {
            let message = Message::text(frame.to_string());
            self.socket.feed(message).await.expect("it is taken");
        }
        self.socket.flush().await.expect("it is taken");
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Incoming {
        let next = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        match next.expect("something comes") {
            Some(Ok(message)) => match message.as_close() {
                Some((code, reason)) => {
                    // Answering takes another turn.
                    let _ = tokio::time::timeout(DEADLINE, self.socket.next()).await;
                    Incoming::Closed(code.into(), reason.to_owned())
                }
                None if message.is_ping() => Incoming::Ping,
                None => match message.as_text() {
                    Some(text) => Incoming::Text(text.to_owned()),
                    None => Incoming::Binary(message.into_payload().to_vec()),
                },
            },
            Some(Err(_)) | None => Incoming::Closed(1006, String::new()),
        }
    }

    /// The text that comes next, pings aside.
    pub(super) async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Incoming::Text(text) => return text,
                Incoming::Ping => {}
                other => panic!("no text but {other:?}"),
            }
        }
    }

    /// The frame that comes next.
    pub(super) async fn frame(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The frame that comes next, which has to have what `expected` has; `"$absent"` stands for no member.
    pub(super) async fn expect(&mut self, expected: Value) -> Value {
        let frame = self.frame().await;
        assert!(fits(&frame, &expected), "not {expected}\nbut {frame}");
        frame
    }

    /// Sends `frame` and expects what comes next.
    pub(super) async fn ask(&mut self, frame: Value, expected: Value) -> Value {
        self.send(frame).await;
        self.expect(expected).await
    }

    /// The end that comes, after whatever else.
    pub(super) async fn end(&mut self) -> (u16, String) {
        loop {
            if let Incoming::Closed(code, reason) = self.next().await {
                return (code, reason);
            }
        }
    }

    /// Nothing but the end comes, with `code`; its reason.
    pub(super) async fn expect_close(&mut self, code: u16) -> String {
        loop {
            match self.next().await {
                Incoming::Closed(found, reason) => {
                    assert_eq!(found, code, "{reason}");
                    return reason;
                }
                Incoming::Ping => {}
                other => panic!("not {code} but {other:?}"),
            }
        }
    }

    /// Leaves with a close frame and waits for the server's.
    pub(super) async fn close(mut self) {
        let close = Message::close(None, "");
        // It may be closing already.
        let _ = self.socket.send(close).await;
        self.end().await;
    }
}

/// Whether `found` has everything that `expected` has. Lists are compared item by item, and as long.
pub(super) fn fits(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected
                .iter()
                .all(|(name, expected)| match found.get(name) {
                    Some(found) => fits(found, expected),
                    None => *expected == "$absent",
                })
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(found, expected)| fits(found, expected))
        }
        _ => found == expected,
    }
}
