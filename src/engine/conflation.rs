//! Thinning at the room: of each subject at most one message in an interval, the newest.
//!
//! The first of a subject is said at once. What follows within the interval waits, each taking the place of the one before; the
//! last is said when the interval is over. So every reader gets at most one in each interval, and the newest in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use hashbrown::HashMap;

use crate::engine::feed::Say;
use crate::vocab::Monotonic;

/// Subjects that one room keeps apart at a time: those of which a message was said within the last interval.
pub(super) const SUBJECTS_MAX: usize = 10_000;

/// The subjects of which a message was said a short while ago.
#[derive(Debug, Default)]
pub(super) struct Conflation {
    subjects: HashMap<u64, Subject>,
    /// When which subject's interval is over.
    ends: BTreeSet<(Monotonic, u64)>,
    /// When the room will be looked at.
    alarm: Option<Monotonic>,
    /// What is kept back.
    bytes: usize,
}

#[derive(Debug)]
struct Subject {
    every: Duration,
    /// The newest since the last that was said.
    kept_back: Option<Say>,
}

impl Conflation {
    /// Takes a message of `subject`, of which readers get one in `every`; gives it back where it is to be said at once.
    pub(super) fn offer(
        &mut self,
        say: Say,
        subject: u64,
        every: Duration,
        now: Monotonic,
    ) -> Option<Say> {
        if let Some(known) = self.subjects.get_mut(&subject) {
            self.bytes += say.frame.bytes().len();
            let before = known.kept_back.replace(say);
            self.bytes -= before.map_or(0, |before| before.frame.bytes().len());
            return None;
        }
        self.begin(subject, every, now);
        Some(say)
    }

    /// Whether a message of `subject` has a place.
    pub(super) fn has_place(&self, subject: u64) -> bool {
        self.subjects.len() < SUBJECTS_MAX || self.subjects.contains_key(&subject)
    }

    /// Bytes that are kept back.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn begin(&mut self, subject: u64, every: Duration, now: Monotonic) {
        let kept_back = None;
        self.subjects.insert(subject, Subject { every, kept_back });
        self.ends.insert((now.after(every), subject));
    }

    /// The messages whose interval is over, the oldest interval first.
    pub(super) fn due(&mut self, now: Monotonic) -> Vec<Say> {
        // One that is still to come rings anyway.
        self.alarm.take_if(|alarm| *alarm <= now);
        let mut due = Vec::new();
        while let Some((end, subject)) = self.ends.first().copied() {
            if end > now {
                break;
            }
            self.ends.pop_first();
            let Some(over) = self.subjects.remove(&subject) else {
                continue;
            };
            if let Some(say) = over.kept_back {
                self.bytes -= say.frame.bytes().len();
                due.push(say);
                self.begin(subject, over.every, now);
            }
        }
        due
    }

    /// When the room has to be looked at next, unless that was said before.
    pub(super) fn alarm(&mut self) -> Option<Monotonic> {
        let (first, _) = *self.ends.first()?;
        if self.alarm.is_some_and(|alarm| alarm <= first) {
            return None;
        }
        self.alarm = Some(first);
        Some(first)
    }

    /// Whether nothing is thinned at the moment.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Conflation, SUBJECTS_MAX};
    use crate::engine::feed::{Audience, Say};
    use crate::engine::waiting::Keep;
    use crate::protocol::Frame;
    use crate::vocab::{AudienceSet, Monotonic};

    const EVERY: Duration = Duration::from_millis(250);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_nanos(millis * 1_000_000)
    }

    fn say(text: &str) -> Say {
        Say {
            audience: Audience::Everyone,
            of: AudienceSet::NONE,
            frame: Frame::raw_text(text),
            message: None,
            seq: None,
            keep: Keep::Newest(0),
        }
    }

    fn texts(says: Vec<Say>) -> Vec<String> {
        let text = |say: Say| String::from_utf8_lossy(say.frame.payload()).into_owned();
        says.into_iter().map(text).collect()
    }

    fn offer(conflation: &mut Conflation, text: &str, subject: u64, millis: u64) -> Option<String> {
        let said = conflation.offer(say(text), subject, EVERY, at(millis));
        texts(said.into_iter().collect()).pop()
    }

    #[test]
    fn one_of_a_subject_in_an_interval_the_newest() {
        let mut conflation = Conflation::default();
        assert_eq!(offer(&mut conflation, "a1", 1, 0).as_deref(), Some("a1"));
        assert_eq!(conflation.alarm(), Some(at(250)));
        assert_eq!(offer(&mut conflation, "b1", 2, 10).as_deref(), Some("b1"));
        assert_eq!(conflation.alarm(), None, "it is set already");
        assert_eq!(offer(&mut conflation, "a2", 1, 20), None);
        assert_eq!(offer(&mut conflation, "a3", 1, 30), None);
        assert!(conflation.due(at(249)).is_empty());
        assert_eq!(texts(conflation.due(at(250))), ["a3"]);
        assert_eq!(conflation.alarm(), Some(at(260)));
        assert!(
            conflation.due(at(260)).is_empty(),
            "nothing of b came since"
        );
        assert_eq!(offer(&mut conflation, "b2", 2, 261).as_deref(), Some("b2"));
        assert_eq!(offer(&mut conflation, "a4", 1, 499), None, "a3 went at 250");
        assert_eq!(texts(conflation.due(at(500))), ["a4"]);
        assert!(conflation.due(at(750)).is_empty());
        assert!(conflation.is_empty(), "nothing is left behind");
        assert_eq!(conflation.bytes(), 0);
    }

    #[test]
    fn a_room_has_few_alarms_at_a_time() {
        let mut conflation = Conflation::default();
        let mut alarms: Vec<u64> = Vec::new();
        let (slow, fast) = (Duration::from_millis(1000), Duration::from_millis(50));
        for now in 0..20_000 {
            let asked = alarms.len();
            alarms.retain(|alarm| *alarm > now);
            for _ in alarms.len()..asked {
                let _ = conflation.due(at(now));
                alarms.extend(conflation.alarm().map(Monotonic::as_millis));
            }
            if now % 10 == 0 {
                let _ = conflation.offer(say("price"), 1, slow, at(now));
                alarms.extend(conflation.alarm().map(Monotonic::as_millis));
            }
            if now % 500 == 0 {
                let _ = conflation.offer(say("cursor"), 2, fast, at(now));
                alarms.extend(conflation.alarm().map(Monotonic::as_millis));
            }
            assert!(alarms.len() < 4, "{now}: {}", alarms.len());
        }
    }

    #[test]
    fn subjects_are_bounded_and_free_again() {
        let mut conflation = Conflation::default();
        for subject in 0..SUBJECTS_MAX as u64 {
            assert!(offer(&mut conflation, "x", subject, 0).is_some());
        }
        assert!(!conflation.has_place(u64::MAX));
        assert!(conflation.has_place(7), "known subjects go on");
        assert_eq!(
            offer(&mut conflation, "x2", 7, 1),
            None,
            "known subjects go on"
        );
        assert_eq!(texts(conflation.due(at(250))), ["x2"]);
        assert_eq!(
            offer(&mut conflation, "y", u64::MAX, 251).as_deref(),
            Some("y")
        );
    }
}
