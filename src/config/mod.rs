//! What was written: files to a spanned `Config`.
