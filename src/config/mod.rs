//! What was written: files to a spanned `Config`.

pub mod session_file;
