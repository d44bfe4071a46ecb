//! Who may join which room, and as what: the rules of the room, evaluated when somebody wants in.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, timeout_at};

use crate::auth::{AuthError, RefusalKind};
use crate::decision::{self, Target};
use crate::engine::connection::Connection;
use crate::engine::doors::question;
use crate::engine::limit::{Exceeded, Subject};
use crate::engine::pipeline::Refused;
use crate::engine::seat::SaidBy;
use crate::engine::{Engine, Hall};
use crate::plan::{CountLimit, Endpoint, MayJoin, RateKey};
use crate::protocol::{Reject, RejectCode};
use crate::room::Room;
use crate::rule::{Facts, Rule};
use crate::telemetry::CountLimitName;
use crate::vocab::{AudienceSet, Position, RoomName, Timestamp, User, UserId};
use crate::webhook::Unanswered;

/// The room that there is.
pub(super) fn target_of(hall: &Hall) -> Target {
    Target {
        name: hall.name.clone(),
        kind: hall.kind.clone(),
        parameters: hall.parameters.clone(),
    }
}

/// What lets somebody into a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The room's audiences that it makes one a reader of.
    pub(super) audiences: AudienceSet,
    /// Who says so.
    pub(super) said_by: SaidBy,
    /// Until when it lets in.
    pub(super) expires_at: Option<Timestamp>,
}

impl Pass {
    /// For as long as may be.
    pub(super) const fn by_rules(audiences: AudienceSet) -> Self {
        Self {
            audiences,
            said_by: SaidBy::Rules,
            expires_at: None,
        }
    }

    /// Of who was put into the room by the application.
    pub(super) const fn granted(audiences: AudienceSet) -> Self {
        Self {
            said_by: SaidBy::Grant,
            ..Self::by_rules(audiences)
        }
    }

    const fn told(audiences: AudienceSet) -> Self {
        Self {
            said_by: SaidBy::Pass,
            ..Self::by_rules(audiences)
        }
    }
}

/// Who wants into a room, and how.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// What rules see of it.
    pub(super) facts: &'a Facts<'a>,
    pub(super) user: &'a User,
    pub(super) endpoint: &'a Endpoint,
    /// Join tokens that it has.
    pub(super) tokens: &'a [Box<str>],
}

/// An answer that takes its time.
pub(super) type Ruling = Pin<Box<dyn Future<Output = Result<Pass, Reject>> + Send>>;

/// Whether somebody may join.
pub(super) enum Decision {
    /// It is known.
    Known(Result<Pass, Reject>),
    /// Somebody is being asked.
    Asked(Ruling),
}

impl Decision {
    /// What `asked` comes to, where that is known already.
    fn asked(asked: impl Future<Output = Result<Pass, Reject>> + Send + 'static) -> Self {
        let mut asked: Ruling = Box::pin(asked);
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(pass) => Self::Known(pass),
            Poll::Pending => Self::Asked(asked),
        }
    }

    /// Waits for it, at most until `deadline`.
    pub(super) async fn settle(self, deadline: Instant) -> Result<Pass, Reject> {
        match self {
            Self::Known(pass) => pass,
            Self::Asked(ruling) => timeout_at(deadline, ruling).await.unwrap_or_else(|_| {
                let text = "whether you may join could not be told in time: try again";
                Err(Reject::new(RejectCode::Unavailable, text))
            }),
        }
    }
}

impl Engine {
    /// The room called `name`, if a declared pattern has it.
    pub(super) fn target(&self, name: &str) -> Result<Target, Reject> {
        decision::target(&self.plan, name)
    }

    /// How many users a room has.
    pub(super) fn users_in(&self, target: &Target) -> usize {
        let hall = self.rooms.find(target.name.as_str());
        hall.map_or(0, |hall| hall.lock().room.members.users_count())
    }

    /// Whether somebody may join, or who is asked about it.
    pub(super) fn rule_on(self: &Arc<Self>, target: &Target, wish: Wish<'_>) -> Decision {
        let facts = target.facts(self.users_in(target), wish.facts);
        match &target.kind.may_join {
            MayJoin::Rule(rule) => Decision::Known(self.judge(rule, target, &facts)),
            MayJoin::Http { .. } => {
                let by_rules = decision::audiences(&**self, target, &facts);
                self.ask_application(target, wish.user, wish.endpoint, by_rules)
            }
            MayJoin::Token { .. } => {
                let by_rules = decision::audiences(&**self, target, &facts);
                self.ask_for_token(target, wish.user, wish.tokens, by_rules)
            }
        }
    }

    /// What the room's own rules say.
    pub(super) fn judge(
        &self,
        rule: &Rule,
        target: &Target,
        facts: &Facts<'_>,
    ) -> Result<Pass, Reject> {
        let audiences = decision::is_let_in(self, rule, target, facts)?;
        Ok(Pass::by_rules(audiences))
    }

    fn ask_application(
        self: &Arc<Self>,
        target: &Target,
        user: &User,
        endpoint: &Endpoint,
        by_rules: AudienceSet,
    ) -> Decision {
        let parameters = target.parameters.iter();
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.into()));
        let (room, path) = (target.name.as_str(), endpoint.path.as_str());
        let question = question(user, room, parameters.collect(), path);
        let asked = self.doors.ask(&target.kind, &user.id, &question);
        let (engine, target, user) = (self.clone(), target.clone(), user.id.clone());
        Decision::asked(async move {
            let verdict = asked.await.map_err(|unanswered| {
                let text = "whether you may join cannot be told now: try again";
                let reject = Reject::new(RejectCode::Unavailable, text);
                match unanswered {
                    Unanswered::Open { retry_after } => reject.retry_after(retry_after),
                    Unanswered::Busy | Unanswered::Failed => reject,
                }
            })?;
            if !verdict.allow {
                engine.not_let_in(&target, &user);
                let reject = decision::may_not_join(&target.name).cause("may_join: http");
                return Err(match &verdict.reason {
                    Some(reason) => Reject {
                        message: reason.to_string().into(),
                        ..reject
                    },
                    None => reject,
                });
            }
            let pass = match verdict.audiences {
                Some(audiences) => Pass::told(audiences),
                None => Pass::by_rules(by_rules),
            };
            Ok(Pass {
                expires_at: verdict.expires_at,
                ..pass
            })
        })
    }

    fn ask_for_token(
        self: &Arc<Self>,
        target: &Target,
        user: &User,
        tokens: &[Box<str>],
        by_rules: AudienceSet,
    ) -> Decision {
        if tokens.is_empty() {
            self.not_let_in(target, &user.id);
            let text = format!("`{}` is joined with a `token`", target.name);
            return Decision::Known(Err(Reject::new(RejectCode::Forbidden, text)));
        }
        let Some(authenticator) = self.authenticator.get().cloned() else {
            let reject = Reject::new(RejectCode::Internal, "internal error");
            return Decision::Known(Err(reject.cause("nobody verifies tokens")));
        };
        let (engine, target, user) = (self.clone(), target.clone(), user.id.clone());
        let tokens = tokens.to_vec();
        Decision::asked(async move {
            let (kind, room) = (&target.kind, target.name.as_str());
            let mut outcome = Err(AuthError::NoTokens);
            for token in &tokens {
                let this = authenticator
                    .open_join_token(kind, token, &user, room)
                    .await;
                // Others may be for other rooms, whose keys may be others: only a good one decides, or one that cannot be told yet.
                let decides = this
                    .as_ref()
                    .map_or_else(|error| error.kind() == RefusalKind::Unavailable, |_| true);
                let says_little = matches!(outcome, Err(AuthError::NoTokens | AuthError::JoinRoom));
                if decides || says_little {
                    outcome = this;
                }
                if decides {
                    break;
                }
            }
            let grant = outcome.map_err(|error| {
                if error.kind() == RefusalKind::Unavailable {
                    return Reject::new(RejectCode::Unavailable, error.to_string());
                }
                engine.not_let_in(&target, &user);
                let reject = Reject::new(RejectCode::Forbidden, error.to_string());
                reject.cause(error.cause().unwrap_or("may_join: token"))
            })?;
            let pass = match &grant.audiences {
                Some(names) => {
                    let named = kind.audiences_named(names.iter().map(|name| &**name));
                    Pass::told(named.map_err(|text| Reject::new(RejectCode::Forbidden, text))?)
                }
                None => Pass::by_rules(by_rules),
            };
            Ok(Pass {
                expires_at: grant.expires_at,
                ..pass
            })
        })
    }

    fn not_let_in(&self, target: &Target, user: &UserId) {
        if let Some(label) = target.kind.may_join.label() {
            self.denied(label, Some(user.as_str()), Some(target.name.as_str()));
        }
    }

    /// Whether the room has a place for `user`.
    pub(super) fn has_place(&self, target: &Target, user: &User) -> Result<(), Reject> {
        match self.rooms.find(target.name.as_str()) {
            Some(hall) => {
                // What a dry run would refuse is counted when it joins.
                let limit = CountLimit {
                    tried: None,
                    ..hall.kind.users
                };
                self.place_in(limit, &hall, &hall.lock().room, user)
            }
            None => Ok(()),
        }
    }

    /// Whether `room` has a place for `user`; counts what exceeds `limit`, and what would.
    pub(super) fn place_in(
        &self,
        limit: CountLimit,
        hall: &Hall,
        room: &Room,
        user: &User,
    ) -> Result<(), Reject> {
        let others = room.members.users_count();
        if room.has(&user.id)
            || self
                .limits
                .has_room(CountLimitName::RoomUsers, limit, others)
        {
            return Ok(());
        }
        decision::has_place(&hall.kind, &hall.name, others)
    }

    /// A frame asks to join.
    pub(super) fn join_by_frame(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        (name, since): (&str, Option<Position>),
        token: Option<&str>,
        id: Option<&str>,
    ) -> Result<(), Refused> {
        let is_here = self.spend_join(connection, name)?;
        let target = self.target(name)?;
        let endpoint = &connection.endpoint;
        decision::is_joined_here(endpoint, &target)?;
        let asks = !matches!(target.kind.may_join, MayJoin::Rule(_));
        let user = connection.identity();
        let facts = connection.facts(&user, self.clock.now(), self.clock.monotonic());
        if is_here && asks {
            // Nobody is asked about who is in already.
            self.join(connection, &target, None, since, Some(id))?;
            return Ok(());
        }
        let decision = {
            let tokens: Vec<Box<str>> = token.into_iter().map(Into::into).collect();
            let wish = Wish {
                facts: &facts,
                user: &user,
                endpoint,
                tokens: &tokens,
            };
            self.rule_on(&target, wish)
        };
        match decision {
            Decision::Known(pass) => {
                let pass = pass?;
                self.spend_room(connection, &target.name)
                    .map_err(Refused::TooFast)?;
                self.join(connection, &target, Some(pass), since, Some(id))?;
            }
            Decision::Asked(ruling) => self.join_later(connection, target, since, id, ruling),
        }
        Ok(())
    }

    /// Takes what a join costs; says whether the connection is in the room already.
    fn spend_join(&self, connection: &Connection, name: &str) -> Result<bool, Refused> {
        let endpoint = &connection.endpoint;
        let mut inner = connection.inner.lock();
        let subject = Subject::joining(connection);
        self.limits
            .spend(&endpoint.join_limits, subject, Some(&mut inner.buckets))
            .map_err(Refused::TooFast)?;
        let is_here = inner.seats.iter().any(|seat| seat.name.as_str() == name);
        let doorstep = inner.doorstep.as_ref();
        if doorstep.is_some_and(|doorstep| doorstep.awaits(name)) {
            let text = format!("whether you may join `{name}` is being asked already");
            return Err(Reject::new(RejectCode::Conflict, text).into());
        }
        let pending = doorstep.map_or(0, |doorstep| doorstep.pending());
        let limit = endpoint.limits.rooms_per_connection;
        let (name, taken) = (
            CountLimitName::RoomsPerConnection,
            inner.seats.len() + pending,
        );
        if !is_here && !self.limits.has_room(name, limit, taken) {
            return Err(decision::no_room_left(endpoint).into());
        }
        Ok(is_here)
    }

    /// Takes the tokens of joining a room from its own buckets: of who may join it, so that nobody else can empty them.
    pub(super) fn spend_room(
        &self,
        connection: &Connection,
        room: &RoomName,
    ) -> Result<(), Exceeded> {
        let limits = connection.endpoint.join_limits.iter();
        let subject = Subject {
            room: Some(room),
            ..Subject::joining(connection)
        };
        self.limits.spend(
            limits.filter(|limit| limit.per == RateKey::Room),
            subject,
            None,
        )
    }
}
