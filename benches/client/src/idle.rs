//! What an idle connection costs the server in memory.

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

    // One connection first: what a server sets up once is not the cost of a connection.
    let first = Crowd::connect(address, &[path_of(path, count)], ready)?;
    let (anonymous_before, shared_before) = server.memory()?;
    let paths: Vec<_> = (0..count).map(|number| path_of(path, number)).collect();
    let crowd = Crowd::connect(address, &paths, ready)?;
    let (anonymous, shared) = server.memory()?;
    let per_connection = |before: u64, after: u64| {
        after.saturating_sub(before) as f64 / crowd.connections.len() as f64
    };
    drop(first);
    Ok(format!(
        r#"{{"connections":{count},"rss_anon_before":{anonymous_before},"rss_anon_after":{anonymous},"bytes_per_connection":{:.0},"shared_bytes_per_connection":{:.0}}}"#,
        per_connection(anonymous_before, anonymous),
        per_connection(shared_before, shared),
    ))
}

fn path_of(path: &str, number: usize) -> String {
    path.replace("{connection}", &number.to_string())
        .replace("{room}", &number.to_string())
}
