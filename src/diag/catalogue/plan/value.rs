//! Codes of what is asked for: limits, secrets, addresses, keys that contradict each other.

use crate::diag::catalogue::{Code, Severity};

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

/// A parameter of another type than text.
pub static PARAMETER_IS_TEXT: Code = Code {
    slug: "plan/parameter-is-text",
    severity: Severity::Error,
    summary: "the schema of a parameter asks for something other than text",
    explanation: "\
Parameters are parts of a name, so they are always text: `type: integer` would refuse every room. Say the form with a pattern:

    params: {room_id: {pattern: \"^[0-9]+$\"}}",
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

/// Nobody can connect.
pub static NO_ENDPOINT: Code = Code {
    slug: "plan/no-endpoint",
    severity: Severity::Warning,
    summary: "the file declares no endpoint",
    explanation: "\
Clients connect to endpoints, the URL paths under `endpoints`. Without one, everything else in the file serves nobody; only `pages`
are of use by themselves. What else is unused for want of an endpoint is not reported.

    endpoints:
      /ws: {auth: guest, rooms: [\"room:{room_id}\"]}",
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
    summary: "a token secret has too few bytes",
    explanation: "\
Whoever guesses the secret of `HS256` can sign tokens for any user. A captured token is enough to try candidates at billions a
second, so the secret needs as many random bytes as the hash has (RFC 7518, section 3.2): 32, with `HS384` 48 and with `HS512` 64.

    openssl rand -base64 64

Put it into the environment (`secret: \"${JWT_SECRET}\"`) or a file (`secret_file: jwt.key`), not into channels.yaml.",
};

/// A key that can be guessed.
pub static SHORT_API_KEY: Code = Code {
    slug: "plan/short-api-key",
    severity: Severity::Warning,
    summary: "a key of the HTTP API is short",
    explanation: "\
Whoever has a key of the HTTP API can publish to every room that it may use. Use at least 16 random characters:

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

/// Not a URL that can be asked.
pub static BAD_URL: Code = Code {
    slug: "plan/bad-url",
    severity: Severity::Error,
    summary: "the application cannot be asked at this URL",
    explanation: "\
A question to the application goes to a URL of HTTP, with a host:

    rooms:
      \"desk:{ticket}\":
        may_join: {http: {url: \"http://127.0.0.1:9000/may-join\", timeout: 3s, cache: 30s}}",
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
