//! The wire, from the outside: our framing against another implementation, and WebSockets over salvo with real sockets.

mod descriptors;
mod differential;
mod echo;
mod slow_clients;
mod upgrade;
