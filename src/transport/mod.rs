//! HTTP and what comes out of it: the only folder that names salvo.

pub mod acceptor;
pub mod upgrade;
