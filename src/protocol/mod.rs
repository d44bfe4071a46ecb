//! What is on the wire: pure, without IO.

pub mod websocket;
