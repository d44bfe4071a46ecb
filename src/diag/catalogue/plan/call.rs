//! Codes of questions to the application and to those who know the sessions.

use crate::diag::catalogue::{Code, Severity};

/// A URL that cannot be asked.
pub static BAD_URL: Code = Code {
    slug: "plan/bad-url",
    severity: Severity::Error,
    summary: "a URL, or what is sent to it, cannot be used",
    explanation: "\
URLs of the application begin with `http://` or `https://` and name a host; `user:password@` before the host is sent as basic
authentication. Characters that have a meaning in URLs are written like `%20`. Redis has `redis://` and, over TLS, `rediss://`.

    auth:
      browser:
        session: {cookie: session_token, lookup: {http: {url: \"http://127.0.0.1:9000/session\", cache: 30s}}}

URLs may hold credentials, so the message does not repeat what is written.",
};

/// A part of the request that there is not.
pub static UNKNOWN_FORWARD: Code = Code {
    slug: "plan/unknown-forward",
    severity: Severity::Error,
    summary: "`forward` names something that is no part of a request",
    explanation: "\
`forward` says what of the handshake's request the application is shown, and nothing else is: `cookie` for all cookies,
`cookie.NAME` for one, `authorization`, `header.NAME` and `query.NAME`. The mode's credential is there where one of these is.

    auth:
      application:
        http: {url: \"http://127.0.0.1:9000/connect\", forward: [cookie.session, authorization, query.token]}",
};

/// Keys of Redis that a stranger may name.
pub static OPEN_PREFIX: Code = Code {
    slug: "plan/open-prefix",
    severity: Severity::Error,
    summary: "a cookie could name any key of Redis",
    explanation: "\
A session is read from the key that `prefix` and the cookie's value make together. Without a prefix whoever connects could name any
other key, and be the user that its value happens to describe. Let the application store its sessions under a prefix of their own:

    lookup: {redis: {url: \"${REDIS_URL}\", prefix: \"session:\"}}",
};
