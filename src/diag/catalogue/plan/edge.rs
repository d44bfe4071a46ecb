//! Codes of listeners and what they show: certificates, keys, what is served where.

use crate::diag::catalogue::{Code, Severity};

/// A certificate or key that TLS cannot use.
pub static BAD_CERTIFICATE: Code = Code {
    slug: "plan/bad-certificate",
    severity: Severity::Error,
    summary: "a certificate or its key cannot be used",
    explanation: "\
`certificate` is a file in PEM with the server's own certificate first and behind it those that lead to an authority, each the issuer
of the one before; `key` is the private key that belongs to the first, without a password. Browsers refuse a chain that is incomplete
or in another order, and no handshake succeeds with a key of another certificate.

    server:
      listen: 0.0.0.0:443
      tls: {certificate: /etc/letsencrypt/live/rt.example.com/fullchain.pem, key: /etc/letsencrypt/live/rt.example.com/privkey.pem}

`openssl x509 -in FILE -noout -subject -issuer -dates` shows the first certificate of a file.",
};

/// A certificate that is over, or nearly.
pub static CERTIFICATE_TIME: Code = Code {
    slug: "plan/certificate-time",
    severity: Severity::Warning,
    summary: "a certificate has expired, is about to, or is not good yet",
    explanation: "\
Clients refuse a certificate outside its time, and pages cannot ask their users to accept it for a WebSocket. Renew it; a server
that runs sees the new files within a second, and connections stay open. `trunkline_tls_certificate_expiry_timestamp_seconds` tells
a monitoring system when it is time.",
};

/// A private key that others can read.
pub static EXPOSED_KEY: Code = Code {
    slug: "plan/exposed-key",
    severity: Severity::Warning,
    summary: "every user of the machine may read a private key",
    explanation: "\
Whoever has the private key can pose as the server. Only the user that the server runs as has to read it:

    chown root:trunkline key.pem
    chmod 640 key.pem",
};

/// Something that no listener serves, or that a listener serves and nobody declared.
pub static SERVED_NOWHERE: Code = Code {
    slug: "plan/served-nowhere",
    severity: Severity::Warning,
    summary: "what is declared and what listeners serve do not fit",
    explanation: "\
A listener with `serve` serves what the list names and nothing else. What no list names can be reached nowhere; what a list names and
the file does not declare is an answer of 404. A listener without `serve` serves everything.

    server:
      listen:
        - {address: 0.0.0.0:8000, serve: [endpoints, pages]}
        - {address: 127.0.0.1:9000, serve: [api, metrics]}
      api: {keys: {backend: {secret: \"${API_KEY}\", scopes: [publish]}}}",
};
