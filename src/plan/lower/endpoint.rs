//! `endpoints`.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, AuthMethod, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::catalogue::rule as rule_codes;
use crate::diag::{Diagnostic, nearest};
use crate::plan::lower::limit::Limited;
use crate::plan::lower::message::At;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{
    AuthMode, AutoJoin, Compression, ConnectionLimits, Endpoint, Heartbeat, HeartbeatKind,
    OnTooMany, RejectStyle, RoomKind,
};
use crate::rule::Known;
use crate::vocab::ByteSize;

const CONNECTIONS_PER_USER: usize = 20;
const ROOMS_PER_CONNECTION: usize = 100;
pub(super) const MESSAGE_SIZE: ByteSize = ByteSize::from_bytes(64 << 10);
const DEPTH: usize = 32;
/// What reading JSON can go down to (`protocol` has the same bound).
const DEPTH_MAX: usize = 127;
const FRAGMENTS: usize = 1024;
const QUEUE_BYTES: ByteSize = ByteSize::from_bytes(1 << 20);
const QUEUE_FRAMES: usize = 4096;
/// Shorter messages gain little more than what deflating them costs.
const COMPRESSION_MIN_SIZE: ByteSize = ByteSize::from_bytes(256);
const HEARTBEAT_IDLE: Duration = Duration::from_secs(30);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(20);

impl Lowering<'_> {
    /// The endpoints, in the order of the file.
    pub(super) fn endpoints(
        &mut self,
        auth: &[Option<Arc<AuthMode>>],
        rooms: &[Option<Arc<RoomKind>>],
    ) -> Vec<Option<Arc<Endpoint>>> {
        let config = self.config;
        let mut endpoints = Vec::new();
        for (index, (_, endpoint)) in config.endpoints.iter().enumerate() {
            endpoints.push(self.endpoint(index, endpoint, auth, rooms).map(Arc::new));
        }
        endpoints
    }

    fn endpoint(
        &mut self,
        index: usize,
        written: &config::Endpoint,
        auth: &[Option<Arc<AuthMode>>],
        rooms: &[Option<Arc<RoomKind>>],
    ) -> Option<Endpoint> {
        let known = self.known_at_endpoint(index);
        let modes = self.auth_cited(written, auth);
        let path = &self.config.endpoints[index].0.value;
        let allow_key = format!("endpoints.{path}.allow");
        let before = self.findings.len();
        let allow = self.optional_rule(written.allow.as_ref(), &known, &allow_key);
        self.without_parameters(index, before);
        let messages = self.messages_taken(&written.messages, &known, At::Endpoint(index));
        let protocol = self.protocol(index, written, &known, messages.as_ref());
        let before = self.findings.len();
        let auto_join = self.auto_join(&written.auto_join, &known);
        self.without_parameters(index, before);
        let rooms = self.rooms_cited(&written.rooms, rooms);
        let limits = &written.rate_limit;
        let connect_limits = self.cited_limits(&limits.connect);
        self.limits_fit(&limits.connect, Limited::Connecting);
        let join_limits = self.cited_limits(&limits.join);
        self.limits_fit(&limits.join, Limited::Joining);
        let message_limits = self.cited_limits(&limits.messages);
        let origins = self.origins(written);
        let heartbeat = self.heartbeat(&written.heartbeat);
        let limits = self.connection_limits(&written.limits);
        let coalesce = written.coalesce.map(|every| every.value);
        let compression = self.compression(written);
        Some(Endpoint {
            index: self.endpoints.rank(index),
            path: self.endpoints.patterns[index].clone()?,
            auth: modes?,
            allow: allow?,
            protocol: protocol?,
            auto_join: auto_join?,
            rooms: rooms?,
            messages: messages?,
            connect_limits,
            join_limits,
            message_limits,
            origins: origins?,
            heartbeat,
            limits,
            compression,
            reject: match written.reject.map(|reject| reject.value) {
                Some(config::RejectStyle::Http) | None => RejectStyle::Http,
                Some(config::RejectStyle::Close) => RejectStyle::Close,
            },
            coalesce: coalesce.filter(|every| !every.is_zero()),
            webhooks: self.endpoint_webhooks(&written.webhooks),
        })
    }

    fn auth_cited(
        &mut self,
        endpoint: &config::Endpoint,
        auth: &[Option<Arc<AuthMode>>],
    ) -> Option<Vec<Arc<AuthMode>>> {
        self.repeated(&endpoint.auth);
        let mut modes = Some(Vec::new());
        let mut decided: Option<&Text> = None;
        for name in &endpoint.auth {
            let index = self.auth_names.cite(name, &mut self.findings);
            if let Some(decided) = decided {
                let message = format!(
                    "`{name}` is never asked: `{decided}` needs no credential and decides first"
                );
                let help = "put the anonymous mode last";
                let finding = finding(&codes::UNREACHABLE_AUTH, name.span(), message, help);
                self.find(finding.also(decided.span(), "decides for everyone"));
            }
            let method = index.and_then(|index| self.config.auth[index].1.method.as_ref());
            match method {
                Some(AuthMethod::Anonymous(_)) => decided = decided.or(Some(name)),
                Some(AuthMethod::Jwt(jwt)) => self.first_message_fits(endpoint, name, &jwt.value),
                _ => {}
            }
            let mode = index.and_then(|index| auth[index].clone());
            match (&mut modes, mode) {
                (Some(list), Some(mode)) => list.push(mode),
                (modes, _) => *modes = None,
            }
        }
        modes.filter(|modes| !modes.is_empty())
    }

    /// A token in the first frame needs frames, and nothing that has decided before.
    fn first_message_fits(&mut self, endpoint: &config::Endpoint, name: &Text, jwt: &config::Jwt) {
        let credential = jwt.credential.as_ref();
        let Some(credential) = credential
            .filter(|credential| matches!(credential.value, config::Credential::FirstMessage(_)))
        else {
            return;
        };
        let json = endpoint
            .protocol
            .is_none_or(|protocol| protocol.value == config::Protocol::Json);
        let (message, help) = if endpoint.auth.len() > 1 {
            (
                format!("`{name}` waits for the first frame, so no other mode can stand beside it"),
                "name it alone, or take the token from the request: `credential: {query: token}`",
            )
        } else if !json || endpoint.every_frame.is_some() {
            (
                format!(
                    "`{name}` waits for a `token` frame, which clients of this endpoint cannot send"
                ),
                "take the token from the request: `credential: {query: token}`",
            )
        } else {
            return;
        };
        let finding = finding(&codes::CONTRADICTION, name.span(), message, help);
        self.find(finding.also(credential.span, "the token comes in the first frame"));
    }

    /// Says of findings from `before` on, about parameters of a path that has none, where they would be written.
    fn without_parameters(&mut self, index: usize, before: usize) {
        let config = self.config;
        let path = &config.endpoints[index].0.value;
        if !self.endpoints.parameters(index).is_empty() {
            return;
        }
        let of_path = |finding: &&mut Diagnostic| {
            finding.code == &rule_codes::UNKNOWN_FIELD
                && finding.message.starts_with("`path` has no `")
        };
        for finding in self.findings[before..].iter_mut().filter(of_path) {
            let name = self.sources.text(finding.span);
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let name = if is_name && !name.is_empty() {
                name
            } else {
                "NAME"
            };
            let folder = path.trim_end_matches('/');
            finding.message = format!("the path `{path}` has no parameters");
            finding.help = Some(format!("write `{folder}/{{{name}}}`"));
        }
    }

    fn auto_join(&mut self, written: &[config::AutoJoin], known: &Known) -> Option<Vec<AutoJoin>> {
        let mut joins = Some(Vec::new());
        for auto in written {
            let room = auto.room.as_ref().and_then(|text| {
                self.room_exists(text);
                self.own_template(text, known)
            });
            match (&mut joins, room) {
                (Some(list), Some(room)) => list.push(AutoJoin {
                    room,
                    when_allowed: auto.when_allowed.is_some_and(|when| when.value),
                }),
                (joins, _) => *joins = None,
            }
        }
        joins
    }

    fn rooms_cited(
        &mut self,
        names: &[Text],
        rooms: &[Option<Arc<RoomKind>>],
    ) -> Option<Vec<Arc<RoomKind>>> {
        self.repeated(names);
        let mut cited = Some(Vec::new());
        for name in names {
            let index = self.room_names.index(name.as_str());
            if index.is_none() {
                self.unknown_room(name);
            }
            match (&mut cited, index.and_then(|index| rooms[index].clone())) {
                (Some(list), Some(room)) => list.push(room),
                (cited, _) => *cited = None,
            }
        }
        cited
    }

    fn unknown_room(&mut self, name: &Text) {
        let message = format!("`{name}` is not a room pattern of this file");
        let mut patterns = self.rooms.patterns.iter().flatten();
        let instance = patterns.find(|pattern| pattern.matches(name.as_str()).is_some());
        let renamed = self.rooms.patterns.iter().flatten().find(|pattern| {
            let other = crate::vocab::Pattern::parse_room(name.as_str());
            other.is_ok_and(|other| other.overlaps(pattern))
        });
        let meant = instance
            .or(renamed)
            .map(|pattern| pattern.as_str().to_owned());
        let help = match (
            instance,
            renamed,
            nearest(name.as_str(), self.room_names.all()),
        ) {
            (Some(pattern), _, _) => format!(
                "name the pattern as it is declared, `{pattern}`; to put connections into `{name}` alone, use `auto_join`"
            ),
            (_, Some(pattern), _) => {
                format!("patterns are named as they are declared: write `{pattern}`")
            }
            (_, _, Some(close)) => format!("did you mean `{close}`?"),
            _ if self.config.rooms.is_empty() => {
                "declare it under `rooms`, which is empty".to_owned()
            }
            _ => {
                let all: Vec<_> = self
                    .room_names
                    .all()
                    .take(6)
                    .map(|name| format!("`{name}`"))
                    .collect();
                format!("declare it under `rooms`; there are {}", all.join(", "))
            }
        };
        match meant {
            Some(meant) => {
                self.room_names.index(&meant);
            }
            None => self.room_names.suspect(name.as_str()),
        }
        let diagnostic = Diagnostic::new(&codes::UNKNOWN_ROOM, name.span(), message);
        self.find(diagnostic.help(help));
    }

    fn heartbeat(&mut self, written: &config::Heartbeat) -> Heartbeat {
        Heartbeat {
            idle: self.above_zero(written.idle, HEARTBEAT_IDLE, "idle"),
            timeout: self.above_zero(written.timeout, HEARTBEAT_TIMEOUT, "timeout"),
            kind: match written.kind.map(|kind| kind.value) {
                Some(config::HeartbeatKind::Frame) | None => HeartbeatKind::Frame,
                Some(config::HeartbeatKind::Message) => HeartbeatKind::Message,
            },
        }
    }

    fn compression(&mut self, endpoint: &config::Endpoint) -> Option<Compression> {
        let written = &endpoint.compression.as_ref()?.value;
        let largest = endpoint.limits.message_size;
        let message_size = largest.map_or(MESSAGE_SIZE, |size| size.value);
        if let Some(min_size) = written.min_size.filter(|size| size.value > message_size) {
            let message = format!(
                "`min_size` of {} leaves nothing to compress: a message has at most {message_size}",
                min_size.value
            );
            let help = format!("write `min_size: {COMPRESSION_MIN_SIZE}`, or leave it out");
            let mut diagnostic = Diagnostic::new(&codes::NO_EFFECT, min_size.span, message);
            if let Some(largest) = largest {
                diagnostic = diagnostic.also(largest.span, "this bounds it");
            }
            self.find(diagnostic.help(help));
        }
        Some(Compression {
            min_size: written
                .min_size
                .map_or(COMPRESSION_MIN_SIZE, |size| size.value),
        })
    }

    fn connection_limits(&mut self, written: &config::EndpointLimits) -> ConnectionLimits {
        let dry_run = written.dry_run;
        let tried = [
            written.connections,
            written.connections_per_user,
            written.rooms_per_connection,
            written.strikes,
        ];
        self.idle_dry_run(dry_run, &tried);
        let limits = ConnectionLimits {
            connections: self.count_limit(written.connections, usize::MAX, "connections", dry_run),
            connections_per_user: self.count_limit(
                written.connections_per_user,
                CONNECTIONS_PER_USER,
                "connections_per_user",
                dry_run,
            ),
            on_too_many: match written.on_too_many.map(|act| act.value) {
                Some(config::OnTooMany::Refuse) | None => OnTooMany::Refuse,
                Some(config::OnTooMany::ReplaceOldest) => OnTooMany::ReplaceOldest,
            },
            rooms_per_connection: self.count_limit(
                written.rooms_per_connection,
                ROOMS_PER_CONNECTION,
                "rooms_per_connection",
                dry_run,
            ),
            message_size: self.above_zero(written.message_size, MESSAGE_SIZE, "message_size"),
            depth: self.above_zero(written.depth, DEPTH, "depth"),
            fragments: self.above_zero(written.fragments, FRAGMENTS, "fragments"),
            queue_bytes: self.above_zero(written.queue_bytes, QUEUE_BYTES, "queue_bytes"),
            queue_frames: self.above_zero(written.queue_frames, QUEUE_FRAMES, "queue_frames"),
            strikes: self.count_limit(written.strikes, usize::MAX, "strikes", dry_run),
        };
        if let Some(depth) = written.depth.filter(|depth| depth.value > DEPTH_MAX) {
            let message =
                format!("`depth` has no effect above {DEPTH_MAX}: deeper data is never taken");
            let help = format!("write `depth: {DEPTH_MAX}` or less");
            let diagnostic = Diagnostic::new(&codes::NO_EFFECT, depth.span, message);
            self.find(diagnostic.help(help));
        }
        if limits.queue_bytes < limits.message_size && !limits.queue_bytes.is_empty() {
            let at = written.queue_bytes.or(written.message_size);
            if let Some(Spanned { span, .. }) = at {
                let message = format!(
                    "the queue of {} is smaller than one message of {}",
                    limits.queue_bytes, limits.message_size
                );
                let help = format!(
                    "write `queue_bytes: {}` or more, or a smaller `message_size`",
                    limits.message_size
                );
                let diagnostic = Diagnostic::new(&codes::QUEUE_TOO_SMALL, span, message);
                self.find(diagnostic.help(help));
            }
        }
        limits
    }
}
