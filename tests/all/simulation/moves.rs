//! What coming, going and publishing mean: the same in the engine and in the model.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use trunkline::engine::{Arrival, RequestFacts};
use trunkline::plan::Endpoint;
use trunkline::vocab::{Epoch, Position, RoomName, Seq};

use crate::simulation::client::{Client, OWN, TURNS};
use crate::simulation::expect::{May, Nonce, RoomIndex, Standing, What, id_text};
use crate::simulation::house::{
    self, Announces, DOORS, Door, Inbox, Of, ROOMS, Speech, Thins, USERS, is_stored, thins,
};
use crate::simulation::room::{Audience, Gap, Member, Place, Seen, Subject};
use crate::simulation::socket::Socket;
use crate::simulation::world::{IN_PLACE, Saying, World};

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Client(usize),
    Application,
}

/// The owner of the application's idempotency keys.
const APPLICATION: usize = USERS.len();

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post {
    pub(super) origin: Origin,
    pub(super) room: RoomIndex,
    pub(super) nonce: Nonce,
    pub(super) key: Option<usize>,
    pub(super) id: Option<usize>,
}

/// How far the handshake of a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Whole,
    /// It breaks off between the admission and the upgrade.
    BrokenOff,
}

impl World {
    fn endpoint(&self, door: &Door) -> Arc<Endpoint> {
        let mut endpoints = self.engine.plan().endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.path.as_str() == door.path);
        found.expect("each door is declared").clone()
    }

    /// A position as a client says it.
    pub(super) fn position(&self, room: RoomIndex, place: Place) -> Option<Position> {
        let seq = self.rooms[room].seq(place.number, place.life)?;
        let epoch = Epoch::parse(self.epoch.as_deref()?).ok()?;
        Some(Position {
            epoch,
            seq: Seq::new(seq),
        })
    }

    /// A connection knocks, and comes in if it may. `since` is where the automatic rooms are resumed from.
    pub(super) fn connect(
        &mut self,
        (user, of): (usize, Of),
        door: usize,
        socket: Arc<Socket>,
        since: Option<(RoomIndex, Place)>,
        handshake: Handshake,
    ) -> Result<Option<usize>, String> {
        let door = &DOORS[door];
        let endpoint = self.endpoint(door);
        let number = u32::try_from(self.clients.len()).unwrap_or_default();
        let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
        let refused = |refusal: trunkline::engine::Refusal| format!("refused: {}", refusal.message);
        let ticket = self.engine.knock(ip).map_err(refused)?;
        self.engine.spend_connect(&endpoint, ip).map_err(refused)?;
        let position =
            since.and_then(|(room, place)| Some((room, place, self.position(room, place)?)));
        let arrival = Arrival {
            endpoint,
            request: RequestFacts::default(),
            ip,
            deflation: None,
            identity: self.identity(user, of),
            since: position
                .iter()
                .map(|(room, _, position)| {
                    (RoomName::parse(ROOMS[*room]).expect("a name"), *position)
                })
                .collect(),
            join_tokens: Vec::new(),
        };
        let here = self.of_user_at(user, door);
        let may = door.replaces || here.len() < door.of_user_max;
        let admission = match (at_once(self.engine.admit(ticket, arrival)), may) {
            (Ok(admission), true) => admission,
            (Err(_), false) => return Ok(None),
            (Ok(_), false) => return Err("a connection too many was admitted".to_owned()),
            (Err(refusal), true) => return Err(refused(refusal)),
        };
        if handshake == Handshake::BrokenOff {
            return Ok(None);
        }
        for older in here
            .iter()
            .take((here.len() + 1).saturating_sub(door.of_user_max))
        {
            self.clients[*older].is_replaced = true;
            self.clients[*older].end_in_peace();
        }
        let attached = self.engine.attach(admission, socket.clone(), Bytes::new());
        let mut client = Client::new((user, of), door, attached, socket);
        client.heard = self.ticked;
        self.clients.push(client);
        let index = self.clients.len() - 1;
        let mut standings = Vec::new();
        for name in door.rooms {
            let room = room_of(name, user);
            let place = position
                .filter(|(of, ..)| *of == room)
                .map(|(_, place, _)| place);
            self.rooms[room].visit(self.now);
            if self.has_place(room, user) {
                standings.push(self.enter(index, room, place, None));
            }
        }
        if door.speech == Speech::Json {
            self.tell_alone(index, What::Welcome(standings));
        }
        Ok(Some(index))
    }

    /// The connections of a user at a door, oldest first.
    fn of_user_at(&self, user: usize, door: &Door) -> Vec<usize> {
        let is_here = |index: &usize| {
            let client = &self.clients[*index];
            client.user == user && client.door.path == door.path
        };
        self.attached().into_iter().filter(is_here).collect()
    }

    pub(super) fn has_place(&self, room: RoomIndex, user: usize) -> bool {
        let room = &self.rooms[room];
        room.members.contains_key(&user) || room.members.len() < room.kind.users_max
    }

    /// A connection takes a seat.
    pub(super) fn enter(
        &mut self,
        client: usize,
        index: RoomIndex,
        since: Option<Place>,
        id: Option<usize>,
    ) -> Standing {
        let (user, of) = (self.clients[client].user, self.clients[client].of);
        let room = &mut self.rooms[index];
        let is_new = !room.members.contains_key(&user);
        let member = room.members.entry(user).or_insert(Member {
            connections: 0,
            until: None,
        });
        member.connections += 1;
        member.until = None;
        let standing = room.standing();
        let (gap, replayed) = room.replay(since, of);
        let (kind, users) = (room.kind, room.members.len() as u64);
        let mut opening: Vec<(What, May, usize)> = Vec::new();
        if let Some(id) = id {
            let standing = standing.clone();
            opening.push((What::Joined { id, standing }, May::Nothing, 0));
        }
        match gap {
            Gap::No => {}
            Gap::Yes => opening.push((What::Gap(standing.clone()), May::Nothing, 0)),
            Gap::Perhaps => opening.push((What::Gap(standing.clone()), May::BeAbsent, 0)),
        }
        for stored in replayed {
            let may = if stored.was_written {
                May::BeAbsent
            } else {
                May::Nothing
            };
            opening.push((What::Message(stored.nonce), may, stored.audience));
        }
        if kind.announces == Announces::Everyone {
            opening.push((What::Here(self.present(index)), May::Nothing, 0));
        }
        self.clients[client].begin_replay();
        for (what, may, audience) in opening {
            let saying = Saying {
                may,
                audience,
                opening: true,
                ..IN_PLACE
            };
            self.tell(client, index, what, saying);
        }
        self.clients[client].seats.push(index);
        if since.is_none() && self.rooms[index].kind.keeps.is_some() {
            // Everything that comes from now on, and nothing before that it would have to get again.
            let (number, life) = (self.rooms[index].total, self.rooms[index].life());
            self.clients[client]
                .places
                .insert(index, Place { number, life });
        } else if let Some(since) = since {
            self.clients[client].places.insert(index, since);
        }
        if is_new {
            let audience = match kind.announces {
                Announces::Everyone => Audience::Everyone,
                Announces::Others | Announces::Nobody => Audience::NotUser(user),
            };
            self.announce(index, "came", user, (users, users), audience, 0);
        }
        standing
    }

    /// A connection's token is replaced: it is of `of` from now on.
    pub(super) fn turn(&mut self, client: usize, of: Of) {
        let id = self.next_id();
        let identity = self.identity(self.clients[client].user, of);
        let Some(connection) = self.clients[client].connection().cloned() else {
            return;
        };
        let taken = self
            .engine
            .take_identity(&connection, identity, Some(&id_text(id)));
        assert!(taken.is_ok(), "the token is the same user's");
        self.clients[client].of = of;
        for seat in self.clients[client].seats.clone() {
            if of.is_out_of(self.rooms[seat].kind) {
                self.exit(client, seat, Some(What::PutOut));
            }
        }
        self.says_more();
        self.tell(client, TURNS, What::Turned { id, of }, IN_PLACE);
    }

    /// Who is in a room, with their connections.
    pub(super) fn present(&self, room: RoomIndex) -> Vec<(String, u64)> {
        let members = self.rooms[room].members.iter();
        members
            .map(|(user, member)| (USERS[*user].to_owned(), member.connections))
            .collect()
    }

    /// A connection gives a seat up: not because it broke where there is a farewell.
    pub(super) fn exit(&mut self, client: usize, index: RoomIndex, farewell: Option<What>) {
        let user = self.clients[client].user;
        let broke = farewell.is_none();
        if let Some(farewell) = farewell {
            self.tell(client, index, farewell, IN_PLACE);
        }
        self.clients[client].seats.retain(|seat| *seat != index);
        let now = self.now;
        let room = &mut self.rooms[index];
        let grace = room.kind.grace;
        let Some(member) = room.members.get_mut(&user) else {
            return;
        };
        member.connections -= 1;
        if member.connections > 0 {
            return;
        }
        if broke && grace > 0 {
            member.until = Some(now + grace);
            return;
        }
        room.members.remove(&user);
        let users = room.members.len() as u64;
        self.announce(index, "went", user, (users, users), Audience::Everyone, 0);
    }

    /// A connection is gone.
    pub(super) fn detach(&mut self, client: usize) {
        let attached = self.clients[client].attached.take();
        drop(attached);
        for seat in self.clients[client].seats.clone() {
            self.exit(client, seat, None);
        }
    }

    /// What a publication comes to, that the engine has taken or refuses: with the code of the refusal.
    pub(super) fn post(&mut self, post: Post) -> Result<Nonce, &'static str> {
        let Post {
            origin,
            room: index,
            nonce,
            key,
            id,
        } = post;
        let now = self.now;
        let (name, user) = (
            self.facts[nonce].name,
            match origin {
                Origin::Client(client) => self.clients[client].user,
                Origin::Application => APPLICATION,
            },
        );
        self.rooms[index].trim(now);
        let is_same = |before: Nonce| {
            let (before, fact) = (&self.facts[before], &self.facts[nonce]);
            (before.name, &before.data) == (fact.name, &fact.data)
        };
        let seen = key.map_or(Seen::Never, |key| {
            self.rooms[index].look(user, key, is_same)
        });
        let (outcome, is_fresh) = match seen {
            Seen::Differently => return Err("key_reused"),
            Seen::Before(before) => (before, false),
            Seen::Never => (nonce, true),
        };
        let answer = match origin {
            Origin::Client(client) => self
                .answer(client, outcome, name, id)
                .map(|what| (client, what)),
            Origin::Application => None,
        };
        let is_text = |client: &usize| self.clients[*client].door.speech == Speech::Text;
        let (early, late) = match answer {
            Some(answer) if is_text(&answer.0) => (Some(answer), None),
            answer => (None, answer),
        };
        if let Some((client, what)) = early {
            self.tell(client, index, what, IN_PLACE);
        }
        if is_fresh {
            self.publish(index, nonce, origin);
            if let Some(key) = key {
                self.rooms[index].remember(user, key, nonce, now);
            }
        }
        if let Some((client, what)) = late {
            self.tell(client, index, what, IN_PLACE);
        }
        Ok(outcome)
    }

    fn answer(&self, client: usize, nonce: Nonce, name: &str, id: Option<usize>) -> Option<What> {
        if name == "line" {
            return Some(What::Reply { id, nonce });
        }
        let is_text = self.clients[client].door.speech == Speech::Text;
        (!is_text && (id.is_some() || name == "note")).then_some(What::Ack { id, nonce })
    }

    fn publish(&mut self, index: RoomIndex, nonce: Nonce, origin: Origin) {
        let (now, name) = (self.now, self.facts[nonce].name);
        let audience = match (name, origin) {
            ("aside" | "whisper", Origin::Client(client)) => {
                Audience::NotUser(self.clients[client].user)
            }
            ("sync", Origin::Client(client)) => Audience::NotClient(client),
            _ => Audience::Everyone,
        };
        let what = What::Message(nonce);
        let in_place = Saying {
            audience: house::audience(name),
            ..IN_PLACE
        };
        if self.rooms[index].kind.keeps.is_some() && is_stored(name) {
            let number = self.rooms[index].store(nonce, name, now);
            self.facts[nonce].stored = Some((number, self.rooms[index].life()));
        }
        match thins(name) {
            Thins::No => self.say(index, &what, audience, in_place),
            Thins::Drops => {
                let may = May::BeDropped;
                self.say(index, &what, audience, Saying { may, ..in_place });
            }
            Thins::Every(every) => {
                let key = self.facts[nonce]
                    .data
                    .get("key")
                    .and_then(|key| key.as_str());
                let subject = format!("{name}/{}", key.unwrap_or_default());
                if let Some(known) = self.rooms[index].subjects.get_mut(&subject) {
                    known.kept_back = Some((nonce, audience));
                    return;
                }
                let may = May::BeReplaced(self.subject(format!("{index}/{subject}")));
                let begun = Subject {
                    end: now + every,
                    every,
                    kept_back: None,
                };
                self.rooms[index].subjects.insert(subject, begun);
                self.say(index, &what, audience, Saying { may, ..in_place });
            }
        }
    }

    /// A message for every connection of a user.
    pub(super) fn send_to(&mut self, user: usize, nonce: Nonce) {
        for client in self.attached() {
            if self.clients[client].user == user {
                self.tell(client, OWN, What::Message(nonce), IN_PLACE);
            }
        }
    }

    /// Whether a room is the inbox of a user.
    pub(super) fn is_inbox_of(&self, room: RoomIndex, user: usize, inbox: Inbox) -> bool {
        self.rooms[room].kind.inbox == inbox && ROOMS[room].ends_with(USERS[user])
    }
}

/// What nobody has to be asked for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the file's rules decide")
}

/// The room of this name, in which `~` stands for the user.
fn room_of(name: &str, user: usize) -> RoomIndex {
    let name = name.replace('~', USERS[user]);
    let found = ROOMS.iter().position(|room| *room == name);
    found.expect("each automatic room is known")
}
