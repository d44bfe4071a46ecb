//! What the application does to connections and members over the HTTP API, and what it may see of them.
//!
//! Each act is one function that takes names and returns a count, so that a cluster has one place to pass it on to other nodes:
//! [`Engine::disconnect_user`], [`Engine::disconnect_connection`], [`Engine::remove_member`], [`Engine::block`],
//! [`Engine::unblock`].

use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::block::{Block, BlockOrder, BlockTarget, TooManyBlocks, token_id};
use crate::engine::connection::Connection;
use crate::engine::feed::Feed;
use crate::engine::limit::AddressKey;
use crate::engine::link::Phase;
use crate::engine::membership::seat;
use crate::engine::ticket::Refusal;
use crate::engine::{Engine, random_bytes};
use crate::plan::Endpoint;
use crate::protocol::{CloseCode, Farewell, Object, Reject, RejectCode};
use crate::room::Grace;
use crate::vocab::{BlockId, ConnectionId, RoomName, Timestamp, User, UserId};

/// Users, or blocks, that one answer lists at most.
pub const PAGE_MAX: usize = 1000;

/// A connection as the application sees it.
#[derive(Clone, Debug)]
pub struct ConnectionSeen {
    /// Its id.
    pub id: ConnectionId,
    /// Where it came in.
    pub endpoint: Arc<Endpoint>,
    /// Where from.
    pub ip: IpAddr,
    /// Since when.
    pub since: Timestamp,
    /// The rooms that it is in.
    pub rooms: Vec<RoomName>,
}

/// A user as the application sees it.
#[derive(Clone, Debug, Default)]
pub struct UserSeen {
    /// The name to show; none while the user is not connected.
    pub username: Option<Arc<str>>,
    /// The open connections.
    pub connections: Vec<ConnectionSeen>,
}

/// A member of a room as the application sees it.
#[derive(Clone, Debug)]
pub struct MemberSeen {
    /// Who.
    pub user: Arc<User>,
    /// Connections in the room; none while the grace of presence runs.
    pub connections: u32,
    /// When the first of them entered.
    pub joined_at: Timestamp,
}

/// Some of a room's members, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct MembersSeen {
    /// Those of this page.
    pub page: Vec<MemberSeen>,
    /// How many there are in all.
    pub users_count: usize,
    /// Whether others follow.
    pub more: bool,
}

impl Engine {
    /// Ends every connection of a user; returns how many.
    pub fn disconnect_user(self: &Arc<Self>, user: &UserId, farewell: &Farewell) -> usize {
        self.send_off_all(&self.users.connections(user.as_str()), farewell)
    }

    /// Ends one connection; returns how many that were: it may be gone. Looks at all connections for it.
    pub fn disconnect_connection(self: &Arc<Self>, id: ConnectionId, farewell: &Farewell) -> usize {
        let found = self.users.matching(|connection| connection.id == id);
        self.send_off_all(&found, farewell)
    }

    /// Takes every connection of a user out of a room; returns how many were there. It is no ban: who may join may come again.
    ///
    /// # Errors
    /// No declared pattern has the room.
    pub fn remove_member(self: &Arc<Self>, room: &str, user: &UserId) -> Result<usize, Reject> {
        let target = self.target(room)?;
        let Some(hall) = self.rooms.find(target.name.as_str()) else {
            return Ok(0);
        };
        let left = Object::new("left", 96)
            .field("room", hall.name.as_str())
            .field("reason", "removed")
            .finish();
        let mut removed = 0;
        for connection in self.users.connections(user.as_str()) {
            let Ok(seat) = seat(&connection, hall.name.as_str()) else {
                continue;
            };
            let farewell = |feed: &mut Feed| feed.answer(connection.serial, left.clone());
            let departed = self.depart(&connection, &seat, Grace::None, farewell);
            removed += usize::from(departed);
        }
        self.end_absence(&hall, user);
        Ok(removed)
    }

    /// Keeps somebody out from now on, and ends the connections that are concerned; returns the block and how many those were.
    ///
    /// # Errors
    /// There are as many blocks as may be.
    pub fn block(self: &Arc<Self>, order: BlockOrder) -> Result<(Arc<Block>, usize), Reject> {
        let id = BlockId::from_random(u64::from_ne_bytes(random_bytes()));
        // Kept before connections are looked for: those that come in meanwhile see it (`Engine::attach`).
        let block = self.blocks.put(id, order).map_err(|TooManyBlocks| {
            let text = "the server keeps as many blocks as it may: see `server.limits.blocks`";
            Reject::new(RejectCode::Unavailable, text)
        })?;
        let concerned = match &block.order.target {
            BlockTarget::User(user) => self.users.connections(user.as_str()),
            BlockTarget::Token(token) => self.users.matching(|connection| {
                token_id(&connection.identity()).as_deref() == Some(token.as_str())
            }),
            BlockTarget::Address(address) => {
                let address = AddressKey::from(*address);
                self.users
                    .matching(|connection| AddressKey::from(connection.ip) == address)
            }
        };
        let disconnected = self.send_off_all(&concerned, &farewell(&block));
        Ok((block, disconnected))
    }

    /// Takes a block away; returns it, if there was one.
    pub fn unblock(&self, id: BlockId) -> Option<Arc<Block>> {
        self.blocks.remove(id)
    }

    /// At most `limit` of the blocks that hold, in the order of their ids and behind `after`, and whether there are more.
    pub fn blocks_page(&self, after: Option<BlockId>, limit: usize) -> (Vec<Arc<Block>>, bool) {
        self.blocks
            .page(after, limit.min(PAGE_MAX), self.clock.now())
    }

    /// Blocks at the moment.
    pub fn blocks(&self) -> usize {
        self.blocks.count()
    }

    /// Whether `user`, or the token that it came with, may be here: for handshakes, and for tokens that living connections bring.
    ///
    /// # Errors
    /// A block keeps them out.
    pub fn check_blocks(&self, user: &User) -> Result<(), Refusal> {
        match self.blocks.of_user(user, self.clock.now()) {
            Some(block) => Err(Refusal::blocked(block.order.reason.as_deref())),
            None => Ok(()),
        }
    }

    /// As [`Self::check_blocks`], of everyone at an address.
    ///
    /// # Errors
    /// A block keeps them out.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        match self.blocks.of_address(address, self.clock.now()) {
            Some(block) => Err(Refusal::blocked(block.order.reason.as_deref())),
            None => Ok(()),
        }
    }

    /// How a connection that was blocked while it came in, or while its token was verified, has to end; none where it was not.
    pub(super) fn blocked_meanwhile(&self, connection: &Connection) -> Option<Farewell> {
        let now = self.clock.now();
        let block = self.blocks.of_user(&connection.identity(), now);
        let block = block.or_else(|| self.blocks.of_address(connection.ip, now));
        block.map(|block| farewell(&block))
    }

    /// What a user is connected with.
    pub fn user_seen(&self, user: &UserId) -> UserSeen {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let connections = self.users.connections(user.as_str());
        let open = connections
            .iter()
            .filter(|connection| connection.phase() == Phase::Open);
        let mut seen = UserSeen::default();
        for connection in open {
            seen.username = Some(connection.user.username.clone());
            let age = connection.age(monotonic);
            let since = now.as_millis().saturating_sub(age.as_millis() as u64);
            let seats = connection.inner.lock().seats.clone();
            seen.connections.push(ConnectionSeen {
                id: connection.id,
                endpoint: connection.endpoint.clone(),
                ip: connection.ip,
                since: Timestamp::from_millis(since),
                rooms: seats.iter().map(|hall| hall.name.clone()).collect(),
            });
        }
        seen
    }

    /// At most `limit` members of a room whose ids follow `after`.
    ///
    /// # Errors
    /// No declared pattern has the room.
    pub fn members_seen(
        &self,
        room: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<MembersSeen, Reject> {
        let target = self.target(room)?;
        let Some(hall) = self.rooms.find(target.name.as_str()) else {
            return Ok(MembersSeen::default());
        };
        let state = hall.lock();
        let members = &state.room.members;
        let (page, more) = members.page(after, limit.min(PAGE_MAX));
        let page = page.into_iter().map(|member| MemberSeen {
            user: member.user.clone(),
            connections: member.connections,
            joined_at: member.joined_at,
        });
        Ok(MembersSeen {
            page: page.collect(),
            users_count: members.users_count(),
            more,
        })
    }

    fn send_off_all(
        self: &Arc<Self>,
        connections: &[Arc<Connection>],
        farewell: &Farewell,
    ) -> usize {
        let sent_off = connections
            .iter()
            .filter(|connection| self.send_off(connection, farewell));
        sent_off.count()
    }

    /// Ends a connection as the application says. It leaves its rooms now, as one that leaves on purpose: nobody waits for its
    /// peer, and no grace runs.
    pub(super) fn send_off(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        farewell: &Farewell,
    ) -> bool {
        if connection.phase() != Phase::Open {
            return false;
        }
        connection.close_for(farewell.code(), farewell.reason());
        self.abandon_later(connection);
        let seats = {
            let mut inner = connection.inner.lock();
            inner.sent_off = true;
            inner.seats.clone()
        };
        for seat in seats {
            self.depart(connection, &seat, Grace::None, |_| {});
        }
        true
    }
}

fn farewell(block: &Block) -> Farewell {
    let code = CloseCode::Disconnected.as_u16();
    Farewell::new(code, block.order.reason.as_deref())
        .expect("the reason of a block fits into a close frame: its order was checked")
}
