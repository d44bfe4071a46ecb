//! Many connections on one epoll.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, State};

/// How many handshakes are under way at once: below any server's listen queue.
const HANDSHAKES: usize = 100;
/// How long nothing may happen before the run is over.
const STALLED: Duration = Duration::from_secs(10);

pub struct Crowd {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    pub connections: Vec<Connection>,
}

impl Crowd {
    /// Connects to all paths and waits until each has reached the state.
    pub fn connect(address: SocketAddr, paths: &[String], ready: State) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
        let mut crowd = Self {
            poll,
            events: Events::with_capacity(4096),
            scratch: vec![0; 256 * 1024],
            connections: Vec::new(),
        };
        let (mut waiting, mut done) = (paths.iter(), 0);
        while done < paths.len() {
            while crowd.connections.len() - done < HANDSHAKES {
                let Some(path) = waiting.next() else { break };
                crowd.dial(address, path)?;
            }
            let mut reached = 0;
            crowd.turn_watching(ready, &mut reached, |_, _| {})?;
            done += reached;
        }
        Ok(crowd)
    }

    fn dial(&mut self, address: SocketAddr, path: &str) -> Result<(), String> {
        let mut connection = Connection::dial(address, path)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(self.connections.len());
        self.poll
            .registry()
            .register(&mut connection.stream, token, interest)
            .map_err(|error| format!("epoll: {error}"))?;
        self.connections.push(connection);
        Ok(())
    }

    /// Waits for something to happen; calls back with the number of the connection and the message. False when nothing did.
    pub fn turn(&mut self, on_message: impl FnMut(usize, &[u8])) -> Result<bool, String> {
        match self.turn_watching(State::Greeted, &mut 0, on_message) {
            Err(error) if error == STALLED_MESSAGE => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    fn turn_watching(
        &mut self,
        watched: State,
        reached: &mut usize,
        mut on_message: impl FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        let end = Instant::now() + STALLED;
        loop {
            match self.poll.poll(
                &mut self.events,
                Some(end.saturating_duration_since(Instant::now())),
            ) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("epoll: {error}")),
            }
        }
        if self.events.is_empty() {
            return Err(STALLED_MESSAGE.to_owned());
        }
        for event in &self.events {
            let number = event.token().0;
            let connection = &mut self.connections[number];
            let before = connection.state;
            if event.is_writable() {
                connection.on_writable()?;
            }
            if event.is_readable() {
                connection.on_readable(&mut self.scratch, |message| on_message(number, message))?;
            }
            if before < watched && connection.state >= watched {
                *reached += 1;
            }
        }
        Ok(())
    }
}

const STALLED_MESSAGE: &str = "nothing happened for 10 s";
