//! WebSocket framing (RFC 6455), for both ends of a connection.
//!
//! It turns bytes that a socket gave into [`Event`]s and messages into bytes for a socket. It never reads or writes a socket
//! itself, knows no async, no clock and no logs, and does not know what a message means.
//!
//! An idle connection costs the size of a [`Decoder`] and nothing on the heap: frames are parsed and unmasked in the buffer that the caller has just read
//! into, which it may share among all connections of a thread. Only a frame or a message that has come in part is kept, and only
//! until the rest has come.
//!
//! ```
//! use trunkline::protocol::websocket::{Decoder, Event, Input, Limits, Masking, Role, encode_text};
//!
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! let mut scratch = encode_text("hello", Masking::Key([1, 2, 3, 4])).to_vec();
//! let mut input = Input::new(&mut scratch);
//! while let Some(event) = decoder.next(&mut input)? {
//!     assert_eq!(event, Event::Text("hello"));
//! }
//! # Ok::<(), trunkline::protocol::websocket::Violation>(())
//! ```
//!
//! Extensions (RFC 6455 §9): permessage-deflate (RFC 7692), where [`Deflation::negotiate`] agrees to it. Compressor and decompressor
//! carry nothing from one message to the next, so that a [`Deflater`] and an [`Inflater`] for each thread are enough.

mod close;
mod deflate;
mod encode;
mod extension;
mod frame;
mod handshake;
mod inflate;
mod input;
mod mask;
mod message;
mod partial;
mod utf8;
mod violation;

pub use close::{CloseCode, CloseFrame, REASON_BYTES_MAX};
pub use deflate::{DEFLATED_MESSAGE_BYTES_MAX, Deflater};
pub use encode::{FrameWriter, encode_binary, encode_close, encode_ping, encode_pong, encode_text};
pub use extension::Deflation;
pub use frame::{
    CONTROL_BYTES_MAX, ControlPayload, EncodedHeader, Fragment, HEADER_BYTES_MAX, Header, Masking,
    Opcode, Reserved, Role,
};
pub use handshake::{ClientKey, VERSION, VersionOffer, has_token, tokens};
pub use inflate::Inflater;
pub use input::{Event, Input, Limits};
pub use mask::unmask;
pub use message::Decoder;
pub use violation::Violation;
