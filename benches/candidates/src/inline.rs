//! The publisher writes to each reader whose socket is free; where it is not, the reader's own task goes on.

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::outbox::{Outbox, Standing};
use crate::socket::Inbound;

/// A connection, as its room knows it.
pub struct Member {
    stream: TcpStream,
    outbox: Mutex<Outbox>,
    /// Its task has something to do: wait until the socket takes more, or end.
    called: Notify,
}

impl Member {
    /// A connection for which nothing waits.
    pub fn new(stream: TcpStream) -> Arc<Self> {
        Arc::new(Self {
            stream,
            outbox: Mutex::default(),
            called: Notify::new(),
        })
    }

    /// Writes, or keeps for its task what the socket does not take.
    pub fn push(&self, frames: &[Bytes], slices: &[IoSlice<'_>]) {
        let mut outbox = lock(&self.outbox);
        let was_free = outbox.is_empty();
        match outbox.push(frames, slices, &self.stream) {
            Standing::Free => {}
            Standing::Blocked if !was_free => {}
            Standing::Blocked | Standing::Over => self.called.notify_one(),
        }
    }

    /// Reads until the connection is over, and writes what was kept.
    pub async fn run(&self, mut inbound: Inbound, mut on_message: impl FnMut(Bytes)) {
        let mut standing = Standing::Free;
        loop {
            tokio::select! {
                ready = self.stream.readable() => {
                    if ready.is_err() || !inbound.read(&self.stream, &mut on_message) {
                        return;
                    }
                }
                () = self.called.notified() => standing = lock(&self.outbox).drain(&self.stream),
                ready = self.stream.writable(), if standing == Standing::Blocked => {
                    if ready.is_err() {
                        return;
                    }
                    standing = lock(&self.outbox).drain(&self.stream);
                }
            }
            if standing == Standing::Over {
                return;
            }
        }
    }
}

/// Locks what no panic leaves half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Room = Arc<Mutex<Vec<Arc<Member>>>>;

/// All rooms, by name.
#[derive(Default)]
pub struct Rooms(Mutex<HashMap<String, Room>>);

/// One connection, from its handshake to its end.
pub async fn serve(stream: TcpStream, rooms: Arc<Rooms>) {
    let mut inbound = Inbound::default();
    let Some(name) = inbound.shake_hands(&stream).await else {
        return;
    };
    let room = lock(&rooms.0).entry(name).or_default().clone();
    let member = Member::new(stream);
    lock(&room).push(member.clone());
    member
        .run(inbound, |frame| {
            let frames = [frame];
            let slices = [IoSlice::new(&frames[0])];
            for reader in lock(&room).iter() {
                reader.push(&frames, &slices);
            }
        })
        .await;
    lock(&room).retain(|other| !Arc::ptr_eq(other, &member));
}
