//! Calls of the HTTP API by scripts of pages of other origins (Fetch, "CORS protocol").
//!
//! It says to browsers which pages may; it is no protection of the API, whose keys are that. Browsers are never told to send cookies
//! along (`Access-Control-Allow-Credentials`): the API takes none.

use salvo::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use salvo::http::{Method, StatusCode};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::plan::Origins;
use crate::transport::origin::is_listed;

/// Answers what browsers ask before a call, and marks the answers that scripts may read.
pub(super) struct Cors(pub(super) Origins);

/// What the API takes, whatever the path.
const METHODS: &str = "GET, POST, DELETE";
const HEADERS: &str = "Authorization, Content-Type, Idempotency-Key";
/// What a script may read of an answer, beside its body and type.
const EXPOSED: &str = "Retry-After";
/// How many seconds browsers may remember the answer: until the file may have changed.
const REMEMBERED: &str = "600";

impl Cors {
    /// What to tell the browser of a request's page; nothing where it may not.
    fn allowed(&self, request: &Request) -> Option<HeaderValue> {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let (origin, None) = (origins.next()?, origins.next()) else {
            return None;
        };
        if self.0.any {
            return Some(HeaderValue::from_static("*"));
        }
        is_listed(origin.to_str().ok()?, &self.0).then(|| origin.clone())
    }

    fn mark(&self, allowed: Option<HeaderValue>, headers: &mut HeaderMap) {
        // Also where it is not allowed: a cache must not give that to others.
        if !self.0.any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(EXPOSED);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

#[async_trait]
impl Handler for Cors {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        control: &mut FlowCtrl,
    ) {
        let allowed = self.allowed(request);
        let headers = request.headers();
        let is_preflight = *request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            control.call_next(request, depot, response).await;
            self.mark(allowed, response.headers_mut());
            return;
        }
        control.skip_rest();
        if allowed.is_none() {
            response.status_code(StatusCode::FORBIDDEN);
            let text = "pages of this origin may not call the API: see `server.api.cors`\n";
            response.render(Text::Plain(text));
        } else {
            response.status_code(StatusCode::NO_CONTENT);
            let headers = response.headers_mut();
            for (name, value) in [
                (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
                (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        self.mark(allowed, response.headers_mut());
    }
}
