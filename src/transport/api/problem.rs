//! Refusals of the HTTP API: `application/problem+json` (RFC 9457) with the wire's codes.

use salvo::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use salvo::http::{StatusCode, StatusError};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use serde_json::json;
use tracing::field;

use crate::protocol::{Reject, RejectCode};
use crate::telemetry::unquoted;

/// What the API does not have.
pub(in crate::transport) struct NoSuchRoute;

#[async_trait]
impl Handler for NoSuchRoute {
    async fn handle(
        &self,
        _: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        refuse(StatusCode::NOT_FOUND, "the API has no such route", response);
    }
}

fn status(code: RejectCode) -> StatusCode {
    match code {
        RejectCode::BadJson | RejectCode::BadFrame => StatusCode::BAD_REQUEST,
        RejectCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        RejectCode::Forbidden | RejectCode::NotJoined => StatusCode::FORBIDDEN,
        RejectCode::BadRoom => StatusCode::NOT_FOUND,
        RejectCode::UnknownType | RejectCode::Schema | RejectCode::KeyReused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        RejectCode::Conflict | RejectCode::RoomFull | RejectCode::TooManyRooms => {
            StatusCode::CONFLICT
        }
        RejectCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RejectCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        RejectCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RejectCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers with a refusal.
pub(super) fn write(reject: &Reject, response: &mut Response) {
    tracing::debug!(code = reject.code.as_str(), reason = %unquoted(&reject.message), cause = reject.cause.as_deref().map(|cause| field::display(unquoted(cause))), "API call refused");
    let status = status(reject.code);
    let mut problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": reject.code.as_str(),
        "detail": reject.message,
    });
    if let Some(details) = &reject.details {
        problem["details"] = (**details).clone();
    }
    response.status_code(status);
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = reject.retry_after {
        let millis = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        problem["retry_after_ms"] = millis.into();
        let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    write_problem(&problem, response);
}

/// Refuses what is none of the wire's errors, so that it has no code.
pub(in crate::transport) fn refuse(status: StatusCode, detail: &str, response: &mut Response) {
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    response.status_code(status);
    write_problem(&problem, response);
}

/// A problem as RFC 9457 has it; the status is set already.
fn write_problem(problem: &serde_json::Value, response: &mut Response) {
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if response.write_body(problem.to_string()).is_err() {
        response.render(StatusError::internal_server_error());
    }
}
