//! The body of a call.

use salvo::Request;
use serde::Deserialize;

use crate::protocol::{Reject, RejectCode, excerpt};
use crate::vocab::json;

/// The longest body of a call, in bytes: a message's data is bounded by its schema and type beside that.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Reads the body as JSON of the form that `shape` tells of.
///
/// # Errors
/// It is larger than 1 MiB, cannot be read, is no JSON, or is JSON of another form.
pub(super) async fn read<'r, T: Deserialize<'r>>(
    request: &'r mut Request,
    shape: &str,
) -> Result<T, Reject> {
    let payload = request
        .payload_with_max_size(BODY_BYTES_MAX)
        .await
        .map_err(|error| match error {
            salvo::http::ParseError::PayloadTooLarge => {
                let text = format!("the body has more than {BODY_BYTES_MAX} bytes");
                Reject::new(RejectCode::TooLarge, text)
            }
            other => Reject::new(RejectCode::BadJson, "the body could not be read")
                .cause(other.to_string()),
        })?;
    serde_json::from_slice(payload).map_err(|error| {
        let text = format!("the body is {shape}: {}", excerpt(error.to_string()));
        // As on the wire, what has a key twice is no JSON.
        let is_json =
            str::from_utf8(payload).is_ok_and(|text| json::parse(text, json::DEPTH_MAX).is_ok());
        let code = match is_json {
            true => RejectCode::BadFrame,
            false => RejectCode::BadJson,
        };
        Reject::new(code, text)
    })
}
