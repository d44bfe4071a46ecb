//! The way of a connection and its frames, asked step by step.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::decision::{
    self, Asker, Doorman, Opened, Step, Surroundings, Target, Telling, Trail, Verdict,
};
use crate::plan::{AutoJoin, Clause, Endpoint, MayJoin, OnExceed, Plan, RateKey, RateLimit};
use crate::rule::{ConnectionFacts, Facts, Reads};
use crate::vocab::{
    AudienceSet, ConnectionId, Parameters, RoomName, Timestamp, User, format_duration,
};

/// Somebody who is, or would be, connected.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// Where.
    pub endpoint: &'a Arc<Endpoint>,
    /// Who.
    pub user: &'a User,
    /// The parameters of the path.
    pub path: &'a Parameters,
    /// The query, without credentials.
    pub query: &'a Parameters,
    /// The join tokens of the query, for automatic rooms.
    pub query_tokens: &'a [Box<str>],
    /// Those of a frame that joins: one or none.
    pub frame_tokens: &'a [Box<str>],
    /// Where from.
    pub ip: IpAddr,
    /// The connection's id.
    pub id: ConnectionId,
    /// The moment of the question.
    pub now: Timestamp,
}

/// An inquiry into what somebody may do. Each method takes some of the steps, and yields nothing where one of them refuses.
pub struct Inquiry<'a> {
    pub(super) plan: &'a Plan,
    pub(super) around: &'a dyn Surroundings,
    doorman: &'a dyn Doorman,
    /// The steps so far.
    pub trail: Trail<'a>,
    /// The rate limits, by number, of which the steps so far would have taken a token.
    taken: Vec<usize>,
    /// Of which audiences join tokens say that the visitor is, by room.
    pub(super) told: Vec<(RoomName, AudienceSet)>,
}

impl<'a> Visitor<'a> {
    /// What rules see of somebody who has just come.
    pub fn facts(&self) -> Facts<'a> {
        Facts {
            user: Some(self.user),
            path: Some(self.path),
            query: Some(self.query),
            connection: Some(ConnectionFacts {
                id: self.id,
                ip: self.ip,
                endpoint: self.endpoint.path.as_str(),
                age: Duration::ZERO,
            }),
            ..Facts::at(self.now)
        }
    }

    pub(super) fn asker(&self) -> Asker<'a> {
        Asker {
            user: Some(&self.user.id),
            ip: Some(self.ip),
            endpoint: Some(self.endpoint),
            ..Asker::default()
        }
    }
}

impl<'a> Inquiry<'a> {
    /// An inquiry that has not asked anything.
    pub fn new(plan: &'a Plan, around: &'a dyn Surroundings, doorman: &'a dyn Doorman) -> Self {
        Self {
            plan,
            around,
            doorman,
            trail: Trail::new(plan),
            taken: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Whether a connection from `ip` may ask for anything at `endpoint`, whoever it is.
    pub fn arriving(&mut self, endpoint: &Endpoint, ip: IpAddr) -> Option<()> {
        let block = self.around.block_at(ip);
        self.blocked(ip.to_string(), block)?;
        let asker = Asker {
            ip: Some(ip),
            endpoint: Some(endpoint),
            ..Asker::default()
        };
        let limits = endpoint.connect_limits.iter();
        let limits = limits.filter(|limit| limit.per != RateKey::User);
        self.limits("connect_limit", limits, asker, Telling::Status)
    }

    fn blocked(&mut self, subject: String, block: Option<String>) -> Option<()> {
        let Some(reason) = block else {
            return Some(());
        };
        let step = Step::new("block", subject).refused_with(403);
        let detail = format!("the application keeps it out: {reason}");
        self.trail.take(step.detail(detail), &[])
    }

    /// Whether somebody with a credential is let in; the rooms in which it is then.
    pub fn connecting(&mut self, visitor: &Visitor<'_>) -> Option<Vec<Target>> {
        let endpoint = visitor.endpoint;
        let block = self.around.block_of(visitor.user);
        self.blocked(visitor.user.id.as_str().to_owned(), block)?;
        let limits = endpoint.connect_limits.iter();
        let limits = limits.filter(|limit| limit.per == RateKey::User);
        self.limits("connect_limit", limits, visitor.asker(), Telling::Status)?;
        self.places(visitor)?;
        if let Some(rule) = &endpoint.allow {
            let clauses = [Clause::new("endpoints", endpoint.path.as_str(), "allow")];
            let step = Step::new("allow", endpoint.path.as_str());
            let facts = visitor.facts();
            self.trail
                .ask(step, &clauses, Telling::Status, Reads::default(), |judge| {
                    decision::may_connect(judge, rule, &facts)
                })?;
        }
        let mut rooms: Vec<Target> = Vec::new();
        for (index, automatic) in endpoint.auto_join.iter().enumerate() {
            match self.automatic(visitor, index, automatic) {
                Some(target) => rooms.push(target),
                None if automatic.when_allowed => {}
                None => return None,
            }
        }
        Some(rooms)
    }

    fn automatic(
        &mut self,
        visitor: &Visitor<'_>,
        index: usize,
        automatic: &AutoJoin,
    ) -> Option<Target> {
        let telling = if automatic.when_allowed {
            Telling::LeftOut
        } else {
            Telling::Status
        };
        let (plan, facts) = (self.plan, visitor.facts());
        let key = format!("auto_join.{index}");
        let clauses = [Clause::new(
            "endpoints",
            visitor.endpoint.path.as_str(),
            &key,
        )];
        let step = Step::new("auto_join", automatic.room.text());
        let target = decision::automatic(plan, automatic, &facts);
        let step = match &target {
            Ok(target) => step.detail(format!("`{}`", target.name)),
            Err(_) => step,
        };
        let target = self
            .trail
            .ask(step, &clauses, telling, Reads::default(), |_| target)?;
        self.enter(visitor, target, (telling, visitor.query_tokens))
    }

    /// Whether a frame that asks to join the room called `name` is granted, for a connection that is in `rooms`; the room.
    pub fn joining(
        &mut self,
        visitor: &Visitor<'_>,
        rooms: &[Target],
        name: &str,
    ) -> Option<Target> {
        let (endpoint, plan) = (visitor.endpoint, self.plan);
        let path = endpoint.path.as_str();
        self.limits(
            "join_limit",
            &endpoint.join_limits,
            visitor.asker(),
            Telling::Code,
        )?;
        let here = [Clause::new("endpoints", path, "")];
        if rooms.iter().all(|room| room.name.as_str() != name) {
            let left = decision::room_left(endpoint, rooms.len());
            let step = Step::new("rooms_per_connection", path);
            self.trail.demand(step, &here, Telling::Code, left)?;
        }
        let target = decision::target(plan, name);
        let (step, clauses) = match &target {
            Ok(target) => {
                let pattern = target.kind.pattern.as_str();
                let step = Step::new("room", name).detail(format!("it is one of `{pattern}`"));
                (step, vec![Clause::new("rooms", pattern, "")])
            }
            Err(_) => (Step::new("room", name), Vec::new()),
        };
        let target = self
            .trail
            .ask(step, &clauses, Telling::Code, Reads::default(), |_| target)?;
        let step = Step::new("listed", target.kind.pattern.as_str());
        let clauses = [Clause::new("endpoints", path, "rooms")];
        self.trail
            .ask(step, &clauses, Telling::Code, Reads::default(), |_| {
                decision::is_joined_here(endpoint, &target)
            })?;
        self.enter(visitor, target, (Telling::Code, visitor.frame_tokens))
    }

    /// Whether the room itself lets somebody in who brings `tokens`.
    fn enter(
        &mut self,
        visitor: &Visitor<'_>,
        target: Target,
        (telling, tokens): (Telling, &[Box<str>]),
    ) -> Option<Target> {
        let (name, pattern) = (&target.name, target.kind.pattern.as_str());
        let standing = self.around.room(name, &visitor.user.id);
        let unknown = Reads {
            users_count: standing.is_none(),
            ..Reads::default()
        };
        let users_count = standing.map_or(0, |standing| standing.users_count);
        let clauses = [Clause::new("rooms", pattern, "may_join")];
        let step = Step::new("may_join", name.as_str());
        let facts = visitor.facts();
        let facts = target.facts(users_count, &facts);
        let untold = |step: Step, detail: &str| step.detail(detail).verdict(Verdict::Unknown);
        match &target.kind.may_join {
            MayJoin::Rule(rule) => {
                self.trail.ask(step, &clauses, telling, unknown, |judge| {
                    decision::is_let_in(judge, rule, &target, &facts)
                })?;
            }
            MayJoin::Http { .. } => {
                let step = untold(step, "the application decides, and it is not asked here");
                self.trail.take(step, &clauses)?;
            }
            MayJoin::Token { .. } => match self.doorman.opens(&target, &visitor.user.id, tokens) {
                Opened::Yes(named) => {
                    self.told
                        .extend(named.map(|named| (target.name.clone(), named)));
                    let step = step.detail("the join token is for this user and this room");
                    self.trail.take(step, &clauses)?;
                }
                Opened::No(reject) => {
                    self.trail
                        .demand(step, &clauses, telling, Err::<(), _>(reject))?;
                }
                Opened::Unknown(detail) => {
                    self.trail.take(untold(step, &detail), &clauses)?;
                }
            },
        }
        self.room_for(&target, standing, telling)?;
        Some(target)
    }

    /// Whether each of `limits` has a token for `asker`.
    pub(super) fn limits<'l>(
        &mut self,
        name: &'static str,
        limits: impl IntoIterator<Item = &'l Arc<RateLimit>>,
        asker: Asker<'_>,
        telling: Telling,
    ) -> Option<()> {
        for limit in limits {
            let step = Step::new(name, &*limit.name);
            let ahead = self.taken.iter().filter(|taken| **taken == limit.index);
            let step = match self.around.wait(limit, asker, ahead.count()) {
                None => step.detail("how many tokens are left, a running server knows"),
                Some(Duration::ZERO) => step.detail("there is a token"),
                Some(wait) => exceeded(step, limit, wait, telling),
            };
            let clauses = [Clause::new("rate_limits", &limit.name, "")];
            self.trail.take(step, &clauses)?;
            if limit.per != RateKey::Room || asker.room.is_some() {
                self.taken.push(limit.index);
            }
        }
        Some(())
    }
}

fn exceeded(step: Step, limit: &RateLimit, wait: Duration, telling: Telling) -> Step {
    let wait = format_duration(Duration::from_millis(
        u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX),
    ));
    if limit.dry_run {
        return step.detail(format!(
            "there is no token for {wait}; `dry_run` only counts that"
        ));
    }
    let then = match (telling, limit.on_exceed) {
        (Telling::Status | Telling::LeftOut, _) | (_, OnExceed::Error) => "",
        (_, OnExceed::Drop) => ": the frame is dropped without a word",
        (_, OnExceed::Close) => ": the connection ends with 4029",
    };
    let step = step.detail(format!("there is no token for {wait}{then}"));
    match telling {
        Telling::Code => Step {
            code: Some("rate_limited"),
            ..step.verdict(Verdict::Refused)
        },
        Telling::Status | Telling::LeftOut => step.refused_with(429),
    }
}
