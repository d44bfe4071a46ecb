//! What happens: actions as plain numbers, so that a failing list of them can be cut down.

use trunkline::engine::Publication;
use trunkline::vocab::UserId;

use crate::simulation::chance::Chance;
use crate::simulation::house::{DOORS, Of, ROOMS, USERS};
use crate::simulation::moves::{Handshake, Origin, Post};
use crate::simulation::socket::{Manner, Socket};
use crate::simulation::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Vanish,
    Goodbye,
    BreakSocket,
    Join,
    JoinSeveral,
    Leave,
    Rejoin,
    Publish,
    Burst,
    Apply,
    ApplyToUser,
    Direct,
    Echo,
    Ping,
    Pings,
    Members,
    History,
    Receive,
    Turn,
    Plain,
    Stick,
    Loosen,
    Deafen,
    BeRude,
    Pass,
    PassLong,
    ClockAlone,
    Settle,
}

/// How often each kind comes.
const WEIGHTS: [(Kind, usize); 29] = [
    (Kind::Connect, 10),
    (Kind::Vanish, 3),
    (Kind::Goodbye, 1),
    (Kind::BreakSocket, 1),
    (Kind::Join, 14),
    (Kind::JoinSeveral, 2),
    (Kind::Leave, 4),
    (Kind::Rejoin, 3),
    (Kind::Publish, 24),
    (Kind::Burst, 5),
    (Kind::Apply, 9),
    (Kind::ApplyToUser, 2),
    (Kind::Direct, 2),
    (Kind::Echo, 2),
    (Kind::Ping, 1),
    (Kind::Pings, 1),
    (Kind::Members, 2),
    (Kind::History, 3),
    (Kind::Receive, 3),
    (Kind::Turn, 4),
    (Kind::Plain, 4),
    (Kind::Stick, 4),
    (Kind::Loosen, 4),
    (Kind::Deafen, 1),
    (Kind::BeRude, 1),
    (Kind::Pass, 6),
    (Kind::PassLong, 2),
    (Kind::ClockAlone, 1),
    (Kind::Settle, 2),
];

/// One thing that happens. Its numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    pub(super) kind: Kind,
    pub(super) who: usize,
    pub(super) room: usize,
    pub(super) what: usize,
    /// Turns of the scheduler afterwards.
    turns: usize,
    /// Whether the tasks that were woken run afterwards.
    runs: bool,
}

impl Action {
    pub(super) fn any(chance: &mut Chance) -> Self {
        let total: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = chance.below(total);
        let kind = WEIGHTS.iter().find(|(_, weight)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        Self {
            kind: kind.map_or(Kind::Settle, |(kind, _)| *kind),
            who: chance.below(1 << 16),
            // The first rooms are the busy ones.
            room: (0..3).fold(ROOMS.len() - 1, |room, _| {
                room.min(chance.below(ROOMS.len()))
            }),
            what: chance.below(1 << 16),
            turns: chance.below(4).saturating_sub(1),
            runs: !chance.once_in(4),
        }
    }

    /// Somebody comes through one of `doors`.
    pub(super) fn coming(chance: &mut Chance, doors: &[usize]) -> Self {
        loop {
            let action = Self {
                kind: Kind::Connect,
                ..Self::any(chance)
            };
            if doors.contains(&action.door()) {
                return action;
            }
        }
    }

    /// The number of a door; those where connections replace each other, and where there is most to do, come more often.
    fn door(self) -> usize {
        [0, 1, 2, 3, 4, 5, 6, 0, 2, 2][self.part(0, 10)]
    }

    /// Some part of its number.
    pub(super) fn part(self, number: usize, bound: usize) -> usize {
        let mut chance = Chance::new((self.what * 8 + number) as u64);
        chance.below(bound)
    }

    /// The same at the same place, with other details.
    pub(super) const fn another(self, number: usize) -> Self {
        Self {
            what: self.what + number * 7919,
            ..self
        }
    }

    pub(super) fn once_in(self, number: usize, of: usize) -> bool {
        self.part(number, of) == 0
    }
}

impl World {
    /// Does one thing, and checks what can be seen afterwards.
    pub(super) async fn step(&mut self, action: Action) -> Result<(), String> {
        self.read_all()?;
        self.forget().await?;
        // What was written meanwhile is read even by who vanishes now.
        self.read_all()?;
        self.act(action).await?;
        for _ in 0..action.turns {
            tokio::task::yield_now().await;
        }
        for client in &self.clients {
            client.socket.breathe();
        }
        if action.runs {
            self.drive_all()?;
        }
        self.count()
    }

    async fn act(&mut self, action: Action) -> Result<(), String> {
        match action.kind {
            Kind::Connect => return self.come(action),
            Kind::Apply => {
                let count = [1, 1, 1, 6][action.part(18, 4)];
                return (0..count).try_for_each(|number| self.apply(action.another(number)));
            }
            Kind::ApplyToUser => return self.apply_to_user(action),
            Kind::Pass => {
                self.pass(100 * (1 + action.part(0, 6) as u64)).await;
                self.tick();
                return Ok(());
            }
            Kind::PassLong => {
                self.pass(1000 * (1 + action.part(0, 12) as u64)).await;
                self.walk();
                return Ok(());
            }
            Kind::ClockAlone => {
                self.pass(100 * (1 + action.part(0, 4) as u64)).await;
                return Ok(());
            }
            Kind::Settle => return self.settle().await,
            _ => {}
        }
        let attached = self.attached();
        if attached.is_empty() {
            return Ok(());
        }
        let client = attached[action.who % attached.len()];
        match action.kind {
            Kind::Vanish => {
                self.detach(client);
                return Ok(());
            }
            Kind::BreakSocket => {
                self.clients[client].socket.break_off();
                self.saw("broken");
            }
            Kind::Stick => self.clients[client].socket.stick(),
            Kind::Loosen => self.clients[client].socket.loosen(),
            Kind::Deafen => self.clients[client].is_deaf = true,
            Kind::BeRude => self.clients[client].is_polite = false,
            _ => return self.speak(client, action),
        }
        Ok(())
    }

    fn come(&mut self, action: Action) -> Result<(), String> {
        let (user, door) = (action.who % USERS.len(), action.door());
        let manner = [Manner::Fast, Manner::Choppy, Manner::Slow][action.part(1, 3)];
        let socket = Socket::new(manner, Chance::new(action.what as u64));
        if action.once_in(2, 8) {
            socket.stick();
        }
        let since = self
            .remembered(user, 0)
            .map(|place| (0, place))
            .filter(|_| DOORS[door].rooms.contains(&ROOMS[0]) && !action.once_in(3, 4));
        let handshake = if action.once_in(4, 24) {
            Handshake::BrokenOff
        } else {
            Handshake::Whole
        };
        let of = Of::new(action.part(20, 8)).welcome();
        self.connect((user, of), door, socket, since, handshake)
            .map(|_| ())
    }

    fn apply(&mut self, action: Action) -> Result<(), String> {
        let room = action.room;
        let key = action.once_in(8, 4).then(|| action.part(9, 3));
        self.rooms[room].visit(self.now);
        let nonce = self.message(room, USERS.len(), None, key, action);
        let (name, data) = (self.facts[nonce].name, self.facts[nonce].data.to_string());
        let key_text = key.map(|key| format!("key{key}"));
        let key_name = UserId::of_application("sim");
        let publication = Publication {
            key_name: &key_name,
            name,
            data: &data,
            key: key_text.as_deref(),
        };
        let published = self.engine.publish_to_room(ROOMS[room], publication);
        let id = None;
        let expected = if self.rooms[room].kind.messages.contains(&name) {
            self.post(Post {
                origin: Origin::Application,
                room,
                nonce,
                key,
                id,
            })
        } else {
            Err("unknown_type")
        };
        match (published, expected) {
            (Ok(published), Ok(nonce)) => {
                let known = self.facts[nonce]
                    .message_id
                    .get_or_insert_with(|| published.message_id.to_string());
                if *known != published.message_id.to_string() {
                    return Err(format!("{nonce} is published again"));
                }
                match (self.facts[nonce].stored, published.seq) {
                    (Some((number, life)), Some(seq)) => {
                        self.rooms[room].learn(number, life, seq.get())
                    }
                    (None, None) => Ok(()),
                    (stored, seq) => Err(format!("seq {seq:?} where {stored:?} is stored")),
                }
            }
            (Err(reject), Err(code)) if reject.code.as_str() == code => Ok(()),
            (published, expected) => Err(format!("{published:?} where {expected:?} is due")),
        }
    }

    fn apply_to_user(&mut self, action: Action) -> Result<(), String> {
        let user = action.who % USERS.len();
        let nonce = self.note("direct", 0, None, None);
        let data = self.facts[nonce].data.to_string();
        let key_name = UserId::of_application("sim");
        let publication = Publication {
            key_name: &key_name,
            name: "direct",
            data: &data,
            key: None,
        };
        let id = UserId::parse(USERS[user]).map_err(|error| error.to_string())?;
        self.engine
            .publish_to_user(id, publication)
            .map_err(|reject| format!("{reject:?}"))?;
        self.send_to(user, nonce);
        Ok(())
    }
}
