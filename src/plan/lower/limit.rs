//! `rate_limits`, and limits of how many there may be at a time.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::config::{self, Burst, Spanned, Text};
use crate::diag::catalogue::plan as codes;
use crate::plan::lower::{Lowering, finding};
use crate::plan::{CountLimit, OnExceed, RateKey, RateLimit};
use crate::vocab::{Rate, RateUnit};

/// What a rate limit is cited for, beside messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// `rate_limit.connect`.
    Connecting,
    /// `rate_limit.join`.
    Joining,
    /// `rate_limit` of a message type that belongs to an endpoint.
    SendingOutsideRooms,
}

impl Lowering<'_> {
    pub(super) fn rate_limits(&mut self) -> Vec<Option<Arc<RateLimit>>> {
        let default = self.config.server.on_exceed;
        let mut limits = Vec::new();
        for (index, (name, written)) in self.config.rate_limits.iter().enumerate() {
            let burst = written
                .rate
                .and_then(|rate| self.burst(rate, written.burst));
            let parts = written.rate.zip(written.per).zip(burst);
            let limit = parts.map(|((rate, per), burst)| RateLimit {
                index,
                name: name.value.as_str().into(),
                rate: rate.value,
                burst,
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

    /// How much the bucket holds, in what the rate counts; a finding where it is written in something else.
    fn burst(
        &mut self,
        rate: Spanned<Rate>,
        written: Option<Spanned<Burst>>,
    ) -> Option<NonZeroU64> {
        let Some(written) = written else {
            return Some(rate.value.amount());
        };
        let (counted, help) = match (rate.value.unit(), written.value) {
            (RateUnit::Count, Burst::Count(count)) => return Some(count.into()),
            (RateUnit::Bytes, Burst::Bytes(size)) => {
                let size = self.above_zero(Some(Spanned::new(size, written.span)), size, "burst");
                return NonZeroU64::new(size.bytes());
            }
            (RateUnit::Count, Burst::Bytes(_)) => (
                "bytes, and `rate` does not",
                "write a number, such as `20`, or a rate of bytes, such as `64KiB/s`",
            ),
            (RateUnit::Bytes, Burst::Count(_)) => (
                "one by one, and `rate` counts bytes",
                "write a size, such as `256KiB`",
            ),
        };
        let message = format!("`burst` counts {counted}");
        let finding = finding(&codes::CONTRADICTION, written.span, message, help);
        self.find(finding.also(rate.span, "the rate"));
        None
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

    /// Finds token buckets that cannot limit what they are cited for.
    pub(super) fn limits_fit(&mut self, names: &[Text], limited: Limited) {
        for name in names {
            let mut limits = self.config.rate_limits.iter();
            let limit = limits.find(|(limit, _)| limit.value == name.as_str());
            let Some((_, limit)) = limit else {
                continue;
            };
            let what = match limited {
                Limited::Connecting => "connecting",
                Limited::Joining => "joining",
                Limited::SendingOutsideRooms => "a type that belongs to an endpoint",
            };
            if let Some(per) = limit.per
                && let Some((why, keys)) = unfit(per.value, limited)
            {
                let message = format!("`{name}` cannot limit {what}: {why}");
                let help = format!("use a rate limit that is `per: {keys}`");
                let finding = finding(&codes::CONTRADICTION, name.span(), message, &help);
                self.find(finding.also(per.span, "it counts by this"));
            }
            if let Some(rate) = limit
                .rate
                .filter(|rate| rate.value.unit() == RateUnit::Bytes)
                && limited != Limited::SendingOutsideRooms
            {
                let message = format!("`{name}` cannot limit {what}: it counts bytes of messages");
                let help = "use a rate limit that counts, such as `rate: 10/s`";
                let finding = finding(&codes::CONTRADICTION, name.span(), message, help);
                self.find(finding.also(rate.span, "it counts bytes"));
            }
        }
    }

    /// The limit as written, or the default. In a dry run what is written is only counted, and the default holds, or what is
    /// written where that is more: what bounds memory always does.
    pub(super) fn count_limit(
        &mut self,
        written: Option<Spanned<usize>>,
        default: usize,
        key: &str,
        dry_run: Option<Spanned<bool>>,
    ) -> CountLimit {
        let max = self.above_zero(written, default, key);
        match dry_run {
            Some(dry_run) if dry_run.value => CountLimit {
                max: max.max(default),
                tried: written.map(|written| written.value),
            },
            _ => CountLimit { max, tried: None },
        }
    }

    /// Finds a `dry_run` beside which no limit is written that could be tried.
    pub(super) fn idle_dry_run(
        &mut self,
        dry_run: Option<Spanned<bool>>,
        tried: &[Option<Spanned<usize>>],
    ) {
        if let Some(dry_run) = dry_run.filter(|dry_run| dry_run.value)
            && tried.iter().all(Option::is_none)
        {
            let message = "`dry_run` has no effect: no limit that it could try stands beside it";
            let help = "it tries counts of connections, rooms, users and strikes that are written here; sizes, queues and defaults always hold";
            self.no_effect(dry_run.span, message.to_owned(), help);
        }
    }
}

/// Why a bucket of `key` cannot limit that, and which can.
fn unfit(key: config::RateKey, limited: Limited) -> Option<(&'static str, &'static str)> {
    use config::RateKey as Key;
    let (why, keys) = match (limited, key) {
        (Limited::Connecting, Key::Connection) => (
            "every connection would begin with a full bucket",
            "ip`, `user`, `endpoint` or `server",
        ),
        (Limited::SendingOutsideRooms, Key::Room) => (
            "its frames are in no room, also where they are sent to one",
            "type`, `user`, `ip` or `connection",
        ),
        (Limited::SendingOutsideRooms, _) => return None,
        (Limited::Connecting, Key::Room) => (
            "who connects is in no room yet",
            "ip`, `user`, `endpoint` or `server",
        ),
        (Limited::Connecting, Key::Type) => (
            "who connects sends no message",
            "ip`, `user`, `endpoint` or `server",
        ),
        (Limited::Joining, Key::Type) => (
            "who joins sends no message",
            "connection`, `user`, `ip`, `room`, `endpoint` or `server",
        ),
        _ => return None,
    };
    Some((why, keys))
}

fn key(key: config::RateKey) -> RateKey {
    match key {
        config::RateKey::Connection => RateKey::Connection,
        config::RateKey::User => RateKey::User,
        config::RateKey::Ip => RateKey::Ip,
        config::RateKey::Room => RateKey::Room,
        config::RateKey::Endpoint => RateKey::Endpoint,
        config::RateKey::Server => RateKey::Server,
        config::RateKey::Type => RateKey::Type,
    }
}

fn on_exceed(exceed: config::OnExceed) -> OnExceed {
    match exceed {
        config::OnExceed::Error => OnExceed::Error,
        config::OnExceed::Drop => OnExceed::Drop,
        config::OnExceed::Close => OnExceed::Close,
    }
}
