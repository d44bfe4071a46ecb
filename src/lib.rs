//! trunkline

pub mod protocol;
pub mod transport;
