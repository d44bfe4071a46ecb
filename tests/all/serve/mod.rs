//! The server as clients see it: one in this process for each test, over real sockets, under a clock that the test moves.
//!
//! Nothing here sleeps. What should come is waited for, with a deadline; that nothing comes is shown by what comes next.

mod admission;
mod agreement;
mod application;
mod audiences;
mod auth;
mod bench;
mod client;
mod compression;
mod control;
mod denials;
mod drain;
mod edge;
mod errors;
mod fault;
mod harness;
mod heartbeat;
mod history;
mod http;
mod idempotency;
mod inbox;
mod joining;
mod keys;
mod limits;
mod memory;
mod presence;
mod protocols;
mod queue;
mod refresh;
mod resume;
mod rooms;
mod routes;
mod thinning;
