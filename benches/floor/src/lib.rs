//! What the floor and the candidates share: as much of RFC 6455 as a load client needs.

pub mod arguments;
pub mod frame;
pub mod handshake;
