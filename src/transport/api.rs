//! The HTTP API for application servers: publishing, so far. Refusals are `application/problem+json` (RFC 9457) with the wire's codes.

use salvo::http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use salvo::http::{StatusCode, StatusError};
use salvo::writing::Json;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tracing::field;

use crate::auth::{authorize_api, may_use_room};
use crate::engine::{Publication, Published};
use crate::plan::ApiKey;
use crate::protocol::{KEY_BYTES_MAX, Reject, RejectCode};
use crate::telemetry::unquoted;
use crate::transport::Served;
use crate::vocab::{RoomName, UserId};

/// The longest body of a publish, in bytes: the data itself is bounded by its schema and type.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Where a publish goes.
#[derive(Clone, Copy)]
pub(super) enum Publish {
    /// `POST /api/rooms/{room}/messages`.
    ToRoom,
    /// `POST /api/users/{user_id}/messages`.
    ToUser,
}

/// The handler of one of them.
pub(super) struct ApiHandler {
    pub(super) served: Served,
    pub(super) publish: Publish,
}

/// What the API does not have.
pub(super) struct NoSuchRoute;

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

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    name: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    key: Option<String>,
}

#[async_trait]
impl Handler for ApiHandler {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        match self.publish(request).await {
            Ok(published) => {
                let mut answer = json!({"message_id": published.message_id.to_string()});
                if let Some(seq) = published.seq {
                    answer["seq"] = seq.get().into();
                }
                response.render(Json(answer));
            }
            Err(reject) => write(&reject, response),
        }
    }
}

impl ApiHandler {
    async fn publish(&self, request: &mut Request) -> Result<Published, Reject> {
        let engine = self.served.engine.clone();
        let plan = engine.plan().clone();
        let key = self.authorize(request, plan.server.api.as_ref())?;
        if !key.publish {
            return Err(Reject::new(
                RejectCode::Forbidden,
                "this key has not the scope `publish`",
            ));
        }
        let key_name = UserId::of_application(&key.name);
        let target = match self.publish {
            Publish::ToRoom => request.param::<String>("room"),
            Publish::ToUser => request.param::<String>("user"),
        }
        .unwrap_or_default();
        let header_key = idempotency_key(request)?;
        let payload = request
            .payload_with_max_size(BODY_BYTES_MAX)
            .await
            .map_err(|error| match error {
                salvo::http::ParseError::PayloadTooLarge => too_large(),
                other => Reject::new(RejectCode::BadJson, "the body could not be read")
                    .cause(other.to_string()),
            })?;
        let body: Body<'_> = serde_json::from_slice(payload).map_err(|error| {
            Reject::new(
                RejectCode::BadJson,
                format!("the body is {{\"type\":…,\"data\":…,\"key\":…}}: {error}"),
            )
        })?;
        if body
            .key
            .as_ref()
            .is_some_and(|key| key.len() > KEY_BYTES_MAX)
        {
            return Err(Reject::new(
                RejectCode::BadFrame,
                format!("`key` has at most {KEY_BYTES_MAX} bytes"),
            ));
        }
        let publication = Publication {
            key_name: &key_name,
            name: &body.name,
            data: body.data.map_or("null", RawValue::get),
            key: body.key.as_deref().or(header_key.as_deref()),
        };
        match self.publish {
            Publish::ToRoom => {
                let shown: String = target.chars().take(128).collect();
                let room = RoomName::parse(&target).map_err(|error| {
                    Reject::new(
                        RejectCode::BadRoom,
                        format!("`{shown}` is not a room's name: {error}"),
                    )
                })?;
                if !may_use_room(key, &room) {
                    return Err(Reject::new(
                        RejectCode::Forbidden,
                        format!("this key may not use `{room}`"),
                    ));
                }
                engine.publish_to_room(room.as_str(), publication)
            }
            Publish::ToUser if !key.rooms.is_empty() => Err(Reject::new(
                RejectCode::Forbidden,
                "this key is for rooms alone: one without `rooms` may publish to users",
            )),
            Publish::ToUser => {
                let user = UserId::parse(&target)
                    .map_err(|error| Reject::new(RejectCode::BadFrame, error.to_string()))?;
                engine.publish_to_user(user, publication)
            }
        }
    }

    fn authorize<'p>(
        &self,
        request: &Request,
        api: Option<&'p crate::plan::Api>,
    ) -> Result<&'p ApiKey, Reject> {
        let api = api.ok_or_else(|| {
            Reject::new(RejectCode::Internal, "internal error")
                .cause("the API is off, but has a route")
        })?;
        let header = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        authorize_api(api, header)
            .map_err(|error| Reject::new(RejectCode::Unauthenticated, error.to_string()))
    }
}

fn idempotency_key(request: &Request) -> Result<Option<String>, Reject> {
    let Some(value) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(key.to_owned())),
        _ => Err(Reject::new(
            RejectCode::BadFrame,
            format!("Idempotency-Key is 1 to {KEY_BYTES_MAX} bytes of ASCII"),
        )),
    }
}

fn too_large() -> Reject {
    Reject::new(
        RejectCode::TooLarge,
        format!("the body has more than {BODY_BYTES_MAX} bytes"),
    )
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

fn write(reject: &Reject, response: &mut Response) {
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
pub(super) fn refuse(status: StatusCode, detail: &str, response: &mut Response) {
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
