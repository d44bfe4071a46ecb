//! Codes of names and patterns: what is not declared, not used, not told apart.

use crate::diag::catalogue::{Code, Severity};

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

/// An audience that the room does not have.
pub static UNKNOWN_AUDIENCE: Code = Code {
    slug: "plan/unknown-audience",
    severity: Severity::Error,
    summary: "a message type is for an audience that its room does not have",
    explanation: "\
`audience` of a message type names one of the `audiences` of the rooms that take it: each of these rooms says who is of it.

    messages:
      note: {schema: true, to: room, audience: staff}
    rooms:
      \"desk:{ticket}\":
        may_join: user.authenticated
        audiences: {staff: \"user.claims.role == 'agent'\"}
        messages: [note]",
};

/// More audiences than a member's set has places.
pub static TOO_MANY_AUDIENCES: Code = Code {
    slug: "plan/too-many-audiences",
    severity: Severity::Error,
    summary: "a room has more than 8 audiences",
    explanation: "\
A room tells 8 audiences apart at most. Two groups that read the same messages are one audience, whose rule joins theirs:

    audiences: {staff: \"user.claims.role in ['agent', 'lead']\"}",
};

/// Declared, never cited.
pub static UNUSED: Code = Code {
    slug: "plan/unused",
    severity: Severity::Warning,
    summary: "something is declared and used nowhere",
    explanation: "\
What is declared and never cited has no effect, and is often a slip in the place that should cite it: an auth mode that no
endpoint uses, a rate limit that limits nothing, an audience that no message is for. Cite it or remove it.",
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

/// A name twice in a list.
pub static REPEATED: Code = Code {
    slug: "plan/repeated",
    severity: Severity::Warning,
    summary: "a name stands twice in one list",
    explanation: "\
The second mention changes nothing. Where a list has overrides, only one of them can hold. Remove one.",
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
