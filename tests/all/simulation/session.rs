//! Reading: every frame that comes is the one that was due.

use trunkline::protocol::websocket::{Event, Input};

use crate::simulation::client::{OWN, TURNS};
use crate::simulation::expect::{Expect, May, Received, RoomIndex, What};
use crate::simulation::house::{ROOMS, Speech};
use crate::simulation::world::World;

/// What one reading brought.
#[derive(Default)]
struct Haul {
    bytes: usize,
    frames: usize,
}

enum Heard {
    Frame(Received),
    Ping,
    Close(u16),
}

impl World {
    /// Polls those tasks that the runtime would poll, and has everyone read.
    pub(super) fn drive_all(&mut self) -> Result<(), String> {
        for client in self.attached() {
            if self.clients[client].has_to_run() {
                self.drive(client)?;
            } else {
                self.read(client)?;
            }
        }
        Ok(())
    }

    pub(super) fn read_all(&mut self) -> Result<(), String> {
        self.attached()
            .into_iter()
            .try_for_each(|client| self.read(client).map(|_| ()))
    }

    /// Polls the task of one connection.
    pub(super) fn drive(&mut self, index: usize) -> Result<(), String> {
        self.read(index)?;
        let engine = self.engine.clone();
        let goes_on = self.clients[index].run(&engine);
        let haul = self.read(index)?;
        let client = &mut self.clients[index];
        let (frames, bytes) = client.excused;
        // What was written now had waited; a frame that was begun, the close frame and a large last one come on top.
        if haul.frames > client.door.queue_frames + frames + 2
            || haul.bytes > client.door.queue_bytes + bytes + 2048
        {
            return Err(format!(
                "{} frames of {} bytes waited for {index}",
                haul.frames, haul.bytes
            ));
        }
        if !client
            .connection()
            .is_some_and(|connection| connection.is_blocked())
        {
            client.excused = (0, 0);
        }
        if !goes_on {
            self.detach(index);
        }
        Ok(())
    }

    /// Reads what the socket has.
    fn read(&mut self, index: usize) -> Result<Haul, String> {
        let mut bytes = self.clients[index].socket.read();
        let mut haul = Haul {
            bytes: bytes.len(),
            frames: 0,
        };
        if bytes.is_empty() {
            return Ok(haul);
        }
        for heard in self.decode(index, &mut bytes)? {
            self.clients[index].frames += 1;
            if let Some(code) = self.clients[index].closed {
                return Err(format!(
                    "{index} gets something behind its close frame, {code}"
                ));
            }
            match heard {
                Heard::Ping => self.answer_ping(index)?,
                Heard::Close(code) => self.see_close(index, code)?,
                Heard::Frame(received) if received.member("type") == Some("ping") => {
                    self.answer_ping(index)?
                }
                Heard::Frame(received) => {
                    let expect = self.take(index, &received)?;
                    let is_replay = expect.opening && matches!(expect.what, What::Message(_));
                    self.saw(if is_replay {
                        "replay"
                    } else {
                        expect.what.name()
                    });
                    haul.frames += 1;
                    if expect.opening {
                        let excused = &mut self.clients[index].excused;
                        *excused = (excused.0 + 1, excused.1 + received.len());
                    }
                    self.check(index, &expect.what, &received)
                        .map_err(|error| format!("{index}: {error}: {received:?}"))?;
                }
            }
        }
        Ok(haul)
    }

    fn decode(&mut self, index: usize, bytes: &mut [u8]) -> Result<Vec<Heard>, String> {
        let client = &mut self.clients[index];
        let mut input = Input::new(bytes);
        let mut heard = Vec::new();
        loop {
            let event = client
                .decoder
                .next(&mut input)
                .map_err(|violation| format!("{index}: {violation}"))?;
            heard.push(match event {
                None => return Ok(heard),
                Some(Event::Text(text)) if client.door.speech == Speech::Json => {
                    let value = serde_json::from_str(text)
                        .map_err(|error| format!("{index}: {error}: {text}"))?;
                    Heard::Frame(Received::Json(value))
                }
                Some(Event::Text(text)) => Heard::Frame(Received::Text(text.to_owned())),
                Some(Event::Binary(payload)) => Heard::Frame(Received::Binary(payload.to_vec())),
                Some(Event::Ping(_)) => Heard::Ping,
                Some(Event::Pong(_)) => {
                    return Err(format!("{index}: a pong that it did not ask for"));
                }
                Some(Event::Close(frame)) => {
                    Heard::Close(frame.map_or(1005, |frame| frame.code.get()))
                }
            });
        }
    }

    fn answer_ping(&mut self, index: usize) -> Result<(), String> {
        if self.clients[index].silence(self.now) < self.clients[index].door.idle {
            return Err(format!("{index} is asked for a sign of life too early"));
        }
        if !self.clients[index].is_deaf {
            self.hear(index);
        }
        Ok(())
    }

    /// A client gives a sign of life.
    pub(super) fn hear(&mut self, index: usize) {
        let (now, ticked, client) = (self.now, self.ticked, &mut self.clients[index]);
        if let Some(connection) = client.connection() {
            self.engine.heard(connection);
        }
        client.silence_max = client.silence(now);
        client.heard = ticked;
    }

    fn see_close(&mut self, index: usize, code: u16) -> Result<(), String> {
        let (now, is_draining) = (self.now, self.is_draining);
        let client = &mut self.clients[index];
        let is_right = match code {
            1000 => client.says_goodbye,
            1012 => is_draining,
            4002 => client.silence(now) >= client.door.silence,
            4008 => client.was_full(now),
            4009 => client.is_replaced,
            _ => false,
        };
        if !is_right {
            return Err(format!(
                "{index} is closed with {code} without a reason (at most {} frames waited)",
                client.peak
            ));
        }
        if let Some(missing) = client.queues[OWN].iter().find(|expect| expect.is_last_wish) {
            return Err(format!(
                "{index} is closed with {code} before it got {missing:?}"
            ));
        }
        client.closed = Some(code);
        if client.is_polite {
            client.hang_up();
        }
        self.saw(match code {
            1000 => "closed with 1000",
            1012 => "closed with 1012",
            4002 => "closed with 4002",
            4008 => "closed with 4008",
            _ => "closed with 4009",
        });
        Ok(())
    }

    /// Takes the expectation that `received` fulfils out of its queue, and those that may be and were passed over.
    fn take(&mut self, index: usize, received: &Received) -> Result<Expect, String> {
        let client = &self.clients[index];
        let queue = match (client.door.speech, received.room()) {
            (Speech::Json, None) if received.is_turn() => TURNS,
            (Speech::Json, None) => OWN,
            (Speech::Json, Some(name)) => room_index(name)?,
            (Speech::Text | Speech::Raw, _) => room_index(client.door.rooms[0])?,
        };
        let due = &client.queues[queue];
        let is_open = |expect: &Expect, group: usize| {
            expect.may != May::Nothing || (expect.group != 0 && expect.group == group)
        };
        let found = due.iter().position(|expect| received.is(&expect.what));
        let Some(at) = found else {
            return Err(format!(
                "{index} gets {received:?}; due are {:?}",
                due.iter().take(4).collect::<Vec<_>>()
            ));
        };
        let group = due[at].group;
        if let Some(missed) = due.iter().take(at).find(|before| !is_open(before, group)) {
            return Err(format!("{index} gets {received:?} before {missed:?}"));
        }
        // Those of the same group may still come.
        let (mut passed, mut kept) = (Vec::new(), Vec::new());
        let client = &mut self.clients[index];
        let rest = client.queues[queue].split_off(at + 1);
        let taken = client.queues[queue].pop_back();
        for before in client.queues[queue].drain(..) {
            if group != 0 && before.group == group {
                kept.push(before)
            } else {
                passed.push(before)
            }
        }
        client.queues[queue] = kept.into_iter().chain(rest).collect();
        let taken = taken.ok_or("nothing was due")?;
        client.settle(&taken);
        for expect in passed {
            self.go_without(index, queue, &expect, Some(&taken))?;
        }
        self.in_one_order(index, &taken)?;
        self.turned_in_time(index, &taken)?;
        Ok(taken)
    }

    /// Behind the ack of a token nothing comes that only the one before let through.
    fn turned_in_time(&self, index: usize, taken: &Expect) -> Result<(), String> {
        let What::Turned { of, .. } = taken.what else {
            return Ok(());
        };
        let late = self.clients[index].queues.iter().flatten().find(|expect| {
            expect.say < taken.say && expect.may == May::Nothing && !of.reads(expect.audience)
        });
        match late {
            Some(late) => Err(format!(
                "{index} has a new token acknowledged before {late:?}"
            )),
            None => Ok(()),
        }
    }

    /// A reader did not get `expect`: was that allowed?
    pub(super) fn go_without(
        &mut self,
        index: usize,
        queue: usize,
        expect: &Expect,
        instead: Option<&Expect>,
    ) -> Result<(), String> {
        let (now, client) = (self.now, &mut self.clients[index]);
        client.settle(expect);
        let newer = client.queues[queue].iter().chain(instead);
        let is_replaced = |subject| {
            newer
                .into_iter()
                .any(|newer| newer.may == May::BeReplaced(subject))
        };
        let is_right = match expect.may {
            May::Nothing => false,
            May::BeAbsent => return Ok(()),
            May::BeDropped => client.was_full(now),
            May::BeReplaced(subject) => {
                client.was_full(now)
                    || (client.socket.was_slow() || client.door.path == "/together")
                        && is_replaced(subject)
            }
        };
        if !is_right {
            return Err(format!("{index} went without {expect:?}"));
        }
        self.saw(if expect.may == May::BeDropped {
            "dropped"
        } else {
            "replaced"
        });
        Ok(())
    }

    /// Of what was said in one moment everyone sees one order.
    fn in_one_order(&mut self, index: usize, taken: &Expect) -> Result<(), String> {
        if taken.group == 0 {
            return Ok(());
        }
        let client = &mut self.clients[index];
        if client.of_group.0 != taken.group {
            client.of_group = (taken.group, Vec::new());
        }
        for earlier in &client.of_group.1 {
            if self.before.contains(&(taken.say, *earlier)) {
                return Err(format!(
                    "{index} sees {taken:?} in another order than others"
                ));
            }
            self.before.insert((*earlier, taken.say));
        }
        client.of_group.1.push(taken.say);
        Ok(())
    }
}

fn room_index(name: &str) -> Result<RoomIndex, String> {
    let found = ROOMS.iter().position(|room| *room == name);
    found.ok_or_else(|| format!("there is no room {name}"))
}
