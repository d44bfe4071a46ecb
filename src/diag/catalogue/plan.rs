//! Codes of what the file means: names, limits, what contradicts itself.

use super::{Code, Severity};

/// Every code of this section.
pub static ALL: &[&Code] = &[
    &NOT_SUPPORTED_YET,
    &UNKNOWN_AUTH_MODE,
    &UNKNOWN_RATE_LIMIT,
    &UNKNOWN_MESSAGE,
    &UNKNOWN_ROOM,
    &UNKNOWN_WEBHOOK,
    &UNKNOWN_RENDER,
    &UNKNOWN_PARAMETER,
    &PARAMETER_IS_TEXT,
    &UNUSED,
    &BAD_NAME,
    &BAD_PATTERN,
    &AMBIGUOUS_PATTERNS,
    &NAME_COLLISION,
    &UNREACHABLE_MESSAGE,
    &UNREACHABLE_ROOM,
    &UNREACHABLE_AUTH,
    &BAD_EXAMPLE,
    &CONTRADICTION,
    &NO_EFFECT,
    &REPEATED,
    &ZERO_LIMIT,
    &QUEUE_TOO_SMALL,
    &WEAK_SECRET,
    &SHORT_API_KEY,
    &SAME_API_KEY,
    &BAD_ADDRESS,
    &BAD_NETWORK,
    &BAD_ORIGIN,
    &COOKIE_FOR_ALL,
    &MISSING_KEY,
    &MISSING_FOLDER,
    &MISSING_FILE,
    &PATH_COLLISION,
    &NO_SUCH_ROOM,
    &NO_RECEIPT,
];

/// A key that the language has and this version does not run.
pub static NOT_SUPPORTED_YET: Code = Code {
    slug: "plan/not-supported-yet",
    severity: Severity::Error,
    summary: "a feature of the language that this version does not run yet",
    explanation: "\
The file uses a key that belongs to the language, but this version of trunkline does not run what it asks for. Serving the file
without it would break a promise that the file makes, so it is refused instead.

Leave the key out, or use what the message offers in its place:

    server:
      store: memory",
};

/// A name that is cited but not declared.
pub static UNKNOWN_AUTH_MODE: Code = Code {
    slug: "plan/unknown-auth-mode",
    severity: Severity::Error,
    summary: "an endpoint names an auth mode that is not declared",
    explanation: "\
Every name that an endpoint cites under `auth` stands under the top-level `auth`, with its way to turn a credential into a user:

    auth:
      member:
        jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\"}
    endpoints:
      /ws: {auth: member}",
};

/// A token bucket that is cited but not declared.
pub static UNKNOWN_RATE_LIMIT: Code = Code {
    slug: "plan/unknown-rate-limit",
    severity: Severity::Error,
    summary: "a `rate_limit` names a token bucket that is not declared",
    explanation: "\
Rate limits are named token buckets, declared once under `rate_limits` and cited by name, so that several keys can share one:

    rate_limits:
      chatty: {rate: 10/s, burst: 20, per: user}
    messages:
      message: {schema: true, to: room, rate_limit: [chatty]}",
};

/// A message type that is cited but not declared.
pub static UNKNOWN_MESSAGE: Code = Code {
    slug: "plan/unknown-message",
    severity: Severity::Error,
    summary: "a message type is named that is not declared",
    explanation: "\
Rooms and endpoints list the message types that they take; each is declared once under `messages` with its schema and route:

    messages:
      message: {schema: schemas/message.json, to: room}
    rooms:
      \"room:{room_id}\": {may_join: \"true\", messages: [message]}",
};

/// A pattern that is cited but not declared.
pub static UNKNOWN_ROOM: Code = Code {
    slug: "plan/unknown-room",
    severity: Severity::Error,
    summary: "`rooms` of an endpoint names a pattern that is not declared",
    explanation: "\
`rooms` of an endpoint lists the patterns that its clients may join by a frame, written exactly as they are declared under
`rooms`, parameters included:

    rooms:
      \"desk:{ticket}\": {may_join: \"user.authenticated\"}
    endpoints:
      /ws: {auth: member, rooms: [\"desk:{ticket}\"]}

To put every connection into one room of the pattern, use `auto_join: [\"desk:{path.ticket}\"]`.",
};

/// A webhook that is cited but not declared.
pub static UNKNOWN_WEBHOOK: Code = Code {
    slug: "plan/unknown-webhook",
    severity: Severity::Error,
    summary: "a webhook is named that is not declared",
    explanation: "\
Webhooks are declared once under `webhooks`, with URL and signing secret, and cited by name:

    webhooks:
      backend: {url: \"http://127.0.0.1:9000/hooks\", secret: \"${HOOK_SECRET}\"}
    rooms:
      \"room:{room_id}\": {may_join: \"true\", webhooks: {joined: backend}}",
};

/// A template for no type and no announcement.
pub static UNKNOWN_RENDER: Code = Code {
    slug: "plan/unknown-render",
    severity: Severity::Error,
    summary: "`render` has a template for something that is never sent",
    explanation: "\
`render` of a text endpoint maps what is sent to a template of its text: names of message types, names of announcements
(`presence.announce` of a room), `reply` for what the sender gets back, and `error`. What has no template is not sent.

    endpoints:
      /ws/{client_id}:
        protocol: text
        text_message: line
        render: {line: \"Client #{sender.username} says: {data}\", reply: \"You wrote: {data}\"}",
};

/// A schema for no parameter.
pub static UNKNOWN_PARAMETER: Code = Code {
    slug: "plan/unknown-parameter",
    severity: Severity::Error,
    summary: "`params` names a parameter that the pattern does not have",
    explanation: "\
`params` of a room gives the schema of each parameter in its pattern. A key that is no parameter would check nothing, and the
parameter that was meant would stay unchecked:

    rooms:
      \"room:{room_id}\":
        params: {room_id: {pattern: \"^[a-z0-9-]{1,40}$\"}}",
};

/// A parameter of another type than text.
pub static PARAMETER_IS_TEXT: Code = Code {
    slug: "plan/parameter-is-text",
    severity: Severity::Error,
    summary: "the schema of a parameter asks for something other than text",
    explanation: "\
Parameters are parts of a name, so they are always text: `type: integer` would refuse every room. Say the form with a pattern:

    params: {room_id: {pattern: \"^[0-9]+$\"}}",
};

/// Declared, never cited.
pub static UNUSED: Code = Code {
    slug: "plan/unused",
    severity: Severity::Warning,
    summary: "something is declared and used nowhere",
    explanation: "\
What is declared and never cited has no effect, and is often a slip in the place that should cite it: an auth mode that no
endpoint uses, a rate limit that limits nothing. Cite it or remove it.",
};

/// Not a name of a message type.
pub static BAD_NAME: Code = Code {
    slug: "plan/bad-name",
    severity: Severity::Error,
    summary: "a message type or an announcement cannot have this name",
    explanation: "\
Names of message types and announcements begin with a small letter and go on with `a-z 0-9 _ . -`, 64 bytes at most. The types
of the protocol itself (`welcome ack error join joined leave left members history state received token gap ping pong reconnect`)
and everything that begins with `sys.` cannot be used: a client could not tell whose frame it got.",
};

/// Not a pattern.
pub static BAD_PATTERN: Code = Code {
    slug: "plan/bad-pattern",
    severity: Severity::Error,
    summary: "a room, a path or a page has no proper pattern",
    explanation: "\
Room names are segments between `:`, paths segments between `/`. A segment is literal text of `A-Z a-z 0-9 _ . @ , = + ~ -` (64
bytes at most) or a parameter `{name}` that takes the whole segment:

    rooms:
      \"room:{room_id}\": …
    endpoints:
      /ws/room/{room_id}: …

Write `room:{kind}:{id}` instead of `room:{kind}-{id}`.",
};

/// Two patterns, one name.
pub static AMBIGUOUS_PATTERNS: Code = Code {
    slug: "plan/ambiguous-patterns",
    severity: Severity::Error,
    summary: "two patterns match the same name, and neither is more exact",
    explanation: "\
Where two patterns match one name, the one with a literal segment where the other has a parameter is taken: `room:lobby` beats
`room:{room_id}`. That does not decide between `{kind}:lobby` and `room:{room_id}`, which both match `room:lobby` and are each more
exact in one place, nor between `room:{a}` and `room:{b}`. Which rule, history and limits hold would be a matter of luck.",
};

/// One name for two things.
pub static NAME_COLLISION: Code = Code {
    slug: "plan/name-collision",
    severity: Severity::Error,
    summary: "one name stands for two kinds of frames",
    explanation: "\
Clients tell frames apart by `type`. An announcement that is called like a message type, or like another announcement of the same
room, could not be told from it.",
};

/// A type that nobody can send.
pub static UNREACHABLE_MESSAGE: Code = Code {
    slug: "plan/unreachable-message",
    severity: Severity::Warning,
    summary: "nobody can send a message type",
    explanation: "\
A message type can be sent where a room or an endpoint lists it in its `messages`, by a client whose endpoint leads there
(`sent_by: client`, the default) or by the application over the HTTP API (`sent_by: server`, which needs `server.api`). This one can
be sent by nobody.",
};

/// A room that nobody can be in.
pub static UNREACHABLE_ROOM: Code = Code {
    slug: "plan/unreachable-room",
    severity: Severity::Warning,
    summary: "no endpoint leads into a room",
    explanation: "\
A room is entered by a connection of an endpoint that names its pattern in `rooms` (then a client may join by a frame) or whose
`auto_join` yields one of its names. Nothing leads into this one:

    endpoints:
      /ws: {auth: member, rooms: [\"room:{room_id}\"]}",
};

/// An auth mode behind one that always decides.
pub static UNREACHABLE_AUTH: Code = Code {
    slug: "plan/unreachable-auth",
    severity: Severity::Warning,
    summary: "an auth mode is never asked",
    explanation: "\
Of a list of auth modes the first whose credential is present decides. An anonymous mode needs no credential, so it always decides
and what stands behind it is never asked. Put it last:

    auth: [member, guest]",
};

/// An example that would be refused.
pub static BAD_EXAMPLE: Code = Code {
    slug: "plan/bad-example",
    severity: Severity::Error,
    summary: "an example does not fit its schema",
    explanation: "\
`examples` are published with the schema and shown to those who write clients. One that the schema refuses would teach them the
wrong thing: correct the example or the schema.",
};

/// Two keys that cannot both hold.
pub static CONTRADICTION: Code = Code {
    slug: "plan/contradiction",
    severity: Severity::Error,
    summary: "two keys contradict each other",
    explanation: "\
Both keys are understood, and what they ask for cannot be had together. The message names both and the ways out. For example:

    messages:
      price: {schema: true, to: others, history: true}   # only what goes `to: room` is stored",
};

/// A key that does nothing.
pub static NO_EFFECT: Code = Code {
    slug: "plan/no-effect",
    severity: Severity::Warning,
    summary: "a key has no effect where it stands",
    explanation: "\
The key is understood, and nothing that happens here ever asks it. It promises something to the reader of the file that does not
hold: remove it, or change what makes it idle.",
};

/// A name twice in a list.
pub static REPEATED: Code = Code {
    slug: "plan/repeated",
    severity: Severity::Warning,
    summary: "a name stands twice in one list",
    explanation: "\
The second mention changes nothing. Where a list has overrides, only one of them can hold. Remove one.",
};

/// Nothing could pass.
pub static ZERO_LIMIT: Code = Code {
    slug: "plan/zero-limit",
    severity: Severity::Error,
    summary: "a limit or a time is zero",
    explanation: "\
A limit of zero refuses everything, and a time of zero has always passed. There is no value for \"unlimited\": every connection's
memory is bounded by the file. Leave the key out for the default, or write a large number on purpose.",
};

/// A queue that no message fits into.
pub static QUEUE_TOO_SMALL: Code = Code {
    slug: "plan/queue-too-small",
    severity: Severity::Error,
    summary: "a connection's queue is smaller than one message",
    explanation: "\
`queue_bytes` bounds what may wait for a slow reader. If one message of `message_size` does not fit, the first large message would
close every reader's connection. Make the queue at least as large as the message size; several times as large is usual:

    limits: {message_size: 64KiB, queue_bytes: 1MiB}",
};

/// A secret that can be guessed.
pub static WEAK_SECRET: Code = Code {
    slug: "plan/weak-secret",
    severity: Severity::Error,
    summary: "a token secret has fewer than 32 bytes",
    explanation: "\
Whoever guesses the secret of `HS256` can sign tokens for any user. A captured token is enough to try candidates at billions a
second, so the secret needs 32 random bytes at least (RFC 7518, section 3.2):

    openssl rand -base64 32

Put it into the environment (`secret: \"${JWT_SECRET}\"`) or a file (`secret_file: jwt.key`), not into channels.yaml.",
};

/// A key that can be guessed.
pub static SHORT_API_KEY: Code = Code {
    slug: "plan/short-api-key",
    severity: Severity::Warning,
    summary: "a key of the HTTP API is short",
    explanation: "\
A key of the HTTP API can publish as anyone and disconnect everyone within its scopes. Use at least 16 random characters:

    openssl rand -base64 24",
};

/// Two keys that cannot be told apart.
pub static SAME_API_KEY: Code = Code {
    slug: "plan/same-api-key",
    severity: Severity::Error,
    summary: "two keys of the HTTP API have the same secret",
    explanation: "\
A request names its key by the secret alone. Two keys with one secret could not be told apart, so their scopes and the log would
be wrong for one of them.",
};

/// Nothing to listen on.
pub static BAD_ADDRESS: Code = Code {
    slug: "plan/bad-address",
    severity: Severity::Error,
    summary: "`listen` is not an address and a port",
    explanation: "\
`listen` takes an IP address and a port: `127.0.0.1:8000` for this machine alone, `0.0.0.0:8000` for all its addresses,
`[::]:8000` for IPv6; `localhost:8000` is 127.0.0.1. Host names are not resolved: which address they would mean is not the file's to
know.",
};

/// Not a range of addresses.
pub static BAD_NETWORK: Code = Code {
    slug: "plan/bad-network",
    severity: Severity::Error,
    summary: "`trusted_proxies` names no range of addresses",
    explanation: "\
A range is an address and the number of leading bits that count, the bits behind them zero: `10.0.0.0/8`, `192.168.1.0/24`,
`fd00::/8`; one machine is its address alone. Everyone in the range is believed to say truly whom they connect for, so it should hold
your proxies and nothing else.",
};

/// Not an origin.
pub static BAD_ORIGIN: Code = Code {
    slug: "plan/bad-origin",
    severity: Severity::Error,
    summary: "`origins` names something that browsers never send",
    explanation: "\
Browsers send the origin of a page as scheme, host and, where it is not the usual one, port, in small letters, without a path:
`https://app.example.com`, `http://localhost:3000`. It is compared as text, so anything else would never match. `same-origin` stands
for pages of the same host and port, `*` for any page.",
};

/// Cross-site WebSocket hijacking.
pub static COOKIE_FOR_ALL: Code = Code {
    slug: "plan/cookie-for-all",
    severity: Severity::Warning,
    summary: "any page may connect with the visitor's cookie",
    explanation: "\
Browsers send cookies with every WebSocket, whatever page opens it, and no same-origin policy protects what comes back. With
`origins: [\"*\"]` a page of a stranger can connect as whoever visits it and read and send in their name (cross-site WebSocket
hijacking). List the pages that may connect, or leave `origins` out: then only pages of the same host and port may.",
};

/// A key that the protocol needs.
pub static MISSING_KEY: Code = Code {
    slug: "plan/missing-key",
    severity: Severity::Error,
    summary: "a protocol needs a key that is not there",
    explanation: "\
Endpoints with `protocol: text` need `text_message`, the type whose data each frame is; those with `protocol: raw` need
`raw: {to: …}`, where frames go.",
};

/// No such folder.
pub static MISSING_FOLDER: Code = Code {
    slug: "plan/missing-folder",
    severity: Severity::Error,
    summary: "a folder of `pages` does not exist",
    explanation: "\
`pages` serves static files from a folder, relative to the file that names it. It has to exist when the server starts; its content
may change later.",
};

/// No such file.
pub static MISSING_FILE: Code = Code {
    slug: "plan/missing-file",
    severity: Severity::Error,
    summary: "a file that is read while serving does not exist",
    explanation: "\
A sessions file maps cookie values to users and is read again whenever it changes. It has to exist when the server starts: without
it every connection would be refused. An empty map is enough:

    {}",
};

/// One path for two things.
pub static PATH_COLLISION: Code = Code {
    slug: "plan/path-collision",
    severity: Severity::Error,
    summary: "two things answer one path",
    explanation: "\
A path is answered by one thing. `/healthz`, `/readyz` and `/metrics` belong to the server, `/api` and what is below it to the HTTP
API where it is on; an endpoint and a folder of pages cannot stand on the same path either, though pages may stand around it.",
};

/// A name that no room can have.
pub static NO_SUCH_ROOM: Code = Code {
    slug: "plan/no-such-room",
    severity: Severity::Error,
    summary: "a room is named that no declared pattern can have",
    explanation: "\
What is written can never become the name of a declared room: literal parts or the number of segments do not fit any pattern under
`rooms`. In templates only what stands in braces varies:

    rooms:
      \"room:{room_id}\": …
    endpoints:
      /ws/room/{room_id}: {auto_join: [\"room:{path.room_id}\"]}

In `rooms` of an API key `*` stands for any text: `room:*`.",
};

/// Nobody says `received`.
pub static NO_RECEIPT: Code = Code {
    slug: "plan/no-receipt",
    severity: Severity::Warning,
    summary: "an inbox is never emptied by the clients of an endpoint",
    explanation: "\
With `receipt: user` or `device` a message leaves the inbox when a client says `received`. Clients of text and raw endpoints, and of
those with `every_frame`, have no such frame: they would get the same messages at every connection until they are too old. With
`receipt: on_write` a message is gone once it was written to a connection.",
};
