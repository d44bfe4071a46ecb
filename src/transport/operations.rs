//! `/healthz`, `/readyz` and `/metrics`.

use std::net::IpAddr;

use salvo::http::StatusCode;
use salvo::http::header::{CONTENT_TYPE, HeaderValue};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::transport::Served;

/// Which of the three.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// Whether the process lives.
    Health,
    /// Whether it takes connections.
    Ready,
    /// What it counts, for peers on this machine or for all.
    Metrics {
        /// Whether peers on other machines may read it.
        for_all: bool,
    },
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
                response.render(Text::Plain(format!("{state}\n")));
            }
            Operation::Metrics { for_all } => {
                let peer = request.remote_addr().clone().into_std().map(|peer| peer.ip());
                if !for_all && !peer.is_some_and(|ip: IpAddr| ip.to_canonical().is_loopback()) {
                    response.status_code(StatusCode::FORBIDDEN);
                    response.render(Text::Plain("metrics are for this machine: a listener with `serve: [metrics]` gives them to others\n"));
                    return;
                }
                self.metrics(response);
            }
        }
    }
}

impl OperationHandler {
    fn metrics(&self, response: &mut Response) {
        let engine = &self.served.engine;
        let metrics = engine.metrics();
        metrics.set_rooms(engine.rooms());
        metrics.set_users(engine.users());
        metrics.set_stored_bytes(engine.stored_bytes());
        metrics.set_rate_limit_keys(engine.rate_limit_keys());
        match metrics.encode() {
            Ok(text) => {
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(crate::telemetry::CONTENT_TYPE));
                let _ = response.write_body(text);
            }
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                response.status_code(StatusCode::INTERNAL_SERVER_ERROR);
            }
        }
    }
}
