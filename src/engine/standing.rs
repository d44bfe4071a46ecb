//! How things stand at the moment, for those who ask why. Looking changes nothing: no token is taken, no room made.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::decision::{Asker, Crowd, Standing, Surroundings};
use crate::engine::Engine;
use crate::engine::limit::{AddressKey, Subject};
use crate::plan::{Endpoint, RateLimit, UNIX_PEER};
use crate::vocab::{RoomName, User, UserId};

impl Surroundings for Engine {
    fn is_running(&self) -> bool {
        true
    }

    fn room(&self, room: &RoomName, user: &UserId) -> Option<Standing> {
        let hall = self.rooms.find(room.as_str());
        Some(match hall {
            Some(hall) => {
                let state = hall.lock();
                Standing {
                    users_count: state.room.members.users_count(),
                    is_member: state.room.has(user),
                }
            }
            None => Standing {
                users_count: 0,
                is_member: false,
            },
        })
    }

    fn wait(&self, limit: &RateLimit, asker: Asker<'_>, ahead: usize) -> Option<Duration> {
        let subject = Subject {
            user: asker.user,
            ip: asker.ip,
            room: asker.room,
            endpoint: asker.endpoint.map(|endpoint| endpoint.index),
            message: asker.message.map(|message| message.index),
            bytes: asker.bytes,
        };
        Some(self.limits.wait(limit, subject, ahead))
    }

    fn crowd(&self, endpoint: &Endpoint, ip: IpAddr) -> Option<Crowd> {
        let here = &self.endpoint_connections[endpoint.index];
        Some(Crowd {
            everywhere: self.connections(),
            from_there: (ip != UNIX_PEER).then(|| self.addresses.count(AddressKey::from(ip))),
            here: here.load(Ordering::Acquire),
        })
    }

    fn connections(&self, endpoint: &Endpoint, user: &UserId) -> Option<usize> {
        Some(self.users.count_at(user.as_str(), endpoint.index))
    }

    fn block_of(&self, user: &User) -> Option<String> {
        let refusal = self.check_blocks(user).err()?;
        Some(refusal.message.into_owned())
    }

    fn block_at(&self, ip: IpAddr) -> Option<String> {
        let refusal = self.check_address(ip).err()?;
        Some(refusal.message.into_owned())
    }
}
