//! The frames that tell a connection where it is: how a room stands, who is in it, what it missed.

use std::time::Duration;

use serde_json::json;

use crate::engine::connection::Connection;
use crate::engine::{Engine, Hall};
use crate::plan::Protocol;
use crate::protocol::{Frame, Object};
use crate::room::Room;
use crate::vocab::Timestamp;

/// Users that a `members` or `present` frame lists at most.
pub(super) const MEMBERS_PAGE_MAX: usize = 1000;

/// What `welcome` and `joined` say of a room.
pub(super) fn standing(
    room: &mut Room,
    hall: &Hall,
    engine: &Engine,
    connection: &Connection,
) -> serde_json::Value {
    let mut standing =
        json!({"room": hall.name.as_str(), "users_count": room.members.users_count()});
    if let Some(position) = room.position() {
        standing["epoch"] = position.epoch.to_string().into();
        standing["seq"] = position.seq.get().into();
    }
    if let Some(unread) = room.unread(engine.clock.now(), connection.device()) {
        standing["unread"] = unread.into();
    }
    standing
}

/// The answer to a join.
pub(super) fn joined(id: Option<&str>, standing: &serde_json::Value) -> Frame {
    let mut frame = Object::new("joined", 160).optional("id", id);
    for name in ["room", "epoch", "seq", "users_count", "unread"] {
        frame = frame.optional(name, standing.get(name));
    }
    frame.finish()
}

/// Says that messages are missing, and from where on there are none.
pub(super) fn gap(hall: &Hall, room: &Room) -> Frame {
    let position = room.position();
    let epoch = position.map(|position| position.epoch.to_string());
    let seq = position.map(|position| position.seq.get());
    Object::new("gap", 96)
        .field("room", hall.name.as_str())
        .optional("epoch", epoch.as_ref())
        .optional("seq", seq.as_ref())
        .finish()
}

/// `members`, or the config's `present` frame.
pub(super) fn members_frame(
    name: &str,
    id: Option<&str>,
    hall: &Hall,
    room: &Room,
    after: Option<&str>,
    limit: usize,
) -> Frame {
    let (page, more) = room.members.page(after, limit);
    let users: Vec<serde_json::Value> = page
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
    let next = if more {
        page.last().map(|member| member.user.id.as_str())
    } else {
        None
    };
    Object::new(name, 64 + users.len() * 96)
        .optional("id", id)
        .field("room", hall.name.as_str())
        .field("users", &users)
        .field("users_count", &room.members.users_count())
        .optional("next", next)
        .finish()
}

/// The first frame of all, where the endpoint speaks JSON.
pub(super) fn welcome(
    connection: &Connection,
    joined: &[serde_json::Value],
    now: Timestamp,
) -> Option<Frame> {
    let endpoint = &connection.endpoint;
    if !matches!(endpoint.protocol, Protocol::Json | Protocol::EveryFrame(_)) {
        return None;
    }
    let (heartbeat, limits) = (&endpoint.heartbeat, &endpoint.limits);
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let heartbeat =
        json!({"idle_ms": millis(heartbeat.idle), "timeout_ms": millis(heartbeat.timeout)});
    let limits =
        json!({"message_size": limits.message_size.bytes(), "rooms": limits.rooms_per_connection});
    Some(
        Object::new("welcome", 512)
            .field("protocol", &1)
            .plain("connection_id", connection.id)
            .user("user", &connection.user)
            .field("rooms", &joined)
            .field("heartbeat", &heartbeat)
            .field("limits", &limits)
            .plain("timestamp", now)
            .finish(),
    )
}
