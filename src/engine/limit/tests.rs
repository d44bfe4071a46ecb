use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::bucket::{ConnectionBuckets, SHARDS};
use crate::engine::limit::{Limits, Subject};
use crate::plan::{OnExceed, RateKey, RateLimit};
use crate::telemetry::{MetricNames, Metrics};
use crate::vocab::{Clock, Monotonic, Rate, RoomName, Timestamp, UserId, VirtualClock};

const HOUR: Duration = Duration::from_secs(3600);

fn limit(rate: &str, burst: u64, per: RateKey) -> [Arc<RateLimit>; 1] {
    [Arc::new(RateLimit {
        index: 0,
        name: "limit".into(),
        rate: Rate::parse(rate).expect("a rate"),
        burst: NonZeroU64::new(burst).expect("not zero"),
        per,
        on_exceed: OnExceed::Error,
        dry_run: false,
    })]
}

fn limits(limit: &[Arc<RateLimit>], keys_max: usize) -> Limits {
    let names = MetricNames {
        limits: &["limit"],
        ..MetricNames::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_millis(0)));
    Limits::new(limit, keys_max, clock, Arc::new(Metrics::new(&names)))
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("an id")
}

/// Two that differ in everything that a bucket can be of.
struct Pair {
    limit: [Arc<RateLimit>; 1],
    limits: Limits,
    users: [UserId; 2],
    rooms: [RoomName; 2],
    own: [ConnectionBuckets; 2],
}

impl Pair {
    fn new(rate: &str, burst: u64, per: RateKey) -> Self {
        let room = |name| RoomName::parse(name).expect("a name");
        let limit = limit(rate, burst, per);
        Self {
            limits: limits(&limit, 1000),
            limit,
            users: [user("ann"), user("ben")],
            rooms: [room("room:1"), room("room:2")],
            own: Default::default(),
        }
    }

    fn passes(&mut self, which: usize, bytes: usize, now: Monotonic) -> bool {
        let addresses = ["2001:db8::1", "2001:db8:0:1::1"];
        let subject = Subject {
            user: Some(&self.users[which]),
            ip: Some(addresses[which].parse().expect("an address")),
            room: Some(&self.rooms[which]),
            endpoint: Some(which),
            message: Some(which),
            bytes,
        };
        let own = Some(&mut self.own[which]);
        let spent = self.limits.spend_at(now, &self.limit, subject, own);
        spent.is_ok()
    }
}

#[test]
fn an_hour_lets_through_what_is_declared_and_keys_do_not_disturb_each_other() {
    for per in [
        RateKey::Connection,
        RateKey::User,
        RateKey::Ip,
        RateKey::Room,
        RateKey::Endpoint,
        RateKey::Type,
        RateKey::Server,
    ] {
        // 300 a minute with 20 at once; and the same in bytes, of frames of 128.
        for (rate, burst, bytes) in [("300/min", 20, 1), ("38400B/min", 2560, 128)] {
            let mut pair = Pair::new(rate, burst, per);
            let mut passed = [0_u32; 2];
            let mut now = Monotonic::from_nanos(0);
            while now.as_nanos() <= HOUR.as_nanos() as u64 {
                // The first asks all the time. The second asks seldom, and gets what it asks for unless they share.
                passed[0] += u32::from(pair.passes(0, bytes, now));
                if now.as_nanos().is_multiple_of(800_000_000) {
                    passed[1] += u32::from(pair.passes(1, bytes, now));
                }
                now = now.after(Duration::from_millis(40));
            }
            let declared = 300 * 60 + 20;
            if per == RateKey::Server {
                assert_eq!(passed[0] + passed[1], declared, "{per:?} {rate}");
            } else {
                assert_eq!(passed, [declared, 4501], "{per:?} {rate}");
            }
        }
    }
}

#[test]
fn addresses_of_one_network_share_a_bucket() {
    let limit = limit("1/s", 1, RateKey::Ip);
    let limits = limits(&limit, 1000);
    let passes = |address: &str| {
        let subject = Subject {
            ip: Some(address.parse().expect("an address")),
            ..Subject::default()
        };
        let now = Monotonic::from_nanos(0);
        limits.spend_at(now, &limit, subject, None).is_ok()
    };
    assert!(passes("2001:db8::1"));
    assert!(!passes("2001:db8::ffff:1"), "the same /64");
    assert!(passes("2001:db8:0:1::1"), "another");
    assert!(passes("192.0.2.1"));
    assert!(!passes("::ffff:192.0.2.1"), "the same, written as IPv6");
    assert!(passes("192.0.2.2"));
}

#[test]
fn keys_are_bounded_and_what_is_idle_is_forgotten() {
    let limit = limit("1/s", 5, RateKey::User);
    let limits = limits(&limit, 1000);
    for number in 0..100_000 {
        let user = user(&number.to_string());
        let subject = Subject {
            user: Some(&user),
            ..Subject::default()
        };
        let now = Monotonic::from_nanos(0);
        assert!(limits.spend_at(now, &limit, subject, None).is_ok());
    }
    let kept = limits.len();
    assert!(kept > 800 && kept <= 1024, "{kept}");
    assert_eq!(
        limits.metrics.rate_limit_evictions.get(),
        100_000 - kept as u64
    );
    // Each had taken one, which is there again after a second.
    for part in 0..SHARDS {
        limits.limits[0].forget_full(part, Monotonic::from_nanos(1_000_000_000));
    }
    assert_eq!(limits.len(), 0);
}
