//! permessage-deflate in the opening handshake (RFC 6455 §9.1, RFC 7692 §5 and §7.1): what the client offers and what is agreed.

use std::fmt;

/// The extension's name (RFC 7692 §7).
const NAME: &str = "permessage-deflate";

/// permessage-deflate as it was agreed for one connection (RFC 7692 §7.1).
///
/// Neither end takes its context over to the next message: so one compressed message serves every reader, and no connection keeps
/// a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflation {
    server_window: Option<WindowBits>,
}

/// A window of 2⁸ to 2¹⁵ bytes (RFC 7692 §7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowBits(u8);

/// A parameter of an extension, as it was written.
struct Parameter<'a> {
    name: &'a str,
    value: Option<String>,
}

impl Deflation {
    /// Agrees to the first offer in the values of Sec-WebSocket-Extensions that can be kept (RFC 7692 §5.1). None where there is
    /// none, or where the header is malformed: without the extension the connection works as well.
    #[must_use]
    pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut agreed = None;
        for value in values {
            let mut scanner = Scanner(value);
            let offers = scanner.extensions()?;
            let mut offers = offers.iter().filter(|(name, _)| *name == NAME);
            agreed = agreed.or_else(|| offers.find_map(|(_, parameters)| Self::accept(parameters)));
        }
        agreed
    }

    /// The offer, unless it asks for something unknown, twice the same, or a value that does not exist (RFC 7692 §7.1).
    fn accept(parameters: &[Parameter<'_>]) -> Option<Self> {
        let mut server_window = None;
        for (index, Parameter { name, value }) in parameters.iter().enumerate() {
            if parameters[..index].iter().any(|other| other.name == *name) {
                return None;
            }
            match (*name, value.as_deref()) {
                // Both are answered whether they are asked for or not (§7.1.1).
                ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
                ("server_max_window_bits", Some(bits)) => {
                    server_window = Some(WindowBits::parse(bits)?);
                }
                // A hint that the client could keep to a smaller window (§7.1.2.2): it does not have to.
                ("client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(bits)) => {
                    WindowBits::parse(bits)?;
                }
                _ => return None,
            }
        }
        Some(Self { server_window })
    }

    /// Whether a message of so many bytes may be sent as [`super::Deflater`] compresses it. Its window is the largest there is, but
    /// nothing refers back further than a message is long: who asked for a smaller window gets larger messages as they are
    /// (RFC 7692 §6 leaves it to the sender which messages it compresses).
    #[must_use]
    pub fn covers(self, payload_bytes: usize) -> bool {
        self.server_window.is_none_or(|WindowBits(bits)| {
            bits == WindowBits::MAX || payload_bytes <= 1 << u32::from(bits)
        })
    }
}

impl fmt::Display for Deflation {
    /// The value of Sec-WebSocket-Extensions that agrees (RFC 7692 §7.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{NAME}; server_no_context_takeover; client_no_context_takeover"
        )?;
        match self.server_window {
            Some(WindowBits(bits)) => write!(f, "; server_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

impl WindowBits {
    const MAX: u8 = 15;

    /// 8 to 15, in decimal and without leading zeros (RFC 7692 §7.1.2.1).
    fn parse(text: &str) -> Option<Self> {
        let bits = match text.as_bytes() {
            [digit @ b'8'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'5'] => 10 + digit - b'0',
            _ => return None,
        };
        Some(Self(bits))
    }
}

/// Reads the header's grammar (RFC 6455 §9.1); every part is none where the bytes are something else.
struct Scanner<'a>(&'a [u8]);

impl<'a> Scanner<'a> {
    /// `extension-list`; empty elements are allowed, as in every list of HTTP (RFC 9110 §5.6.1.2).
    fn extensions(&mut self) -> Option<Vec<(&'a str, Vec<Parameter<'a>>)>> {
        let mut extensions = Vec::new();
        loop {
            self.skip_space();
            if !matches!(self.0.first(), None | Some(b',')) {
                let name = self.token()?;
                let mut parameters = Vec::new();
                while self.take(b';') {
                    parameters.push(self.parameter()?);
                }
                extensions.push((name, parameters));
            }
            match self.0.first() {
                None => return Some(extensions),
                Some(_) if self.take(b',') => {}
                Some(_) => return None,
            }
        }
    }

    /// `extension-param`.
    fn parameter(&mut self) -> Option<Parameter<'a>> {
        self.skip_space();
        let name = self.token()?;
        let value = match self.take(b'=') {
            true => Some(self.value()?),
            false => None,
        };
        Some(Parameter { name, value })
    }

    /// A token, or one in quotes.
    fn value(&mut self) -> Option<String> {
        self.skip_space();
        if !self.take_exactly(b'"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let byte = match byte {
                b'"' if value.is_empty() => return None,
                b'"' => return Some(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    escaped
                }
                byte => byte,
            };
            // Without its quotes and escapes it has to be a token.
            value.push(is_token_byte(byte).then_some(char::from(byte))?);
        }
    }

    fn token(&mut self) -> Option<&'a str> {
        let rest = self.0;
        let len = rest
            .iter()
            .position(|byte| !is_token_byte(*byte))
            .unwrap_or(rest.len());
        let (token, after) = rest.split_at(len);
        self.0 = after;
        (len > 0).then(|| std::str::from_utf8(token).ok()).flatten()
    }

    /// Whether `byte` comes next, after spaces; then it is read.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.take_exactly(byte)
    }

    fn take_exactly(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }
}

/// RFC 9110 §5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::Deflation;

    const PLAIN: Option<&str> =
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover");

    fn answer(values: &[&str]) -> Option<String> {
        Deflation::negotiate(values.iter().map(|value| value.as_bytes()))
            .map(|deflation| deflation.to_string())
    }

    fn with_window(bits: u8) -> String {
        format!(
            "{}; server_max_window_bits={bits}",
            PLAIN.unwrap_or_default()
        )
    }

    #[test]
    fn offers_that_are_agreed_to() {
        let table: &[&[&str]] = &[
            &["permessage-deflate"],
            // As Chromium, Firefox and `websockets` offer it.
            &["permessage-deflate; client_max_window_bits"],
            &["permessage-deflate;client_max_window_bits=10"],
            &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            &["permessage-deflate; client_max_window_bits=\"15\""],
            &["permessage-deflate; client_max_window_bits=\"\\1\\5\""],
            &["  permessage-deflate\t;\tclient_max_window_bits = 8 "],
            &["x-webkit-deflate-frame, permessage-deflate"],
            &[", ,permessage-deflate,"],
            &["foo; bar=1; baz=\"2\"", "permessage-deflate"],
            // The first offer cannot be kept, a later one can (RFC 7692 §5.1).
            &["permessage-deflate; server_max_window_bits=16, permessage-deflate"],
            &["permessage-deflate; what=1", "permessage-deflate"],
            &["permessage-deflate, permessage-deflate; server_max_window_bits=9"],
        ];
        for values in table {
            assert_eq!(answer(values).as_deref(), PLAIN, "{values:?}");
        }
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            assert_eq!(answer(&[&offer]), Some(with_window(bits)));
        }
        // RFC 7692 §7.1.3, its example of several offers: the first is taken.
        let offers = "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                      permessage-deflate; client_max_window_bits";
        assert_eq!(answer(&[offers]), Some(with_window(10)));
    }

    #[test]
    fn offers_that_are_declined() {
        let table: &[&[&str]] = &[
            &[],
            &[""],
            &["permessage-bzip2"],
            &["Permessage-Deflate"],
            &["permessage-deflate; unknown"],
            &["permessage-deflate; Server_no_context_takeover"],
            &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
            &["permessage-deflate; client_max_window_bits; client_max_window_bits=9"],
            &["permessage-deflate; server_no_context_takeover=true"],
            &["permessage-deflate; client_no_context_takeover=1"],
            &["permessage-deflate; server_max_window_bits"],
            &["permessage-deflate; server_max_window_bits=7"],
            &["permessage-deflate; server_max_window_bits=16"],
            &["permessage-deflate; server_max_window_bits=09"],
            &["permessage-deflate; server_max_window_bits=+9"],
            &["permessage-deflate; client_max_window_bits=0"],
            &["permessage-deflate; client_max_window_bits=99999999999999999999"],
        ];
        for values in table {
            assert_eq!(answer(values), None, "{values:?}");
        }
    }

    #[test]
    fn malformed_headers_agree_to_nothing() {
        let table: &[&[&str]] = &[
            &["permessage-deflate;"],
            &["permessage-deflate; ; client_max_window_bits"],
            &["permessage-deflate client_max_window_bits"],
            &["permessage-deflate; client_max_window_bits="],
            &["permessage-deflate; client_max_window_bits=\"15"],
            &["permessage-deflate; client_max_window_bits=\"15\\"],
            &["permessage-deflate; client_max_window_bits=\"\""],
            &["permessage-deflate; client_max_window_bits=\"1 5\""],
            &["permessage-deflate; =15"],
            &["; client_max_window_bits"],
            &["permessage-deflate, \"quoted\""],
            &["permessage-deflate", "not a token"],
            &["permessage-deflate\u{e4}"],
        ];
        for values in table {
            assert_eq!(answer(values), None, "{values:?}");
        }
    }

    #[test]
    fn a_smaller_window_covers_what_fits_into_it() {
        let covers = |offer: &str, payload_bytes| {
            Deflation::negotiate([offer.as_bytes()])
                .is_some_and(|deflation| deflation.covers(payload_bytes))
        };
        let small = "permessage-deflate; server_max_window_bits=8";
        assert!(covers(small, 256));
        assert!(!covers(small, 257));
        let largest = "permessage-deflate; server_max_window_bits=15";
        assert!(covers(largest, 1 << 20));
        assert!(covers("permessage-deflate", 1 << 20));
    }

    proptest! {
        #[test]
        fn whatever_is_offered_the_answer_is_one_that_may_be_given(
            value in "(permessage-deflate|x|;|,|=|\"| |server_max_window_bits|client_max_window_bits|9|15|\\\\|\\x00){0,12}",
        ) {
            if let Some(answer) = answer(&[&value]) {
                prop_assert!(value.contains("permessage-deflate"));
                prop_assert!(answer.starts_with(PLAIN.unwrap_or_default()));
            }
        }
    }
}
