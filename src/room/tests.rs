use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Arrival, Departure, Grace, Keys, Log, Logs, Members, Outcome, Receipts, Seen};
use crate::plan::Receipt;
use crate::protocol::Frame;
use crate::vocab::{AudienceSet, MessageId, Seq, Timestamp, User, UserId};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn user(id: &str) -> Arc<User> {
    let id = UserId::parse(id).expect("an id");
    Arc::new(User {
        username: id.as_str().into(),
        id,
        authenticated: true,
        claims: Arc::new(json!({})),
    })
}

fn log(messages_max: usize, messages: u64) -> Log {
    let mut log = Log::new(messages_max, Duration::from_secs(100), Seq::default());
    for count in 1..=messages {
        log.append(
            Seq::new(count),
            at(count),
            MessageId::new(0, count),
            Frame::raw_text("x"),
        );
    }
    log
}

fn seqs<'a>(entries: impl IntoIterator<Item = &'a super::Entry>) -> Vec<u64> {
    entries.into_iter().map(|entry| entry.seq.get()).collect()
}

#[test]
fn a_log_keeps_the_newest() {
    let log = log(3, 5);
    assert_eq!(seqs(log.after(Seq::new(0))), [3, 4, 5]);
    assert_eq!(seqs(log.after(Seq::new(4))), [5]);
    assert_eq!(seqs(log.newest(2)), [4, 5]);
    assert_eq!((log.last().get(), log.lost().get()), (5, 2));
}

#[test]
fn a_log_forgets_by_age() {
    let mut log = log(10, 5);
    log.trim(at(102));
    assert_eq!(seqs(log.after(Seq::new(0))), [3, 4, 5]);
    assert_eq!(log.lost().get(), 2);
    assert_eq!(log.empty_at(), Some(at(105)));
    log.trim(at(105));
    assert!(log.is_empty());
    assert_eq!(log.bytes(), 0);
}

#[test]
fn pages_go_back() {
    let log = log(10, 5);
    let (page, more) = log.page(None, 2);
    assert_eq!((seqs(page), more), (vec![4, 5], true));
    let (page, more) = log.page(Some(Seq::new(4)), 10);
    assert_eq!((seqs(page), more), (vec![1, 2, 3], false));
}

/// Logs of a room with two audiences: every third message is for everyone, the others for the one and for the other.
fn logs(messages_max: usize, messages: u64) -> (Logs, [AudienceSet; 3]) {
    let of = |number| AudienceSet::of(number).expect("a number");
    let audiences = [AudienceSet::NONE, of(0), of(1)];
    let mut logs = Logs::new(messages_max, Duration::from_secs(100), Seq::default(), 2);
    for count in 1..=messages {
        let audience = audiences[count as usize % 3];
        logs.append(
            at(count),
            MessageId::new(0, count),
            audience,
            Frame::raw_text("x"),
        );
    }
    (logs, audiences)
}

#[test]
fn readers_see_their_audiences_in_one_order() {
    let (logs, [none, first, second]) = logs(10, 9);
    for (audiences, all) in [
        (none, vec![3, 6, 9]),
        (first, vec![1, 3, 4, 6, 7, 9]),
        (second, vec![2, 3, 5, 6, 8, 9]),
        (first.or(second), (1..=9).collect()),
    ] {
        assert_eq!(seqs(logs.after(Seq::new(0), audiences)), all);
        assert_eq!(seqs(logs.newest(99, audiences)), all);
        for limit in 1..=4 {
            let newest = &all[all.len().saturating_sub(limit)..];
            assert_eq!(seqs(logs.newest(limit, audiences)), newest);
            // Pages of what is read, each as long as was asked, until there is no more.
            let (mut pages, mut before) = (Vec::new(), None);
            loop {
                let page = logs.page(before, limit, audiences);
                let found = seqs(&page.entries);
                assert_eq!(found.len(), limit.min(all.len() - pages.len()));
                before = page.entries.first().map(|entry| entry.seq);
                pages.splice(..0, found);
                if !page.more {
                    break;
                }
            }
            assert_eq!(pages, all, "{limit}");
        }
    }
}

#[test]
fn an_audience_drives_out_its_own_messages_alone() {
    let (mut logs, [none, first, _]) = logs(2, 3);
    for count in 4..50 {
        logs.append(
            at(count),
            MessageId::new(0, count),
            first,
            Frame::raw_text("x"),
        );
    }
    assert_eq!(seqs(logs.after(Seq::new(0), none)), [3]);
    assert_eq!(seqs(logs.after(Seq::new(0), first)), [3, 48, 49]);
    assert_eq!(logs.lost(none).get(), 0, "a hole is no gap");
    assert_eq!(logs.lost(first).get(), 47);
    assert_eq!(logs.last().get(), 49);
    assert_eq!(logs.empty_at(), Some(at(149)));
    logs.halve();
    assert_eq!(seqs(logs.after(Seq::new(0), first)), [49]);
    logs.trim(at(149));
    assert!(logs.is_empty());
    assert_eq!(logs.bytes(), 0);
}

#[test]
fn what_was_dealt_with_is_not_lost() {
    let mut log = log(10, 5);
    log.forget_through(Seq::new(4));
    assert_eq!(seqs(log.after(Seq::new(0))), [5]);
    assert_eq!(log.lost().get(), 0);
}

#[test]
fn devices_deal_with_an_inbox_each_for_itself() {
    let mut receipts = Receipts::new(Receipt::Device, false, Seq::default());
    assert_eq!(receipts.through(Some("phone"), at(0)).get(), 0);
    assert_eq!(receipts.receive(Seq::new(3), Some("phone"), at(0)).get(), 3);
    assert_eq!(receipts.through(Some("desk"), at(1)).get(), 0);
    assert_eq!(receipts.receive(Seq::new(5), Some("phone"), at(1)).get(), 0);
    assert_eq!(receipts.receive(Seq::new(4), Some("desk"), at(1)).get(), 4);
    for device in 0..20 {
        receipts.through(Some(&device.to_string()), at(2 + device));
    }
    assert_eq!(receipts.through(Some("19"), at(30)).get(), 0);
}

#[test]
fn members_are_users() {
    let mut members = Members::default();
    let ann = user("ann");
    assert_eq!(members.enter(&ann, at(0)), Arrival::New);
    assert_eq!(members.enter(&ann, at(1)), Arrival::Known);
    assert_eq!(members.exit(&ann.id, Grace::Wait), Departure::Still);
    let Departure::Absent(first) = members.exit(&ann.id, Grace::Wait) else {
        panic!("absent")
    };
    assert_eq!(members.users_count(), 1);
    assert_eq!(members.enter(&ann, at(2)), Arrival::Known);
    assert!(
        members.expire(&ann.id, first).is_none(),
        "came back in time"
    );
    let Departure::Absent(second) = members.exit(&ann.id, Grace::Wait) else {
        panic!("absent")
    };
    assert!(members.expire(&ann.id, second).is_some());
    assert!(members.is_empty());
    assert_eq!(members.enter(&ann, at(3)), Arrival::New);
    assert_eq!(members.exit(&ann.id, Grace::None), Departure::Gone);
    assert_eq!(members.exit(&ann.id, Grace::None), Departure::Still);
}

#[test]
fn the_grace_of_an_earlier_stay_ends_no_later_one() {
    let mut members = Members::default();
    let ann = user("ann");
    members.enter(&ann, at(0));
    let Departure::Absent(first) = members.exit(&ann.id, Grace::Wait) else {
        panic!("absent")
    };
    members.enter(&ann, at(1));
    assert_eq!(members.exit(&ann.id, Grace::None), Departure::Gone);
    members.enter(&ann, at(2));
    let Departure::Absent(second) = members.exit(&ann.id, Grace::Wait) else {
        panic!("absent")
    };
    assert!(members.expire(&ann.id, first).is_none(), "it began later");
    assert!(members.expire(&ann.id, second).is_some());
}

#[test]
fn members_are_paged_by_id() {
    let mut members = Members::default();
    for id in ["c", "a", "b"] {
        members.enter(&user(id), at(0));
    }
    let ids = |after, limit| {
        let (page, more) = members.page(after, limit);
        (
            page.iter()
                .map(|member| member.user.id.to_string())
                .collect::<Vec<_>>()
                .concat(),
            more,
        )
    };
    assert_eq!(ids(None, 2), ("ab".into(), true));
    assert_eq!(ids(Some("b"), 2), ("c".into(), false));
}

#[test]
fn keys_are_remembered_for_their_window() {
    let mut keys = Keys::new(Duration::from_secs(10), 2);
    let ann = user("ann").id.clone();
    let outcome = Outcome {
        message_id: MessageId::new(1, 2),
        seq: None,
    };
    let body = ("message", "{}");
    assert_eq!(keys.look(&ann, "k", body, at(0)), Seen::Never);
    keys.remember(&ann, "k", body, outcome, at(0));
    assert_eq!(keys.look(&ann, "k", body, at(9)), Seen::Before(outcome));
    assert_eq!(
        keys.look(&ann, "k", ("message", "[]"), at(9)),
        Seen::Differently
    );
    assert_eq!(keys.look(&user("ben").id, "k", body, at(9)), Seen::Never);
    assert_eq!(keys.look(&ann, "k", body, at(10)), Seen::Never);
    assert!(keys.is_empty());
    for key in ["1", "2", "3"] {
        keys.remember(&ann, key, body, outcome, at(20));
    }
    assert_eq!(
        keys.look(&ann, "1", body, at(20)),
        Seen::Never,
        "bounded by number"
    );
    assert_eq!(keys.look(&ann, "3", body, at(20)), Seen::Before(outcome));
}

#[test]
fn a_forgotten_inbox_numbers_on() {
    let reached = Seq::new(17);
    let mut log = Log::new(9, Duration::from_secs(100), reached);
    let mut receipts = Receipts::new(Receipt::User, false, reached);
    log.append(
        reached.next(),
        at(0),
        MessageId::new(0, 1),
        Frame::raw_text("new"),
    );
    assert_eq!(seqs(log.after(receipts.through(None, at(0)))), [18]);
    let done = receipts.receive(Seq::new(9), None, at(0));
    log.forget_through(done);
    assert_eq!(
        seqs(log.after(reached)),
        [18],
        "a receipt of the forgotten numbering takes nothing out"
    );
    assert_eq!(log.lost(), reached, "nothing was lost since");
}
