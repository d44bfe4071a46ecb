//! Headers that keep browsers from making something else of an answer.

use salvo::http::StatusCode;
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use salvo::http::uri::Scheme;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::plan::Page;

/// What goes with every answer that is no page: it is text, it is nobody's frame, and it is of this moment.
pub(super) struct TextHeaders;

const TEXT: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (CACHE_CONTROL, "no-store"),
];

#[async_trait]
impl Handler for TextHeaders {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        control: &mut FlowCtrl,
    ) {
        control.call_next(request, depot, response).await;
        // A WebSocket's answer is read by no page, and each of its bytes is sent to everyone who connects.
        if response.status_code == Some(StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let headers = response.headers_mut();
        for (name, value) in TEXT {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// What goes with the files of a folder, as the Plan has it.
pub(super) struct PageHeaders(Vec<(HeaderName, HeaderValue)>);

impl PageHeaders {
    /// Those of `page`. The Plan has seen that they can be sent.
    pub(super) fn of(page: &Page) -> Self {
        let parsed = page.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        Self(parsed.collect())
    }
}

#[async_trait]
impl Handler for PageHeaders {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        control: &mut FlowCtrl,
    ) {
        control.call_next(request, depot, response).await;
        let is_secure = *request.scheme() == Scheme::HTTPS;
        let headers = response.headers_mut();
        for (name, value) in &self.0 {
            // Over plain HTTP anybody on the way could have said it (RFC 6797 §7.2).
            if is_secure || *name != STRICT_TRANSPORT_SECURITY {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}
