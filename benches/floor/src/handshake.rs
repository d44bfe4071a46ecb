//! The request that opens a WebSocket, and its answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request longer than this is not a load client's.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// A request that was answered.
pub struct Handshake {
    /// The path, without the query.
    pub path: String,
    /// What to write.
    pub answer: Vec<u8>,
    /// How many bytes the request had.
    pub size: usize,
}

/// The answer to the request at the start of `bytes`; `None` while it is not complete.
///
/// # Errors
/// What is not a WebSocket's handshake.
pub fn answer(bytes: &[u8]) -> Result<Option<Handshake>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > REQUEST_BYTES_MAX {
            Err("the request is too long".to_owned())
        } else {
            Ok(None)
        };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the request is no text")?;
    let mut lines = head.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1));
    let target = target.ok_or("the request has no target")?;
    let key = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim())
        .ok_or("the request has no Sec-WebSocket-Key")?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    );
    Ok(Some(Handshake {
        path: target.split('?').next().unwrap_or_default().to_owned(),
        answer: answer.into_bytes(),
        size: end + 4,
    }))
}

/// RFC 6455, section 4.2.2.
fn accept(key: &str) -> String {
    let mut digest = sha1_smol::Sha1::new();
    digest.update(key.as_bytes());
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.digest().bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_as_the_rfc_has_it() {
        assert_eq!(
            super::accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
