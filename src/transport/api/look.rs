//! Looking: what a user is connected with, who is in a room.

use salvo::Request;
use serde_json::{Value, json};

use crate::engine::{ConnectionSeen, PAGE_MAX};
use crate::protocol::Reject;
use crate::transport::api::Call;

impl Call<'_> {
    /// `GET /api/users/{user}`.
    pub(super) fn user(&self, request: &Request) -> Result<Value, Reject> {
        let user = self.user_anywhere(request)?;
        let seen = self.engine.user_seen(&user);
        let connections: Vec<Value> = seen.connections.iter().map(shown).collect();
        let mut answer = json!({"user_id": user.as_str()});
        if let Some(username) = &seen.username {
            answer["username"] = (**username).into();
        }
        answer["connections"] = connections.into();
        Ok(answer)
    }

    /// `GET /api/rooms/{room}/members?after=&limit=`.
    pub(super) fn members(&self, request: &Request) -> Result<Value, Reject> {
        let room = self.room(request)?;
        let limit = self.limit(PAGE_MAX)?;
        let after = self.query.get("after");
        let seen = self.engine.members_seen(room.as_str(), after, limit)?;
        let users: Vec<Value> = seen
            .page
            .iter()
            .map(|member| {
                json!({
                    "user_id": member.user.id.as_str(),
                    "username": &*member.user.username,
                    "connections": member.connections,
                    "joined_at": member.joined_at.to_string(),
                })
            })
            .collect();
        let mut answer =
            json!({"room": room.as_str(), "users": users, "users_count": seen.users_count});
        if let Some(last) = seen.page.last().filter(|_| seen.more) {
            answer["next"] = last.user.id.as_str().into();
        }
        Ok(answer)
    }
}

fn shown(connection: &ConnectionSeen) -> Value {
    let rooms: Vec<&str> = connection.rooms.iter().map(|room| room.as_str()).collect();
    json!({
        "connection_id": connection.id.to_string(),
        "endpoint": connection.endpoint.path.as_str(),
        "ip": connection.ip.to_string(),
        "since": connection.since.to_string(),
        "rooms": rooms,
    })
}
