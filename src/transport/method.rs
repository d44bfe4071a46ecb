//! What a path answers to methods that it does not serve (RFC 9110 §9.3.7, §15.5.6).

use salvo::http::header::{ALLOW, HeaderValue};
use salvo::http::{Method, StatusCode};
use salvo::routing::{Filter, filters};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};

use crate::transport::api;

/// The answer to all methods that a path does not serve: 405 with those that it does, which OPTIONS gets with 204.
pub(super) enum Otherwise {
    /// In text.
    Text(&'static str),
    /// As the API has its refusals.
    Problem(&'static str),
}

/// `path`, read with GET, or with HEAD alone (RFC 9110 §9.3.2).
pub(super) fn readable<H: Handler>(path: &str, handler: H) -> Router {
    let either = filters::get().or(filters::head());
    Router::with_path(path)
        .push(Router::with_filter(either).goal(handler))
        .goal(Otherwise::Text("GET, HEAD, OPTIONS"))
}

/// A route of the API, whose handlers take the methods `allowed`, with the answer to all others.
pub(super) fn taking(route: Router, allowed: &'static str) -> Router {
    route.goal(Otherwise::Problem(allowed))
}

#[async_trait]
impl Handler for Otherwise {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        let (Self::Text(allowed) | Self::Problem(allowed)) = self;
        let allow = HeaderValue::from_static(allowed);
        response.headers_mut().insert(ALLOW, allow);
        if *request.method() == Method::OPTIONS {
            response.status_code(StatusCode::NO_CONTENT);
            return;
        }
        let (status, text) = (
            StatusCode::METHOD_NOT_ALLOWED,
            format!("this path takes {allowed}"),
        );
        match self {
            Self::Text(_) => {
                response.status_code(status);
                response.render(Text::Plain(text + "\n"));
            }
            Self::Problem(_) => api::refuse(status, &text, response),
        }
    }
}
