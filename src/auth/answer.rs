//! What the application says of somebody: `{user_id, username?, claims?, expires_at?, rooms?}`. Fields beside these are ignored.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::schema::{Schema, Violation};
use crate::vocab::json;
use crate::vocab::{Identity, RoomName, Timestamp, User, UserId, is_username};

/// More rooms than any connection may be in by default.
const ROOMS_MAX: usize = 1000;

/// Somebody whom the application knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Who it is, and until when.
    pub identity: Identity,
    /// The rooms that the application puts its connection into.
    pub rooms: Arc<[RoomName]>,
}

/// Why a text says nobody. Neither variant repeats a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is no JSON object, or one with a key twice.
    #[error("it is no JSON object: {0}")]
    Form(String),
    /// A field is missing or has an unusable value.
    #[error("{0}")]
    Value(String),
}

/// Reads who is meant; `claims` is what the claims have to look like.
pub(super) fn read(text: &[u8], claims: Option<&Schema>) -> Result<Login, Unreadable> {
    let form = |cause: &str| Unreadable::Form(cause.to_owned());
    let text = str::from_utf8(text).map_err(|_| form("it is not UTF-8"))?;
    let object = match json::parse(text, json::DEPTH_MAX) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(form("it is something else")),
        Err(error) => return Err(Unreadable::Form(error.to_string())),
    };
    let id = user_id(&object)?;
    let username = match field(&object, "username") {
        None => id.to_shared(),
        Some(Value::String(name)) if is_username(name) => name.as_str().into(),
        Some(_) => {
            return Err(unusable(
                "username",
                "a text of 1 to 256 bytes without control characters",
            ));
        }
    };
    let user = User {
        id,
        username,
        authenticated: true,
        claims: Arc::new(checked_claims(&object, claims)?),
    };
    let expires_at = match field(&object, "expires_at") {
        None => None,
        Some(Value::String(text)) => Some(Timestamp::parse(text).map_err(|_| expiry())?),
        Some(_) => return Err(expiry()),
    };
    Ok(Login {
        identity: Identity {
            user: Arc::new(user),
            expires_at,
        },
        rooms: rooms(&object)?,
    })
}

/// A field that is there and not null.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn unusable(name: &str, expected: &str) -> Unreadable {
    Unreadable::Value(format!("`{name}` is not {expected}"))
}

fn expiry() -> Unreadable {
    unusable("expires_at", "a moment like `2026-11-22T10:00:00Z`")
}

fn user_id(object: &Map<String, Value>) -> Result<UserId, Unreadable> {
    let id = match field(object, "user_id") {
        None => return Err(Unreadable::Value("there is no `user_id`".to_owned())),
        Some(Value::String(text)) => UserId::parse(text).ok(),
        Some(Value::Number(number)) if !number.is_f64() => UserId::parse(&number.to_string()).ok(),
        Some(_) => None,
    };
    match id {
        Some(id) if id.is_anonymous() => Err(unusable(
            "user_id",
            "the id of an authenticated user: it begins with `anon:`",
        )),
        Some(id) => Ok(id),
        None => Err(unusable(
            "user_id",
            "a text of 1 to 128 bytes without control characters, or a whole number",
        )),
    }
}

fn checked_claims(
    object: &Map<String, Value>,
    schema: Option<&Schema>,
) -> Result<Value, Unreadable> {
    let claims = match field(object, "claims") {
        None => Value::Object(Map::new()),
        Some(Value::Object(claims)) => Value::Object(claims.clone()),
        Some(_) => return Err(unusable("claims", "an object")),
    };
    match schema.map_or(Ok(()), |schema| schema.check(&claims)) {
        Ok(()) => Ok(claims),
        Err(violations) => Err(Unreadable::Value(format!(
            "`claims` are not what the mode's schema says: {}",
            places(&violations)
        ))),
    }
}

/// Where claims do not fit, and which keyword says so; never the values.
pub(super) fn places(violations: &[Violation]) -> String {
    let places: Vec<String> = violations
        .iter()
        .map(|violation| format!("`{}` ({})", violation.path, violation.keyword))
        .collect();
    places.join(", ")
}

fn rooms(object: &Map<String, Value>) -> Result<Arc<[RoomName]>, Unreadable> {
    let list = || {
        unusable(
            "rooms",
            "a list of at most 1,000 names of rooms such as `room:42`",
        )
    };
    let mut rooms: Vec<RoomName> = Vec::new();
    match field(object, "rooms") {
        None => {}
        Some(Value::Array(names)) if names.len() <= ROOMS_MAX => {
            for name in names {
                let room = name.as_str().and_then(|name| RoomName::parse(name).ok());
                let room = room.ok_or_else(list)?;
                if !rooms.contains(&room) {
                    rooms.push(room);
                }
            }
        }
        Some(_) => return Err(list()),
    }
    Ok(rooms.into())
}
