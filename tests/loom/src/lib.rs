//! The engine's protocols between threads as models: loom tries every interleaving of them, and every value that a relaxed load
//! may see. A model repeats its original step by step; who changes one changes the other:
//!
//! | model | original |
//! |---|---|
//! | `wake` | `Connection::register`, `wake`, `is_blocked`, `abandon` and the task in `transport/socket.rs` |
//! | `empty` | `Count` in `engine/ticket.rs` and `Engine::drain` |
//! | `farewell` | `Engine::attach` beside `Engine::drain`: nobody misses that the server stops |
//! | `retire` | `Rooms::with`, `open` and `retire` in `broker/memory.rs` |
//! | `gather` | `Outbox::push` with `coalesce`, `Outlet::gather` and `let_go` |
//!
//! Each has a test that breaks the protocol in the way that comes to mind first, and has to fail.

#[cfg(test)]
mod empty;
#[cfg(test)]
mod farewell;
#[cfg(test)]
mod gather;
#[cfg(test)]
mod retire;
#[cfg(test)]
mod wake;
