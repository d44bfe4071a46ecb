//! `rooms`.

use crate::config::keys::Keys;
use crate::config::lower::auth::{algorithms, http_call, jwt_key};
use crate::config::lower::message::uses;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{
    Announce, History, Idempotency, Inbox, JoinToken, MayJoin, Presence, Room, RoomLimits,
};
use crate::diag::Span;
use crate::vocab::parse_duration;

pub(super) fn room(keys: &mut Keys<'_, '_>) -> Room {
    keys.require(
        "may_join",
        "write a rule, as in `may_join: user.authenticated`; `may_join: \"true\"` lets everyone in",
    );
    Room {
        description: keys.description(),
        params: keys.pairs("params", |reader, span, node| reader.schema(span, node)),
        may_join: keys
            .entry("may_join")
            .and_then(|(span, node)| may_join(keys.reader, span, node)),
        messages: uses(keys),
        presence: keys.section("presence", "`presence`", presence),
        history: keys.section("history", "`history`", |keys| History {
            messages: keys.count("messages"),
            age: keys.quantity("age", parse_duration),
            replay_on_join: keys.count("replay_on_join"),
        }),
        inbox: keys.section("inbox", "`inbox`", inbox),
        limits: keys.part("limits", "`limits` of a room", |keys| RoomLimits {
            users: keys.count("users"),
            dry_run: keys.flag("dry_run"),
        }),
        webhooks: keys.events("webhooks"),
        audiences: keys.pairs("audiences", |reader, _, node| reader.text(node, "a rule")),
        idempotency: keys.section("idempotency", "`idempotency`", |keys| Idempotency {
            window: keys.quantity("window", parse_duration),
            keys: keys.count("keys"),
        }),
    }
}

fn may_join(reader: &mut Reader<'_>, span: Span, node: &Node) -> Option<MayJoin> {
    if !matches!(node.kind, Kind::Map(_)) {
        let what = "a rule, or a map with `http` or `token`";
        return reader.text(node, what).map(MayJoin::Rule);
    }
    reader.section(node, span, "`may_join`", |keys| {
        let help = "write a rule, `http: {url: …}` or `token: {…}`";
        match keys.one_of(&["http", "token"], help)? {
            "http" => keys.section("http", "`http`", http_call).map(MayJoin::Http),
            _ => keys
                .section("token", "`token`", join_token)
                .map(MayJoin::Token),
        }
    })?
}

fn join_token(keys: &mut Keys<'_, '_>) -> JoinToken {
    let algorithms = algorithms(keys);
    let names = ["secret", "secret_file", "public_key_file", "jwks_url"];
    JoinToken {
        key: jwt_key(keys, &names, algorithms.as_ref()),
        algorithms,
    }
}

fn presence(keys: &mut Keys<'_, '_>) -> Presence {
    Presence {
        members: keys.flag("members"),
        grace: keys.quantity("grace", parse_duration),
        announce: keys.section("announce", "`announce`", |keys| Announce {
            joined: keys.text("joined", "the name of a frame"),
            left: keys.text("left", "the name of a frame"),
            present: keys.text("present", "the name of a frame"),
            to: keys.word("to"),
            every: keys.quantity("every", parse_duration),
        }),
        state: keys.pairs("state", |reader, span, node| reader.schema(span, node)),
    }
}

fn inbox(keys: &mut Keys<'_, '_>) -> Inbox {
    keys.require(
        "owner",
        "say whose inbox it is, as in `owner: params.user_id`",
    );
    Inbox {
        owner: keys.text("owner", "an expression"),
        receipt: keys.word("receipt"),
        messages: keys.count("messages"),
        age: keys.quantity("age", parse_duration),
    }
}
