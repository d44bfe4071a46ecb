//! The wire: frames, reject and close codes, and the WebSocket framing beneath them. Pure: bytes in, values out, no IO.

mod code;

pub use code::{CloseCode, Reject, RejectCode};
