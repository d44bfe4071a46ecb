//! Text endpoints: JSON frames told in words, by the endpoint's templates.

use std::sync::Arc;

use serde_json::Value;

use crate::plan::TextProtocol;
use crate::protocol::{Frame, FrameKind};
use crate::rule::{DataFacts, Facts, RoomFacts, Template};
use crate::vocab::{Timestamp, User, UserId};

/// The text of a JSON frame; none where the endpoint has no template for it. Frames of text already pass.
pub(super) fn render(text: &TextProtocol, frame: &Frame) -> Option<Frame> {
    if frame.kind() == FrameKind::Raw {
        return Some(frame.clone());
    }
    let parsed: Value = serde_json::from_slice(frame.payload()).ok()?;
    let name = parsed.get("type")?.as_str()?;
    let template = if name == "error" {
        text.error.as_ref()?
    } else {
        text.render.get(name)?
    };
    render_with(template, &parsed)
}

/// What `template` makes of the members of a frame.
pub(super) fn render_with(template: &Arc<Template>, frame: &Value) -> Option<Frame> {
    let member = |name: &str| frame.get(name).and_then(Value::as_str);
    let user = |name: &str| frame.get(name).and_then(user_of);
    let (sender, user) = (user("sender"), user("user"));
    let users_count = frame
        .get("users_count")
        .and_then(Value::as_u64)
        .unwrap_or_default() as usize;
    let facts = Facts {
        user: user.as_ref(),
        sender: sender.as_ref(),
        path: None,
        query: None,
        params: None,
        room: member("room").map(|name| RoomFacts { name, users_count }),
        connection: None,
        data: frame.get("data").map(DataFacts::Tree),
        error: member("code").zip(member("message")),
        now: Timestamp::from_millis(0),
    };
    match template.render(&facts) {
        Ok(text) => Some(Frame::raw_text(&text)),
        Err(failure) => {
            tracing::warn!(%failure, "a template could not be rendered");
            None
        }
    }
}

fn user_of(value: &Value) -> Option<User> {
    Some(User {
        id: UserId::parse(value.get("user_id")?.as_str()?).ok()?,
        username: value.get("username")?.as_str()?.into(),
        authenticated: false,
        claims: Arc::new(Value::Null),
    })
}
