//! What has to hold at any moment, when everything has been said, and when everyone is gone.

use std::collections::BTreeSet;

use trunkline::engine::Phase;

use crate::simulation::expect::What;
use crate::simulation::house::Speech;
use crate::simulation::socket::Manner;
use crate::simulation::world::World;

impl World {
    /// What holds at any moment: the counters tell what sockets got, and who is there.
    pub(super) fn count(&mut self) -> Result<(), String> {
        self.read_all()?;
        let metrics = self.engine.metrics();
        let totals = self.clients.iter().map(|client| client.socket.totals());
        let (bytes, calls) = totals.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        let frames: u64 = self.clients.iter().map(|client| client.frames).sum();
        let attached = self.attached();
        let users: BTreeSet<usize> = attached
            .iter()
            .map(|client| self.clients[*client].user)
            .collect();
        for (what, told, is) in [
            ("bytes_sent", metrics.bytes_sent.get(), bytes),
            ("frames_sent", metrics.frames_sent.get(), frames),
            ("socket_writes", metrics.socket_writes.get(), calls),
            (
                "connections",
                self.engine.connections() as u64,
                attached.len() as u64,
            ),
            ("users", self.engine.users() as u64, users.len() as u64),
            ("panics", metrics.panics.get(), 0),
        ] {
            if told != is {
                return Err(format!("{what} tells {told} where it is {is}"));
            }
        }
        Ok(())
    }

    /// Everything that waits is written, by sockets that take everything: then nobody lacks anything.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        let attached = self.attached();
        let manners: Vec<Manner> = attached
            .iter()
            .map(|client| self.clients[*client].socket.behave(Manner::Fast))
            .collect();
        for _ in 0..4 {
            self.quiet().await?;
            self.drive_all()?;
            // What gathers leaves after a while of the runtime's own time.
            tokio::time::advance(std::time::Duration::from_millis(100)).await;
        }
        self.quiet().await?;
        self.drive_all()?;
        for client in self.attached() {
            self.is_complete(client)?;
        }
        let metrics = self.engine.metrics();
        let closing = self
            .clients
            .iter()
            .any(|client| client.attached.is_some() && !client.is_open());
        let (bytes, frames) = (metrics.queue_bytes.get(), metrics.queue_frames.get());
        if !closing && (bytes, frames) != (0, 0) {
            return Err(format!("{frames} frames of {bytes} bytes wait for nobody"));
        }
        for (client, manner) in attached.into_iter().zip(manners) {
            self.clients[client].socket.behave(manner);
        }
        Ok(())
    }

    /// An open connection has everything that it had to get.
    fn is_complete(&mut self, index: usize) -> Result<(), String> {
        if !self.clients[index].is_open() {
            return Ok(());
        }
        if self.clients[index].is_replaced {
            return Err(format!("{index} should have been replaced"));
        }
        for queue in 0..self.clients[index].queues.len() {
            while let Some(expect) = self.clients[index].queues[queue].pop_front() {
                self.go_without(index, queue, &expect, None)
                    .map_err(|error| format!("nothing more comes: {error}"))?;
            }
        }
        Ok(())
    }

    /// The end: everything is said, everyone goes in one of the ways there are, and nothing remains.
    pub(super) async fn finish(&mut self, way: usize) -> Result<(), String> {
        self.settle().await?;
        for client in self.attached() {
            self.clients[client].socket.behave(Manner::Fast);
        }
        match way % 3 {
            0 => self
                .attached()
                .into_iter()
                .for_each(|client| self.detach(client)),
            1 => self.drain().await?,
            // Silence: heartbeats end what is left.
            _ => self
                .clients
                .iter_mut()
                .for_each(|client| client.is_deaf = true),
        }
        for _ in 0..150 {
            self.pass(1000).await;
            self.tick();
            self.quiet().await?;
            self.drive_all()?;
            if self.attached().is_empty() {
                break;
            }
        }
        self.drive_all()?;
        if let Some(client) = self.attached().first() {
            return Err(format!(
                "{client} has been silent for long, and is still there"
            ));
        }
        self.is_empty().await
    }

    async fn drain(&mut self) -> Result<(), String> {
        self.is_draining = true;
        for client in self.attached() {
            if self.clients[client].is_open() && self.clients[client].door.speech == Speech::Json {
                self.tell_alone(client, What::Reconnect);
            }
        }
        let engine = self.engine.clone();
        let drained = tokio::spawn(async move { engine.drain().await });
        for _ in 0..200 {
            tokio::task::yield_now().await;
            self.drive_all()?;
            for client in self.attached() {
                let connection = self.clients[client].connection();
                if connection.is_some_and(|connection| connection.phase() == Phase::Open) {
                    return Err(format!("{client} is not told to go"));
                }
            }
            if self.attached().is_empty() {
                break;
            }
            self.pass(100).await;
            self.tick();
        }
        if let Some(client) = self.clients.iter().position(|client| {
            client.closed == Some(1012)
                && client
                    .queues
                    .iter()
                    .flatten()
                    .any(|expect| matches!(expect.what, What::Reconnect))
        }) {
            return Err(format!(
                "{client} is closed without being told to come back"
            ));
        }
        drained.await.map_err(|error| error.to_string())
    }

    /// Everyone is gone: when their time is over too, nothing remains.
    async fn is_empty(&mut self) -> Result<(), String> {
        self.quiet().await?;
        // Longer than every age, window and grace.
        for _ in 0..4 {
            self.pass(20_000).await;
            self.walk();
            self.quiet().await?;
        }
        self.count()?;
        let metrics = self.engine.metrics();
        let connections: i64 = metrics.connections.iter().map(|gauge| gauge.get()).sum();
        for (what, left) in [
            ("rooms", self.engine.rooms() as i64),
            ("users", self.engine.users() as i64),
            ("connections", self.engine.connections() as i64),
            ("connections by endpoint", connections),
            ("stored bytes", self.engine.stored_bytes() as i64),
            ("queue_bytes", metrics.queue_bytes.get()),
            ("queue_frames", metrics.queue_frames.get()),
            ("rate limit keys", self.engine.rate_limit_keys() as i64),
        ] {
            if left != 0 {
                return Err(format!("{left} {what} remain when everyone is gone"));
            }
        }
        Ok(())
    }
}
