//! The room gathers what is published in a turn of the scheduler; one flush writes each reader's share with one vectored write.

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::inline::{Member, lock};
use crate::socket::Inbound;

/// So many readers are written to before other tasks get their turn.
const READERS_PER_TURN: usize = 128;

/// What a room's publishers and its flush share.
#[derive(Default)]
struct Room {
    members: Mutex<Arc<Vec<Arc<Member>>>>,
    feed: Mutex<Feed>,
}

#[derive(Default)]
struct Feed {
    waiting: Vec<Bytes>,
    is_flushing: bool,
}

/// All rooms, by name.
#[derive(Default)]
pub struct Rooms(Mutex<HashMap<String, Arc<Room>>>);

/// One connection, from its handshake to its end.
pub async fn serve(stream: TcpStream, rooms: Arc<Rooms>) {
    let mut inbound = Inbound::default();
    let Some(name) = inbound.shake_hands(&stream).await else {
        return;
    };
    let room = lock(&rooms.0).entry(name).or_default().clone();
    let member = Member::new(stream);
    Arc::make_mut(&mut *lock(&room.members)).push(member.clone());
    member.run(inbound, |frame| publish(&room, frame)).await;
    Arc::make_mut(&mut *lock(&room.members)).retain(|other| !Arc::ptr_eq(other, &member));
}

fn publish(room: &Arc<Room>, frame: Bytes) {
    let mut feed = lock(&room.feed);
    feed.waiting.push(frame);
    if !feed.is_flushing {
        feed.is_flushing = true;
        tokio::spawn(flush(room.clone()));
    }
}

async fn flush(room: Arc<Room>) {
    // The others that are ready in this turn publish first: what they say leaves together.
    tokio::task::yield_now().await;
    loop {
        let frames = {
            let mut feed = lock(&room.feed);
            if feed.waiting.is_empty() {
                feed.is_flushing = false;
                return;
            }
            std::mem::take(&mut feed.waiting)
        };
        let members = lock(&room.members).clone();
        for some in members.chunks(READERS_PER_TURN) {
            let slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
            for member in some {
                member.push(&frames, &slices);
            }
            drop(slices);
            tokio::task::yield_now().await;
        }
    }
}
