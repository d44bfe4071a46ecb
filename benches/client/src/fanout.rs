//! Messages to rooms, a publisher in each, a window of them in flight; every delivery is checked and paid for by the server's CPU.

use std::net::SocketAddr;
use std::time::Instant;

use crate::arguments::Arguments;
use crate::connection::{State, masked};
use crate::crowd::Crowd;
use crate::process::{Cost, Process, counter, http_get};

pub fn run(arguments: &Arguments) -> Result<String, String> {
    let plan = Plan::read(arguments)?;
    let mut crowd = Crowd::connect(plan.address, &plan.paths()?, plan.ready)?;
    let warm_up = (plan.messages / 10).max(plan.rooms.min(1000));
    let mut rooms = Rooms::new(&plan);
    publish(&plan, &mut crowd, &mut rooms, warm_up)?;
    let (begun, before, counters_before) = (Instant::now(), plan.server.cost()?, plan.counters()?);
    rooms.tally = Tally::default();
    publish(&plan, &mut crowd, &mut rooms, plan.messages)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (after, counters) = (plan.server.cost()?, plan.counters()?);
    rooms.count_missing();
    Ok(report(
        &rooms.tally,
        seconds,
        before,
        after,
        counters_before.zip(counters),
    ))
}

struct Plan {
    address: SocketAddr,
    server: Process,
    read: String,
    publish: String,
    rooms: usize,
    readers: usize,
    window: usize,
    messages: usize,
    bytes: usize,
    message: String,
    ready: State,
    metrics: Option<String>,
}

impl Plan {
    fn read(arguments: &Arguments) -> Result<Self, String> {
        Ok(Self {
            address: arguments.required("address")?,
            server: Process::new(arguments.required("pid")?),
            read: arguments.text("read")?.to_owned(),
            publish: arguments.text("publish")?.to_owned(),
            rooms: arguments.value("rooms", 1)?,
            readers: arguments.value("readers", 1000)?,
            window: arguments.value("window", 1)?,
            messages: arguments.value("messages", 2000)?,
            bytes: arguments.value("bytes", 128)?,
            message: arguments.value("message", "{}".to_owned())?,
            ready: if arguments.optional("ready") == Some("frame") {
                State::Greeted
            } else {
                State::Open
            },
            metrics: arguments.optional("metrics").map(str::to_owned),
        })
    }

    /// The publishers first, one per room, then the readers. Everyone in a room hears it, its publisher too.
    fn paths(&self) -> Result<Vec<String>, String> {
        if self.bytes < self.message.len() + NUMBER_WIDTH {
            return Err(format!(
                "--bytes {} is too small for the message",
                self.bytes
            ));
        }
        let path = |template: &str, room: usize| template.replace("{room}", &room.to_string());
        let publishers = (0..self.rooms).map(|room| path(&self.publish, room));
        let readers = (0..self.rooms)
            .flat_map(|room| (0..self.readers).map(move |_| room))
            .map(|room| path(&self.read, room));
        Ok(publishers.chain(readers).collect())
    }

    fn frame(&self, number: u64) -> Vec<u8> {
        let mut content = format!("#{number:010}");
        content.push_str(&"x".repeat(self.bytes - (self.message.len() - 2) - content.len()));
        masked(1, self.message.replacen("{}", &content, 1).as_bytes())
    }

    /// The server's own account: frames sent and writes made.
    fn counters(&self) -> Result<Option<(f64, f64)>, String> {
        let Some(path) = &self.metrics else {
            return Ok(None);
        };
        let text = http_get(self.address, path)?;
        let of = |name| counter(&text, name).ok_or_else(|| format!("{path} has no {name}"));
        Ok(Some((
            of("trunkline_frames_sent_total")?,
            of("trunkline_socket_writes_total")?,
        )))
    }
}

const NUMBER_WIDTH: usize = 11;

/// What each room has sent and each connection has heard.
struct Rooms {
    sent: Vec<u64>,
    /// By connection: the number of the last message heard.
    heard: Vec<u64>,
    delivered: Vec<u64>,
    listeners: u64,
    room_of: Vec<usize>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    deliveries: u64,
    bytes: u64,
    /// Messages of which every delivery has been made.
    complete: u64,
    lost: u64,
    /// A message that was heard before, or came after a later one.
    repeated_or_late: u64,
}

impl Rooms {
    fn new(plan: &Plan) -> Self {
        let publishers = 0..plan.rooms;
        let readers = (0..plan.rooms).flat_map(|room| (0..plan.readers).map(move |_| room));
        let room_of: Vec<usize> = publishers.chain(readers).collect();
        Self {
            sent: vec![0; plan.rooms],
            heard: vec![0; room_of.len()],
            delivered: vec![0; plan.rooms],
            listeners: plan.readers as u64 + 1,
            room_of,
            tally: Tally::default(),
        }
    }

    fn take(&mut self, connection: usize, message: &[u8]) {
        let Some(number) = number_in(message) else {
            return;
        };
        let last = &mut self.heard[connection];
        if number <= *last {
            self.tally.repeated_or_late += 1;
            return;
        }
        self.tally.lost += number - *last - 1;
        *last = number;
        self.tally.deliveries += 1;
        self.tally.bytes += message.len() as u64;
        let delivered = &mut self.delivered[self.room_of[connection]];
        *delivered += 1;
        if delivered.is_multiple_of(self.listeners) {
            self.tally.complete += 1;
        }
    }

    /// What had not come when the run ended.
    fn count_missing(&mut self) {
        let missing = self
            .heard
            .iter()
            .zip(&self.room_of)
            .map(|(heard, room)| self.sent[*room] - heard);
        self.tally.lost += missing.sum::<u64>();
    }
}

/// The digits after the `#`, where the message is one of ours.
fn number_in(message: &[u8]) -> Option<u64> {
    let start = message.iter().position(|byte| *byte == b'#')? + 1;
    std::str::from_utf8(message.get(start..start + NUMBER_WIDTH - 1)?)
        .ok()?
        .parse()
        .ok()
}

/// Publishes to the rooms in turn, `window` messages in flight, until all are delivered or nothing comes any more.
fn publish(
    plan: &Plan,
    crowd: &mut Crowd,
    rooms: &mut Rooms,
    messages: usize,
) -> Result<(), String> {
    let complete_before = rooms.tally.complete;
    let (mut sent, messages) = (0, messages as u64);
    loop {
        let complete = rooms.tally.complete - complete_before;
        if complete == messages {
            return Ok(());
        }
        while sent < messages && sent - complete < plan.window as u64 {
            let room = sent as usize % plan.rooms;
            rooms.sent[room] += 1;
            crowd.connections[room].send(&plan.frame(rooms.sent[room]))?;
            sent += 1;
        }
        if !crowd.turn(|connection, message| rooms.take(connection, message))? {
            eprintln!(
                "nothing came for 10 s: {} of {messages} messages are complete",
                rooms.tally.complete - complete_before
            );
            return Ok(());
        }
    }
}

fn report(
    tally: &Tally,
    seconds: f64,
    before: Cost,
    after: Cost,
    counters: Option<((f64, f64), (f64, f64))>,
) -> String {
    let deliveries = tally.deliveries as f64;
    let mut line = format!(
        r#"{{"deliveries":{},"lost":{},"repeated_or_late":{},"seconds":{seconds:.2},"deliveries_per_second":{:.0},"cpu_us_per_delivery":{:.3},"bytes_per_delivery":{:.0}"#,
        tally.deliveries,
        tally.lost,
        tally.repeated_or_late,
        deliveries / seconds,
        (after.cpu_seconds - before.cpu_seconds) * 1e6 / deliveries,
        tally.bytes as f64 / deliveries,
    );
    // A server that delivers with send instead of write has next to no write calls, and the figure would mean nothing.
    let writes = (after.write_calls - before.write_calls) as f64;
    if writes * 200.0 > deliveries {
        line += &format!(r#","deliveries_per_write_call":{:.2}"#, deliveries / writes);
    }
    if let Some((earlier, later)) = counters {
        line += &format!(
            r#","frames_per_socket_write":{:.2}"#,
            (later.0 - earlier.0) / (later.1 - earlier.1).max(1.0)
        );
    }
    line + "}"
}
