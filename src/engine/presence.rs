//! The frames that tell a connection where it is: how a room stands, who is in it, what it missed.

use std::time::Duration;

use serde_json::json;

use crate::engine::connection::Connection;
use crate::engine::{Engine, Hall};
use crate::plan::Protocol;
use crate::protocol::{Frame, Object};
use crate::room::{Member, Room};
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
    let next = if more {
        page.last().map(|member| member.user.id.as_str())
    } else {
        None
    };
    // The room is locked meanwhile: one allocation, and no values in between.
    let of_names = |member: &&Member| member.user.id.as_str().len() + member.user.username.len();
    let room_for = 256 + page.len() * 96 + page.iter().map(of_names).sum::<usize>();
    Object::new(name, room_for)
        .optional("id", id)
        .text("room", hall.name.as_str())
        .objects("users", &page, |object, member| {
            object
                .text("user_id", member.user.id.as_str())
                .text("username", &member.user.username)
                .field("connections", &member.connections)
                .plain("joined_at", member.joined_at)
        })
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
    let limits = json!({"message_size": limits.message_size.bytes(), "rooms": limits.rooms_per_connection.max});
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
