//! Who is in which room, what each room has sent and what each member has heard.

use crate::loadgen::Ended;
use crate::loadgen::latency::Latency;
use crate::loadgen::marker::Marker;
use crate::loadgen::order::Dialect;
use crate::loadgen::sequence::{Arrival, Heard};

/// How much of an unexpected message is kept to be shown, in characters.
const SHOWN: usize = 200;

/// What a member is to its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It has to hear everything.
    Reader,
    /// It sends, and may hear itself or not, as the server likes.
    Publisher,
    /// It stopped reading on purpose.
    Stalled,
    /// Its connection has ended.
    Gone,
}

struct Room {
    sent: u32,
    /// What its readers have heard or missed, all together.
    heard: u64,
    readers: u64,
    /// Messages that, on the average, every reader has heard.
    complete: u64,
    has_publisher: bool,
}

struct Member {
    room: u32,
    part: Part,
    heard: Heard,
}

/// What was counted since counting began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) deliveries: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) out_of_order: u64,
    /// Messages of another room.
    pub(super) strays: u64,
    /// Messages that the server refused.
    pub(super) refused: u64,
    /// Connections that the server ended.
    pub(super) closed: u64,
}

pub(super) struct Rooms<'o> {
    marker: Marker,
    dialect: &'o Dialect,
    rooms: Vec<Room>,
    members: Vec<Member>,
    pub(super) tally: Tally,
    /// Latencies by when messages were sent: each from its moment to the next one's.
    latencies: Vec<(u64, Latency)>,
    /// Messages that every reader who is left has heard, since the beginning.
    pub(super) complete: u64,
    /// The rooms of those that became so since the sender last looked.
    pub(super) completed: Vec<u32>,
    /// The first refusal.
    pub(super) refusal: Option<String>,
    /// The last message without a marker.
    pub(super) other: Option<String>,
    /// How the first connection that ended did.
    pub(super) ended: Option<Ended>,
}

impl<'o> Rooms<'o> {
    /// So many rooms; members are added in the order of their connections, the rooms' publishers first.
    pub(super) fn new(rooms: usize, run: u16, dialect: &'o Dialect) -> Self {
        let room = || Room {
            sent: 0,
            heard: 0,
            readers: 0,
            complete: 0,
            has_publisher: true,
        };
        Self {
            marker: Marker::new(run),
            dialect,
            rooms: std::iter::repeat_with(room).take(rooms).collect(),
            members: Vec::new(),
            tally: Tally::default(),
            latencies: vec![(0, Latency::new())],
            complete: 0,
            completed: Vec::new(),
            refusal: None,
            other: None,
            ended: None,
        }
    }

    pub(super) fn add(&mut self, room: usize, part: Part) {
        if part == Part::Reader {
            self.rooms[room].readers += 1;
        }
        self.members.push(Member {
            room: room as u32,
            part,
            heard: Heard::default(),
        });
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// How many members all rooms have had.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn part(&self, number: usize) -> Part {
        self.members[number].part
    }

    /// Whether there is someone to send to, and to send.
    pub(super) fn is_open(&self, room: u32) -> bool {
        let room = &self.rooms[room as usize];
        room.has_publisher && room.readers > 0
    }

    /// Begins to count anew.
    pub(super) fn reset(&mut self, now: u64) {
        self.tally = Tally::default();
        self.latencies = vec![(now, Latency::new())];
    }

    /// Messages sent from now on have a latency of their own.
    pub(super) fn begin_phase(&mut self, now: u64) {
        self.latencies.push((now, Latency::new()));
    }

    pub(super) fn latencies(&self) -> impl Iterator<Item = &Latency> {
        self.latencies.iter().map(|(_, latency)| latency)
    }

    pub(super) fn marker(&self) -> &Marker {
        &self.marker
    }

    /// The number of the room's next message.
    pub(super) fn next_number(&mut self, room: u32) -> u32 {
        self.tally.messages += 1;
        let sent = &mut self.rooms[room as usize].sent;
        *sent += 1;
        *sent
    }

    /// Takes in what a connection has heard, at the time `now`.
    pub(super) fn take(&mut self, number: usize, message: &[u8], now: u64) {
        let Some(mark) = self.marker.find(message) else {
            self.take_other(message);
            return;
        };
        // Who is in no room is not asked what it hears.
        let Some(member) = self.members.get_mut(number) else {
            return;
        };
        if mark.source != member.room {
            self.tally.strays += 1;
            return;
        }
        let gained = match member.heard.take(mark.number) {
            Arrival::Again => {
                self.tally.duplicates += 1;
                return;
            }
            Arrival::Late => {
                self.tally.out_of_order += 1;
                self.tally.lost = self.tally.lost.saturating_sub(1);
                0
            }
            Arrival::Ahead { skipped } => {
                self.tally.lost += u64::from(skipped);
                u64::from(skipped) + 1
            }
        };
        self.tally.deliveries += 1;
        self.tally.bytes += message.len() as u64;
        let phase = self
            .latencies
            .iter_mut()
            .rev()
            .find(|(begun, _)| *begun <= mark.sent);
        if let Some((_, latency)) = phase {
            latency.record(now.saturating_sub(mark.sent));
        }
        if member.part == Part::Reader {
            self.rooms[mark.source as usize].heard += gained;
            self.complete(mark.source);
        }
    }

    /// Counts the messages that nobody in the room is waited for any more.
    fn complete(&mut self, number: u32) {
        let room = &mut self.rooms[number as usize];
        // What was not sent was not heard either, however few are left to hear it.
        while room.complete < u64::from(room.sent)
            && room.heard >= (room.complete + 1) * room.readers
        {
            room.complete += 1;
            self.complete += 1;
            self.completed.push(number);
        }
    }

    #[cold]
    fn take_other(&mut self, message: &[u8]) {
        let shown = || {
            String::from_utf8_lossy(message)
                .chars()
                .take(SHOWN)
                .collect()
        };
        if self.dialect.is_refusal(message) {
            self.tally.refused += 1;
            self.refusal.get_or_insert_with(shown);
        } else {
            self.other = Some(shown());
        }
    }

    /// A connection has ended; what its room waits for, it waits for without it.
    pub(super) fn leave(&mut self, number: usize, ended: Ended) {
        let is_publisher = number < self.rooms.len();
        let member = &mut self.members[number];
        let room = &mut self.rooms[member.room as usize];
        if member.part == Part::Reader {
            room.readers -= 1;
            room.heard = room.heard.saturating_sub(u64::from(member.heard.last()));
        }
        room.has_publisher &= !is_publisher;
        member.part = Part::Gone;
        let room = member.room;
        self.tally.closed += 1;
        self.ended.get_or_insert(ended);
        // It may have been the last that a message waited for.
        self.complete(room);
    }

    /// Whether everyone has heard everything, publishers included that hear themselves.
    pub(super) fn is_quiet(&self) -> bool {
        self.members.iter().all(|member| self.missing(member) == 0)
    }

    /// Counts as lost what has not come.
    pub(super) fn count_missing(&mut self) {
        let missing = self.members.iter().map(|member| self.missing(member));
        self.tally.lost += missing.sum::<u64>();
    }

    fn missing(&self, member: &Member) -> u64 {
        let expects = match member.part {
            Part::Reader => true,
            Part::Publisher => member.heard.last() > 0,
            Part::Stalled | Part::Gone => false,
        };
        let sent = self.rooms[member.room as usize].sent;
        if expects {
            u64::from(sent.saturating_sub(member.heard.last()))
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Rooms, Tally};
    use crate::loadgen::Ended;
    use crate::loadgen::marker::Mark;
    use crate::loadgen::order::Dialect;

    /// A room with a publisher (0) and two readers (2, 3), and a second room whose publisher (1) hears itself.
    fn check(hear: impl FnOnce(&mut Rooms<'_>), expected: Tally, complete: u64) {
        let dialect = Dialect::trunkline();
        let mut rooms = Rooms::new(2, 1, &dialect);
        for (room, part) in [
            (0, Part::Publisher),
            (1, Part::Reader),
            (0, Part::Reader),
            (0, Part::Reader),
        ] {
            rooms.add(room, part);
        }
        for _ in 0..3 {
            rooms.next_number(0);
        }
        hear(&mut rooms);
        rooms.count_missing();
        let tally = Tally {
            bytes: 0,
            ..rooms.tally
        };
        assert_eq!((tally, rooms.complete), (expected, complete));
    }

    fn hear(rooms: &mut Rooms<'_>, number: usize, source: u32, numbers: &[u32]) {
        for sent in numbers {
            let mut message = Vec::new();
            let mark = Mark {
                source,
                number: *sent,
                sent: 5,
            };
            rooms.marker().write(mark, 0, &mut message);
            rooms.take(number, &message, 9);
        }
    }

    const SENT: Tally = Tally {
        messages: 3,
        deliveries: 0,
        bytes: 0,
        lost: 0,
        duplicates: 0,
        out_of_order: 0,
        strays: 0,
        refused: 0,
        closed: 0,
    };

    #[test]
    fn everything_heard() {
        let all = |rooms: &mut Rooms<'_>| {
            hear(rooms, 2, 0, &[1, 2]);
            assert_eq!(rooms.complete, 1, "on the average");
            hear(rooms, 3, 0, &[1, 2, 3]);
            assert!(!rooms.is_quiet());
            hear(rooms, 2, 0, &[3]);
            assert!(rooms.is_quiet());
            assert_eq!(rooms.completed, [0, 0, 0]);
            let latencies: Vec<_> = rooms
                .latencies()
                .filter_map(|latency| latency.summary())
                .collect();
            assert_eq!((latencies.len(), latencies[0].max), (1, 4));
        };
        check(
            all,
            Tally {
                deliveries: 6,
                ..SENT
            },
            3,
        );
    }

    #[test]
    fn a_publisher_that_hears_itself_is_held_to_it() {
        let some = |rooms: &mut Rooms<'_>| {
            hear(rooms, 2, 0, &[1, 2, 3]);
            hear(rooms, 3, 0, &[1, 2, 3]);
            assert!(rooms.is_quiet());
            hear(rooms, 0, 0, &[1, 2]);
            assert!(!rooms.is_quiet());
        };
        check(
            some,
            Tally {
                deliveries: 8,
                lost: 1,
                ..SENT
            },
            3,
        );
    }

    #[test]
    fn what_is_wrong_is_counted() {
        let wrong = |rooms: &mut Rooms<'_>| {
            hear(rooms, 2, 0, &[1, 3, 3]);
            hear(rooms, 3, 0, &[2, 1]);
            hear(rooms, 1, 0, &[1]);
            rooms.take(0, br#"{"type":"error","code":"forbidden"}"#, 0);
            rooms.take(0, b"something", 0);
            assert_eq!(
                rooms.refusal.as_deref(),
                Some(r#"{"type":"error","code":"forbidden"}"#)
            );
            assert_eq!(rooms.other.as_deref(), Some("something"));
        };
        let expected = Tally {
            deliveries: 4,
            lost: 2,
            duplicates: 1,
            out_of_order: 1,
            strays: 1,
            refused: 1,
            ..SENT
        };
        check(wrong, expected, 2);
    }

    #[test]
    fn what_waited_for_the_one_who_left_is_complete() {
        let left = |rooms: &mut Rooms<'_>| {
            hear(rooms, 2, 0, &[1, 2]);
            assert_eq!(rooms.completed, [0], "on the average");
            rooms.leave(3, Ended::Cut);
            assert_eq!(rooms.completed, [0, 0]);
            rooms.leave(2, Ended::Cut);
            assert_eq!(rooms.completed, [0, 0, 0], "nobody is left to hear it");
        };
        check(
            left,
            Tally {
                deliveries: 2,
                closed: 2,
                ..SENT
            },
            3,
        );
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let gone = |rooms: &mut Rooms<'_>| {
            hear(rooms, 2, 0, &[1]);
            hear(rooms, 3, 0, &[1, 2]);
            rooms.leave(2, Ended::Cut);
            hear(rooms, 3, 0, &[3]);
            assert!(rooms.is_open(0) && rooms.is_quiet());
            assert_eq!(rooms.completed, [0, 0, 0]);
            rooms.leave(3, Ended::Cut);
            assert!(!rooms.is_open(0));
        };
        check(
            gone,
            Tally {
                deliveries: 4,
                closed: 2,
                ..SENT
            },
            3,
        );
    }
}
