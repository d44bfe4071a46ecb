//! Clients that hold a connection without asking for anything.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trunkline::transport::acceptor::RequestLimits;

use crate::echo;
use crate::upgrade::{HANDSHAKE, ask};

type Outcome = Result<(), Box<dyn Error>>;

/// Far above the limit in these tests, far below hyper's own 30 seconds.
const PATIENCE: Duration = Duration::from_secs(8);

fn limits() -> RequestLimits {
    let head_timeout = Duration::from_millis(300);
    RequestLimits {
        head_timeout,
        body_timeout: head_timeout,
        ..RequestLimits::default()
    }
}

/// Writes each piece once the time of a piece has passed, and waits for the server to close.
async fn closed_after(pieces: &[&str], pause: Duration) -> Result<String, Box<dyn Error>> {
    let mut client = TcpStream::connect(echo::serve(limits())?).await?;
    let (mut reader, mut writer) = client.split();
    let writing = async {
        for piece in pieces {
            writer.write_all(piece.as_bytes()).await?;
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let mut answer = Vec::new();
    timeout(PATIENCE, async {
        tokio::select! {
            // A reset is as good as an end.
            _ = reader.read_to_end(&mut answer) => {}
            _ = writing => {}
        }
    })
    .await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn one_that_says_nothing() -> Outcome {
    assert_eq!(closed_after(&[], Duration::ZERO).await?, "");
    Ok(())
}

#[tokio::test]
async fn one_that_stops_in_the_middle() -> Outcome {
    closed_after(&["GET /echo HTTP/1.1\r\nHost:"], Duration::ZERO).await?;
    Ok(())
}

#[tokio::test]
async fn one_that_never_stops_saying_little() -> Outcome {
    let mut pieces = vec!["GET /echo HTTP/1.1\r\n"];
    pieces.resize(400, "A: b\r\n");
    closed_after(&pieces, Duration::from_millis(50)).await?;
    Ok(())
}

#[tokio::test]
async fn one_that_keeps_alive_what_it_does_not_use() -> Outcome {
    let answer = closed_after(&["GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"], Duration::ZERO).await?;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
        "{answer}"
    );
    Ok(())
}

#[tokio::test]
async fn one_whose_head_is_too_long() -> Outcome {
    let address = echo::serve(limits())?;
    let longer = format!("Host: h\r\nX-Long: {}", "x".repeat(20_000));
    let answer = ask(address, &HANDSHAKE.replace("Host: h", &longer))
        .await
        .unwrap_or_default();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    Ok(())
}

#[tokio::test]
async fn an_open_websocket_is_left_alone() -> Outcome {
    let mut client = TcpStream::connect(echo::serve(limits())?).await?;
    client.write_all(HANDSHAKE.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(client.read_buf(&mut answer).await?, 0);
    }
    // Silence for three times the limit is what is being tested.
    let silence = timeout(limits().head_timeout * 3, client.read_u8()).await;
    assert!(silence.is_err(), "{silence:?}");
    Ok(())
}
