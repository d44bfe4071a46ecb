//! Codes of tokens: what they are signed with, and for how long they are good.

use crate::diag::catalogue::{Code, Severity};

/// An algorithm that the key cannot do.
pub static WRONG_ALGORITHM: Code = Code {
    slug: "plan/wrong-algorithm",
    severity: Severity::Error,
    summary: "`algorithms` and the keys do not fit each other",
    explanation: "\
A token names the algorithm that it is signed with, and is refused unless `algorithms` lists it. Each needs its kind of key:

    HS256 HS384 HS512                      a secret that the issuer shares: `secret`, `secret_file`, or `oct` in a `jwks_file`
    RS256 RS384 RS512 PS256 PS384 PS512    an RSA key
    ES256                                  a P-256 key
    ES384                                  a P-384 key
    EdDSA                                  an Ed25519 key

Secrets and public keys never stand in one mode. Servers that took both could be told to use the public key, which everybody may
have, as the secret, and then anybody could sign (RFC 8725, section 2.1). Make two modes, and list both on the endpoint.",
};

/// A file of keys that is none.
pub static BAD_KEYS: Code = Code {
    slug: "plan/bad-keys",
    severity: Severity::Error,
    summary: "a file of keys cannot be used",
    explanation: "\
`public_key_file` is PEM: one or several blocks `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`, with RSA keys of 2048 bits or
more or keys on the curves P-256, P-384 and Ed25519. From a private key you get it by

    openssl pkey -in private.pem -pubout -out public.pem

`jwks_file` is a JSON Web Key Set (RFC 7517), `{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"1\", \"n\": …, \"e\": \"AQAB\"}]}`, of at most 256 KiB
and 100 keys.",
};

/// A private key where a public one belongs.
pub static PRIVATE_KEY: Code = Code {
    slug: "plan/private-key",
    severity: Severity::Error,
    summary: "a private key stands where a public key belongs",
    explanation: "\
Whoever can read a private key can sign tokens for any user. Verifying takes the public key alone, so a server that only verifies
should not have the other: a leak of its files would be a leak of every account.

    openssl pkey -in private.pem -pubout -out public.pem

For tokens in development, `trunkline token --key private.pem` signs with the private key without the server having it.",
};

/// A key that can be broken.
pub static WEAK_KEY: Code = Code {
    slug: "plan/weak-key",
    severity: Severity::Error,
    summary: "an RSA key has fewer than 2048 bits",
    explanation: "\
RSA keys under 2048 bits can be factored by whoever is willing to pay for it, and RFC 7518 (section 3.3) forbids them for tokens.
Those over 8192 bits are refused too: each token would cost too much. Have the issuer make a new pair, or use `ES256` or `EdDSA`,
whose keys are short.",
};

/// A URL that keys cannot be fetched from.
pub static BAD_ISSUER: Code = Code {
    slug: "plan/bad-issuer",
    severity: Severity::Error,
    summary: "keys cannot be fetched from a `jwks_url` or `issuer_discovery`",
    explanation: "\
Whoever can put a key into the set that the server fetches can sign tokens for any user. So the set comes over https, whose
certificate says who answers; plain http is taken from this machine alone (`localhost`, `127.0.0.1`, `[::1]`), for development.

    jwks_url: https://id.example.com/.well-known/jwks.json
    issuer_discovery: https://id.example.com/realms/main

`issuer_discovery` is exactly what stands in the tokens' `iss`, the last slash included, without query and credentials:
`/.well-known/openid-configuration` is put behind it.",
};

/// A place where no token can be.
pub static BAD_CREDENTIAL: Code = Code {
    slug: "plan/bad-credential",
    severity: Severity::Error,
    summary: "a credential is looked for where none can be",
    explanation: "\
`credential` says where in the request the token is, and `cookie` which cookie is the session's. No request has a header or a cookie
whose name has a space in it, or a parameter without a name, and where no place is named nobody is ever let in:

    credential: {query: token}
    credential: {header: X-Auth-Token}
    credential: {cookie: session_id}

Without `credential` the token is looked for in the query parameter `token`, in `Authorization: Bearer` and in the subprotocol
`bearer.TOKEN`.",
};

/// Clocks that differ by more than clocks do.
pub static LONG_LEEWAY: Code = Code {
    slug: "plan/long-leeway",
    severity: Severity::Error,
    summary: "`leeway` is longer than 5 minutes",
    explanation: "\
`leeway` is for clocks that differ a little: a token is still good for that long after its `exp`, and already before its `nbf`.
More than a few minutes (RFC 7519, section 4.1.4) turns tokens that have ended into tokens that work. Keep the machines' clocks
right with NTP, and have the issuer make tokens that live longer if that is what you want.",
};

/// Tokens for ever.
pub static TOKENS_WITHOUT_EXPIRY: Code = Code {
    slug: "security/tokens-without-expiry",
    severity: Severity::Warning,
    summary: "`require_exp: false` takes tokens that never end",
    explanation: "\
A token is good for whoever has it. It ends up in logs, histories and backups, and `exp` is what makes it worthless there. With
`require_exp: false` a token without `exp` is good until its key is taken away, and a connection that it opened does not end.

Have the issuer set `exp`, minutes or hours ahead, and remove the key.",
};
