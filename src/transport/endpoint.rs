//! The handler of one endpoint: knock, origin, credential, rules, upgrade; or a refusal that says why.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use salvo::http::header::{HeaderValue, RETRY_AFTER};
use salvo::http::{StatusCode, StatusError};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use crate::auth::ConnectionFacts;
use crate::auth::{AuthError, Outcome, RefusalKind, Request as Handshake};
use crate::engine::{Admission, Arrival, Refusal, RequestFacts, Ticket};
use crate::plan::{AuthMode, Endpoint, RejectStyle};
use crate::protocol::websocket::{Decoder, Deflation};
use crate::protocol::{ClientFrame, CloseCode, decode};
use crate::telemetry::HandshakeOutcome;
use crate::transport::upgrade::{
    Agreement, UpgradeRequest, Upgraded, Upgrading, offered_deflation, offered_subprotocols,
};
use crate::transport::{Served, arrival, socket};
use crate::vocab::{Identity, Monotonic, Parameters};

/// The handler of an endpoint, made from the Plan.
pub(super) struct EndpointHandler {
    pub(super) served: Served,
    pub(super) endpoint: Arc<Endpoint>,
}

/// Where a handshake stands when its request has been read.
enum Verdict {
    /// It may be.
    Admitted(Admission),
    /// The first message has to say who it is.
    Awaited {
        ticket: Ticket,
        pending: Pending,
        mode: Arc<AuthMode>,
        deadline: Monotonic,
    },
    /// It may not; it counts until it is gone.
    Refused(Refusal, Ticket),
}

/// What is known of a connection before its user is.
struct Pending {
    request: RequestFacts,
    ip: IpAddr,
    deflation: Option<Deflation>,
    since: Vec<(crate::vocab::RoomName, crate::vocab::Position)>,
    join_tokens: Vec<Box<str>>,
}

/// The message that has to say who it is.
struct FirstMessage {
    mode: Arc<AuthMode>,
    deadline: Monotonic,
}

#[async_trait]
impl Handler for EndpointHandler {
    async fn handle(
        &self,
        request: &mut Request,
        _: &mut Depot,
        response: &mut Response,
        _: &mut FlowCtrl,
    ) {
        // The router decoded the segments; they still have to be what a segment may be.
        let params = request.params();
        let value_of = |name: &str| params.get(name).map(String::as_str);
        let Some(path) = self.endpoint.path.bind(value_of) else {
            response.render(StatusError::not_found().brief("there is no such endpoint"));
            return;
        };
        let upgrade = match UpgradeRequest::read(request) {
            Ok(upgrade) => upgrade,
            Err(refusal) => {
                self.count(HandshakeOutcome::BadRequest);
                refusal.write(response);
                return;
            }
        };
        let (ip, ticket) = match self.knock(request) {
            Ok(knock) => knock,
            Err(refusal) => {
                // By the status, however the endpoint refuses: a close frame would need the connection that there is no room for.
                self.count(refusal.outcome);
                write(&refusal, response);
                return;
            }
        };
        let agreement = self.agreement(request);
        let deflation = agreement.deflation;
        let verdict = self.judge(request, path, ip, deflation, ticket).await;
        self.answer(verdict, upgrade, agreement, response);
    }
}

impl EndpointHandler {
    fn count(&self, outcome: HandshakeOutcome) {
        self.served.engine.metrics().handshake(outcome);
    }

    /// Counts the connection for its address.
    fn knock(&self, request: &Request) -> Result<(IpAddr, Ticket), Refusal> {
        let engine = &self.served.engine;
        let ip = arrival::client_ip(request, &engine.plan().server.trusted_proxies)
            .ok_or_else(|| Refusal::unavailable("the peer has no address", CloseCode::Internal))?;
        Ok((ip, engine.knock(ip)?))
    }

    /// What of the client's offers is taken here.
    fn agreement(&self, request: &Request) -> Agreement {
        let subprotocol = offered_subprotocols(request)
            .any(|offered| offered == crate::auth::SUBPROTOCOL)
            .then(|| HeaderValue::from_static(crate::auth::SUBPROTOCOL));
        let compression = self.endpoint.compression.as_ref();
        Agreement {
            subprotocol,
            deflation: compression.and_then(|_| offered_deflation(request)),
        }
    }

    async fn judge(
        &self,
        request: &Request,
        path: Parameters,
        ip: IpAddr,
        deflation: Option<Deflation>,
        ticket: Ticket,
    ) -> Verdict {
        let judged = self.try_judge(request, path, ip, deflation, ticket.clone());
        match judged.await {
            Ok(verdict) => verdict,
            Err(refusal) => Verdict::Refused(refusal, ticket),
        }
    }

    async fn try_judge(
        &self,
        request: &Request,
        path: Parameters,
        ip: IpAddr,
        deflation: Option<Deflation>,
        ticket: Ticket,
    ) -> Result<Verdict, Refusal> {
        let (engine, endpoint) = (&self.served.engine, &self.endpoint);
        if !arrival::origin_is_allowed(request.headers(), &endpoint.origins) {
            tracing::debug!(endpoint = %endpoint.path, origin = ?request.headers().get("origin"), "origin not allowed");
            return Err(Refusal {
                outcome: HandshakeOutcome::Origin,
                ..Refusal::forbidden("pages of this origin may not connect here: see `origins`")
            });
        }
        engine.spend_connect(endpoint, ip)?;
        let query = arrival::query(request);
        let since =
            arrival::since(&query, endpoint.limits.rooms_per_connection).map_err(|message| {
                Refusal {
                    status: 400,
                    outcome: HandshakeOutcome::BadRequest,
                    ..Refusal::forbidden(message)
                }
            })?;
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let subprotocols: Vec<&str> = offered_subprotocols(request).collect();
        let connection = ConnectionFacts {
            id: ticket.id(),
            ip,
            endpoint: endpoint.path.as_str(),
            age: Duration::ZERO,
        };
        let handshake = Handshake {
            path: &path,
            query: &query,
            headers: &headers,
            subprotocols: &subprotocols,
            connection,
        };
        let outcome = self
            .served
            .authenticator
            .identify(&endpoint.auth, &handshake)
            .await;
        let pending = Pending {
            request: RequestFacts {
                query: arrival::harmless(&query, endpoint),
                path,
            },
            ip,
            deflation,
            since,
            join_tokens: arrival::join_tokens(&query, endpoint),
        };
        match outcome {
            Outcome::Identified(identity, _) => {
                let arrival = pending.arrival(endpoint.clone(), identity);
                Ok(Verdict::Admitted(engine.admit(ticket, arrival).await?))
            }
            Outcome::AwaitFirstMessage { mode, deadline } => Ok(Verdict::Awaited {
                ticket,
                pending,
                mode,
                deadline,
            }),
            Outcome::Refused(error) => Err(unauthenticated(&error, endpoint, ip)),
        }
    }

    /// Answers the request as it was judged, and goes on with its socket where there is one.
    fn answer(
        &self,
        verdict: Verdict,
        upgrade: UpgradeRequest,
        agreement: Agreement,
        response: &mut Response,
    ) {
        let deflation = agreement.deflation;
        match verdict {
            Verdict::Admitted(admission) => {
                self.count(HandshakeOutcome::Accepted);
                let upgrading = upgrade.accept(response, agreement);
                self.spawn(upgrading, move |served, endpoint, upgraded| async move {
                    let decoder = socket::decoder(&endpoint.limits, deflation);
                    socket::run(served.engine, admission, upgraded, decoder);
                });
            }
            Verdict::Awaited {
                ticket,
                pending,
                mode,
                deadline,
            } => {
                let upgrading = upgrade.accept(response, agreement);
                self.spawn(upgrading, move |served, endpoint, upgraded| {
                    let decoder = socket::decoder(&endpoint.limits, deflation);
                    let first = FirstMessage { mode, deadline };
                    await_first_message(served, endpoint, upgraded, decoder, ticket, pending, first)
                });
            }
            Verdict::Refused(refusal, ticket) => {
                self.count(refusal.outcome);
                match self.endpoint.reject {
                    RejectStyle::Close => {
                        let upgrading = upgrade.accept(response, agreement);
                        self.spawn(upgrading, move |_, endpoint, upgraded| {
                            turn_away(endpoint, upgraded, refusal, ticket)
                        });
                    }
                    RejectStyle::Http => write(&refusal, response),
                }
            }
        }
    }

    /// Takes the socket when HTTP is done with it, which nothing that the client does can delay.
    fn spawn<F, R>(&self, upgrading: Upgrading, then: F)
    where
        F: FnOnce(Served, Arc<Endpoint>, Upgraded) -> R + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let (served, endpoint) = (self.served.clone(), self.endpoint.clone());
        tokio::spawn(async move {
            match upgrading.finish().await {
                Ok(upgraded) => then(served, endpoint, upgraded).await,
                Err(error) => tracing::debug!(%error, "a handshake was not finished"),
            }
        });
    }
}

impl Pending {
    fn arrival(self, endpoint: Arc<Endpoint>, identity: Identity) -> Arrival {
        Arrival {
            endpoint,
            request: self.request,
            ip: self.ip,
            deflation: self.deflation,
            identity,
            since: self.since,
            join_tokens: self.join_tokens,
        }
    }
}

/// Closes a connection that only says why it may not be; until it is gone it counts.
async fn turn_away(
    endpoint: Arc<Endpoint>,
    upgraded: Upgraded,
    refusal: Refusal,
    _counted: Ticket,
) {
    let (code, reason) = (refusal.close, &*refusal.message);
    socket::refuse(upgraded.stream, &upgraded.answer, &endpoint, code, reason).await;
}

async fn await_first_message(
    served: Served,
    endpoint: Arc<Endpoint>,
    upgraded: Upgraded,
    mut decoder: Decoder,
    ticket: Ticket,
    pending: Pending,
    awaited: FirstMessage,
) {
    let metrics = served.engine.metrics().clone();
    let wait = awaited.deadline.since(served.engine.clock().monotonic());
    let first = socket::first_message(&upgraded, &mut decoder);
    let first = tokio::time::timeout(wait, first).await;
    // The answer is out.
    let stream = upgraded.stream;
    let (text, rest) = match first {
        Ok(Ok(first)) => first,
        Ok(Err(code)) => {
            metrics.handshake(HandshakeOutcome::Unauthenticated);
            return socket::refuse(stream, &[], &endpoint, code, code.reason()).await;
        }
        Err(_) => {
            metrics.handshake(HandshakeOutcome::Timeout);
            let reason = "the first message, a token, did not come in time";
            return socket::refuse(stream, &[], &endpoint, CloseCode::NotAllowed, reason).await;
        }
    };
    let identity = match decode(&text).map(|decoded| decoded.frame) {
        Ok(ClientFrame::Token(token)) => {
            let authenticator = &served.authenticator;
            authenticator.identify_token(&awaited.mode, &token).await
        }
        _ => {
            metrics.handshake(HandshakeOutcome::Unauthenticated);
            let reason = "the first message has to be {\"type\":\"token\",\"token\":…}";
            return socket::refuse(stream, &[], &endpoint, CloseCode::NotAllowed, reason).await;
        }
    };
    let admission = match identity {
        Ok(identity) => {
            served
                .engine
                .admit(ticket.clone(), pending.arrival(endpoint.clone(), identity))
                .await
        }
        Err(error) => Err(unauthenticated(&error, &endpoint, pending.ip)),
    };
    match admission {
        Ok(admission) => {
            metrics.handshake(HandshakeOutcome::Accepted);
            let opened = Upgraded {
                stream,
                answer: Bytes::new(),
                already_read: rest,
            };
            socket::run(served.engine, admission, opened, decoder);
        }
        Err(refusal) => {
            metrics.handshake(refusal.outcome);
            socket::refuse(stream, &[], &endpoint, refusal.close, &refusal.message).await;
        }
    }
}

fn unauthenticated(error: &AuthError, endpoint: &Endpoint, ip: IpAddr) -> Refusal {
    tracing::debug!(endpoint = %endpoint.path, %ip, %error, cause = error.cause(), "not authenticated");
    match error.kind() {
        RefusalKind::Unauthenticated => Refusal {
            status: 401,
            close: CloseCode::NotAllowed,
            message: error.to_string().into(),
            retry_after: None,
            outcome: HandshakeOutcome::Unauthenticated,
        },
        RefusalKind::Unavailable => Refusal::unavailable(error.to_string(), CloseCode::Internal),
    }
}

fn write(refusal: &Refusal, response: &mut Response) {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.status_code(status);
    if let Some(wait) = refusal.retry_after {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        response.headers_mut().insert(
            RETRY_AFTER,
            HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)),
        );
    }
    response.render(Text::Plain(refusal.message.clone().into_owned()));
}
