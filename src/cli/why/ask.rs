//! The question to a running server.

use std::time::Duration;

use serde_json::Value;

use crate::cli::print;
use crate::plan::HttpUrl;
use crate::webhook::Client;

const PATIENCE: Duration = Duration::from_secs(10);
/// Some hundred steps with their values.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What the server at `url` answers.
///
/// # Errors
/// Why there is no answer.
pub(super) fn server(url: &str, key: Option<&str>, question: String) -> Result<Value, String> {
    let missing =
        "say the server's API key by --key or TRUNKLINE_API_KEY: it needs the scope `read`";
    let key = key.ok_or(missing)?;
    let url = format!("{}/api/why", url.trim_end_matches('/'));
    let url = HttpUrl::parse(&url).map_err(|error| format!("--server: {error}"))?;
    if url.is_exposed() {
        print::err("warning: the key crosses the network in the clear: use https");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let authorization = format!("Bearer {key}");
    let client = Client::new();
    let headers = [("authorization", &*authorization)];
    let answer = client.post(&url, question.into(), &headers, PATIENCE, ANSWER_BYTES_MAX);
    let answer = runtime
        .block_on(answer)
        .map_err(|error| error.to_string())?;
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match (answer.status, body) {
        (200, Some(body)) => Ok(body),
        (status, body) => {
            let detail = body.as_ref().and_then(|body| body.get("detail")?.as_str());
            let detail = detail.unwrap_or("is the HTTP API on there?");
            Err(format!("the server answers {status}: {detail}"))
        }
    }
}
