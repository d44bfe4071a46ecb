//! The opening handshake, from the client's side (RFC 6455 §4.1).

use crate::loadgen::Ended;
use crate::loadgen::order::Dialect;
use crate::protocol::websocket::{ClientKey, VERSION};

/// The longest answer that is read, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// More headers than any server sends.
const HEADERS_MAX: usize = 100;
/// How much of a refusal's body is shown, in characters.
const BODY_SHOWN: usize = 200;

/// What the handshakes of a run have in common.
pub(super) struct Handshake {
    key: ClientKey,
    accept: String,
    /// Header lines after the request's own, the empty line included.
    tail: String,
}

/// What has come of an answer.
pub(super) enum Answer {
    /// Not all of it.
    Partial,
    /// 101; frames begin after so many bytes.
    Open(usize),
}

impl Handshake {
    /// One key for all: who measures need not be protected from caches.
    pub(super) fn new(dialect: &Dialect, nonce: [u8; 16]) -> Self {
        let key = ClientKey::new(nonce);
        let mut tail = String::new();
        for (name, value) in &dialect.headers {
            tail += &format!("{name}: {value}\r\n");
        }
        if let Some(token) = &dialect.token {
            tail += &format!("Authorization: Bearer {}\r\n", token.expose());
        }
        Self {
            accept: key.accept(),
            key,
            tail: tail + "\r\n",
        }
    }

    pub(super) fn request(&self, authority: &str, resource: &str) -> Vec<u8> {
        let Self { key, tail, .. } = self;
        format!(
            "GET {resource} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {VERSION}\r\n{tail}"
        )
        .into_bytes()
    }

    /// Reads the answer as far as it has come.
    ///
    /// # Errors
    /// It is no HTTP, a refusal that has come whole, or a 101 to another request.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Answer, Ended> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let end = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) if bytes.len() < ANSWER_BYTES_MAX => {
                return Ok(Answer::Partial);
            }
            _ => return Err(Ended::Handshake("it is not HTTP")),
        };
        let header = |name: &str| {
            let found = answer
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value.trim_ascii())
        };
        if answer.code == Some(101) {
            return match header("sec-websocket-accept") {
                Some(accept) if accept == self.accept.as_bytes() => Ok(Answer::Open(end)),
                _ => Err(Ended::Handshake(
                    "its Sec-WebSocket-Accept is not for this request",
                )),
            };
        }
        let body = &bytes[end..];
        let length = header("content-length")
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if length.is_some_and(|length: usize| body.len() < length.min(ANSWER_BYTES_MAX - end)) {
            return Ok(Answer::Partial);
        }
        Err(refusal(bytes, body))
    }
}

/// What a refusal says, in one line.
pub(super) fn refusal(answer: &[u8], body: &[u8]) -> Ended {
    let first_line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let shown = line.unwrap_or_default().chars().filter(|c| !c.is_control());
        shown.take(BODY_SHOWN).collect::<String>()
    };
    let body = first_line(body);
    let status = first_line(answer);
    Ended::Refused {
        status: status
            .split_once(' ')
            .map_or(&*status, |(_, rest)| rest)
            .to_owned(),
        body: if body.is_empty() {
            body
        } else {
            format!(": {body}")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Handshake};
    use crate::loadgen::order::Dialect;
    use crate::vocab::Secret;

    fn handshake() -> Handshake {
        let dialect = Dialect {
            headers: vec![("Origin".into(), "http://a".into())],
            token: Some(Secret::new("t")),
            ..Dialect::raw()
        };
        Handshake::new(&dialect, *b"the sample nonce")
    }

    #[test]
    fn the_request_carries_what_was_asked_for() {
        let request = handshake().request("a:1", "/ws?x=1");
        assert_eq!(
            String::from_utf8_lossy(&request),
            "GET /ws?x=1 HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Origin: http://a\r\nAuthorization: Bearer t\r\n\r\n"
        );
    }

    #[test]
    fn answers() {
        let open = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let read = |text: &str| match handshake().read(text.as_bytes()) {
            Ok(Answer::Partial) => "partial".to_owned(),
            Ok(Answer::Open(end)) => format!("open at {end}"),
            Err(ended) => ended.to_string(),
        };
        for end in 0..open.len() {
            assert_eq!(read(&open[..end]), "partial");
        }
        assert_eq!(
            read(&format!("{open}\u{1}")),
            format!("open at {}", open.len())
        );
        let refused = "the handshake was refused with";
        for (answer, expected) in [
            (open.replace("s3p", "S3P"), "the answer to the handshake is none: its Sec-WebSocket-Accept is not for this request".into()),
            ("SSH-2.0-x\r\n".into(), "the answer to the handshake is none: it is not HTTP".into()),
            ("HTTP/1.1 404 Not Found\r\n\r\n".into(), format!("{refused} `404 Not Found`")),
            (
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\n\nno\tkey\nx".into(),
                format!("{refused} `401 Unauthorized`: nokey"),
            ),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nno".into(), "partial".into()),
        ] {
            assert_eq!(read(&answer), expected);
        }
    }
}
