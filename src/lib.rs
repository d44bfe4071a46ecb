//! trunkline: a realtime channel server that is declared, not programmed.
//!
//! A YAML file names endpoints, rooms, auth modes, rate limits and message types; [`config`] reads it, [`plan`] says what it
//! means, [`server`] runs it. ARCHITECTURE.md has the map; `tests/all/house.rs` enforces which folder may import which.

pub mod auth;
pub mod broker;
pub mod cli;
pub mod config;
pub mod diag;
pub mod engine;
pub mod loadgen;
pub mod plan;
pub mod protocol;
pub mod room;
pub mod rule;
pub mod schema;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod vocab;
pub mod webhook;
