//! A task for each connection that drains its outbox.

use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::outbox::SLICES_MAX;
use crate::socket::Inbound;

/// So many frames may wait for a connection.
const FRAMES_MAX: usize = 4096;

type Room = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

/// All rooms, by name.
#[derive(Default)]
pub struct Rooms(Mutex<HashMap<String, Room>>);

/// One connection, from its handshake to its end.
pub async fn serve(stream: TcpStream, rooms: Arc<Rooms>) {
    let mut inbound = Inbound::default();
    let Some(name) = inbound.shake_hands(&stream).await else {
        return;
    };
    let room = {
        let mut rooms = rooms.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(name).or_default().clone()
    };
    let (sender, mut outbox) = mpsc::channel(FRAMES_MAX);
    room.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(sender);
    let mut frames = Vec::with_capacity(SLICES_MAX);
    loop {
        tokio::select! {
            ready = stream.readable() => {
                if ready.is_err() || !inbound.read(&stream, |frame| publish(&room, &frame)) {
                    return;
                }
            }
            // Without what is sent to it no longer: who was too slow has no sender left.
            count = outbox.recv_many(&mut frames, SLICES_MAX) => {
                if count == 0 || !write(&stream, &mut frames).await {
                    return;
                }
            }
        }
    }
}

/// Puts a frame into every outbox; who has no place for it is forgotten, which ends its connection.
fn publish(room: &Room, frame: &Bytes) {
    let mut members = room.lock().unwrap_or_else(PoisonError::into_inner);
    members.retain(|member| member.try_send(frame.clone()).is_ok());
}

async fn write(stream: &TcpStream, frames: &mut Vec<Bytes>) -> bool {
    let mut first = 0;
    while first < frames.len() {
        let slices: Vec<IoSlice<'_>> = frames[first..]
            .iter()
            .map(|frame| IoSlice::new(frame))
            .collect();
        match stream.try_write_vectored(&slices) {
            Ok(mut taken) => {
                while first < frames.len() && frames[first].len() <= taken {
                    taken -= frames[first].len();
                    first += 1;
                }
                if taken > 0 {
                    frames[first].advance(taken);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if stream.writable().await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    frames.clear();
    true
}
