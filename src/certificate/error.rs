//! Why a chain and a key cannot be used.

/// Which of the two files is to be corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The chain.
    Chain,
    /// The key.
    Key,
}

/// Why a chain and a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The chain's file holds none.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Its PEM is damaged.
    #[error("it is damaged: what stands between `BEGIN` and `END` is not base64")]
    ChainSyntax,
    /// What it holds is something else.
    #[error("certificate {position} in it cannot be read")]
    NotACertificate {
        /// Which, from one.
        position: usize,
    },
    /// A certificate does not follow the one that it signed.
    #[error(
        "its chain is in the wrong order: certificate {position} is not the issuer of the one before it"
    )]
    ChainOrder {
        /// Which, from one.
        position: usize,
    },
    /// The key's file holds none.
    #[error("there is no private key in it")]
    NoKey,
    /// The key needs a password.
    #[error("its key is encrypted")]
    KeyEncrypted,
    /// The key is of a kind that TLS has no use for.
    #[error("its key cannot be used: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 can")]
    KeyNotUsable,
    /// The key is another certificate's.
    #[error("its key is not that of the certificate")]
    KeyDoesNotFit,
}

impl CertificateError {
    /// The file that it is about.
    #[must_use]
    pub const fn part(self) -> Part {
        match self {
            Self::NoCertificate
            | Self::ChainSyntax
            | Self::NotACertificate { .. }
            | Self::ChainOrder { .. } => Part::Chain,
            Self::NoKey | Self::KeyEncrypted | Self::KeyNotUsable | Self::KeyDoesNotFit => {
                Part::Key
            }
        }
    }

    /// What to do about it, as a sentence for who writes the file.
    #[must_use]
    pub const fn repair(self) -> &'static str {
        match self {
            Self::NoCertificate => {
                "name the file with `-----BEGIN CERTIFICATE-----`, such as certbot's `fullchain.pem`"
            }
            Self::ChainSyntax | Self::NotACertificate { .. } => {
                "write the file again, in PEM: `openssl x509 -in FILE -noout -text` reads a good one"
            }
            Self::ChainOrder { .. } => {
                "put the server's own certificate first, and behind each the one that signed it"
            }
            Self::NoKey => {
                "name the file with `-----BEGIN PRIVATE KEY-----`, such as certbot's `privkey.pem`"
            }
            Self::KeyEncrypted => {
                "take its password off with `openssl pkey -in FILE -out key.pem`, and protect the file by its mode"
            }
            Self::KeyNotUsable => "make a new one with `openssl ecparam -name prime256v1 -genkey`",
            Self::KeyDoesNotFit => {
                "name the key that the certificate was requested with: `openssl pkey -in FILE -pubout` and `openssl x509 -in FILE -noout -pubkey` have to print the same"
            }
        }
    }
}
