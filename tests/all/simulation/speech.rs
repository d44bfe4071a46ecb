//! What clients say, and what it comes to.

use serde_json::json;

use crate::simulation::action::{Action, Kind};
use crate::simulation::expect::{Nonce, RoomIndex, What, id_text};
use crate::simulation::house::{Inbox, Of, ROOMS, Speech, USERS};
use crate::simulation::moves::{Origin, Post};
use crate::simulation::room::{Audience, Place};
use crate::simulation::world::{IN_PLACE, World};

impl World {
    /// A client's socket brings something: one turn of its task.
    pub(super) fn speak(&mut self, client: usize, action: Action) -> Result<(), String> {
        if !self.clients[client].is_open() {
            return Ok(());
        }
        let Some(connection) = self.clients[client].connection().cloned() else {
            return Ok(());
        };
        self.hear(client);
        connection.hold();
        self.say_something(client, action)?;
        connection.release();
        self.drive(client)
    }

    fn say_something(&mut self, client: usize, action: Action) -> Result<(), String> {
        if action.kind == Kind::Goodbye {
            self.clients[client].says_goodbye = true;
            self.clients[client].end_in_peace();
            self.clients[client].hang_up();
            if let Some(connection) = self.clients[client].connection() {
                connection.close_answer(None);
            }
            return Ok(());
        }
        match (self.clients[client].door.speech, action.kind) {
            (Speech::Json, _) => self.say_in_json(client, action),
            (Speech::Text, Kind::Plain | Kind::Publish) => self.say_plainly(client),
            (Speech::Raw, Kind::Plain | Kind::Publish) => self.say_raw(client),
            (Speech::Text | Speech::Raw, _) => {}
        }
        Ok(())
    }

    fn say_in_json(&mut self, client: usize, action: Action) {
        let room = action.room;
        let kind = match action.kind {
            Kind::Publish | Kind::Burst | Kind::Leave | Kind::Members | Kind::History
                if self.clients[client].seats.is_empty() && !action.once_in(16, 12) =>
            {
                Kind::Join
            }
            kind => kind,
        };
        match kind {
            Kind::Join => self.ask_to_join(client, room, action),
            Kind::JoinSeveral => {
                for room in [room, action.part(1, ROOMS.len())] {
                    self.ask_to_join(client, room, action);
                }
            }
            Kind::Leave => self.ask_to_leave(client, self.seat(client, room)),
            Kind::Rejoin => {
                let room = self.seat(client, room);
                self.ask_to_leave(client, room);
                self.ask_to_join(client, room, action);
            }
            Kind::Publish => {
                self.ask_to_publish(client, self.seat_or(client, room, action), action)
            }
            Kind::Burst => {
                for number in 0..2 + action.part(2, 7) {
                    let action = action.another(number);
                    self.ask_to_publish(client, self.seat_or(client, room, action), action);
                }
            }
            Kind::Direct => self.ask_for_direct(client, action),
            Kind::Echo => self.ask_for_echo(client),
            Kind::Ping => self.ask_for_pong(client),
            Kind::Pings => (0..3 + action.part(3, 12)).for_each(|_| self.ask_for_pong(client)),
            Kind::Members => self.ask_for_members(client, self.seat_or(client, room, action)),
            Kind::History => {
                self.ask_for_history(client, self.seat_or(client, room, action), action)
            }
            Kind::Receive => self.say_received(client, action),
            Kind::Turn => self.turn(client, Of::new(action.part(19, 11))),
            _ => {}
        }
    }

    /// A room that the client is in, or `room` where it is in none.
    fn seat(&self, client: usize, room: RoomIndex) -> RoomIndex {
        let seats = &self.clients[client].seats;
        if seats.is_empty() {
            room
        } else {
            seats[room % seats.len()]
        }
    }

    /// Mostly a room that the client is in.
    fn seat_or(&self, client: usize, room: RoomIndex, action: Action) -> RoomIndex {
        if action.once_in(4, 16) {
            room
        } else {
            self.seat(client, room)
        }
    }

    /// Gives the engine a frame; says whether it was still taken.
    fn give(&self, client: usize, frame: &serde_json::Value) -> bool {
        let Some(connection) = self.clients[client].connection() else {
            return false;
        };
        if !self.clients[client].is_open() {
            return false;
        }
        self.engine.receive_text(connection, &frame.to_string());
        true
    }

    fn ask_to_join(&mut self, client: usize, room: RoomIndex, action: Action) {
        let id = self.next_id();
        let user = self.clients[client].user;
        let room = if action.once_in(17, 8) {
            room
        } else {
            own_room(room, user)
        };
        let mut frame = json!({"type": "join", "id": id_text(id), "room": ROOMS[room]});
        let kind = self.rooms[room].kind;
        let mut since = self.clients[client].places.get(&room).copied();
        since = since.or_else(|| self.remembered(self.clients[client].user, room));
        since = since.filter(|_| {
            !action.once_in(5, 3) && kind.inbox != Inbox::OnWrite && kind.keeps.is_some()
        });
        since = since.filter(|place| match self.position(room, *place) {
            Some(position) => {
                frame["since"] =
                    json!({"epoch": position.epoch.to_string(), "seq": position.seq.get()});
                true
            }
            None => false,
        });
        if !self.give(client, &frame) {
            return;
        }
        let error = |code| What::Error { id: Some(id), code };
        let is_strange = kind.inbox != Inbox::No && !ROOMS[room].ends_with(USERS[user]);
        if is_strange || self.clients[client].of.is_out_of(kind) {
            self.tell_alone(client, error("forbidden"));
            return;
        }
        self.rooms[room].visit(self.now);
        if !self.has_place(room, user) {
            self.tell_alone(client, error("room_full"));
        } else if !self.clients[client].seats.contains(&room) {
            self.enter(client, room, since, Some(id));
        } else if since.is_some() {
            self.tell_alone(client, error("conflict"));
        } else {
            let standing = self.rooms[room].standing();
            self.tell(client, room, What::Joined { id, standing }, IN_PLACE);
        }
    }

    /// Where an earlier connection of the user stood.
    pub(super) fn remembered(&self, user: usize, room: RoomIndex) -> Option<Place> {
        let mut earlier = self.clients.iter().rev();
        earlier.find_map(|client| {
            let is_gone = client.user == user && client.attached.is_none();
            client.places.get(&room).filter(|_| is_gone).copied()
        })
    }

    fn ask_to_leave(&mut self, client: usize, room: RoomIndex) {
        let id = self.next_id();
        if !self.give(
            client,
            &json!({"type": "leave", "id": id_text(id), "room": ROOMS[room]}),
        ) {
            return;
        }
        if self.clients[client].seats.contains(&room) {
            self.exit(client, room, Some(What::Left { id }));
        } else {
            let id = Some(id);
            self.tell_alone(
                client,
                What::Error {
                    id,
                    code: "not_joined",
                },
            );
        }
    }

    /// The message that is published: a new one, or with a key that came before perhaps the same again.
    pub(super) fn message(
        &mut self,
        room: RoomIndex,
        owner: usize,
        sender: Option<usize>,
        key: Option<usize>,
        action: Action,
    ) -> Nonce {
        let known = key.and_then(|key| self.rooms[room].message_of_key(owner, key));
        if let Some(nonce) = known.filter(|_| !action.once_in(6, 4)) {
            return nonce;
        }
        const NAMES: [&str; 17] = [
            "post", "post", "post", "note", "aside", "sync", "price", "price", "pulse", "typing",
            "line", "post", "secret", "secret", "secret", "whisper", "plan",
        ];
        self.note(
            NAMES[action.part(7, NAMES.len())],
            action.what,
            Some(room),
            sender,
        )
    }

    fn ask_to_publish(&mut self, client: usize, room: RoomIndex, action: Action) {
        let user = self.clients[client].user;
        let key = action.once_in(8, 4).then(|| action.part(9, 3));
        let id = action.once_in(10, 2).then(|| self.next_id());
        self.rooms[room].trim(self.now);
        let nonce = self.message(room, user, Some(user), key, action);
        let fact = &self.facts[nonce];
        let mut frame = json!({"type": fact.name, "room": ROOMS[room], "data": fact.data});
        if let Some(id) = id {
            frame["id"] = id_text(id).into();
        }
        if let Some(key) = key {
            frame["key"] = format!("key{key}").into();
        }
        let name = fact.name;
        if !self.give(client, &frame) {
            return;
        }
        let refused = if !self.clients[client].seats.contains(&room) {
            Err("not_joined")
        } else if !self.rooms[room].kind.messages.contains(&name) {
            Err("unknown_type")
        } else {
            let origin = Origin::Client(client);
            self.post(Post {
                origin,
                room,
                nonce,
                key,
                id,
            })
            .map(|_| ())
        };
        if let Err(code) = refused {
            self.tell_alone(client, What::Error { id, code });
        }
    }

    fn ask_for_direct(&mut self, client: usize, action: Action) {
        let user = self.clients[client].user;
        let nonce = self.note("direct", action.what, None, Some(user));
        let id = self.next_id();
        let data = self.facts[nonce].data.clone();
        if self.give(
            client,
            &json!({"type": "direct", "id": id_text(id), "data": data}),
        ) {
            self.send_to(action.what % 3, nonce);
            let id = Some(id);
            self.tell_alone(client, What::Ack { id, nonce });
        }
    }

    fn ask_for_echo(&mut self, client: usize) {
        let user = self.clients[client].user;
        let nonce = self.note("echo", 0, None, Some(user));
        let id = self.next_id();
        let data = self.facts[nonce].data.clone();
        if self.give(
            client,
            &json!({"type": "echo", "id": id_text(id), "data": data}),
        ) {
            let id = Some(id);
            self.tell_alone(client, What::Reply { id, nonce });
        }
    }

    fn ask_for_pong(&mut self, client: usize) {
        let id = self.next_id();
        if self.give(client, &json!({"type": "ping", "id": id_text(id)})) {
            self.tell_alone(client, What::Pong { id });
        }
    }

    fn ask_for_members(&mut self, client: usize, room: RoomIndex) {
        let id = self.next_id();
        if !self.give(
            client,
            &json!({"type": "members", "id": id_text(id), "room": ROOMS[room]}),
        ) {
            return;
        }
        let error = |code| What::Error { id: Some(id), code };
        let what = if !self.clients[client].seats.contains(&room) {
            error("not_joined")
        } else if matches!(self.rooms[room].kind.prefix, "room" | "hall") {
            let users = self.present(room);
            What::Members { id, users }
        } else {
            error("forbidden")
        };
        self.tell_alone(client, what);
    }

    fn ask_for_history(&mut self, client: usize, room: RoomIndex, action: Action) {
        let id = self.next_id();
        let mut frame = json!({"type": "history", "id": id_text(id), "room": ROOMS[room]});
        self.rooms[room].trim(self.now);
        let limit = if action.once_in(11, 2) {
            1 + action.part(12, 6)
        } else {
            100
        };
        frame["limit"] = limit.into();
        let kept = self.rooms[room].read_by(self.clients[client].of);
        let mut kept: Vec<Nonce> = kept.map(|stored| stored.nonce).collect();
        let before = action
            .once_in(13, 2)
            .then(|| action.part(14, kept.len().max(1)));
        if let Some(&nonce) = before.and_then(|before| kept.get(before))
            && let Some((number, life)) = self.facts[nonce].stored
            && let Some(seq) = self.rooms[room].seq(number, life)
        {
            frame["before"] = seq.into();
            kept.truncate(before.unwrap_or_default());
        }
        if !self.give(client, &frame) {
            return;
        }
        let error = |code| What::Error { id: Some(id), code };
        let what = if !self.clients[client].seats.contains(&room) {
            error("not_joined")
        } else if matches!(self.rooms[room].kind.prefix, "room" | "hall") {
            let first = kept.len().saturating_sub(limit);
            What::History {
                id,
                messages: kept.split_off(first),
                more: first > 0,
            }
        } else {
            error("forbidden")
        };
        self.tell_alone(client, what);
    }

    fn say_received(&mut self, client: usize, action: Action) {
        let user = self.clients[client].user;
        let seats = self.clients[client].seats.clone();
        let Some(room) = seats
            .into_iter()
            .find(|room| self.is_inbox_of(*room, user, Inbox::Received))
        else {
            return;
        };
        let (total, life) = (self.rooms[room].total, self.rooms[room].life());
        let number = total.saturating_sub(action.part(15, 4) as u64);
        let Some(seq) = self.rooms[room].seq(number, life) else {
            return;
        };
        let id = self.next_id();
        if self.give(
            client,
            &json!({"type": "received", "id": id_text(id), "room": ROOMS[room], "seq": seq}),
        ) {
            self.rooms[room].received(number);
            self.tell_alone(client, What::Done { id });
        }
    }

    fn say_plainly(&mut self, client: usize) {
        if !self.clients[client].is_open() {
            return;
        }
        let (user, room) = (self.clients[client].user, 0);
        let nonce = self.note("line", 0, Some(room), Some(user));
        let text = self.facts[nonce]
            .data
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if let Some(connection) = self.clients[client].connection() {
            self.engine.receive_text(connection, &text);
        }
        let origin = Origin::Client(client);
        let (key, id) = (None, None);
        let _ = self.post(Post {
            origin,
            room,
            nonce,
            key,
            id,
        });
    }

    fn say_raw(&mut self, client: usize) {
        if !self.clients[client].is_open() {
            return;
        }
        let user = self.clients[client].user;
        let Some(room) = self.clients[client].seats.first().copied() else {
            return;
        };
        let nonce = self.note("raw", 0, Some(room), Some(user));
        if let Some(connection) = self.clients[client].connection() {
            self.engine
                .receive_binary(connection, format!("{nonce:06}").as_bytes());
        }
        let audience = Audience::NotUser(user);
        self.say(room, &What::Raw(nonce), audience, IN_PLACE);
    }
}

/// The user's own room of the kind, where each user has one.
fn own_room(room: RoomIndex, user: usize) -> RoomIndex {
    let Some((kind, _)) = ROOMS[room].split_once(":u") else {
        return room;
    };
    let own = format!("{kind}:{}", USERS[user]);
    ROOMS.iter().position(|room| *room == own).unwrap_or(0)
}
