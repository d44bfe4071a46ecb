//! Codes of what an attacker would like about a file. Each names the attack, then shows a file that invites it and one that does
//! not; the golden tests hold both to that.

use super::Code;
use super::Severity::Warning;

/// A secret that whoever reads the file knows.
pub static SECRET_IN_FILE: Code = Code {
    slug: "security/secret-in-file",
    severity: Warning,
    summary: "a secret stands in the file itself",
    explanation: "\
Attack: whoever can read the file, its history in a repository, a backup or a screen, has the secret: with one of `jwt` they sign a
token for any user, with one of `api` they publish as the application. A default behind `:-` is such a secret too.

    jwt: {algorithms: [HS256], secret: correct-horse-battery-staple-tomorrow}

Take it from the environment or from a file of its own:

    jwt: {algorithms: [HS256], secret: \"${JWT_SECRET}\"}",
};

/// A page that anyone on the way can write.
pub static INSECURE_ORIGIN: Code = Code {
    slug: "security/insecure-origin",
    severity: Warning,
    summary: "cookies are taken from pages that travel unencrypted",
    explanation: "\
Attack: whoever sits between a visitor and the network (a café's access point is enough) can put a script into any page of
`http://`. From a listed origin it connects, the browser adds the visitor's cookie, and the script acts as the visitor.

    origins: [http://app.example.com]

List the origin by the scheme that cannot be written on the way:

    origins: [https://app.example.com]",
};

/// Anyone may send as much as the line carries.
pub static UNLIMITED_GUESTS: Code = Code {
    slug: "security/unlimited-guests",
    severity: Warning,
    summary: "anonymous clients may send without a rate limit",
    explanation: "\
Attack: nobody has to be anyone to connect here, and each message goes to everyone in a room. One script sends as fast as its line
carries, each reader gets all of it, and the readers that cannot keep up are closed.

    /ws: {auth: guest, auto_join: [lobby]}

Limit what one connection, or one address, may send, at the type or for all of the endpoint:

    /ws: {auth: guest, auto_join: [lobby], rate_limit: {messages: [talking]}}",
};

/// A token for another application is a login here.
pub static ANY_AUDIENCE: Code = Code {
    slug: "security/any-audience",
    severity: Warning,
    summary: "tokens of an issuer are taken whoever they are meant for",
    explanation: "\
Attack: an issuer signs the tokens of many applications with the same keys. Without `audience` a token that a user gave to any other
of them, a careless one or one that an attacker runs, logs in here as that user (RFC 8725, section 3.9).

    jwt: {algorithms: [RS256], jwks_url: \"https://id.example.com/keys\"}

Say which `aud` means this application:

    jwt: {algorithms: [RS256], jwks_url: \"https://id.example.com/keys\", audience: chat}",
};

/// Whoever connects says where from.
pub static TRUSTS_EVERYONE: Code = Code {
    slug: "security/trusts-everyone",
    severity: Warning,
    summary: "everyone is a trusted proxy",
    explanation: "\
Attack: a trusted proxy's word counts for where a request comes from. Where everyone is one, a client writes `X-Forwarded-For` itself,
with another address each time: limits by address and blocks of addresses hold nobody, and the log names whom the attacker likes.

    trusted_proxies: [0.0.0.0/0]

Name the machines in front, and no others:

    trusted_proxies: [10.0.0.0/8]",
};

/// Credentials that travel unencrypted.
pub static PLAIN_LISTENER: Code = Code {
    slug: "security/plain-listener",
    severity: Warning,
    summary: "credentials cross the network unencrypted",
    explanation: "\
Attack: this address is reached from other machines, nothing encrypts what goes there, and no proxy in front is named that would.
Whoever is on the way reads tokens, cookies, keys and messages, and uses them.

    listen: 0.0.0.0:8000

Give the listener a certificate (`tls`), or let a proxy end TLS: listen where only it comes, or name it:

    listen: 127.0.0.1:8000",
};

/// Everyone who may connect reads the metrics.
pub static OPEN_METRICS: Code = Code {
    slug: "security/open-metrics",
    severity: Warning,
    summary: "metrics are shown wherever clients come",
    explanation: "\
Attack: the metrics tell how many users there are, which types and limits the file has, and whether an attack works. Here whoever may
connect may read them.

    listen: [{address: \"0.0.0.0:8443\", serve: [endpoints, api, metrics]}]

Leave them to this machine, where they are without a word, or to a listener of their own that clients do not reach:

    listen: [{address: \"0.0.0.0:8443\"}]",
};

/// Who a guest is, the guest says.
pub static CHOSEN_IDENTITY: Code = Code {
    slug: "security/chosen-identity",
    severity: Warning,
    summary: "a rule trusts an id that clients choose",
    explanation: "\
Attack: an anonymous user's id comes from the URL, which the client writes. A rule that compares `user.id` with a room's name, and an
inbox that belongs to a `user.id`, then protect nothing: who knows or guesses another guest's id takes it and is that guest.

    guest: {anonymous: {user_id: \"{query.name}\"}}

Leave the id to the server, and take from the URL no more than the name to show:

    guest: {anonymous: {username: \"{query.name}\"}}",
};

/// An inbox for everyone.
pub static OPEN_INBOX: Code = Code {
    slug: "security/open-inbox",
    severity: Warning,
    summary: "anyone may join a room that has an inbox",
    explanation: "\
Attack: an inbox is for one user, and whoever is in its room gets what is said there as it comes. Any user joins the room of any other
and reads along.

    may_join: \"true\"

Let in the owner, and those who may read for the owner:

    may_join: user.id == params.user_id",
};

/// The configuration as a download.
pub static SERVED_CONFIGURATION: Code = Code {
    slug: "security/served-configuration",
    severity: Warning,
    summary: "the folder of the configuration is served to everyone",
    explanation: "\
Attack: every file below a folder of `pages` can be downloaded by its name: channels.yaml with its rules and limits, the schemas, keys
and sessions beside it.

    pages: {/: .}

Serve a folder that holds what visitors may have and nothing else:

    pages: {/: ./public}",
};

/// Every code of this section.
pub static ALL: &[&Code] = &[
    &SECRET_IN_FILE,
    &INSECURE_ORIGIN,
    &UNLIMITED_GUESTS,
    &ANY_AUDIENCE,
    &TRUSTS_EVERYONE,
    &PLAIN_LISTENER,
    &OPEN_METRICS,
    &CHOSEN_IDENTITY,
    &OPEN_INBOX,
    &SERVED_CONFIGURATION,
];
