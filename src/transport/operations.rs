//! `/healthz`, `/readyz` and `/metrics`.

use salvo::http::StatusCode;
use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::transport::{Served, host};

/// Which of the three.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// Whether the process lives.
    Health,
    /// Whether it takes connections.
    Ready,
    /// What it counts.
    Metrics(Audience),
}

/// Who may read the metrics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Whoever asks.
    All,
    /// Peers on this machine.
    ThisMachine,
    /// Nobody: every connection is a proxy's, for whoever it may be.
    Nobody,
}

/// The handler of one of them.
pub(super) struct OperationHandler {
    pub(super) served: Served,
    pub(super) operation: Operation,
}

#[async_trait]
impl Handler for OperationHandler {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        match self.operation {
            Operation::Health => response.render(Text::Plain("ok\n")),
            Operation::Ready => {
                let state = self.served.health.state();
                if !state.is_ready() {
                    response.status_code(StatusCode::SERVICE_UNAVAILABLE);
                }
                response.render(Text::Plain(format!("{}\n", state.as_str())));
            }
            Operation::Metrics(audience) => {
                let may = match audience {
                    Audience::All => true,
                    Audience::ThisMachine => is_local(request),
                    Audience::Nobody => false,
                };
                if !may {
                    response.status_code(StatusCode::FORBIDDEN);
                    response.render(Text::Plain("metrics are for this machine: a listener with `serve: [metrics]` gives them to others\n"));
                    return;
                }
                self.metrics(response);
            }
        }
    }
}

/// What is served nowhere.
pub(super) struct NothingHere;

#[async_trait]
impl Handler for NothingHere {
    async fn handle(
        &self,
        _: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        response.status_code(StatusCode::NOT_FOUND);
        response.render(Text::Plain("nothing is served at this path\n"));
    }
}

/// Whether somebody on this machine asks, and neither a proxy on it for somebody else nor a page under a name of its own.
fn is_local(request: &Request) -> bool {
    // Over a Unix socket there is no address, and nobody from elsewhere.
    (host::is_loopback(request) || request.remote_addr().clone().into_std().is_none())
        && host::is_direct(request)
        && host::asked(request).is_none_or(host::is_nobody_elses)
}

impl OperationHandler {
    fn metrics(&self, response: &mut Response) {
        let engine = &self.served.engine;
        let metrics = engine.metrics();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.rooms.set(count(engine.rooms()));
        metrics.users.set(count(engine.users()));
        metrics.rate_limit_keys.set(count(engine.rate_limit_keys()));
        metrics.blocks.set(count(engine.blocks()));
        metrics.store_bytes.set(count(engine.stored_bytes()));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(crate::telemetry::CONTENT_TYPE),
        );
        let _ = response.write_body(metrics.encode());
    }
}
