//! What the application is shown of a request: what `forward` names, where it comes from and what it asks for.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::auth::{AuthError, Request};
use crate::plan::Forward;

/// What is posted about `request`; nothing where it has none of what `forward` names.
pub(super) fn question(
    forward: &[Forward],
    request: &Request<'_>,
) -> Result<Option<Bytes>, AuthError> {
    let (mut query, mut headers, mut cookies) = (Map::new(), Map::new(), Map::new());
    for part in forward {
        match part {
            Forward::Cookies => {
                for (name, value) in request.cookies() {
                    // The first of a name, as everywhere.
                    cookies.entry(name).or_insert_with(|| value.into());
                }
            }
            Forward::Cookie(name) => {
                if let Some(value) = request.cookie(name) {
                    cookies.insert(name.to_string(), value.into());
                }
            }
            Forward::Header(name) => {
                if let Some(value) = request.whole_header(name)? {
                    headers.insert(name.to_string(), value.into());
                }
            }
            Forward::Query(name) => {
                if let Some(value) = request.query_value(name)? {
                    query.insert(name.to_string(), value.into());
                }
            }
        }
    }
    if query.is_empty() && headers.is_empty() && cookies.is_empty() {
        return Ok(None);
    }
    let path = request.path.iter();
    let path: Map<String, Value> = path
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let question = serde_json::json!({
        "endpoint": request.connection.endpoint,
        "path": path,
        "query": query,
        "headers": headers,
        "cookies": cookies,
        "ip": request.connection.ip.to_string(),
    });
    Ok(Some(question.to_string().into()))
}

/// What is posted about a session: its cookie alone, since the answer holds wherever it is used.
pub(super) fn session_question(cookie: &str, value: &str) -> Bytes {
    let mut cookies = Map::new();
    cookies.insert(cookie.to_owned(), value.into());
    serde_json::json!({ "cookies": cookies }).to_string().into()
}
