//! Who can listen in, who can pretend to be elsewhere, and what is handed to everyone.

use crate::config::{AuthMethod, Endpoint, Listener, Service};
use crate::diag::Diagnostic;
use crate::diag::catalogue::security as codes;
use crate::plan::lower::origin::takes_cookie;
use crate::plan::lower::security::{host_of, is_public, is_this_machine, modes_of};
use crate::plan::lower::{Lowering, finding};

impl Lowering<'_> {
    /// Finds addresses of other machines' where credentials, or metrics, go unencrypted or to all.
    pub(super) fn reached_in_the_clear(&mut self) {
        let server = &self.config.server;
        let mut modes = self.config.auth.iter();
        let credentials = server.api.is_some()
            || modes.any(|(_, mode)| !matches!(mode.method, Some(AuthMethod::Anonymous(_))));
        for listener in server.listen.iter().filter(|listener| is_public(listener)) {
            let proxied = !server.trusted_proxies.is_empty() || listener.proxy_protocol.is_some();
            let is_plain = listener.tls.is_none() && server.tls.is_none() && !proxied;
            if credentials && is_plain && serves_credentials(listener) {
                let message =
                    "tokens, cookies and keys cross the network unencrypted to this address"
                        .to_owned();
                let help = "add `tls`, or listen on 127.0.0.1 behind a proxy that ends TLS, or name that proxy in `trusted_proxies`";
                self.find(finding(
                    &codes::PLAIN_LISTENER,
                    listener.span,
                    message,
                    help,
                ));
            }
            self.open_metrics(listener);
        }
    }

    fn open_metrics(&mut self, listener: &Listener) {
        let Some(serve) = &listener.serve else {
            return;
        };
        let named = |service| serve.iter().find(|named| named.value == service);
        if let (Some(metrics), Some(_)) = (named(Service::Metrics), named(Service::Endpoints)) {
            let message = "whoever may connect here may read the metrics too".to_owned();
            let help = "leave `metrics` out: this machine reads them anyway; or give them a listener that clients do not reach";
            self.find(finding(&codes::OPEN_METRICS, metrics.span, message, help));
        }
    }

    /// Finds ranges of proxies that hold everyone.
    pub(super) fn everyone_is_trusted(&mut self) {
        let config = self.config;
        for text in &config.server.trusted_proxies {
            let prefix = text.as_str().rsplit_once('/').map(|(_, prefix)| prefix);
            if matches!(prefix, Some("0" | "1")) {
                let message = format!("`{text}` lets anyone say which address it comes from");
                let help = "name the addresses of the proxies alone, such as `10.0.0.0/8`";
                let finding = Diagnostic::new(&codes::TRUSTS_EVERYONE, text.span(), message);
                self.find(finding.help(help));
            }
        }
    }

    /// Finds folders of pages that hold the configuration.
    pub(super) fn configuration_is_served(&mut self) {
        let config = self.config;
        let Ok(own) = self.files.real_path(&config.folder) else {
            return;
        };
        for (_, page) in &config.pages {
            let served = self.files.real_path(&page.folder.value);
            if served.is_ok_and(|served| own.starts_with(served)) {
                let message =
                    "visitors may download this file, and what stands beside it".to_owned();
                let help = "serve a folder of its own, such as `./public`";
                self.find(finding(
                    &codes::SERVED_CONFIGURATION,
                    page.folder.span,
                    message,
                    help,
                ));
            }
        }
    }

    /// Finds origins from which a script of anyone on the way would come with a visitor's cookie.
    pub(super) fn pages_that_anyone_writes(&mut self) {
        let config = self.config;
        for (_, endpoint) in &config.endpoints {
            let Some(mode) = cookie_mode(config, endpoint) else {
                continue;
            };
            for origin in endpoint.origins.iter().flatten() {
                let host = origin.as_str().strip_prefix("http://");
                if host.is_some_and(|host| !is_this_machine(host_of(host))) {
                    let message = format!(
                        "`{origin}` travels unencrypted, and browsers send the cookie of `{mode}` from there"
                    );
                    let help = "serve the page by https, and list it so";
                    let finding = Diagnostic::new(&codes::INSECURE_ORIGIN, origin.span(), message);
                    self.find(finding.help(help));
                }
            }
        }
    }
}

fn serves_credentials(listener: &Listener) -> bool {
    let takes = |service: Service| matches!(service, Service::Endpoints | Service::Api);
    let serve = listener.serve.as_ref();
    serve.is_none_or(|serve| serve.iter().any(|named| takes(named.value)))
}

fn cookie_mode<'c>(config: &'c crate::config::Config, endpoint: &'c Endpoint) -> Option<&'c str> {
    let mut modes = modes_of(config, endpoint);
    let (name, _) = modes.find(|(_, mode)| takes_cookie(mode.method.as_ref()))?;
    Some(name)
}
