//! A server that runs out of file descriptors goes on once it has some again. The limit holds for a whole process, so the test
//! runs itself in another.

use std::error::Error;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline::transport::acceptor::RequestLimits;

use crate::echo;

#[test]
fn running_out_of_descriptors_is_survived() -> Result<(), Box<dyn Error>> {
    let output = Command::new("sh")
        .arg("-c")
        .arg("ulimit -n 40 && exec \"$0\" --exact descriptors::within_forty_descriptors --ignored --nocapture")
        .arg(std::env::current_exe()?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[tokio::test]
#[ignore = "run by `running_out_of_descriptors_is_survived`, in a process of its own"]
async fn within_forty_descriptors() -> Result<(), Box<dyn Error>> {
    let address = echo::serve(RequestLimits::default())?;
    let reserve = std::fs::File::open("/dev/null")?;
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(address).await {
        clients.push(client);
    }
    // Both ends are this process: with the very last descriptor a client exists that the server has none left for.
    drop(reserve);
    let last = TcpStream::connect(address).await?;
    // Each of these frees one at once, and its other end soon after.
    clients.truncate(clients.len() - 10);
    let answer = hello(last).await?;
    assert!(answer.ends_with("hello"), "{answer}");
    let again = hello(TcpStream::connect(address).await?).await?;
    assert!(again.ends_with("hello"), "{again}");
    Ok(())
}

/// Leaves its own side open: hyper gives up on who closes it before there is an answer, if it notices in time.
async fn hello(mut client: TcpStream) -> std::io::Result<String> {
    client
        .write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer)
}
