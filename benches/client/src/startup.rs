//! The time from exec to the first connection that is accepted.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;

const DEADLINE: Duration = Duration::from_secs(20);

pub fn run(arguments: &Arguments) -> Result<String, String> {
    let address: SocketAddr = arguments.required("address")?;
    let runs: usize = arguments.value("runs", 20)?;
    let mut times: Vec<f64> = (0..runs)
        .map(|_| start_once(address, &arguments.command))
        .collect::<Result<_, _>>()?;
    times.sort_by(f64::total_cmp);
    let (first, last) = (
        times.first().ok_or("--runs is 0")?,
        times.last().ok_or("--runs is 0")?,
    );
    Ok(format!(
        r#"{{"runs":{runs},"median_ms":{:.2},"min_ms":{first:.2},"max_ms":{last:.2}}}"#,
        times[runs / 2]
    ))
}

fn start_once(address: SocketAddr, command: &[String]) -> Result<f64, String> {
    if TcpStream::connect(address).is_ok() {
        return Err(format!("something listens on {address} already"));
    }
    let (program, rest) = command.split_first().ok_or("no command after --")?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(rest)
        .env("PORT", address.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let outcome = loop {
        if TcpStream::connect(address).is_ok() {
            break Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        if let Ok(Some(status)) = child.try_wait() {
            break Err(format!("{program} ended with {status} before it listened"));
        }
        if begun.elapsed() > DEADLINE {
            break Err(format!(
                "{program} does not listen on {address} after {DEADLINE:?}"
            ));
        }
        std::thread::yield_now();
    };
    // SIGKILL: how it stops is not what is measured here.
    let _ = child.kill();
    let _ = child.wait();
    outcome
}
