//! Handshakes that succeed, and those that are refused.

use std::error::Error;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message};
use trunkline::protocol::websocket::{Masking, encode_text};
use trunkline::transport::acceptor::RequestLimits;

use crate::echo;

type Outcome = Result<(), Box<dyn Error>>;

pub(crate) const HANDSHAKE: &str = "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn another_implementation_talks_to_it() -> Outcome {
    let address = echo::serve(RequestLimits::default())?;
    let uri = format!("ws://{address}/echo");
    let (mut client, response) = ClientBuilder::new().uri(&uri)?.connect().await?;
    assert_eq!(response.status(), 101);
    let long = "ä".repeat(30_000);
    for text in ["hello", "", &long] {
        client.send(Message::text(text.to_owned())).await?;
        let answer = client.next().await.ok_or("closed")??;
        assert_eq!(answer.as_text(), Some(text));
    }
    for len in [0, 125, 126, 60_000] {
        client.send(Message::binary(vec![7; len])).await?;
        let answer = client.next().await.ok_or("closed")??;
        assert!(answer.is_binary() && answer.as_payload()[..] == vec![7; len]);
    }
    client.send(Message::ping("p")).await?;
    let pong = client.next().await.ok_or("closed")??;
    assert!(pong.is_pong() && &pong.as_payload()[..] == b"p");
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_too_large_closes_with_1009() -> Outcome {
    let address = echo::serve(RequestLimits::default())?;
    let (mut client, _) = ClientBuilder::new()
        .uri(&format!("ws://{address}/echo"))?
        .connect()
        .await?;
    client.send(Message::binary(vec![0; 64 * 1024 + 1])).await?;
    let close = client.next().await.ok_or("closed")??;
    let (code, reason) = close.as_close().ok_or("not a close frame")?;
    assert_eq!(
        (u16::from(code), reason),
        (
            1009,
            "a message of at least 65537 bytes is over the limit of 65536"
        )
    );
    Ok(())
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_not_lost() -> Outcome {
    let address = echo::serve(RequestLimits::default())?;
    let mut client = TcpStream::connect(address).await?;
    let mut bytes = HANDSHAKE.as_bytes().to_vec();
    let message = encode_text("early", Masking::Key([9, 8, 7, 6]));
    // A whole message and the start of the next, whose rest comes later.
    bytes.extend_from_slice(&message);
    bytes.extend_from_slice(&message[..8]);
    client.write_all(&bytes).await?;
    let head = read_until(&mut client, b"\x81\x05early").await?;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.to_ascii_lowercase()
            .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{head}"
    );
    client.write_all(&message[8..]).await?;
    read_until(&mut client, b"\x81\x05early").await?;
    Ok(())
}

#[tokio::test]
async fn refusals_say_what_would_be_right() -> Outcome {
    let address = echo::serve(RequestLimits::default())?;
    let table: &[(&str, &str, &[&str])] = &[
        ("Host: h", "Host: h", &["HTTP/1.1 101 "]),
        ("GET ", "POST ", &["HTTP/1.1 405 ", "allow: get"]),
        ("HTTP/1.1", "HTTP/1.0", &["HTTP/1.0 505 "]),
        (
            "Upgrade: WebSocket",
            "Upgrade: h2c",
            &["HTTP/1.1 426 ", "upgrade: websocket"],
        ),
        (
            "keep-alive, Upgrade",
            "keep-alive",
            &["HTTP/1.1 426 ", "upgrade: websocket"],
        ),
        (
            "Version: 13",
            "Version: 8",
            &["HTTP/1.1 426 ", "sec-websocket-version: 13"],
        ),
        (
            "jZQ==",
            "jZQ",
            &["HTTP/1.1 400 ", "sec-websocket-key has to be"],
        ),
        (
            "Host: h",
            "Host: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            &["HTTP/1.1 400 "],
        ),
        (
            "Host: h",
            "Host: h\r\nContent-Length: 5",
            &["HTTP/1.1 400 ", "no body"],
        ),
        (
            "Host: h",
            "Host: h\r\nTransfer-Encoding: chunked",
            &["HTTP/1.1 400 ", "no body"],
        ),
    ];
    for (right, wrong, expected) in table {
        let answer = ask(address, &HANDSHAKE.replace(right, wrong)).await?;
        assert!(answer.starts_with(expected[0]), "{wrong}: {answer}");
        for text in &expected[1..] {
            assert!(
                answer.to_ascii_lowercase().contains(text),
                "{wrong}: {answer}"
            );
        }
    }
    Ok(())
}

/// The answer up to the end of its head, and of its body if there is one.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Result<String, Box<dyn Error>> {
    let mut client = TcpStream::connect(address).await?;
    client.write_all(request.as_bytes()).await?;
    client.shutdown().await?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Reads until the end of what has come is `end`, and returns what was before.
async fn read_until(client: &mut TcpStream, end: &[u8]) -> Result<String, Box<dyn Error>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(format!("closed after {:?}", bytes.escape_ascii().to_string()).into());
        }
    }
    bytes.truncate(bytes.len() - end.len());
    Ok(String::from_utf8(bytes)?)
}
