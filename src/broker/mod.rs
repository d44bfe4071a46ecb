//! Rooms across nodes. So far one node: [`memory`] holds every room of this process.

pub mod memory;
