//! What rules mean, as tables.

mod check;
mod differential;
mod evaluate;
mod plain;
mod template;

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rule::{ConnectionFacts, DataFacts, Facts, Known, Problem, RoomFacts};
use crate::vocab::json::Tape;
use crate::vocab::{ConnectionId, Parameters, Timestamp, User, UserId};

/// Everything exists, and claims are declared as in the language's own example.
fn everything() -> Known {
    let claims = json!({"type": "object", "properties": {
        "roles": {"type": "array", "items": {"type": "string"}},
        "role": {"type": "string"},
        "tickets": {"type": "array", "items": {"type": "string"}},
        "level": {"type": "integer"},
        "muted": {"type": "boolean"},
        "team": {"type": "object", "properties": {"id": {"type": "string"}}},
        "free": {"type": "object"},
    }});
    Known {
        claims: vec![Arc::new(claims)],
        ..anything()
    }
}

/// Everything exists, and claims are not declared.
fn anything() -> Known {
    Known {
        user: true,
        sender: true,
        path: Some(vec!["client_id".into()]),
        query: true,
        params: Some(vec!["room_id".into(), "ticket".into()]),
        room: true,
        connection: true,
        data: true,
        error: true,
        claims: Vec::new(),
    }
}

struct World {
    user: User,
    path: Parameters,
    query: Parameters,
    params: Parameters,
    data: Tape,
    tree: OnceCell<Value>,
}

impl World {
    fn new(claims: Value, data: Value) -> Self {
        Self {
            user: User {
                id: UserId::parse("ann").expect("an id"),
                username: "Ann".into(),
                authenticated: true,
                claims: Arc::new(claims),
            },
            path: [("client_id", "7")].into_iter().collect(),
            query: [("page", "2")].into_iter().collect(),
            params: [("room_id", "42"), ("ticket", "t1")].into_iter().collect(),
            data: Tape::of(&data),
            tree: OnceCell::new(),
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            user: Some(&self.user),
            sender: Some(&self.user),
            path: Some(&self.path),
            query: Some(&self.query),
            params: Some(&self.params),
            room: Some(RoomFacts {
                name: "room:42",
                users_count: 3,
            }),
            connection: Some(ConnectionFacts {
                id: ConnectionId::from_random(5),
                ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                endpoint: "/ws/{client_id}",
                age: Duration::from_millis(1500),
            }),
            data: Some(DataFacts::Tape(self.data.root(), &self.tree)),
            error: Some(("schema", "no text")),
            ..Facts::at(Timestamp::from_millis(1_000_999))
        }
    }
}

/// Problems as lines: `code \`the place\` message / help`.
fn lines(text: &str, problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| {
            let help = problem
                .help
                .as_ref()
                .map_or(String::new(), |help| format!(" / {help}"));
            let code = problem.code.slug.trim_start_matches("rule/");
            format!(
                "{code} [{}] {}{help}",
                &text[problem.range.clone()],
                problem.message
            )
        })
        .collect()
}
