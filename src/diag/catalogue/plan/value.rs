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

/// A place in data that is no JSON Pointer.
pub static BAD_POINTER: Code = Code {
    slug: "plan/bad-pointer",
    severity: Severity::Error,
    summary: "a place in the data is not written as a JSON Pointer",
    explanation: "\
`sanitize` names texts in the data by JSON Pointers (RFC 6901): each segment begins with `/`, a `~` in a name is written as `~0` and a
`/` as `~1`. Beyond the RFC the segment `*` stands for every element of a list and every value of a map:

    sanitize: {/text: escape_html, /items/*/title: [trim, normalize_unicode]}

The pointer `\"\"` is the data itself, where that is a text.",
};

/// A place in data where no text can be.
pub static NO_TEXT_THERE: Code = Code {
    slug: "plan/no-text-there",
    severity: Severity::Error,
    summary: "`sanitize` names a place where data that fits the schema has no text",
    explanation: "\
What `sanitize` does is done to texts. At this place the schema lets nothing pass, or only something that is no text, so a text that
should be cleaned would not be. Name the place where the text is, or correct the schema.",
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
    summary: "a key of the HTTP API, or of questions to the application, is short",
    explanation: "\
Whoever has a key of the HTTP API can publish to every room that it may use, and whoever has the `secret` of an `http` can ask the
application as trunkline does. Use at least 16 random characters:

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
know. `unix:/run/trunkline.sock` is a Unix socket, whose file gets `mode: 0660` unless the listener says another.",
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
`https://app.example.com`, `http://localhost:3000`. Anything else would never match. `same-origin` stands for pages of the same host
and port, `*` for any page, and `https://*.example.com` for pages of any name below `example.com`, one or more labels deep, not for
its own. A `*` is the first label as a whole, and what stands behind it is a domain that somebody owns: `https://*.com` would let in
the web.",
};

/// A wildcard over a domain that gives names to strangers.
pub static SHARED_ORIGIN: Code = Code {
    slug: "plan/shared-origin",
    severity: Severity::Warning,
    summary: "anybody can have a page that `origins` lets in",
    explanation: "\
Under some domains everyone can have a name of their own, for a site or for the preview of a branch: `github.io`, `vercel.app`,
`herokuapp.com` (publicsuffix.org keeps the list). `https://*.github.io` lets in the pages of all of them. List yours:

    origins: [https://team.github.io]",
};

/// Pages without an origin.
pub static OPAQUE_ORIGIN: Code = Code {
    slug: "plan/opaque-origin",
    severity: Severity::Warning,
    summary: "pages whose origin is `null` may connect, which any page can have",
    explanation: "\
Browsers send `Origin: null` for pages that have no origin of their own: sandboxed frames, `data:` URLs, files. Any page on the web can
open a sandboxed frame, so `origins: [\"null\"]` lets in every page, as `*` does. To try out a file, serve it instead:

    pages: {/: ./public}",
};

/// Not a name under which a server is reached.
pub static BAD_HOST: Code = Code {
    slug: "plan/bad-host",
    severity: Severity::Error,
    summary: "`hosts` names something that is not the name of a host",
    explanation: "\
`server.hosts` lists the names that stand in the URLs of clients, without scheme and port: `rt.example.com`, `*.example.com` for all
names below. A request for any other name is answered with 421. Addresses and `localhost` need not be listed: they are always answered,
because no page of a stranger can have them.

    server:
      hosts: [rt.example.com]",
};

/// Not a header that pages can have.
pub static BAD_HEADER: Code = Code {
    slug: "plan/bad-header",
    severity: Severity::Error,
    summary: "`headers` of a folder of pages names something that cannot be sent",
    explanation: "\
`headers` go with every file of the folder: a name as HTTP has it, and a value of one line in ASCII. What the server itself says of a
file (its length, its type) cannot be set. An empty value leaves a default out:

    pages:
      /: {folder: ./public, headers: {Cache-Control: max-age=3600, X-Frame-Options: \"\"}}",
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
    summary: "a key is missing that another one needs",
    explanation: "\
Endpoints with `protocol: text` need `text_message`, the type whose data each frame is; those with `protocol: raw` need
`raw: {to: …}`, where frames go. An auth mode with `http` needs `forward`, what of the request the application is shown.",
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

    {}

Certificates and keys are read again in the same way.",
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

/// An order that no authority takes.
pub static BAD_ACME: Code = Code {
    slug: "plan/bad-acme",
    severity: Severity::Error,
    summary: "`acme` asks for what no authority gives",
    explanation: "\
With `acme` the server orders its certificate itself: from Let's Encrypt, or from the authority whose `directory` is named. It has to be
asked for names that lead here (not for addresses, and not for wildcards, which are proven in the DNS), with an address of e-mail or none,
by somebody who agrees to the authority's terms. That is a contract, so the file has to say it:

    server:
      listen: 0.0.0.0:443
      tls: {acme: {domains: [rt.example.com], email: ops@example.com, terms_agreed: true}}",
};
