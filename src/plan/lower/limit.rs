//! `rate_limits`.

use std::sync::Arc;

use crate::config::{self, Text};
use crate::plan::lower::Lowering;
use crate::plan::{OnExceed, RateKey, RateLimit};

impl Lowering<'_> {
    pub(super) fn rate_limits(&mut self) -> Vec<Option<Arc<RateLimit>>> {
        let default = self.config.server.on_exceed;
        let mut limits = Vec::new();
        for (index, (name, written)) in self.config.rate_limits.iter().enumerate() {
            let limit = written.rate.zip(written.per).map(|(rate, per)| RateLimit {
                index,
                name: name.value.as_str().into(),
                rate: rate.value,
                burst: written
                    .burst
                    .map_or(rate.value.count(), |burst| burst.value),
                per: key(per.value),
                on_exceed: written
                    .on_exceed
                    .or(default)
                    .map_or(OnExceed::Error, |exceed| on_exceed(exceed.value)),
                dry_run: written.dry_run.is_some_and(|dry| dry.value),
            });
            limits.push(limit.map(Arc::new));
        }
        limits
    }

    /// The rate limits that a key cites.
    pub(super) fn cited_limits(&mut self, names: &[Text]) -> Vec<Arc<RateLimit>> {
        self.repeated(names);
        names
            .iter()
            .filter_map(|name| {
                let index = self.limit_names.cite(name, &mut self.findings)?;
                self.limits[index].clone()
            })
            .collect()
    }
}

fn key(key: config::RateKey) -> RateKey {
    match key {
        config::RateKey::Connection => RateKey::Connection,
        config::RateKey::User => RateKey::User,
        config::RateKey::Ip => RateKey::Ip,
        config::RateKey::Room => RateKey::Room,
        config::RateKey::Endpoint => RateKey::Endpoint,
        config::RateKey::Server => RateKey::Server,
    }
}

fn on_exceed(exceed: config::OnExceed) -> OnExceed {
    match exceed {
        config::OnExceed::Error => OnExceed::Error,
        config::OnExceed::Drop => OnExceed::Drop,
        config::OnExceed::Close => OnExceed::Close,
    }
}
