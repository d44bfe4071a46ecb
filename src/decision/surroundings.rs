//! What changes while a server runs, for inquiries.

use std::net::IpAddr;
use std::time::Duration;

use crate::decision::Crowd;
use crate::plan::{Endpoint, Message, RateLimit};
use crate::vocab::{RoomName, User, UserId};

/// What is the case at the moment; none wherever nobody can tell. Asking changes nothing.
pub trait Surroundings: Send + Sync {
    /// Whether a server runs there, with what it has fetched.
    fn is_running(&self) -> bool;

    /// How a room stands to a user.
    fn room(&self, room: &RoomName, user: &UserId) -> Option<Standing>;

    /// How long the bucket of `limit` has no token for `asker` once it has taken `ahead` of them; zero where it has one.
    fn wait(&self, limit: &RateLimit, asker: Asker<'_>, ahead: usize) -> Option<Duration>;

    /// Which connections one from `ip` at `endpoint` has to find a place among.
    fn crowd(&self, endpoint: &Endpoint, ip: IpAddr) -> Option<Crowd>;

    /// How many connections a user has at an endpoint.
    fn connections(&self, endpoint: &Endpoint, user: &UserId) -> Option<usize>;

    /// What those are told whom the application has blocked, if `user` is one of them.
    fn block_of(&self, user: &User) -> Option<String>;

    /// As [`Surroundings::block_of`], of everyone at an address.
    fn block_at(&self, ip: IpAddr) -> Option<String>;
}

/// How a room stands to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many users it has.
    pub users_count: usize,
    /// The user is one of them.
    pub is_member: bool,
}

/// Who asks for a token of a rate limit: what is absent is not limited by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker<'a> {
    /// The user.
    pub user: Option<&'a UserId>,
    /// The address.
    pub ip: Option<IpAddr>,
    /// The room.
    pub room: Option<&'a RoomName>,
    /// The endpoint.
    pub endpoint: Option<&'a Endpoint>,
    /// The message type.
    pub message: Option<&'a Message>,
    /// The bytes of the frame.
    pub bytes: usize,
}

/// No server runs: there is the file and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct FileAlone;

impl Surroundings for FileAlone {
    fn is_running(&self) -> bool {
        false
    }

    fn room(&self, _: &RoomName, _: &UserId) -> Option<Standing> {
        None
    }

    fn wait(&self, _: &RateLimit, _: Asker<'_>, _: usize) -> Option<Duration> {
        None
    }

    fn crowd(&self, _: &Endpoint, _: IpAddr) -> Option<Crowd> {
        None
    }

    fn connections(&self, _: &Endpoint, _: &UserId) -> Option<usize> {
        None
    }

    fn block_of(&self, _: &User) -> Option<String> {
        None
    }

    fn block_at(&self, _: IpAddr) -> Option<String> {
        None
    }
}
