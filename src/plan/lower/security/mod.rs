//! What an attacker would like about the file. Few findings, each for one attack, and only where the file invites it: what is
//! reached from this machine alone is not called public.

mod identity;
mod network;
mod secret;

use std::net::SocketAddr;

use crate::config::{AuthMode, Config, Endpoint, Listener};
use crate::plan::lower::Lowering;

impl Lowering<'_> {
    /// Finds what an attacker would like, secrets in the file aside: those take the file's text.
    pub(super) fn security(&mut self) {
        self.reached_in_the_clear();
        self.everyone_is_trusted();
        self.configuration_is_served();
        self.pages_that_anyone_writes();
        self.any_audience();
        self.guests_without_limits();
        self.chosen_identities();
        self.open_inboxes();
    }
}

pub(super) use secret::secrets_in_file;

/// The auth modes that an endpoint names.
fn modes_of<'c>(
    config: &'c Config,
    endpoint: &'c Endpoint,
) -> impl Iterator<Item = (&'c str, &'c AuthMode)> {
    endpoint.auth.iter().filter_map(|cited| {
        let mut modes = config.auth.iter();
        let (name, mode) = modes.find(|(name, _)| name.value == cited.as_str())?;
        Some((&*name.value, mode))
    })
}

/// Whether a listener is reached from other machines; one whose address is none is not.
fn is_public(listener: &Listener) -> bool {
    let address = listener.address.as_ref().map(|text| text.as_str().parse());
    matches!(address, Some(Ok::<SocketAddr, _>(address)) if !address.ip().to_canonical().is_loopback())
}

/// Whether clients come from other machines: to a listener, or through a proxy.
fn is_exposed(config: &Config) -> bool {
    config.server.listen.iter().any(is_public) || !config.server.trusted_proxies.is_empty()
}

/// The host of `HOST:PORT`.
fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
