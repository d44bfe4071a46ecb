//! Connections whose user is not known yet: they wait for their first message, or for what the application says. Whoever holds many
//! open without ever saying who it is must not take the places of those who do.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Engine;
use crate::engine::limit::AddressKey;
use crate::engine::ticket::Refusal;
use crate::protocol::CloseCode;

/// One address has one place of so many at most.
const SHARE: usize = 2;

/// A connection whose user is not known yet; it counts until this goes.
pub struct Newcomer {
    engine: Arc<Engine>,
    /// Nothing on this machine, which stands for many people.
    address: Option<AddressKey>,
}

impl Engine {
    /// A connection has to wait until its user is known: counts it, if there is room.
    ///
    /// # Errors
    /// There is none, or its address has its share.
    pub fn wait_for_user(self: &Arc<Self>, ip: IpAddr) -> Result<Newcomer, Refusal> {
        let max = self.plan.server.unauthenticated_max;
        let full = |message| Refusal::unavailable(message, CloseCode::Overloaded);
        // Counted before it is looked at, so that two at once cannot both be the last; who is refused is taken off again.
        let others = self.newcomers.fetch_add(1, Ordering::AcqRel);
        self.metrics.unauthenticated_connections.inc();
        let mut newcomer = Newcomer {
            engine: self.clone(),
            address: None,
        };
        if others >= max {
            return Err(full("too many connections have not said yet who they are"));
        }
        if ip.to_canonical().is_loopback() {
            return Ok(newcomer);
        }
        let address = AddressKey::from(ip);
        if !self.newcomers_of.take(address, max.div_ceil(SHARE)) {
            return Err(full(
                "too many connections of your address have not said yet who they are",
            ));
        }
        newcomer.address = Some(address);
        Ok(newcomer)
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        self.engine.newcomers.fetch_sub(1, Ordering::AcqRel);
        self.engine.metrics.unauthenticated_connections.dec();
        if let Some(address) = self.address {
            self.engine.newcomers_of.give_back(address);
        }
    }
}
