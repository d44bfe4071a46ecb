//! `tls`: certificates, read to find what would fail in every handshake.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::certificate::{self, Certificate, CertificateError, FILE_BYTES_MAX, Part};
use crate::config::{self, Spanned};
use crate::diag::Span;
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::{Lowering, finding, shown};
use crate::plan::{CertificateFiles, Tls};
use crate::vocab::Timestamp;

/// Whoever has less time than this left should hear of it: renewals are due at a third of 90 days, or of 45.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

impl Lowering<'_> {
    /// What `tls` comes to; none where it is off, or could not be read.
    pub(super) fn tls(&mut self, written: &Spanned<config::Tls>) -> Option<Arc<Tls>> {
        match &written.value {
            config::Tls::Off => None,
            config::Tls::Acme(acme) => {
                let acme = self.acme(acme, written.span)?;
                Some(Arc::new(Tls::Acme(acme)))
            }
            config::Tls::Files(files) => {
                if files.is_empty() && self.complete {
                    let message = "`certificates` names none".to_owned();
                    let help = "write `certificates: [{certificate: cert.pem, key: key.pem}]`";
                    self.find(finding(
                        &codes::BAD_CERTIFICATE,
                        written.span,
                        message,
                        help,
                    ));
                }
                let files = files.iter().map(|files| self.certificate(files));
                let files: Vec<Option<CertificateFiles>> = files.collect();
                let files: Option<Vec<_>> = files.into_iter().collect();
                Some(Arc::new(Tls::Files(files?)))
            }
        }
    }

    fn certificate(&mut self, written: &config::CertificateFiles) -> Option<CertificateFiles> {
        let (chain, key) = (written.certificate.as_ref()?, written.key.as_ref()?);
        let chain_text = self.pem(&chain.value, chain.span, "certificate");
        let key_text = self.pem(&key.value, key.span, "key");
        let holds_key = key_text.as_deref().is_some_and(certificate::holds_key);
        if holds_key && self.files.is_open_to_all(&key.value) {
            let message = format!(
                "every user of this machine may read the key `{}`",
                shown(self.config, &key.value)
            );
            let help = "take that away with `chmod 640`, and let the server's group read it";
            self.find(finding(&codes::EXPOSED_KEY, key.span, message, help));
        }
        if let (Some(chain_text), Some(key_text)) = (chain_text, key_text) {
            match Certificate::read(&chain_text, &key_text) {
                Ok(certificate) => self.times(&certificate, &chain.value, chain.span),
                Err(error) => self.bad_certificate(error, chain, key),
            }
        }
        Some(CertificateFiles {
            certificate: chain.value.clone(),
            key: key.value.clone(),
        })
    }

    fn pem(&mut self, path: &Path, span: Span, what: &str) -> Option<Vec<u8>> {
        match self.files.read(path, FILE_BYTES_MAX) {
            Ok(text) if text.len() <= FILE_BYTES_MAX => Some(text),
            read => {
                let path = shown(self.config, path);
                let why = read
                    .err()
                    .map_or("it is larger than 1 MiB".to_owned(), |error| {
                        match error.kind() {
                            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                            _ => error.to_string(),
                        }
                    });
                let message = format!("the {what} `{path}` cannot be read: {why}");
                let help = "files are relative to the one that names them: correct the path, or let this user read the file";
                self.find(finding(&codes::MISSING_FILE, span, message, help));
                None
            }
        }
    }

    fn bad_certificate(
        &mut self,
        error: CertificateError,
        chain: &Spanned<std::path::PathBuf>,
        key: &Spanned<std::path::PathBuf>,
    ) {
        let file = match error.part() {
            Part::Chain => chain,
            Part::Key => key,
        };
        let path = shown(self.config, &file.value);
        let message = format!("`{path}` cannot be used: {error}");
        let repair = error.repair();
        self.find(finding(&codes::BAD_CERTIFICATE, file.span, message, repair));
    }

    /// Finds a certificate that is over, or soon will be, or has not begun.
    fn times(&mut self, certificate: &Certificate, path: &Path, span: Span) {
        let Some(now) = self.now else {
            return;
        };
        let path = shown(self.config, path);
        let (begins, ends) = (certificate.begins(), certificate.ends());
        let message = if now >= ends {
            format!("the certificate `{path}` expired on {}", day(ends))
        } else if now < begins {
            format!(
                "the certificate `{path}` is not good before {}",
                day(begins)
            )
        } else if ends.since(now) < SOON {
            let days = ends.since(now).as_secs() / (24 * 3600);
            format!(
                "the certificate `{path}` expires on {}, in {days} days",
                day(ends)
            )
        } else {
            return;
        };
        let help = "renew it: a server that runs takes up the new files by itself";
        self.find(finding(&codes::CERTIFICATE_TIME, span, message, help));
    }
}

/// The day of a moment, in UTC.
fn day(moment: Timestamp) -> String {
    moment.to_string().chars().take(10).collect()
}
