//! Keys of the HTTP API.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::auth::AuthError;
use crate::auth::request::bearer;
use crate::plan::{Api, ApiKey};
use crate::vocab::RoomName;

/// The key whose secret the `Authorization` header carries.
///
/// Every key is compared, and hashes of equal length are, so that the time tells nothing of the secrets.
///
/// # Errors
/// No header, another scheme than Bearer, or a secret that no key has.
pub fn authorize_api<'a>(api: &'a Api, header: Option<&str>) -> Result<&'a ApiKey, AuthError> {
    let sent = header.and_then(bearer).ok_or_else(|| AuthError::Missing {
        places: "the header `authorization: Bearer …`".to_owned(),
    })?;
    let sent = digest(&SHA256, sent.as_bytes());
    let same = |key: &&ApiKey| {
        let own = digest(&SHA256, key.secret.expose().as_bytes());
        verify_slices_are_equal(own.as_ref(), sent.as_ref()).is_ok()
    };
    let found = api
        .keys
        .iter()
        .fold(None, |found, key| found.or(same(&key).then_some(key)));
    found.ok_or(AuthError::ApiKey)
}

/// Whether `key` may use `room`: one of its patterns fits, or it has none.
pub fn may_use_room(key: &ApiKey, room: &RoomName) -> bool {
    key.rooms.is_empty() || key.rooms.iter().any(|pattern| fits(pattern, room.as_str()))
}

/// Whether `text` is `pattern` with some text for each `*`.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{authorize_api, fits, may_use_room};
    use crate::auth::AuthError;
    use crate::plan::{Api, ApiKey};
    use crate::vocab::{RoomName, Secret};

    fn key(name: &str, secret: &str, rooms: &[&str]) -> ApiKey {
        ApiKey {
            name: name.into(),
            secret: Secret::new(secret),
            publish: true,
            read: false,
            disconnect: false,
            rooms: rooms.iter().map(|room| (*room).into()).collect(),
        }
    }

    #[test]
    fn a_key_is_known_by_its_secret() {
        let api = Api {
            keys: vec![
                key("one", "first-secret", &[]),
                key("two", "second-secret", &[]),
            ],
            cors: None,
        };
        let missing = AuthError::Missing {
            places: "the header `authorization: Bearer …`".into(),
        };
        for (header, expected) in [
            (Some("Bearer first-secret"), Ok("one")),
            (Some("bearer second-secret"), Ok("two")),
            (Some("BEARER  second-secret "), Ok("two")),
            (Some("Bearer second-secre"), Err(AuthError::ApiKey)),
            (Some("Bearer second-secrets"), Err(AuthError::ApiKey)),
            (Some("Bearer"), Err(AuthError::ApiKey)),
            (Some("Bearer "), Err(AuthError::ApiKey)),
            (Some("Basic first-secret"), Err(missing.clone())),
            (Some("first-secret"), Err(missing.clone())),
            (Some(""), Err(missing.clone())),
            (None, Err(missing)),
        ] {
            let found = authorize_api(&api, header).map(|key| &*key.name);
            assert_eq!(found, expected, "{header:?}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, room, expected) in [
            ("room:*", "room:42", true),
            ("room:*", "room:42:x", true),
            ("room:*", "desk:42", false),
            ("room:*", "bedroom:42", false),
            ("*", "a", true),
            ("*:log", "room:log", true),
            ("*:log", "room:logs", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("**", "a", true),
            ("room:42", "room:42", true),
            ("room:42", "room:421", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, room), expected, "{pattern} {room}");
        }
        let room = RoomName::parse("room:1").expect("a name");
        assert!(may_use_room(&key("all", "s", &[]), &room));
        assert!(!may_use_room(&key("few", "s", &["desk:*", "x"]), &room));
    }
}
