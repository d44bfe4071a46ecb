//! `server`.

use crate::config::keys::Keys;
use crate::config::node::{Kind, Node};
use crate::config::reader::Reader;
use crate::config::{
    Acme, Api, ApiKey, Broker, Console, Listener, Log, Server, ServerLimits, Shutdown, Spanned,
    Store, Tls,
};
use crate::diag::Span;
use crate::vocab::{ByteSize, parse_duration};

pub(super) fn server(keys: &mut Keys<'_, '_>) -> Server {
    Server {
        span: Some(keys.span),
        description: keys.description(),
        listen: listeners(keys),
        tls: tls(keys),
        trusted_proxies: keys
            .texts("trusted_proxies", "a network such as `10.0.0.0/8`")
            .unwrap_or_default(),
        limits: keys.part("limits", "`server.limits`", limits),
        shutdown: keys.part("shutdown", "`server.shutdown`", shutdown),
        broker: keys
            .entry("broker")
            .and_then(|(span, node)| broker(keys.reader, span, node)),
        store: keys
            .entry("store")
            .and_then(|(span, node)| store(keys.reader, span, node)),
        api: keys.section("api", "`server.api`", api),
        console: keys.section("console", "`server.console`", console),
        log: keys.part("log", "`server.log`", |keys| Log {
            level: keys.word("level"),
            format: keys.word("format"),
        }),
        on_exceed: keys.word("on_exceed"),
    }
}

fn listeners(keys: &mut Keys<'_, '_>) -> Vec<Listener> {
    let Some((_, node)) = keys.entry("listen") else {
        return Vec::new();
    };
    let items = node.items().iter();
    items
        .filter_map(|item| listener(keys.reader, item))
        .collect()
}

fn listener(reader: &mut Reader<'_>, node: &Node) -> Option<Listener> {
    if !matches!(node.kind, Kind::Map(_)) {
        return Some(Listener {
            span: node.span,
            address: reader.text(node, "an address such as `127.0.0.1:8000`"),
            tls: None,
            serve: None,
            proxy_protocol: None,
        });
    }
    reader.section(node, node.span, "a listener", |keys| {
        keys.require(
            "address",
            "write `address: 127.0.0.1:8000` or `address: unix:PATH`",
        );
        Listener {
            span: keys.span,
            address: keys.text("address", "an address such as `127.0.0.1:8000`"),
            tls: tls(keys),
            serve: keys.words("serve"),
            proxy_protocol: keys.flag("proxy_protocol"),
        }
    })
}

fn tls(keys: &mut Keys<'_, '_>) -> Option<Spanned<Tls>> {
    keys.section("tls", "`tls`", |keys| {
        let help = "write `{certificate: cert.pem, key: key.pem}` or `{acme: {domains: [rt.example.com]}}`";
        if keys.one_of(&["certificate", "acme"], help) == Some("acme") {
            return Tls::Acme(keys.part("acme", "`acme`", acme));
        }
        if keys.entry("certificate").is_some() {
            keys.require("key", "name the file of the private key");
        }
        Tls::Files {
            certificate: keys.path("certificate"),
            key: keys.path("key"),
        }
    })
}

fn acme(keys: &mut Keys<'_, '_>) -> Acme {
    keys.require(
        "domains",
        "name the domains, as in `domains: [rt.example.com]`",
    );
    Acme {
        domains: keys.texts("domains", "a domain").unwrap_or_default(),
        email: keys.text("email", "an address"),
    }
}

fn limits(keys: &mut Keys<'_, '_>) -> ServerLimits {
    ServerLimits {
        connections: keys.count("connections"),
        connections_per_ip: keys.count("connections_per_ip"),
        http_connections: keys.count("http_connections"),
        unauthenticated: keys.count("unauthenticated"),
        memory: keys.quantity("memory", ByteSize::parse),
        handshake: keys.quantity("handshake", parse_duration),
    }
}

fn shutdown(keys: &mut Keys<'_, '_>) -> Shutdown {
    Shutdown {
        grace: keys.quantity("grace", parse_duration),
        spread: keys.quantity("spread", parse_duration),
    }
}

fn broker(reader: &mut Reader<'_>, span: Span, node: &Node) -> Option<Spanned<Broker>> {
    if let Kind::Scalar(_) = node.kind {
        let text = reader.text(node, "`memory`, or a map with `redis` or `nats`")?;
        if text.as_str() != "memory" {
            reader.unknown_word(&text, &["memory", "{redis: …}", "{nats: …}"]);
            return None;
        }
        return Some(Spanned::new(Broker::Memory, text.span()));
    }
    let broker = reader.section(node, span, "`server.broker`", |keys| {
        let help = "write `broker: memory` or `broker: {redis: {url: …}}`";
        let found = keys.one_of(&["memory", "redis", "nats"], help)?;
        let url = |keys: &mut Keys<'_, '_>| keys.secret("url", "url_file");
        Some(match found {
            "redis" => Broker::Redis {
                url: keys.part("redis", "`server.broker.redis`", url),
            },
            "nats" => Broker::Nats {
                url: keys.part("nats", "`server.broker.nats`", url),
            },
            _ => {
                keys.section("memory", "`server.broker.memory`", |_| ());
                Broker::Memory
            }
        })
    })??;
    Some(Spanned::new(broker, span))
}

fn store(reader: &mut Reader<'_>, span: Span, node: &Node) -> Option<Spanned<Store>> {
    if let Kind::Scalar(_) = node.kind {
        let text = reader.text(node, "`memory`, or a map with `memory` or `disk`")?;
        if text.as_str() != "memory" {
            reader.unknown_word(&text, &["memory", "{disk: {path: …}}"]);
            return None;
        }
        return Some(Spanned::new(Store::Memory { max: None }, text.span()));
    }
    let store = reader.section(node, span, "`server.store`", |keys| {
        let help = "write `store: memory` or `store: {disk: {path: ./data}}`";
        let found = keys.one_of(&["memory", "disk"], help)?;
        Some(if found == "disk" {
            let path = keys.part("disk", "`server.store.disk`", |keys| {
                keys.require("path", "name the folder, as in `path: ./data`");
                keys.path("path")
            });
            Store::Disk { path }
        } else {
            let max = keys.part("memory", "`server.store.memory`", |keys| {
                keys.quantity("max", ByteSize::parse)
            });
            Store::Memory { max }
        })
    })??;
    Some(Spanned::new(store, span))
}

fn api(keys: &mut Keys<'_, '_>) -> Api {
    keys.require(
        "keys",
        "give it a key, as in `keys: {backend: {secret: \"${API_KEY}\", scopes: [publish]}}`",
    );
    Api {
        description: keys.description(),
        keys: keys.sections("keys", "an API key", |keys| {
            keys.require(
                "scopes",
                "say what it is good for, as in `scopes: [publish, read]`",
            );
            ApiKey {
                description: keys.description(),
                secret: keys.secret("secret", "secret_file"),
                scopes: keys.words("scopes").unwrap_or_default(),
                rooms: keys.texts("rooms", "a room, with `*` for any text"),
            }
        }),
    }
}

fn console(keys: &mut Keys<'_, '_>) -> Console {
    Console {
        path: keys.text("path", "a path"),
        key: keys.secret("key", "key_file"),
    }
}
