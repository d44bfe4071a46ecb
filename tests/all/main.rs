//! The one integration binary.

mod golden;
mod reader;
