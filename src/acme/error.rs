//! Why there is no certificate.

use std::path::PathBuf;

use crate::acme::pace::Failure;

/// Why there is no certificate. Its text is for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    /// A file of the folder cannot be read or written.
    #[error("{file}: {cause}")]
    Cache {
        /// Which.
        file: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file of the folder does not hold what it should.
    #[error("{file} cannot be used: {cause}")]
    CacheContent {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The certificates to trust cannot be read.
    #[error("`ca_file` cannot be used: {0}")]
    Roots(String),
    /// The authority cannot be reached, or does not speak ACME.
    #[error("the authority cannot be asked: {0}")]
    Unreachable(String),
    /// The authority said no.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// It does not know the account any more.
    #[error("the authority does not know the account that is kept")]
    AccountGone,
    /// It allows only so many orders in a time.
    #[error("the authority has had enough: {0}")]
    RateLimited(String),
    /// The authority did not get the proof.
    #[error("`{domain}` could not be proven: {cause}")]
    NotProven {
        /// Which.
        domain: String,
        /// What it says it saw.
        cause: String,
    },
    /// The authority does not offer to look at TLS.
    #[error("the authority offers no tls-alpn-01 for `{0}`")]
    NoChallenge(String),
    /// A key or a certificate could not be made.
    #[error("cryptography failed: {0}")]
    Crypto(String),
    /// What came is no certificate for the key.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// It took too long.
    #[error("the order was not done within five minutes")]
    Timeout,
}

impl AcmeError {
    /// Whether somebody said no, or nobody was there, whom asking again soon costs nothing.
    pub(super) const fn kind(&self) -> Failure {
        match self {
            Self::Unreachable(_) | Self::AccountGone | Self::Timeout => Failure::Outage,
            _ => Failure::Refusal,
        }
    }

    /// What to do about it.
    pub(super) const fn repair(&self) -> &'static str {
        match self {
            Self::Cache { .. } => {
                "let the server's user own the folder `cache`, and give it room: without it every restart orders anew, and authorities give only so many"
            }
            Self::CacheContent { .. } => "move the file away: another is ordered",
            Self::Roots(_) => {
                "name a file in PEM with the authority's root, or leave `ca_file` out"
            }
            Self::Unreachable(_) => {
                "see that this machine may call the URL of `directory`; it is tried again"
            }
            Self::AccountGone => "another is made the next time",
            Self::Refused(_) => "the text says what the authority wants changed in `acme`",
            Self::RateLimited(_) => {
                "wait, and keep the folder `cache` between restarts: each order counts"
            }
            Self::NotProven { .. } => {
                "the authority connects to port 443 of the domain: see that its name leads to this machine, that the port reaches this listener, and that no proxy ends TLS before it"
            }
            Self::NoChallenge(_) => "use an authority that does, such as Let's Encrypt",
            Self::Crypto(_) | Self::Unusable(_) | Self::Timeout => "it is tried again",
        }
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        use instant_acme::Error;
        match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().unwrap_or_default();
                if kind.ends_with(":accountDoesNotExist") {
                    return Self::AccountGone;
                }
                let is_limit = kind.ends_with(":rateLimited");
                let is_ours = problem.status.is_some_and(|status| status < 500);
                let text = problem.to_string();
                match (is_limit, is_ours) {
                    (true, _) => Self::RateLimited(text),
                    (false, true) => Self::Refused(text),
                    (false, false) => Self::Unreachable(text),
                }
            }
            Error::Crypto | Error::KeyRejected => Self::Crypto(error.to_string()),
            Error::Timeout(_) => Self::Timeout,
            other => Self::Unreachable(with_causes(&other)),
        }
    }
}

/// An error with what caused it: hyper's own text says only that something failed.
pub(super) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::AcmeError;
    use crate::acme::pace::Failure;

    #[test]
    fn what_an_authority_says_decides_how_soon_it_is_asked_again() {
        for (kind, status, expected, failure) in [
            ("rateLimited", 429, "has had enough", Failure::Refusal),
            (
                "accountDoesNotExist",
                400,
                "does not know the account",
                Failure::Outage,
            ),
            ("rejectedIdentifier", 403, "refuses", Failure::Refusal),
            ("serverInternal", 500, "cannot be asked", Failure::Outage),
        ] {
            let problem = serde_json::json!({
                "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "why", "status": status,
            });
            let problem = serde_json::from_value(problem).expect("a problem");
            let error = AcmeError::from(instant_acme::Error::Api(problem));
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.kind(), failure, "{error}");
            assert!(!error.repair().is_empty());
        }
    }
}
