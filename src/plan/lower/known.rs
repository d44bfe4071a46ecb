//! What exists where a rule stands.
//!
//! | place | sees, beside `now` |
//! |---|---|
//! | `auth.NAME.anonymous` | `path` `query` `connection` |
//! | `endpoints.PATH.allow`, `auto_join` | `user` `path` `query` `connection` |
//! | `rooms.PATTERN.may_join` | `user` `params` `room` `connection` |
//! | `inbox.owner` | `params` |
//! | `allow`, `reply`, `to` of a type in a room | `user` `params` `room` `connection` `data` |
//! | `allow`, `reply`, `to` of a type of an endpoint | `user` `path` `query` `connection` `data` |
//! | `render` of a type or of `reply` · of an announcement · of `error` | `data` `sender` · `user` `room` · `code` `message` |

use std::sync::Arc;

use serde_json::Value;

use crate::config::AuthMethod;
use crate::plan::lower::Lowering;
use crate::rule::Known;

impl Lowering<'_> {
    /// In a rule about joining the room at `room`.
    pub(super) fn known_in_room(&self, room: usize) -> Known {
        Known {
            user: true,
            params: Some(self.rooms.parameters(room)),
            room: true,
            connection: true,
            claims: self.claims(&self.reach.endpoints[room]),
            ..Known::default()
        }
    }

    /// In a rule about connecting to the endpoint at `endpoint`.
    pub(super) fn known_at_endpoint(&self, endpoint: usize) -> Known {
        Known {
            user: true,
            path: Some(self.endpoints.parameters(endpoint)),
            query: true,
            connection: true,
            claims: self.claims(&[endpoint]),
            ..Known::default()
        }
    }

    /// In a rule of a message type that is declared, but of which no place is known: whatever exists in some place.
    pub(super) fn known_somewhere(&self, message: &str) -> Known {
        let rooms = self.reach.taken_in_rooms.get(message);
        let endpoints = self.reach.taken_at_endpoints.get(message);
        let mut known = Known {
            user: true,
            connection: true,
            data: true,
            ..Known::default()
        };
        let mut from = endpoints.cloned().unwrap_or_default();
        for room in rooms.into_iter().flatten() {
            known.room = true;
            add(&mut known.params, self.rooms.parameters(*room));
            from.extend(&self.reach.endpoints[*room]);
        }
        for endpoint in endpoints.into_iter().flatten() {
            known.query = true;
            add(&mut known.path, self.endpoints.parameters(*endpoint));
        }
        known.claims = self.claims(&from);
        known
    }

    /// The schemas of the claims of those who come by `endpoints`; empty where some may have any claims.
    fn claims(&self, endpoints: &[usize]) -> Vec<Arc<Value>> {
        let mut schemas: Vec<Arc<Value>> = Vec::new();
        let cited = endpoints
            .iter()
            .flat_map(|endpoint| &self.config.endpoints[*endpoint].1.auth);
        for name in cited {
            let mut modes = self.config.auth.iter();
            let Some((_, mode)) = modes.find(|(mode, _)| mode.value == name.as_str()) else {
                return Vec::new();
            };
            if matches!(mode.method, Some(AuthMethod::Anonymous(_))) {
                continue;
            }
            let declared = mode
                .claims
                .as_ref()
                .and_then(|claims| self.schema_value(claims));
            let Some(schema) = declared else {
                return Vec::new();
            };
            if !schemas.iter().any(|other| Arc::ptr_eq(other, &schema)) {
                schemas.push(schema);
            }
        }
        schemas
    }
}

fn add(names: &mut Option<Vec<Arc<str>>>, more: Vec<Arc<str>>) {
    let names = names.get_or_insert_default();
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The names that all of `lists` have.
pub(super) fn intersection(lists: &[Vec<Arc<str>>]) -> Vec<Arc<str>> {
    let Some((first, others)) = lists.split_first() else {
        return Vec::new();
    };
    let everywhere = |name: &&Arc<str>| others.iter().all(|list| list.contains(name));
    first.iter().filter(everywhere).cloned().collect()
}
