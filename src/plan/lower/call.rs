//! Questions to the application: `auth.NAME.http`, `lookup.http`, `may_join.http`.

use std::time::Duration;

use crate::config::{self, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::api::API_SECRET_BYTES_MIN;
use crate::plan::lower::server::value;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{HttpCall, HttpUrl, HttpUrlError, Patience};
use crate::vocab::Secret;

pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

impl Lowering<'_> {
    /// How the application is asked; a finding where it cannot be.
    pub(super) fn http_call(&mut self, written: &config::HttpCall) -> Option<HttpCall> {
        let timeout = self.above_zero(written.timeout, TIMEOUT, "timeout");
        let patience = self.patience(written.cache, written.stale);
        let url = self.http_url(written.url.as_ref()?)?;
        let secret = written.secret.as_ref();
        if let Some(secret) = secret.filter(|_| url.basic().is_some()) {
            let message = "`url` and `secret` both say who asks, and one header cannot say both";
            let help = "keep `secret`, and take `user:password@` out of `url`";
            self.find(finding(
                &codes::CONTRADICTION,
                secret.span,
                message.to_owned(),
                help,
            ));
        }
        if let Some(secret) = secret {
            self.call_secret(secret);
        }
        Some(HttpCall {
            url,
            secret: secret.map(|secret| secret.value.clone()),
            timeout,
            patience,
        })
    }

    /// Finds what cannot be sent, or guessed too easily.
    fn call_secret(&mut self, secret: &Spanned<Secret>) {
        let text = secret.value.expose();
        if !is_header(text) {
            let message = "`secret` has characters that no header can carry".to_owned();
            let help =
                "use letters, digits and `-._~+/`, for example from `openssl rand -base64 24`";
            self.find(finding(&codes::BAD_URL, secret.span, message, help));
        } else if text.len() < API_SECRET_BYTES_MIN {
            let message =
                "`secret`, by which the application knows who asks, is short enough to be guessed"
                    .to_owned();
            let help =
                "use at least 16 random characters, for example from `openssl rand -base64 24`";
            self.find(finding(&codes::SHORT_API_KEY, secret.span, message, help));
        }
    }

    /// For how long answers are good: not at all unless it is written.
    pub(super) fn patience(
        &mut self,
        cache: Option<Spanned<Duration>>,
        stale: Option<Spanned<Duration>>,
    ) -> Patience {
        let patience = Patience {
            cache: value(cache, Duration::ZERO),
            stale: value(stale, Duration::ZERO),
        };
        if let Some(stale) =
            stale.filter(|stale| !stale.value.is_zero() && patience.cache.is_zero())
        {
            let message = "`stale` has no effect: without `cache` no answer is remembered";
            self.no_effect(
                stale.span,
                message.to_owned(),
                "write `cache: 30s` beside it",
            );
        }
        patience
    }

    /// A URL of HTTP. It may hold credentials, so that no finding repeats it.
    pub(super) fn http_url(&mut self, text: &Text) -> Option<HttpUrl> {
        let error = match HttpUrl::parse(text.as_str()) {
            Ok(url) => return Some(url),
            Err(error) => error,
        };
        let help = match error {
            HttpUrlError::Fragment => "leave out `#` and what follows it",
            _ => "write it like `http://127.0.0.1:9000/session`",
        };
        let message = format!("this URL cannot be asked: {error}");
        self.find(finding(&codes::BAD_URL, text.span(), message, help));
        None
    }
}

fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}
