//! The wire: frames, reject and close codes, and the WebSocket framing beneath them. Pure: bytes in, values out, no IO.

mod code;
mod encode;
mod envelope;
mod farewell;
mod frame;
pub mod proxy;
pub mod websocket;

pub use code::{CloseCode, Reject, RejectCode, excerpt};
pub use encode::{Frame, FrameKind, Object};
pub use farewell::{Farewell, FarewellError};
pub use frame::{
    ClientFrame, Decoded, HistoryQuery, ID_BYTES_MAX, JoinFrame, KEY_BYTES_MAX, MembersQuery,
    MessageFrame, RoomSince, Undecodable, decode, decode_onto,
};
