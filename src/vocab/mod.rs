//! The words of trunkline as types: names, ids, identity, position, quantities, secrets, time.
//!
//! Each type parses itself behind one fallible door and is right from then on; nothing here does IO.

mod audience;
mod clock;
mod id;
mod identity;
pub mod json;
mod name;
mod position;
mod quantity;
mod secret;

pub use audience::AudienceSet;
pub use clock::{Clock, Monotonic, SystemClock, Timestamp, TimestampError, VirtualClock};
pub use id::{
    BlockId, ConnectionId, HexIdError, MessageId, TokenId, TokenIdError, UserId, UserIdError,
};
pub use identity::{Identity, User, is_username};
pub use name::{
    MessageName, NameError, Parameters, Pattern, PatternError, RoomName, SYSTEM_TYPES, Segment,
};
pub use position::{Epoch, Position, PositionError, Seq};
pub use quantity::{ByteSize, QuantityError, Rate, format_duration, parse_duration};
pub use secret::Secret;
