//! What a handshake costs the server in processor time: so many connections one after the other, a hundred under way at once.

use crate::arguments::Arguments;
use crate::connection::State;
use crate::crowd::Crowd;
use crate::process::Process;

pub fn run(arguments: &Arguments) -> Result<String, String> {
    let address = arguments.required("address")?;
    let count: usize = arguments.value("connections", 15_000)?;
    let server = Process::new(arguments.required("pid")?);
    let path = arguments.text("path")?;
    let ready = if arguments.optional("ready") == Some("frame") {
        State::Greeted
    } else {
        State::Open
    };
    let tokens = match arguments.optional("tokens") {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        None => String::new(),
    };
    let tokens: Vec<&str> = tokens.lines().collect();
    let path_of = |number: usize| {
        let token = tokens.get(number % tokens.len().max(1));
        path.replace("{token}", token.copied().unwrap_or_default())
            .replace("{room}", &number.to_string())
    };
    // Some first: what a server sets up once is not the cost of a handshake.
    let warm: Vec<_> = (0..count / 10).map(path_of).collect();
    drop(Crowd::connect(address, &warm, ready)?);
    std::thread::sleep(std::time::Duration::from_secs(1));

    let paths: Vec<_> = (0..count).map(path_of).collect();
    let before = server.cost()?.cpu_seconds;
    let crowd = Crowd::connect(address, &paths, ready)?;
    let opened = server.cost()?.cpu_seconds;
    drop(crowd);
    // Both servers notice within milliseconds; what is left of the second is idle.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let closed = server.cost()?.cpu_seconds;
    let micros = |from: f64, to: f64| (to - from) * 1e6 / count as f64;
    Ok(format!(
        r#"{{"connections":{count},"cpu_us_per_handshake":{:.1},"cpu_us_per_close":{:.1}}}"#,
        micros(before, opened),
        micros(opened, closed),
    ))
}
