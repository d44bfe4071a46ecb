//! A fresh token on a living connection: the identity behind it is replaced, and every rule is asked again.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::auth::{AuthError, Authenticator, RefusalKind};
use crate::decision::{self, Judge};
use crate::engine::Engine;
use crate::engine::changeover::Changeover;
use crate::engine::connection::Connection;
use crate::engine::doorstep::Mail;
use crate::engine::joining::target_of;
use crate::engine::seat::{SaidBy, Seat};
use crate::plan::{AuthMethod, AuthMode, Endpoint, Expiry, MayJoin, Protocol};
use crate::protocol::{CloseCode, Object, Reject, RejectCode};
use crate::vocab::{AudienceSet, Identity, Monotonic, Timestamp, User};

/// How long before a token's end its client is told.
const NOTICE: Duration = Duration::from_secs(30);
/// A connection may send one token in so much time, since verifying one is costly.
const TOKEN_EVERY: Duration = Duration::from_secs(1);
/// So many at once.
const TOKEN_BURST: u32 = 5;

/// What tokens that came later changed of a connection.
pub(super) struct Tokens {
    /// When as many as ever may come again.
    full_at: Monotonic,
    /// The last that was taken.
    fresh: Option<Identity>,
    /// Its taking effect, until it has.
    over: Weak<Changeover>,
    /// Tokens that ever came, and which of them is in force.
    count: u32,
    in_force: u32,
}

impl Tokens {
    const fn new(now: Monotonic) -> Self {
        Self {
            full_at: now,
            fresh: None,
            over: Weak::new(),
            count: 0,
            in_force: 0,
        }
    }

    /// The number of one more, if that may come now; otherwise when it may.
    fn spend(&mut self, now: Monotonic) -> Result<u32, Duration> {
        let full_at = self.full_at.max(now).after(TOKEN_EVERY);
        let wait = full_at.since(now).saturating_sub(TOKEN_EVERY * TOKEN_BURST);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at = full_at;
        self.count += 1;
        Ok(self.count)
    }

    /// Whether no token is in force that came behind the one of this number.
    const fn is_newest(&self, number: u32) -> bool {
        self.in_force < number
    }

    /// Who the last token says it is, and until when.
    pub(super) const fn fresh(&self) -> Option<&Identity> {
        self.fresh.as_ref()
    }
}

impl Engine {
    /// What verifies tokens that come over connections; the first that is given stays.
    pub fn verify_with(&self, authenticator: Arc<Authenticator>) {
        // A second one would be a fault of who assembles the server.
        let _ = self.authenticator.set(authenticator);
    }

    /// A client sends a fresh token.
    pub(super) fn refresh(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<&str>,
        token: &str,
    ) -> Result<(), Reject> {
        let modes: Vec<Arc<AuthMode>> = token_modes(&connection.endpoint).cloned().collect();
        let authenticator = self.authenticator.get().filter(|_| !modes.is_empty());
        let authenticator = authenticator.cloned();
        let Some(authenticator) = authenticator else {
            let text = "no tokens are taken here: connect again with the new credential";
            return Err(Reject::new(RejectCode::BadFrame, text));
        };
        let now = self.clock.monotonic();
        let number = connection.with_tokens(now, |tokens| tokens.spend(now));
        let number = number.map_err(|wait| {
            let text = "too many tokens in a short time";
            Reject::new(RejectCode::RateLimited, text).retry_after(wait)
        })?;
        let token: Box<str> = token.into();
        let mut verified = Box::pin(async move {
            let mut outcome = Err(AuthError::NoTokens);
            for mode in modes {
                outcome = authenticator.identify_token(&mode, &token).await;
                if outcome.is_ok() {
                    break;
                }
            }
            outcome
        });
        // Most keys are here, and then the frames behind this one are the new identity's.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = verified.as_mut().poll(&mut context) {
            return self.take_token(connection, number, outcome, id);
        }
        let (id, connection) = (id.map(Into::into), Arc::downgrade(connection));
        tokio::spawn(async move {
            let outcome = verified.await;
            if let Some(connection) = connection.upgrade() {
                connection.post(Mail::Token(number, id, outcome));
            }
        });
        Ok(())
    }

    /// A token has been verified.
    pub(super) fn take_token(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        number: u32,
        outcome: Result<Identity, AuthError>,
        id: Option<&str>,
    ) -> Result<(), Reject> {
        let identity = outcome.map_err(|error| unauthenticated(&error))?;
        let now = self.clock.monotonic();
        if !connection.with_tokens(now, |tokens| tokens.is_newest(number)) {
            let text = "a newer token has been taken meanwhile";
            return Err(Reject::new(RejectCode::Conflict, text));
        }
        self.take_identity(connection, identity, id)?;
        connection.with_tokens(now, |tokens| tokens.in_force = number);
        Ok(())
    }

    /// Replaces who is behind a connection by what a fresh credential says, and asks every rule again. The answer goes when
    /// everything is written that the credential before let through.
    ///
    /// # Errors
    /// It is another user's, or the application keeps its user or itself out.
    pub fn take_identity(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        identity: Identity,
        id: Option<&str>,
    ) -> Result<(), Reject> {
        if identity.user.id != connection.user.id {
            let text = "the token is another user's: connect again with it";
            return Err(Reject::new(RejectCode::Forbidden, text));
        }
        self.check_blocks(&identity.user)
            .map_err(|refusal| Reject::new(RejectCode::Forbidden, refusal.message))?;
        let expires_at = identity.expires_at;
        let user = identity.user.clone();
        let now = self.clock.monotonic();
        connection.with_tokens(now, |tokens| tokens.fresh = Some(identity));
        connection.was_refreshed();
        if let Some(farewell) = self.blocked_meanwhile(connection) {
            self.send_off(connection, &farewell);
            return Ok(());
        }
        let facts = connection.facts(&user, self.clock.now(), self.clock.monotonic());
        if let Some(rule) = &connection.endpoint.allow
            && !self.allows(rule, &facts)
        {
            self.close(connection, CloseCode::NotAllowed);
            return Ok(());
        }
        let ack = id.map(|id| {
            let ack = Object::new("ack", 64).field("id", id);
            ack.optional("expires_at", expires_at.map(|at| at.to_string()).as_ref())
                .finish()
        });
        let over = Changeover::new(connection, ack);
        let before = connection.with_tokens(now, |tokens| {
            std::mem::replace(&mut tokens.over, Arc::downgrade(&over)).upgrade()
        });
        if let Some(before) = before {
            before.then(&over);
        }
        let seats = connection.inner.lock().seats.clone();
        for seat in seats {
            self.judge_again(connection, &user, &seat, &over);
        }
        over.done();
        self.watch(connection);
        Ok(())
    }

    /// Asks the rules of a room again about somebody who is in it.
    fn judge_again(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        user: &Arc<User>,
        seat: &Seat,
        over: &Arc<Changeover>,
    ) {
        let hall = &seat.hall;
        let target = target_of(hall);
        // As if it were not in yet.
        let users_count = hall.lock().room.members.users_count().saturating_sub(1);
        let facts = connection.facts(user, self.clock.now(), self.clock.monotonic());
        let facts = target.facts(users_count, &facts);
        let audiences = match (&target.kind.may_join, seat.said_by) {
            (MayJoin::Rule(rule), SaidBy::Rules) => {
                self.judge(rule, &target, &facts).map(|pass| pass.audiences)
            }
            // Who was let in by the application or a token stays as long as that says.
            (_, SaidBy::Rules | SaidBy::Grant) => Ok(decision::audiences(&**self, &target, &facts)),
            (_, SaidBy::Pass) => Ok(seat.audiences),
        };
        match audiences {
            Ok(audiences) if audiences == seat.audiences => {}
            Ok(audiences) => self.change_audiences(connection, seat, audiences, over),
            Err(_) => self.put_out(connection, seat, "forbidden", Some(over)),
        }
    }

    fn change_audiences(
        self: &Arc<Self>,
        connection: &Connection,
        seat: &Seat,
        audiences: AudienceSet,
        over: &Arc<Changeover>,
    ) {
        let flush = {
            let mut state = seat.hall.lock();
            if !connection.inner.lock().turn(seat, audiences) {
                return;
            }
            let serial = connection.serial;
            state.queue.change(serial, audiences, over.one_more());
            crate::engine::membership::flush_if_needed(&seat.hall, &mut state.queue)
        };
        if let Some(hall) = flush {
            crate::engine::flush::spawn_flush(self, &hall);
        }
    }

    /// Tells a client that its token ends soon, where the endpoint says so; once for each token.
    pub(super) fn tell_expiry(&self, connection: &Arc<Connection>) {
        let Some(expires_at) = connection.expires_at() else {
            return;
        };
        let tells = matches!(
            connection.endpoint.protocol,
            Protocol::Json | Protocol::EveryFrame(_)
        );
        let due = notice_at(connection).is_some_and(|at| self.clock.now() >= at);
        if tells && due && !connection.tell() {
            let frame = Object::new("token", 64).plain("expires_at", expires_at);
            connection.send(&frame.finish());
        }
    }
}

/// When a client has to be told that its token ends; none where it is not told, or was.
pub(super) fn notice_at(connection: &Connection) -> Option<Timestamp> {
    let leeway = refreshed_mode(&connection.endpoint)?;
    let expires_at = connection.expires_at().filter(|_| !connection.was_told())?;
    Some(expires_at.before(leeway + NOTICE))
}

/// The leeway of the first mode of `endpoint` that wants tokens refreshed.
fn refreshed_mode(endpoint: &Endpoint) -> Option<Duration> {
    endpoint.auth.iter().find_map(|mode| match &mode.method {
        AuthMethod::Jwt(jwt) if jwt.expiry == Expiry::Refresh => Some(jwt.leeway),
        _ => None,
    })
}

fn token_modes(endpoint: &Endpoint) -> impl Iterator<Item = &Arc<AuthMode>> {
    let modes = endpoint.auth.iter();
    modes.filter(|mode| matches!(mode.method, AuthMethod::Jwt(_)))
}

fn unauthenticated(error: &AuthError) -> Reject {
    let code = match error.kind() {
        RefusalKind::Unauthenticated => RejectCode::Unauthenticated,
        RefusalKind::Unavailable => RejectCode::Unavailable,
    };
    let reject = Reject::new(code, error.to_string());
    match error.cause() {
        Some(cause) => reject.cause(cause),
        None => reject,
    }
}

impl Connection {
    /// Does something with what came of later tokens, of which there may be none yet.
    fn with_tokens<T>(&self, now: Monotonic, act: impl FnOnce(&mut Tokens) -> T) -> T {
        let mut inner = self.inner.lock();
        let doorstep = inner.doorstep.get_or_insert_default();
        act(doorstep.tokens.get_or_insert_with(|| Tokens::new(now)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Tokens;
    use crate::vocab::Monotonic;

    #[test]
    fn tokens_come_one_a_second_and_five_at_once() {
        let at = |millis: u64| Monotonic::from_nanos(millis * 1_000_000);
        let mut tokens = Tokens::new(at(10_000));
        for number in 1..=5 {
            assert_eq!(tokens.spend(at(10_000)), Ok(number));
        }
        let wait = Duration::from_secs(1);
        assert_eq!(tokens.spend(at(10_000)), Err(wait));
        let less = Duration::from_millis(600);
        assert_eq!(tokens.spend(at(10_400)), Err(less));
        assert_eq!(tokens.spend(at(11_000)), Ok(6));
        assert!(tokens.spend(at(11_999)).is_err());
        for number in 7..=11 {
            assert_eq!(tokens.spend(at(60_000)), Ok(number));
        }
        assert!(tokens.spend(at(60_000)).is_err());
    }

    #[test]
    fn the_newest_token_is_in_force() {
        let mut tokens = Tokens::new(Monotonic::from_nanos(0));
        for (number, is_newest) in [(2, true), (1, false), (2, false), (3, true)] {
            assert_eq!(tokens.is_newest(number), is_newest, "{number}");
            if is_newest {
                tokens.in_force = number;
            }
        }
        // One that was refused outdates none.
        assert!(tokens.is_newest(5) && tokens.is_newest(4));
    }
}
