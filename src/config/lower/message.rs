//! `messages`, and their use in rooms and endpoints.

use crate::config::Text;
use crate::config::json::Expansion;
use crate::config::keys::Keys;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{Conflate, Message, MessageRules, MessageUse, Route, Spanned};
use crate::diag::Span;
use crate::vocab::{ByteSize, parse_duration};

pub(super) fn message(keys: &mut Keys<'_, '_>) -> Message {
    keys.require(
        "schema",
        "name a JSON Schema, as in `schema: schemas/message.json`; `schema: true` accepts anything",
    );
    keys.require("to", "say where it goes, as in `to: room`");
    Message {
        description: keys.description(),
        schema: keys.schema("schema"),
        examples: examples(keys),
        rules: rules(keys),
    }
}

fn examples(keys: &mut Keys<'_, '_>) -> Vec<crate::config::Json> {
    let Some((_, node)) = keys.entry("examples") else {
        return Vec::new();
    };
    let Kind::List(items) = &node.kind else {
        let message = format!("`examples` is a list of data, and this is {}", node.noun());
        let help = "write `examples: [{text: hello}]`";
        keys.reader.wrong_kind(node.span, message, help);
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| keys.reader.json(item, Expansion::On))
        .collect()
}

fn rules(keys: &mut Keys<'_, '_>) -> MessageRules {
    let to = keys
        .entry("to")
        .and_then(|(span, node)| route(keys.reader, span, node));
    let sanitize = keys.entry("sanitize").is_some();
    let sanitizers = keys.pairs("sanitize", |reader, _, node| {
        let items = node.items().iter();
        Some(items.filter_map(|item| reader.word(item)).collect())
    });
    MessageRules {
        sent_by: keys.word("sent_by"),
        to,
        ack: keys.flag("ack"),
        rate_limit: keys.texts("rate_limit", "the name of a rate limit"),
        allow: keys.text("allow", "a rule"),
        sanitize: sanitize.then_some(sanitizers),
        audience: keys.text("audience", "the name of an audience"),
        conflate: keys.section("conflate", "`conflate`", |keys| {
            keys.require(
                "every",
                "say how often a reader may get one, as in `every: 250ms`",
            );
            Conflate {
                key: keys.text("key", "an expression"),
                every: keys.quantity("every", parse_duration),
            }
        }),
        reply: keys.text("reply", "an expression"),
        history: keys.flag("history"),
        max_size: keys.quantity("max_size", ByteSize::parse),
        overflow: keys.word("overflow"),
    }
}

fn route(reader: &mut Reader<'_>, span: Span, node: &Node) -> Option<Spanned<Route>> {
    if !matches!(node.kind, Kind::Map(_)) {
        return reader.word(node);
    }
    type Target = fn(Text) -> Route;
    let targets: [(&'static str, &str, Target); 3] = [
        ("user", "an expression", Route::User),
        ("room", "a template", Route::OtherRoom),
        ("webhook", "the name of a webhook", Route::Webhook),
    ];
    let route = reader.section(node, span, "`to`", |keys| {
        let names = targets.map(|(name, ..)| name);
        let found = keys.one_of(&names, "write `to: room`, or `to: {user: data.to}`")?;
        let (name, what, route) = targets.into_iter().find(|(name, ..)| *name == found)?;
        keys.text(name, what).map(route)
    })??;
    Some(Spanned::new(route, span))
}

/// `messages` of a room or endpoint: a list of names, or a map from names to what is different here.
pub(super) fn uses(keys: &mut Keys<'_, '_>) -> Vec<MessageUse> {
    let Some((_, node)) = keys.entry("messages") else {
        return Vec::new();
    };
    if !matches!(node.kind, Kind::Map(_)) {
        let names = keys.reader.texts(node, "the name of a message type");
        return names
            .into_iter()
            .map(|name| MessageUse {
                name,
                overrides: MessageRules::default(),
            })
            .collect();
    }
    let overridden = keys.sections("messages", "an override of a message type", rules);
    overridden
        .into_iter()
        .map(|(name, overrides)| MessageUse {
            name: Text::verbatim(name),
            overrides,
        })
        .collect()
}
