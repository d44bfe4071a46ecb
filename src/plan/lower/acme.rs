//! `tls.acme`: what an authority is asked for.

use crate::config::{self, Text};
use crate::diag::catalogue::plan as codes;
use crate::diag::{Diagnostic, Span};
use crate::plan::lower::Lowering;
use crate::plan::lower::origin::host_name;
use crate::plan::{Acme, HostName};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The folder of accounts and certificates, beside the main file.
const CACHE: &str = "acme";
/// What authorities put into one certificate.
const DOMAINS_MAX: usize = 100;

impl Lowering<'_> {
    pub(super) fn acme(&mut self, written: &config::Acme, span: Span) -> Option<Acme> {
        self.repeated(&written.domains);
        let domains = written.domains.iter().map(|text| self.domain(text));
        let domains: Vec<Option<Box<str>>> = domains.collect();
        if domains.len() > DOMAINS_MAX {
            let message = format!("one certificate is for {DOMAINS_MAX} domains at most");
            self.bad_acme(span, message, "give other listeners a `tls` of their own");
        }
        if !written.terms_agreed.is_some_and(|agreed| agreed.value) {
            let at = written.terms_agreed.map_or(span, |agreed| agreed.span);
            let message = "an authority gives certificates to those who agree to its terms";
            let help = "read them (Let's Encrypt's are at https://letsencrypt.org/repository), and write `terms_agreed: true`";
            self.bad_acme(at, message.to_owned(), help);
        }
        if let Some(email) = &written.email
            && !is_email(email.as_str())
        {
            let message = format!("`{email}` is not an address of e-mail");
            self.bad_acme(email.span(), message, "write one such as `ops@example.com`");
        }
        if let Some(directory) = &written.directory
            && !is_https(directory.as_str())
        {
            let message = format!("`{directory}` is not the URL of an authority");
            let help = "write its directory, such as `https://acme-staging-v02.api.letsencrypt.org/directory`";
            self.bad_acme(directory.span(), message, help);
        }
        let directory = written
            .directory
            .as_ref()
            .map_or(LETS_ENCRYPT, Text::as_str);
        let cache = written.cache.as_ref().map(|cache| cache.value.clone());
        Some(Acme {
            domains: domains.into_iter().collect::<Option<_>>()?,
            email: written.email.as_ref().map(|email| email.as_str().into()),
            directory: directory.into(),
            cache: cache.unwrap_or_else(|| self.config.folder.join(CACHE)),
            ca_file: written.ca_file.as_ref().map(|file| file.value.clone()),
        })
    }

    fn domain(&mut self, text: &Text) -> Option<Box<str>> {
        let (message, help) = match host_name(text.as_str()) {
            Ok(HostName::Exact(name)) => return Some(name),
            Ok(HostName::Below(_)) => (
                format!("`{text}` stands for names that cannot be proven one by one"),
                "list the names themselves: within TLS only a name of its own is proven".to_owned(),
            ),
            Err(Some(repair)) if !text.is_expanded() => (
                format!("`{text}` is not a domain"),
                format!("write `{repair}`"),
            ),
            Err(_) => (
                format!("`{text}` is not a domain"),
                "write a name such as `rt.example.com`: authorities give none for addresses"
                    .to_owned(),
            ),
        };
        self.bad_acme(text.span(), message, &help);
        None
    }

    fn bad_acme(&mut self, span: Span, message: String, help: &str) {
        self.find(Diagnostic::new(&codes::BAD_ACME, span, message).help(help));
    }
}

fn is_email(text: &str) -> bool {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'?');
    is_plain
        && text
            .split_once('@')
            .is_some_and(|(who, host)| !who.is_empty() && host_name(host).is_ok())
}

fn is_https(text: &str) -> bool {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain && crate::plan::split_authority(authority).is_some()
}
