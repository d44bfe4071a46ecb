//! The engine, everyone who is connected to it, and the model that says what each of them has to get.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use trunkline::engine::Engine;
use trunkline::plan::Plan;
use trunkline::protocol::{CloseCode, RejectCode};
use trunkline::telemetry::{MetricNames, Metrics, VirtualMemory};
use trunkline::vocab::{Identity, Timestamp, User, UserId, VirtualClock};

use crate::simulation::client::{Client, OWN};
use crate::simulation::expect::{Expect, May, Nonce, RoomIndex, What};
use crate::simulation::house::{Announces, Of, ROOMS, Speech, USERS};
use crate::simulation::room::{Audience, Room};

/// A message that was published.
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) data: Value,
    pub(super) room: Option<RoomIndex>,
    pub(super) sender: Option<usize>,
    pub(super) stored: Option<(u64, usize)>,
    pub(super) message_id: Option<String>,
    /// What the first reader got: all others get the same.
    pub(super) seen: Option<Value>,
}

/// Somebody came or went.
pub(super) struct Announcement {
    pub(super) name: &'static str,
    pub(super) room: RoomIndex,
    pub(super) user: usize,
    /// The lowest and the highest count of users that it may tell.
    pub(super) users: (u64, u64),
    pub(super) seen: Option<Value>,
}

pub(super) struct World {
    pub(super) engine: Arc<Engine>,
    pub(super) users: Vec<Arc<User>>,
    pub(super) clock: Arc<VirtualClock>,
    /// Milliseconds since the beginning, and when the engine last looked.
    pub(super) now: u64,
    pub(super) ticked: u64,
    pub(super) clients: Vec<Client>,
    pub(super) rooms: Vec<Room>,
    pub(super) facts: Vec<Fact>,
    pub(super) announcements: Vec<Announcement>,
    pub(super) epoch: Option<String>,
    pub(super) subjects: Vec<String>,
    says: usize,
    pub(super) groups: usize,
    ids: usize,
    /// Of two that were said in one moment, which was seen before which.
    pub(super) before: HashSet<(usize, usize)>,
    pub(super) is_draining: bool,
    /// What readers got, by its name: for the proof that there was something to be judged.
    pub(super) tally: BTreeMap<&'static str, u64>,
    pub(super) idle_tasks: usize,
}

/// What a frame says of a message beside its data.
#[derive(Clone, Copy)]
pub(super) struct Saying {
    pub(super) may: May,
    pub(super) group: usize,
    /// A newcomer gets it before anything else.
    pub(super) opening: bool,
    /// Whom it is for; 0: everyone.
    pub(super) audience: usize,
}

pub(super) const IN_PLACE: Saying = Saying {
    may: May::Nothing,
    group: 0,
    opening: false,
    audience: 0,
};

fn metrics(plan: &Plan) -> Metrics {
    let messages: Vec<&str> = plan
        .messages
        .iter()
        .map(|message| message.name.as_str())
        .collect();
    let endpoints: Vec<&str> = plan
        .endpoints
        .iter()
        .map(|endpoint| endpoint.path.as_str())
        .collect();
    let rules: Vec<&str> = plan.rules.iter().map(|rule| &*rule.name).collect();
    Metrics::new(&MetricNames {
        messages: &messages,
        endpoints: &endpoints,
        limits: &[],
        rules: &rules,
        reject_codes: &RejectCode::ALL.map(RejectCode::as_str),
        close_codes: &CloseCode::ALL.map(CloseCode::as_u16),
    })
}

/// The machine has so much, and uses none of it: a ceiling is another test's.
const MEMORY_BYTES: u64 = 1 << 30;

impl World {
    pub(super) async fn new(plan: &Arc<Plan>) -> Self {
        let noon = Timestamp::parse("2026-11-22T12:00:00Z").expect("a moment");
        let clock = Arc::new(VirtualClock::new(noon));
        let memory = Arc::new(VirtualMemory::new(MEMORY_BYTES));
        let engine = Engine::new(plan.clone(), clock.clone(), memory, Arc::new(metrics(plan)));
        tokio::spawn(engine.clone().run_gatherings());
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let user = |id: &&str| {
            Arc::new(User {
                id: UserId::parse(id).expect("an id"),
                username: (*id).into(),
                authenticated: true,
                claims: Arc::new(Value::Null),
            })
        };
        Self {
            engine,
            users: USERS.iter().map(user).collect(),
            clock,
            now: 0,
            ticked: 0,
            clients: Vec::new(),
            rooms: ROOMS
                .iter()
                .enumerate()
                .map(|(index, name)| Room::new(index, name))
                .collect(),
            facts: Vec::new(),
            announcements: Vec::new(),
            epoch: None,
            subjects: Vec::new(),
            says: 0,
            groups: 0,
            ids: 0,
            before: HashSet::new(),
            is_draining: false,
            tally: BTreeMap::new(),
            idle_tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
        }
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(super) fn identity(&self, user: usize, of: Of) -> Identity {
        let user = User {
            claims: Arc::new(serde_json::json!({"of": of.words()})),
            ..(*self.users[user]).clone()
        };
        Identity {
            user: Arc::new(user),
            expires_at: None,
        }
    }

    pub(super) const fn next_id(&mut self) -> usize {
        self.ids += 1;
        self.ids
    }

    pub(super) fn subject(&mut self, name: String) -> usize {
        let known = self.subjects.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.subjects.push(name);
            self.subjects.len() - 1
        })
    }

    pub(super) fn announce(
        &mut self,
        room: RoomIndex,
        name: &'static str,
        user: usize,
        users: (u64, u64),
        audience: Audience,
        group: usize,
    ) {
        if self.rooms[room].kind.announces == Announces::Nobody {
            return;
        }
        self.announcements.push(Announcement {
            name,
            room,
            user,
            users,
            seen: None,
        });
        let number = self.announcements.len() - 1;
        let what = What::Announcement { number, name, user };
        let may = May::Nothing;
        self.say(
            room,
            &what,
            audience,
            Saying {
                may,
                group,
                ..IN_PLACE
            },
        );
    }

    /// Everyone of `audience` who is in the room has to get it.
    pub(super) fn say(&mut self, room: RoomIndex, what: &What, audience: Audience, saying: Saying) {
        self.says += 1;
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let included = match audience {
                Audience::Everyone => true,
                Audience::NotUser(user) => client.user != user,
                Audience::NotClient(other) => index != other,
            };
            let included = included && client.of.reads(saying.audience);
            if included && client.attached.is_some() && client.seats.contains(&room) {
                self.tell(index, room, what.clone(), saying);
            }
        }
    }

    /// What is told from now on comes later than all before.
    pub(super) const fn says_more(&mut self) {
        self.says += 1;
    }

    /// One connection has to get it, in the form that it speaks.
    pub(super) fn tell(&mut self, client: usize, queue: usize, what: What, saying: Saying) {
        let what = match (self.clients[client].door.speech, what) {
            (Speech::Json, What::Raw(_)) => return,
            (Speech::Raw, what @ What::Raw(_)) | (Speech::Json, what) => what,
            (Speech::Raw, _) => return,
            (Speech::Text, what) => match self.text_of(&what) {
                Some(text) => What::Text(text),
                None => return,
            },
        };
        let expect = Expect {
            what,
            may: saying.may,
            group: saying.group,
            say: self.says,
            opening: saying.opening,
            audience: saying.audience,
            is_last_wish: false,
        };
        self.clients[client].expect(queue, expect);
    }

    /// One connection has to get it in the order of its own frames.
    pub(super) fn tell_alone(&mut self, client: usize, what: What) {
        self.tell(client, OWN, what, IN_PLACE);
    }

    /// What a text endpoint makes of a frame.
    fn text_of(&self, what: &What) -> Option<String> {
        match what {
            What::Message(nonce) => {
                let fact = &self.facts[*nonce];
                let is_shown = matches!(fact.name, "line" | "note" | "secret");
                is_shown
                    .then(|| format!("{} {}", fact.name, fact.data.as_str().unwrap_or_default()))
            }
            What::Reply { nonce, .. } => {
                let data = self.facts[*nonce].data.as_str()?;
                Some(format!("reply {data}"))
            }
            What::Announcement { name, user, .. } => Some(format!("{name} {}", USERS[*user])),
            What::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Notes a message that is about to be published.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        key: usize,
        room: Option<RoomIndex>,
        sender: Option<usize>,
    ) -> Nonce {
        let nonce = self.facts.len();
        let text = format!("{nonce:06}");
        let data = match name {
            "price" | "direct" | "plan" => serde_json::json!({"n": text, "key": USERS[key % 3]}),
            _ => Value::from(text),
        };
        self.facts.push(Fact {
            name,
            data,
            room,
            sender,
            stored: None,
            message_id: None,
            seen: None,
        });
        nonce
    }

    /// Those who are connected.
    pub(super) fn attached(&self) -> Vec<usize> {
        let numbered = self.clients.iter().enumerate();
        numbered
            .filter(|(_, client)| client.attached.is_some())
            .map(|(index, _)| index)
            .collect()
    }
}
