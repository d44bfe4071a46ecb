//! Rooms: who is in them and what waits to be written.

use std::collections::HashMap;
use std::str::FromStr;

use floor::frame::{Prepared, TEXT, encode};

/// When frames leave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Each by itself, at once.
    Single,
    /// Those of one turn together.
    Batched,
}

impl FromStr for Delivery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "single" => Ok(Self::Single),
            "batched" => Ok(Self::Batched),
            other => Err(format!("there is no delivery {other}")),
        }
    }
}

/// Who is in a room, by connection.
#[derive(Default)]
pub struct Room {
    pub members: Vec<usize>,
    /// The frames of this turn, joined: a reader gets them with one write.
    pub waiting: Vec<u8>,
}

/// All rooms. They are never forgotten: a run has as many as it has.
pub struct Rooms {
    pub rooms: Vec<Room>,
    by_name: HashMap<String, usize>,
    /// Those in which something waits.
    pub busy: Vec<usize>,
    prepared: Option<Prepared>,
}

impl Rooms {
    /// No rooms. Frames have `payload_bytes`, or what came where it is 0.
    pub fn new(payload_bytes: usize) -> Self {
        Self {
            rooms: Vec::new(),
            by_name: HashMap::new(),
            busy: Vec::new(),
            prepared: (payload_bytes > 0).then(|| Prepared::new(payload_bytes)),
        }
    }

    /// Adds `connection` to the room of that name; returns the room.
    pub fn enter(&mut self, name: &str, connection: usize) -> usize {
        let next = self.rooms.len();
        let room = *self.by_name.entry(name.to_owned()).or_insert(next);
        if room == next {
            self.rooms.push(Room::default());
        }
        self.rooms[room].members.push(connection);
        room
    }

    /// Removes `connection` from the room.
    pub fn leave(&mut self, room: usize, connection: usize) {
        let members = &mut self.rooms[room].members;
        if let Some(place) = members.iter().position(|member| *member == connection) {
            members.swap_remove(place);
        }
    }

    /// Appends a message to what waits in the room.
    pub fn publish(&mut self, room: usize, message: &[u8]) {
        let frame = match &self.prepared {
            Some(prepared) => prepared.with(message),
            None => encode(TEXT, message),
        };
        let waiting = &mut self.rooms[room].waiting;
        if waiting.is_empty() {
            self.busy.push(room);
        }
        waiting.extend_from_slice(&frame);
    }
}
