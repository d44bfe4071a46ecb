//! What time brings: to the engine by its ticks, to the model by the same.

use std::time::Duration;

use crate::simulation::expect::{May, RoomIndex, What};
use crate::simulation::house;
use crate::simulation::room::{Audience, Room, Subject};
use crate::simulation::world::{IN_PLACE, Saying, World};

/// Ticks in which the engine looks through all of its shards for rooms to forget.
const TICKS_OF_A_WALK: usize = 32;

impl World {
    /// Lets every task run until none has anything to do.
    pub(super) async fn quiet(&self) -> Result<(), String> {
        let runtime = tokio::runtime::Handle::current().metrics();
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
            if runtime.num_alive_tasks() == self.idle_tasks {
                return Ok(());
            }
        }
        Err("the flushes do not end".to_owned())
    }

    /// Moves the time on; the engine looks when it is told to.
    pub(super) async fn pass(&mut self, millis: u64) {
        self.now += millis;
        let duration = Duration::from_millis(millis);
        self.clock.advance(duration);
        tokio::time::advance(duration).await;
    }

    /// The engine looks after what is due.
    pub(super) fn tick(&mut self) {
        self.engine.tick();
        self.ticked = self.now;
        for room in 0..self.rooms.len() {
            self.groups += 1;
            self.say_due(room);
            self.expire(room);
        }
    }

    /// The engine walks through all rooms once.
    pub(super) fn walk(&mut self) {
        for _ in 0..TICKS_OF_A_WALK {
            self.tick();
        }
    }

    /// What was kept back until now is said.
    fn say_due(&mut self, room: RoomIndex) {
        let now = self.now;
        let mut due = Vec::new();
        self.rooms[room]
            .subjects
            .retain(|name, subject: &mut Subject| {
                if subject.end > now {
                    return true;
                }
                let Some((nonce, audience)) = subject.kept_back.take() else {
                    return false;
                };
                subject.end = now + subject.every;
                due.push((name.clone(), nonce, audience));
                true
            });
        for (name, nonce, audience) in due {
            let may = May::BeReplaced(self.subject(format!("{room}/{name}")));
            let group = self.groups;
            let of = house::audience(self.facts[nonce].name);
            self.say(
                room,
                &What::Message(nonce),
                audience,
                Saying {
                    may,
                    group,
                    audience: of,
                    ..IN_PLACE
                },
            );
        }
    }

    /// Those whose grace is over are gone.
    fn expire(&mut self, room: RoomIndex) {
        let now = self.now;
        let is_over = |until: Option<u64>| until.is_some_and(|until| until <= now);
        let members = self.rooms[room].members.iter();
        let gone: Vec<usize> = members
            .filter(|(_, member)| is_over(member.until))
            .map(|(user, _)| *user)
            .collect();
        let most = self.rooms[room].members.len() as u64;
        for user in &gone {
            self.rooms[room].members.remove(user);
        }
        let least = self.rooms[room].members.len() as u64;
        let group = self.groups;
        for user in gone {
            let users = (least, most - 1);
            self.announce(room, "went", user, users, Audience::Everyone, group);
        }
    }

    /// Makes sure that the engine has forgotten what holds back something for nobody.
    pub(super) async fn forget(&mut self) -> Result<(), String> {
        let now = self.now;
        let is_left = |room: &mut Room| {
            room.trim(now);
            !room.subjects.is_empty() && room.is_forgettable()
        };
        if !self.rooms.iter_mut().any(is_left) {
            return Ok(());
        }
        self.quiet().await?;
        self.walk();
        self.rooms
            .iter_mut()
            .filter(|room| room.is_forgettable())
            .for_each(|room| room.subjects.clear());
        Ok(())
    }
}
