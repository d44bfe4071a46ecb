//! How the application has a connection end: a close code and a reason.

use crate::protocol::CloseCode;
use crate::protocol::websocket::{CloseCode as WireCode, REASON_BYTES_MAX};

/// A close code that an application may use, and a reason that fits behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    code: WireCode,
    reason: Box<str>,
}

/// Why a connection cannot be ended so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FarewellError {
    /// A code that the application may not use: most of those below 3000 say what happened to the connection itself.
    #[error("`code` is one of 1000, 1008, 1011, 1012, 1013, or from 4000 to 4999, and this is {0}")]
    Code(u16),
    /// A reason that does not fit into a close frame (RFC 6455 §5.5).
    #[error("`reason` has at most {REASON_BYTES_MAX} bytes, and this one has {0}")]
    Reason(usize),
}

impl Farewell {
    /// Ends a connection with `code`; without a `reason` with the one that goes with the code.
    ///
    /// # Errors
    /// The code is not the application's to use (1000, 1008, 1011–1013 and 4000–4999 are), or the reason has more than 123 bytes.
    pub fn new(code: u16, reason: Option<&str>) -> Result<Self, FarewellError> {
        let wire_code = match code {
            1000 | 1008 | 1011..=1013 | 4000..=4999 => WireCode::new(code),
            _ => None,
        };
        let known = || {
            let mut all = CloseCode::ALL.iter();
            let known = all.find(|known| known.as_u16() == code);
            known.map_or("", |known| known.reason())
        };
        let reason = reason.unwrap_or_else(known);
        if reason.len() > REASON_BYTES_MAX {
            return Err(FarewellError::Reason(reason.len()));
        }
        Ok(Self {
            code: wire_code.ok_or(FarewellError::Code(code))?,
            reason: reason.into(),
        })
    }

    /// The close code.
    pub const fn code(&self) -> WireCode {
        self.code
    }

    /// The reason, at most 123 bytes.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

#[cfg(test)]
mod tests {
    use super::{Farewell, FarewellError};

    #[test]
    fn some_codes_are_the_applications() {
        for (code, reason, expected) in [
            (4010, None, Ok("disconnected by the application")),
            (4010, Some("bye"), Ok("bye")),
            (4999, None, Ok("")),
            (1000, None, Ok("done")),
            (1012, None, Ok("restarting, come back")),
            (4010, Some(""), Ok("")),
            (999, None, Err(FarewellError::Code(999))),
            (1001, None, Err(FarewellError::Code(1001))),
            (1005, None, Err(FarewellError::Code(1005))),
            (1009, None, Err(FarewellError::Code(1009))),
            (3999, None, Err(FarewellError::Code(3999))),
            (5000, None, Err(FarewellError::Code(5000))),
        ] {
            let farewell = Farewell::new(code, reason);
            let found = farewell.as_ref().map(|farewell| {
                assert_eq!(farewell.code().get(), code);
                farewell.reason()
            });
            assert_eq!(found, expected.as_ref().copied(), "{code}");
        }
        assert!(Farewell::new(4010, Some(&"x".repeat(123))).is_ok());
        let long = "ü".repeat(62);
        assert_eq!(
            Farewell::new(4010, Some(&long)),
            Err(FarewellError::Reason(124))
        );
    }
}
