//! Threads that own their connections: nothing of a socket is shared, and frames cross from thread to thread in batches.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::inline::lock;
use crate::outbox::{Outbox, Standing};
use crate::socket::Inbound;

const BACKLOG: u32 = 4096;

/// A room's number, and which threads have readers of it.
struct Room {
    number: usize,
    threads: AtomicU64,
}

/// What crosses to a thread.
#[derive(Clone)]
enum Item {
    /// To be put in order: the receiving thread is the room's.
    Publish(Arc<Room>, Bytes),
    /// To be written to the room's readers of this thread.
    Deliver(Arc<Room>, Bytes),
}

/// Where a thread finds what others hand it.
#[derive(Default)]
struct Inbox {
    items: Mutex<Vec<Item>>,
    called: Notify,
}

/// What all threads share.
#[derive(Default)]
struct House {
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    inboxes: Vec<Inbox>,
}

impl House {
    fn room(&self, name: String) -> Arc<Room> {
        let mut rooms = lock(&self.rooms);
        let number = rooms.len();
        let room = rooms.entry(name).or_insert_with(|| {
            Arc::new(Room {
                number,
                threads: AtomicU64::new(0),
            })
        });
        room.clone()
    }
}

/// A connection of this thread.
struct Member {
    stream: TcpStream,
    outbox: RefCell<Outbox>,
    called: Notify,
}

/// A thread's own: its connections by room, and what it will hand on at the end of the turn, by thread.
struct Shard {
    house: Arc<House>,
    number: usize,
    members: RefCell<HashMap<usize, Vec<Rc<Member>>>>,
    outgoing: RefCell<Vec<Vec<Item>>>,
}

/// Runs the threads; they share the port.
pub fn run(address: SocketAddr, threads: usize) -> Result<(), String> {
    if threads > 64 {
        return Err("a room knows of 64 threads".to_owned());
    }
    let house = Arc::new(House {
        inboxes: (0..threads).map(|_| Inbox::default()).collect(),
        ..House::default()
    });
    let mut handles = Vec::new();
    for number in 0..threads {
        let house = house.clone();
        handles.push(std::thread::spawn(move || one(address, number, house)));
    }
    for handle in handles {
        handle.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn one(address: SocketAddr, number: usize, house: Arc<House>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| error.to_string())?;
    let shard = Rc::new(Shard {
        number,
        members: RefCell::default(),
        outgoing: RefCell::new(vec![Vec::new(); house.inboxes.len()]),
        house,
    });
    LocalSet::new().block_on(&runtime, async {
        let listener = listen(address).map_err(|error| error.to_string())?;
        tokio::task::spawn_local(flush(shard.clone()));
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            tokio::task::spawn_local(serve(stream, shard.clone()));
        }
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(stream: TcpStream, shard: Rc<Shard>) {
    let mut inbound = Inbound::default();
    let Some(name) = inbound.shake_hands(&stream).await else {
        return;
    };
    let room = shard.house.room(name);
    let member = Rc::new(Member {
        stream,
        outbox: RefCell::default(),
        called: Notify::new(),
    });
    room.threads.fetch_or(1 << shard.number, Ordering::Relaxed);
    shard
        .members
        .borrow_mut()
        .entry(room.number)
        .or_default()
        .push(member.clone());
    read(&shard, &room, &member, inbound).await;
    if let Some(members) = shard.members.borrow_mut().get_mut(&room.number) {
        members.retain(|other| !Rc::ptr_eq(other, &member));
        if members.is_empty() {
            room.threads
                .fetch_and(!(1 << shard.number), Ordering::Relaxed);
        }
    }
}

/// Reads until the connection is over, and writes what the flush could not.
async fn read(shard: &Shard, room: &Arc<Room>, member: &Member, mut inbound: Inbound) {
    let mut standing = Standing::Free;
    while standing != Standing::Over {
        tokio::select! {
            ready = member.stream.readable() => {
                let publish = |frame| shard.publish(room, frame);
                if ready.is_err() || !inbound.read(&member.stream, publish) {
                    return;
                }
            }
            () = member.called.notified() => standing = member.outbox.borrow_mut().drain(&member.stream),
            ready = member.stream.writable(), if standing == Standing::Blocked => {
                if ready.is_err() {
                    return;
                }
                standing = member.outbox.borrow_mut().drain(&member.stream);
            }
        }
    }
}

/// Once for each turn: hands on what crosses to other threads, writes what is for this one's readers.
async fn flush(shard: Rc<Shard>) {
    let inbox = &shard.house.inboxes[shard.number];
    loop {
        inbox.called.notified().await;
        // The others that are ready in this turn publish first.
        tokio::task::yield_now().await;
        let mut items = std::mem::take(&mut *lock(&inbox.items));
        items.append(&mut shard.outgoing.borrow_mut()[shard.number]);
        let mut batches: HashMap<usize, Vec<Bytes>> = HashMap::new();
        for item in items {
            match item {
                Item::Publish(room, frame) => shard.put_in_order(&room, frame, &mut batches),
                Item::Deliver(room, frame) => batches.entry(room.number).or_default().push(frame),
            }
        }
        shard.hand_on();
        for (room, frames) in batches {
            shard.write(room, &frames);
            tokio::task::yield_now().await;
        }
    }
}

impl Shard {
    /// Keeps a frame for the room's thread until the end of the turn.
    fn publish(&self, room: &Arc<Room>, frame: Bytes) {
        let home = room.number % self.house.inboxes.len();
        self.outgoing.borrow_mut()[home].push(Item::Publish(room.clone(), frame));
        self.house.inboxes[self.number].called.notify_one();
    }

    /// This thread is the room's: the order in which frames come here is the room's order.
    fn put_in_order(
        &self,
        room: &Arc<Room>,
        frame: Bytes,
        batches: &mut HashMap<usize, Vec<Bytes>>,
    ) {
        let threads = room.threads.load(Ordering::Relaxed);
        for (thread, outgoing) in self.outgoing.borrow_mut().iter_mut().enumerate() {
            if threads & (1 << thread) == 0 {
                continue;
            }
            if thread == self.number {
                batches.entry(room.number).or_default().push(frame.clone());
            } else {
                outgoing.push(Item::Deliver(room.clone(), frame.clone()));
            }
        }
    }

    /// One lock and one wake-up for each thread that gets anything.
    fn hand_on(&self) {
        for (thread, outgoing) in self.outgoing.borrow_mut().iter_mut().enumerate() {
            if thread == self.number || outgoing.is_empty() {
                continue;
            }
            let inbox = &self.house.inboxes[thread];
            lock(&inbox.items).append(outgoing);
            inbox.called.notify_one();
        }
    }

    fn write(&self, room: usize, frames: &[Bytes]) {
        let slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        let members = self.members.borrow();
        for member in members.get(&room).into_iter().flatten() {
            let mut outbox = member.outbox.borrow_mut();
            let was_free = outbox.is_empty();
            match outbox.push(frames, &slices, &member.stream) {
                Standing::Blocked if !was_free => {}
                Standing::Free => {}
                Standing::Blocked | Standing::Over => member.called.notify_one(),
            }
        }
    }
}
