//! `endpoints`.

use crate::config::keys::Keys;
use crate::config::lower::message::uses;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{
    AutoJoin, Compression, Endpoint, EndpointLimits, EndpointRateLimits, Heartbeat, Spanned,
};
use crate::diag::Diagnostic;
use crate::diag::catalogue::config as codes;
use crate::vocab::{ByteSize, parse_duration};

pub(super) fn endpoint(keys: &mut Keys<'_, '_>) -> Endpoint {
    let raw = keys.section("raw", "`raw`", |keys| {
        keys.require("to", "say where frames go, as in `to: others`");
        keys.word("to")
    });
    Endpoint {
        description: keys.description(),
        auth: auth(keys),
        allow: keys.text("allow", "a rule"),
        protocol: keys.word("protocol"),
        every_frame: keys.text("every_frame", "the name of a message type"),
        text_message: keys.text("text_message", "the name of a message type"),
        render: keys.pairs("render", |reader, _, node| reader.text(node, "a template")),
        raw: raw.and_then(|raw| raw.value),
        auto_join: auto_joins(keys),
        rooms: keys
            .texts("rooms", "the pattern of a room")
            .unwrap_or_default(),
        messages: uses(keys),
        rate_limit: keys.part("rate_limit", "`rate_limit` of an endpoint", |keys| {
            let mut names = |name| {
                keys.texts(name, "the name of a rate limit")
                    .unwrap_or_default()
            };
            EndpointRateLimits {
                connect: names("connect"),
                join: names("join"),
                messages: names("messages"),
            }
        }),
        origins: keys.texts("origins", "an origin such as `https://app.example.com`"),
        heartbeat: keys.part("heartbeat", "`heartbeat`", |keys| Heartbeat {
            idle: keys.quantity("idle", parse_duration),
            timeout: keys.quantity("timeout", parse_duration),
            kind: keys.word("kind"),
        }),
        limits: keys.part("limits", "`limits` of an endpoint", limits),
        compression: compression(keys),
        coalesce: keys.quantity("coalesce", parse_duration),
        reject: keys.word("reject"),
        webhooks: keys.events("webhooks"),
    }
}

/// Who writes `true` or `false` means to turn it on or off, and is told how that is written.
fn compression(keys: &mut Keys<'_, '_>) -> Option<Spanned<Compression>> {
    let (_, node) = keys.entry("compression")?;
    if let Kind::Scalar(scalar) = &node.kind
        && !node.is_nothing()
    {
        let help = match scalar.value.as_str() {
            "false" | "no" | "off" => "leave `compression` out: without it nothing is compressed",
            _ => "write `compression: {}`",
        };
        let message = format!("`compression` is a map, and this is {}", node.noun());
        keys.reader.wrong_kind(node.span, message, help);
        return None;
    }
    keys.section("compression", "`compression`", |keys| Compression {
        min_size: keys.quantity("min_size", ByteSize::parse),
    })
}

/// An endpoint names its auth, even where it is for everyone.
fn auth(keys: &mut Keys<'_, '_>) -> Vec<crate::config::Text> {
    let help = "name an auth mode; for everyone, declare `auth: {guest: {anonymous: {}}}` and write `auth: guest`";
    keys.require("auth", help);
    let Some((_, node)) = keys.entry("auth") else {
        return Vec::new();
    };
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        let message = "`auth` names no auth mode";
        let finding = Diagnostic::new(&codes::MISSING_KEY, node.span, message).help(help);
        keys.reader.findings.push(finding);
    }
    keys.reader.texts(node, "the name of an auth mode")
}

fn auto_joins(keys: &mut Keys<'_, '_>) -> Vec<AutoJoin> {
    let Some((_, node)) = keys.entry("auto_join") else {
        return Vec::new();
    };
    let items = node.items().iter();
    items
        .filter_map(|item| auto_join(keys.reader, item))
        .collect()
}

fn auto_join(reader: &mut Reader<'_>, node: &Node) -> Option<AutoJoin> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(AutoJoin {
            span: node.span,
            room: reader.text(node, "a template of a room's name"),
            when_allowed: None,
        });
    }
    reader.section(node, node.span, "an entry of `auto_join`", |keys| {
        keys.require("room", "name the room, as in `room: \"user:{user.id}\"`");
        AutoJoin {
            span: keys.span,
            room: keys.text("room", "a template of a room's name"),
            when_allowed: keys.flag("when_allowed"),
        }
    })
}

fn limits(keys: &mut Keys<'_, '_>) -> EndpointLimits {
    EndpointLimits {
        connections: keys.count("connections"),
        connections_per_user: keys.count("connections_per_user"),
        on_too_many: keys.word("on_too_many"),
        rooms_per_connection: keys.count("rooms_per_connection"),
        message_size: keys.quantity("message_size", ByteSize::parse),
        depth: keys.count("depth"),
        fragments: keys.count("fragments"),
        queue_bytes: keys.quantity("queue_bytes", ByteSize::parse),
        queue_frames: keys.count("queue_frames"),
        strikes: keys.count("strikes"),
        dry_run: keys.flag("dry_run"),
    }
}
