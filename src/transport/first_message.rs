//! Credentials in the first message: the upgrade is done, and nobody knows yet whose connection it is.

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Login;
use crate::engine::{Newcomer, Ticket};
use crate::plan::{AuthMode, Endpoint};
use crate::protocol::websocket::Decoder;
use crate::protocol::{ClientFrame, CloseCode, decode};
use crate::telemetry::HandshakeOutcome;
use crate::transport::endpoint::{Pending, unauthenticated};
use crate::transport::upgrade::Upgraded;
use crate::transport::{Served, socket};
use crate::vocab::Monotonic;

/// The message that has to say who it is.
pub(super) struct FirstMessage {
    pub(super) mode: Arc<AuthMode>,
    pub(super) deadline: Monotonic,
    /// It counts as long as it waits.
    pub(super) newcomer: Newcomer,
}

/// A connection that nobody knows yet.
pub(super) struct Stranger {
    pub(super) ticket: Ticket,
    pub(super) pending: Pending,
    pub(super) decoder: Decoder,
    pub(super) first: FirstMessage,
}

impl Stranger {
    /// Waits for its first message, and goes on with it as who it says it is.
    pub(super) async fn introduce(
        self,
        served: Served,
        endpoint: Arc<Endpoint>,
        upgraded: Upgraded,
    ) {
        let Self {
            ticket,
            pending,
            mut decoder,
            first: awaited,
        } = self;
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
        drop(awaited.newcomer);
        let admission = match identity {
            Ok(identity) => {
                let arrival = pending.arrival(endpoint.clone(), Login::from(identity));
                served.engine.admit(ticket.clone(), arrival).await
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
}
