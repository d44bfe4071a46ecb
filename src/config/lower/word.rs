//! The words that stand for values of enums.

use crate::config::reader::Word;
use crate::config::{
    ApiScope, CredentialPlace, EndpointEvent, Expiry, HeartbeatKind, JwtAlgorithm, LogFormat,
    LogLevel, OnExceed, OnTooMany, Overflow, PresenceTo, Protocol, RateKey, RawRoute, Receipt,
    RejectStyle, RoomEvent, Route, Sanitizer, SentBy, Service,
};

macro_rules! words {
    ($($name:ident: $($word:literal = $variant:ident),+;)+) => {
        $(impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        })+
    };
}

words! {
    ApiScope: "publish" = Publish, "read" = Read, "disconnect" = Disconnect;
    Service: "endpoints" = Endpoints, "pages" = Pages, "api" = Api, "metrics" = Metrics, "console" = Console;
    LogLevel: "error" = Error, "warn" = Warn, "info" = Info, "debug" = Debug, "trace" = Trace;
    LogFormat: "pretty" = Pretty, "json" = Json;
    OnExceed: "error" = Error, "drop" = Drop, "close" = Close;
    RateKey: "connection" = Connection, "user" = User, "ip" = Ip, "room" = Room, "endpoint" = Endpoint, "server" = Server, "type" = Type;
    JwtAlgorithm: "HS256" = Hs256, "HS384" = Hs384, "HS512" = Hs512, "RS256" = Rs256, "RS384" = Rs384, "RS512" = Rs512, "PS256" = Ps256, "PS384" = Ps384, "PS512" = Ps512, "ES256" = Es256, "ES384" = Es384, "EdDSA" = EdDsa;
    CredentialPlace: "query" = Query, "header" = Header, "cookie" = Cookie, "subprotocol" = Subprotocol;
    Expiry: "close" = Close, "refresh" = Refresh;
    SentBy: "client" = Client, "server" = Server, "any" = Any;
    Sanitizer: "escape_html" = EscapeHtml, "strip_html" = StripHtml, "trim" = Trim, "normalize_unicode" = NormalizeUnicode;
    Overflow: "close" = Close, "drop" = Drop;
    PresenceTo: "others" = Others, "room" = Room;
    Receipt: "user" = User, "device" = Device, "on_write" = OnWrite;
    RoomEvent: "joined" = Joined, "left" = Left, "occupied" = Occupied, "empty" = Empty, "message" = Message;
    EndpointEvent: "connected" = Connected, "disconnected" = Disconnected;
    Protocol: "json" = Json, "text" = Text, "raw" = Raw;
    RawRoute: "sender" = Sender, "room" = Room, "others" = Others;
    HeartbeatKind: "frame" = Frame, "message" = Message;
    OnTooMany: "refuse" = Refuse, "replace_oldest" = ReplaceOldest;
    RejectStyle: "http" = Http, "close" = Close;
}

/// The routes that have no target to name.
impl Word for Route {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("room", Self::Room),
        ("others", Self::Others),
        ("other_connections", Self::OtherConnections),
        ("sender", Self::Sender),
        ("none", Self::None),
    ];
}
