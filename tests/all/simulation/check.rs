//! Whether what came says what it should.

use serde_json::Value;

use crate::simulation::expect::{Nonce, Received, Standing, What, page_nonces};
use crate::simulation::house::{Inbox, ROOMS, USERS};
use crate::simulation::room::Place;
use crate::simulation::world::World;

impl World {
    /// Whether what came says what it should.
    pub(super) fn check(
        &mut self,
        index: usize,
        what: &What,
        received: &Received,
    ) -> Result<(), String> {
        let Received::Json(value) = received else {
            return Ok(());
        };
        match what {
            What::Message(nonce) => self.check_message(index, *nonce, value),
            What::Reply { nonce, .. } => self.check_id(*nonce, value),
            What::Ack { nonce, .. } => {
                self.check_id(*nonce, value)?;
                self.check_seq(*nonce, value)
            }
            What::Joined { standing, .. } => {
                let users = value["users_count"].as_u64();
                same("users_count", users, Some(standing.users))?;
                self.check_standing(standing, value)
            }
            What::Gap(standing) => {
                self.check_standing(standing, value)?;
                if let Some((number, life)) = standing.stored {
                    self.clients[index]
                        .places
                        .insert(standing.room, Place { number, life });
                }
                Ok(())
            }
            What::Welcome(standings) => {
                let rooms = value["rooms"].as_array().ok_or("no rooms")?;
                same("rooms", rooms.len(), standings.len())?;
                standings
                    .iter()
                    .zip(rooms)
                    .try_for_each(|(standing, value)| {
                        same(
                            "users_count",
                            value["users_count"].as_u64(),
                            Some(standing.users),
                        )?;
                        self.check_standing(standing, value)
                    })
            }
            What::Announcement { number, .. } => self.check_announcement(*number, value),
            What::Here(users) | What::Members { users, .. } => check_users(users, value),
            What::History { messages, more, .. } => {
                self.check_history(index, messages, *more, value)
            }
            What::Error { code, .. } => same("code", value["code"].as_str(), Some(*code)),
            What::Raw(_)
            | What::Text(_)
            | What::Done { .. }
            | What::Left { .. }
            | What::PutOut
            | What::Turned { .. }
            | What::Pong { .. }
            | What::Reconnect => Ok(()),
        }
    }

    fn check_message(&mut self, index: usize, nonce: Nonce, value: &Value) -> Result<(), String> {
        self.check_id(nonce, value)?;
        self.check_seq(nonce, value)?;
        let fact = &mut self.facts[nonce];
        same("type", value["type"].as_str(), Some(fact.name))?;
        same("data", &value["data"], &fact.data)?;
        same(
            "room",
            value["room"].as_str(),
            fact.room.map(|room| ROOMS[room]),
        )?;
        same(
            "sender",
            value["sender"]["user_id"].as_str(),
            fact.sender.map(|user| USERS[user]),
        )?;
        let seen = fact.seen.get_or_insert_with(|| value.clone());
        same("what others got", &*seen, value)?;
        let (stored, room) = (fact.stored, fact.room);
        let (Some((number, life)), Some(room)) = (stored, room) else {
            return Ok(());
        };
        let client = &mut self.clients[index];
        let place = client.places.entry(room).or_insert(Place { number, life });
        if number > place.number {
            *place = Place { number, life };
        }
        let user = client.user;
        if self.is_inbox_of(room, user, Inbox::OnWrite) {
            let mut log = self.rooms[room].log.iter_mut();
            if let Some(stored) = log.find(|stored| stored.number == number) {
                stored.was_written = true;
            }
        }
        Ok(())
    }

    /// The message's id is the same wherever it is told.
    fn check_id(&mut self, nonce: Nonce, value: &Value) -> Result<(), String> {
        let id = value["message_id"].as_str().ok_or("no message_id")?;
        let known = self.facts[nonce]
            .message_id
            .get_or_insert_with(|| id.to_owned());
        same("message_id", id, &**known)
    }

    fn check_seq(&mut self, nonce: Nonce, value: &Value) -> Result<(), String> {
        let fact = &self.facts[nonce];
        match (fact.stored, fact.room, value["seq"].as_u64()) {
            (Some((number, life)), Some(room), Some(seq)) => {
                self.rooms[room].learn(number, life, seq)
            }
            (None, _, None) => Ok(()),
            (stored, _, seq) => Err(format!("seq {seq:?} where {stored:?} is stored")),
        }
    }

    fn check_standing(&mut self, standing: &Standing, value: &Value) -> Result<(), String> {
        same("room", value["room"].as_str(), Some(ROOMS[standing.room]))?;
        match (
            standing.stored,
            value["seq"].as_u64(),
            value["epoch"].as_str(),
        ) {
            (Some((number, life)), Some(seq), Some(epoch)) => {
                let known = self.epoch.get_or_insert_with(|| epoch.to_owned());
                same("epoch", epoch, &**known)?;
                self.rooms[standing.room].learn(number, life, seq)
            }
            (None, None, None) => Ok(()),
            (stored, ..) => Err(format!("it should stand at {stored:?}")),
        }
    }

    fn check_announcement(&mut self, number: usize, value: &Value) -> Result<(), String> {
        let announcement = &mut self.announcements[number];
        same("type", value["type"].as_str(), Some(announcement.name))?;
        same(
            "room",
            value["room"].as_str(),
            Some(ROOMS[announcement.room]),
        )?;
        let users = value["users_count"].as_u64().ok_or("no users_count")?;
        let (least, most) = announcement.users;
        if users < least || users > most {
            return Err(format!("users_count is not from {least} to {most}"));
        }
        same(
            "user",
            value["user"]["user_id"].as_str(),
            Some(USERS[announcement.user]),
        )?;
        let seen = announcement.seen.get_or_insert_with(|| value.clone());
        same("what others got", &*seen, value)
    }

    fn check_history(
        &self,
        index: usize,
        messages: &[Nonce],
        more: bool,
        value: &Value,
    ) -> Result<(), String> {
        let got = page_nonces(value).ok_or("no messages")?;
        let is_cut = got.len() < messages.len();
        let may_be_cut = self.clients[index].door.queue_bytes < 1 << 20;
        if !messages.ends_with(&got) || (is_cut && (!may_be_cut || got.is_empty())) {
            return Err(format!("a page of {got:?} where {messages:?} are kept"));
        }
        same("more", value["more"].as_bool(), Some(more || is_cut))
    }
}

fn check_users(users: &[(String, u64)], value: &Value) -> Result<(), String> {
    let listed = value["users"].as_array().ok_or("no users")?;
    let of = |user: &Value| {
        Some((
            user["user_id"].as_str()?.to_owned(),
            user["connections"].as_u64()?,
        ))
    };
    let listed: Option<Vec<(String, u64)>> = listed.iter().map(of).collect();
    same("users", listed.as_deref(), Some(users))?;
    same(
        "users_count",
        value["users_count"].as_u64(),
        Some(users.len() as u64),
    )
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, due: T) -> Result<(), String> {
    if got == due {
        return Ok(());
    }
    Err(format!("{what}: {got:?} where {due:?} is due"))
}
