//! The file of sessions that `auth.NAME.session.lookup.file` names: a YAML or JSON map from cookie value to user.
//!
//! Its keys are secrets: no error repeats any of its text.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::vocab::{Identity, Timestamp, User, UserId, is_username};

/// Why a text is no file of sessions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionFileError {
    /// Not YAML, a key twice, or not a map from text to `{user_id, username, claims, expires_at}`.
    #[error(
        "line {line}, column {column}: not a map from cookie values to {{user_id, username, claims, expires_at}}"
    )]
    Form {
        /// The line, from 1; 0 where it is not known.
        line: u64,
        /// The column, from 1; 0 where it is not known.
        column: u64,
    },
    /// A session has an unusable value.
    #[error("a session's `{field}` is not {expected}")]
    Value {
        /// Which of its fields.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user_id: Value,
    username: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    expires_at: Option<String>,
}

/// Reads a file of sessions: who is meant by which cookie value, and until when.
///
/// # Errors
/// The text has another form, or a session an unusable value.
pub fn read_session_file(text: &str) -> Result<HashMap<String, Identity>, SessionFileError> {
    if text.trim().is_empty() {
        return Ok(HashMap::new());
    }
    let written: HashMap<String, Written> = serde_yaml::from_str(text).map_err(|error| {
        let (line, column) = error
            .location()
            .map_or((0, 0), |place| (place.line(), place.column()));
        SessionFileError::Form { line, column }
    })?;
    written
        .into_iter()
        .map(|(cookie, session)| Ok((cookie, session.lower()?)))
        .collect()
}

impl Written {
    fn lower(self) -> Result<Identity, SessionFileError> {
        let id = user_id(&self.user_id).ok_or(SessionFileError::Value {
            field: "user_id",
            expected: "1 to 128 bytes of text, or a whole number, not beginning with `anon:`",
        })?;
        let username = match self.username {
            None => Arc::from(id.as_str()),
            Some(name) if is_username(&name) => name.into(),
            Some(_) => {
                return Err(SessionFileError::Value {
                    field: "username",
                    expected: "1 to 256 bytes of text without control characters",
                });
            }
        };
        let expires_at = self.expires_at.as_deref().map(Timestamp::parse);
        let expires_at = expires_at
            .transpose()
            .map_err(|_| SessionFileError::Value {
                field: "expires_at",
                expected: "a moment like `2026-11-22T10:00:00Z`",
            })?;
        let user = User {
            id,
            username,
            authenticated: true,
            claims: Arc::new(self.claims.into()),
        };
        Ok(Identity {
            user: Arc::new(user),
            expires_at,
        })
    }
}

fn user_id(value: &Value) -> Option<UserId> {
    let id = match value {
        Value::String(text) => UserId::parse(text),
        Value::Number(number) if !number.is_f64() => UserId::parse(&number.to_string()),
        _ => return None,
    };
    id.ok().filter(|id| !id.is_anonymous())
}

#[cfg(test)]
mod tests {
    use super::read_session_file;

    #[test]
    fn sessions_are_read_from_yaml_and_json() {
        let yaml = "cookie-a:\n  user_id: 7\n  username: Ann\n  claims: {roles: [mod]}\n  expires_at: 2026-11-22T10:00:00Z\n";
        let json = r#"{"cookie-a": {"user_id": "7", "username": "Ann", "claims": {"roles": ["mod"]},
            "expires_at": "2026-11-22T10:00:00Z"}}"#;
        for text in [yaml, json] {
            let sessions = read_session_file(text).expect("a good file");
            let session = &sessions["cookie-a"];
            assert_eq!(session.user.id.as_str(), "7");
            assert_eq!(&*session.user.username, "Ann");
            assert_eq!(session.user.claims["roles"][0], "mod");
            assert_eq!(
                session.expires_at.map(|at| at.to_string()),
                Some("2026-11-22T10:00:00.000Z".into())
            );
        }
        assert_eq!(
            read_session_file(" \n").map(|sessions| sessions.len()),
            Ok(0)
        );
    }

    #[test]
    fn errors_say_where_and_repeat_nothing() {
        let form = |line, column| {
            format!(
                "line {line}, column {column}: not a map from cookie values to {{user_id, username, claims, expires_at}}"
            )
        };
        for (text, message) in [
            ("- hidden", form(1, 1)),
            ("hidden: {user_id: a}\nhidden: {user_id: b}", form(2, 1)),
            ("hidden: {user: a}", form(1, 10)),
            ("hidden: {user_id: [", form(1, 19)),
            (
                "hidden: {user_id: 'anon:1'}",
                "a session's `user_id` is not 1 to 128 bytes of text, or a whole number, not beginning with `anon:`".into(),
            ),
            (
                "hidden: {user_id: 1, expires_at: tomorrow}",
                "a session's `expires_at` is not a moment like `2026-11-22T10:00:00Z`".into(),
            ),
            (
                "hidden: {user_id: 1, username: \"a\\nb\"}",
                "a session's `username` is not 1 to 256 bytes of text without control characters".into(),
            ),
        ] {
            let error = read_session_file(text).err().map(|error| error.to_string());
            assert_eq!(error, Some(message), "{text}");
        }
    }
}
