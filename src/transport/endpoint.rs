//! The handler of one endpoint: knock, origin, credential, rules, upgrade; or a refusal that says why.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use salvo::http::header::{HeaderValue, RETRY_AFTER};
use salvo::http::{StatusCode, StatusError};
use salvo::writing::Text;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};
use tracing::field;

use crate::auth::{
    AuthError, ConnectionFacts, Identification, Login, Outcome, RefusalKind, Request as Handshake,
};
use crate::engine::{Admission, Arrival, Refusal, RequestFacts, Ticket};
use crate::plan::{Endpoint, RejectStyle};
use crate::protocol::CloseCode;
use crate::protocol::websocket::Deflation;
use crate::telemetry::{HandshakeOutcome, unquoted};
use crate::transport::first_message::{FirstMessage, Stranger};
use crate::transport::origin::{self, Site};
use crate::transport::upgrade::{
    Agreement, UpgradeRequest, Upgraded, Upgrading, offered_deflation, offered_subprotocols,
};
use crate::transport::{Served, arrival, socket};
use crate::vocab::Parameters;

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
        first: FirstMessage,
    },
    /// It may not; it counts until it is gone.
    Refused(Refusal, Ticket),
}

/// What is known of a connection before its user is.
pub(super) struct Pending {
    request: RequestFacts,
    pub(super) ip: IpAddr,
    deflation: Option<Deflation>,
    since: Vec<(crate::vocab::RoomName, crate::vocab::Position)>,
    join_tokens: Vec<Box<str>>,
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
        let ip = arrival::client_ip(request, &engine.plan().server.trusted_proxies);
        Ok((ip, engine.knock(&self.endpoint, ip)?))
    }

    /// Looks at the page that opens the connection.
    fn check_origin(&self, request: &Request) -> Result<(), Refusal> {
        let server = &self.served.engine.plan().server;
        let site = Site::of(server);
        origin::check(request, &self.endpoint.origins, site).map_err(|refused| {
            tracing::debug!(endpoint = %self.endpoint.path, %refused, origin = origin::shown(request), "origin not allowed");
            Refusal {
                outcome: HandshakeOutcome::Origin,
                ..Refusal::forbidden(refused.to_string())
            }
        })
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
        let judged = match self.look(request, path, ip, deflation, &ticket) {
            Ok((identification, pending)) => match self.outcome(identification, ip).await {
                Ok(outcome) => self.conclude(outcome, pending, ticket.clone()).await,
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        judged.unwrap_or_else(|refusal| Verdict::Refused(refusal, ticket))
    }

    /// What the request itself says: whether it may come, and who sends it.
    fn look(
        &self,
        request: &Request,
        path: Parameters,
        ip: IpAddr,
        deflation: Option<Deflation>,
        ticket: &Ticket,
    ) -> Result<(Identification, Pending), Refusal> {
        let (engine, endpoint) = (&self.served.engine, &self.endpoint);
        self.check_origin(request)?;
        engine.spend_connect(endpoint, ip)?;
        let query = arrival::query(request);
        let since = arrival::since(&query, endpoint.limits.rooms_per_connection.max).map_err(
            |message| Refusal {
                status: 400,
                outcome: HandshakeOutcome::BadRequest,
                ..Refusal::forbidden(message)
            },
        )?;
        let odd = arrival::odd_headers(request.headers());
        let headers = arrival::headers(request.headers(), &odd);
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
        let identification = self
            .served
            .authenticator
            .identify(&endpoint.auth, &handshake);
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
        Ok((identification, pending))
    }

    /// Who it is, where somebody has to be asked: within the time of a handshake, and among those whose user is not known yet.
    async fn outcome(
        &self,
        identification: Identification,
        ip: IpAddr,
    ) -> Result<Outcome, Refusal> {
        if let Identification::Decided(outcome) = identification {
            return Ok(outcome);
        }
        let engine = &self.served.engine;
        let _waiting = engine.wait_for_user(ip)?;
        let within = engine.plan().server.handshake_timeout;
        let outcome = tokio::time::timeout(within, identification.outcome()).await;
        outcome.map_err(|_| Refusal {
            outcome: HandshakeOutcome::Timeout,
            ..Refusal::unavailable(
                "it could not be found out in time who you are",
                CloseCode::Internal,
            )
        })
    }

    async fn conclude(
        &self,
        outcome: Outcome,
        pending: Pending,
        ticket: Ticket,
    ) -> Result<Verdict, Refusal> {
        let (engine, endpoint) = (&self.served.engine, &self.endpoint);
        match outcome {
            Outcome::Identified { login, .. } => {
                let arrival = pending.arrival(endpoint.clone(), login);
                Ok(Verdict::Admitted(engine.admit(ticket, arrival).await?))
            }
            Outcome::AwaitFirstMessage { mode, deadline } => {
                let newcomer = engine.wait_for_user(pending.ip)?;
                let first = FirstMessage {
                    mode,
                    deadline,
                    newcomer,
                };
                Ok(Verdict::Awaited {
                    ticket,
                    pending,
                    first,
                })
            }
            Outcome::Refused(error) => Err(unauthenticated(&error, endpoint, pending.ip)),
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
                first,
            } => {
                let upgrading = upgrade.accept(response, agreement);
                self.spawn(upgrading, move |served, endpoint, upgraded| {
                    let decoder = socket::decoder(&endpoint.limits, deflation);
                    let stranger = Stranger {
                        ticket,
                        pending,
                        decoder,
                        first,
                    };
                    stranger.introduce(served, endpoint, upgraded)
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
    pub(super) fn arrival(self, endpoint: Arc<Endpoint>, login: Login) -> Arrival {
        Arrival {
            endpoint,
            request: self.request,
            ip: self.ip,
            deflation: self.deflation,
            identity: login.identity,
            granted: login.rooms,
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

pub(super) fn unauthenticated(error: &AuthError, endpoint: &Endpoint, ip: IpAddr) -> Refusal {
    tracing::debug!(endpoint = %endpoint.path, %ip, %error, cause = error.cause().map(|cause| field::display(unquoted(cause))), "not authenticated");
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
