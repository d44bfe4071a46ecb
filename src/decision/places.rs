//! Limits that count, asked with how many there are.

use std::net::IpAddr;

use crate::decision::inquiry::{Inquiry, Visitor};
use crate::decision::{self, Standing, Step, Target, Telling};
use crate::plan::{Clause, CountLimit, Endpoint, OnTooMany};
use crate::rule::Reads;

/// Connections that one more has to find a place among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Those of the whole server.
    pub everywhere: usize,
    /// Those of the same address; none where no limit counts them, as on a Unix socket.
    pub from_there: Option<usize>,
    /// Those of the same endpoint.
    pub here: usize,
}

impl Inquiry<'_> {
    /// Whether the server, the address and the endpoint have a place for one more connection.
    pub fn knocking(&mut self, endpoint: &Endpoint, ip: IpAddr) -> Option<()> {
        let Some(crowd) = self.around.crowd(endpoint, ip) else {
            return Some(());
        };
        let server = &self.plan.server;
        let (path, address) = (endpoint.path.as_str(), ip.to_string());
        let of_server = || Clause::new("server", "", "limits");
        let of_endpoint = Clause::new("endpoints", path, "limits");
        let here = endpoint.limits.connections;
        for (owner, subject, count, limit, clause) in [
            (
                "the server",
                "",
                Some(crowd.everywhere),
                server.connections,
                of_server(),
            ),
            (
                "the address",
                &*address,
                crowd.from_there,
                server.connections_per_ip,
                of_server(),
            ),
            ("the endpoint", path, Some(crowd.here), here, of_endpoint),
        ] {
            let Some(count) = count else { continue };
            let counted = counted(count, "connections now", limit);
            let step = Step::new("connections", subject).detail(format!("{owner} has {counted}"));
            if count >= limit.max {
                self.trail.take(step.refused_with(429), &[clause])?;
            } else if subject == path && limit != CountLimit::NONE {
                // The others have room by far, and every server has them.
                self.trail.take(step, &[clause])?;
            }
        }
        Some(())
    }

    /// Whether the user has a connection left.
    pub(super) fn places(&mut self, visitor: &Visitor<'_>) -> Option<()> {
        let limits = &visitor.endpoint.limits;
        let connections = self.around.connections(visitor.endpoint, &visitor.user.id);
        let Some(count) = connections else {
            return Some(());
        };
        let limit = limits.connections_per_user;
        let step = Step::new("connections", visitor.user.id.as_str());
        let step = match limits.on_too_many {
            OnTooMany::Refuse if count >= limit.max => step.refused_with(429),
            _ => step,
        };
        let clauses = [Clause::new("endpoints", visitor.endpoint.path.as_str(), "")];
        let detail = format!("the user has {}", counted(count, "connections here", limit));
        self.trail.take(step.detail(detail), &clauses)
    }

    /// Whether the room has a place for the user of `standing`.
    pub(super) fn room_for(
        &mut self,
        target: &Target,
        standing: Option<Standing>,
        telling: Telling,
    ) -> Option<()> {
        let clause = Clause::new("rooms", target.kind.pattern.as_str(), "limits.users");
        let limit = target.kind.users;
        let step = Step::new("users", target.name.as_str());
        match standing {
            None if self.plan.lines.is_written(&clause) => {
                let detail = match limit.max {
                    usize::MAX => "the limit is tried only: nobody is refused".to_owned(),
                    max => format!(
                        "at most {max} at a time; how many there are, a running server knows"
                    ),
                };
                self.trail.take(step.detail(detail), &[clause])
            }
            None => Some(()),
            Some(standing) => {
                let count = standing.users_count;
                let detail = match standing.is_member {
                    true => "the user is in it now".to_owned(),
                    false => format!("it has {}", counted(count, "users now", limit)),
                };
                let (name, kind) = (&target.name, &target.kind);
                self.trail.ask(
                    step.detail(detail),
                    &[clause],
                    telling,
                    Reads::default(),
                    |_| match standing.is_member {
                        true => Ok(()),
                        false => decision::has_place(kind, name, count),
                    },
                )
            }
        }
    }
}

/// `count` of the `things` that `limit` bounds.
fn counted(count: usize, things: &str, limit: CountLimit) -> String {
    match (limit.max, limit.tried) {
        (usize::MAX, Some(tried)) => format!(
            "{count} {things}; there is no limit, `dry_run` only counts what goes beyond {tried}"
        ),
        (usize::MAX, None) => format!("{count} {things}; there is no limit"),
        (max, _) => format!("{count} of at most {max} {things}"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;
    use crate::plan::CountLimit;

    #[test]
    fn what_has_no_limit_is_said_so() {
        let limit = |max, tried| CountLimit { max, tried };
        for (limit, expected) in [
            (limit(5, None), "0 of at most 5 users now"),
            (CountLimit::NONE, "0 users now; there is no limit"),
            (
                limit(usize::MAX, Some(3)),
                "0 users now; there is no limit, `dry_run` only counts what goes beyond 3",
            ),
        ] {
            assert_eq!(counted(0, "users now", limit), expected);
        }
    }
}
