//! The PROXY protocol, by which a proxy that forwards bytes says where they come from (HAProxy's `proxy-protocol.txt`, versions 1
//! and 2): one header, before anything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A version 1 header has so many bytes at most, its line's end included (§2.1).
const V1_BYTES_MAX: usize = 107;
/// What begins a header of version 2 (§2.2).
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Before the addresses: signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// A version 2 header may have so many bytes here. The format would allow 65 551; addresses take 36, and what proxies send beside
/// them (TLVs: a TLS client's certificate name, a cloud's endpoint id) a few hundred.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The connection is this client's.
    Client(SocketAddr),
    /// The connection is the proxy's own (`LOCAL`: it looks whether we live), or of somebody whose address it does not know.
    Proxy,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// All bytes so far are the header's, and so are the next ones.
    Partial {
        /// So many of those, at least; never what follows the header.
        more: usize,
    },
    /// It is there, in the first `len` bytes.
    Whole {
        /// How many bytes are the header's.
        len: usize,
        /// What it says.
        source: Source,
    },
}

/// Why bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They begin in another way.
    #[error("the connection does not begin with a PROXY header")]
    NotAHeader,
    /// It does not end within its bound.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A version 1 line of another form.
    #[error("the PROXY header is not `PROXY TCP4|TCP6|UNKNOWN source destination port port`")]
    Line,
    /// A version 2 header of another version, command or family, or too short for its addresses.
    #[error("the binary PROXY header is malformed")]
    Binary,
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// They are not one, and no more bytes would make them one.
pub fn read_header(bytes: &[u8]) -> Result<Header, HeaderError> {
    let begins = |with: &[u8]| {
        let len = bytes.len().min(with.len());
        bytes[..len] == with[..len]
    };
    let is_binary = begins(V2_SIGNATURE);
    let len = bytes.len();
    if (is_binary || begins(b"PROXY ")) && len < V2_SIGNATURE.len() {
        // The shortest line, `PROXY UNKNOWN`, is longer.
        let more = V2_SIGNATURE.len() - len;
        return Ok(Header::Partial { more });
    }
    if is_binary {
        read_binary(bytes)
    } else if begins(b"PROXY ") {
        read_line(bytes)
    } else {
        Err(HeaderError::NotAHeader)
    }
}

fn read_line(bytes: &[u8]) -> Result<Header, HeaderError> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        // At least the rest of the line's end.
        let more = if within.ends_with(b"\r") { 1 } else { 2 };
        return if within.len() + more <= V1_BYTES_MAX {
            Ok(Header::Partial { more })
        } else {
            Err(HeaderError::TooLong)
        };
    };
    let line = std::str::from_utf8(&within[..end]).map_err(|_| HeaderError::Line)?;
    let source = source_of(line).ok_or(HeaderError::Line)?;
    let len = end + 2;
    Ok(Header::Whole { len, source })
}

fn source_of(line: &str) -> Option<Source> {
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored (§2.1).
        return Some(Source::Proxy);
    }
    let [source, destination, port, to] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let number = |text: &str| -> Option<u16> {
        let is_canonical = text == "0" || !text.starts_with(['0', '+']);
        is_canonical.then(|| text.parse().ok())?
    };
    address(destination)?;
    number(to)?;
    let client = SocketAddr::new(address(source)?, number(port)?);
    Some(Source::Client(client))
}

fn read_binary(bytes: &[u8]) -> Result<Header, HeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(V2_FIXED_BYTES) else {
        let more = V2_FIXED_BYTES - bytes.len();
        return Ok(Header::Partial { more });
    };
    let (command, family) = (fixed[12], fixed[13]);
    let rest_len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let len = V2_FIXED_BYTES + rest_len;
    if len > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Binary),
    };
    let Some(addresses) = rest.get(..rest_len) else {
        let more = rest_len - rest.len();
        return Ok(Header::Partial { more });
    };
    let source = match family {
        _ if is_local => Source::Proxy,
        0x11 => {
            let ip: [u8; 4] = part(addresses, 0, 12)?;
            client(Ipv4Addr::from(ip).into(), part(addresses, 8, 12)?)
        }
        0x21 => {
            let ip: [u8; 16] = part(addresses, 0, 36)?;
            client(Ipv6Addr::from(ip).into(), part(addresses, 32, 36)?)
        }
        // Not known, or a Unix socket's: neither is an address.
        0x00 | 0x31 => Source::Proxy,
        _ => return Err(HeaderError::Binary),
    };
    Ok(Header::Whole { len, source })
}

/// Bytes of the addresses, which have `whole` bytes at least.
fn part<const N: usize>(addresses: &[u8], at: usize, whole: usize) -> Result<[u8; N], HeaderError> {
    let addresses = addresses.get(..whole).ok_or(HeaderError::Binary)?;
    let part = addresses.get(at..at + N).ok_or(HeaderError::Binary)?;
    part.try_into().map_err(|_| HeaderError::Binary)
}

fn client(ip: IpAddr, port: [u8; 2]) -> Source {
    Source::Client(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HEADER_BYTES_MAX, Header, HeaderError, Source, V2_SIGNATURE, read_header};

    fn whole(len: usize, client: &str) -> Result<Header, HeaderError> {
        let source = match client {
            "" => Source::Proxy,
            client => Source::Client(client.parse().expect("an address")),
        };
        Ok(Header::Whole { len, source })
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).expect("short");
        [
            &V2_SIGNATURE[..],
            &[command, family],
            &len.to_be_bytes(),
            rest,
        ]
        .concat()
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
                whole(41, "192.0.2.7:56324"),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\nGET /",
                whole(41, "192.0.2.7:56324"),
            ),
            (
                "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
                whole(32, "[2001:db8::1]:1"),
            ),
            ("PROXY UNKNOWN\r\n", whole(15, "")),
            ("PROXY UNKNOWN ffff:f and more\r\n", whole(31, "")),
            ("", Ok(Header::Partial { more: 12 })),
            ("PRO", Ok(Header::Partial { more: 9 })),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r",
                Ok(Header::Partial { more: 1 }),
            ),
            ("GET / HTTP/1.1\r\n", Err(HeaderError::NotAHeader)),
            (
                "proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
                Err(HeaderError::NotAHeader),
            ),
            ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Err(HeaderError::Line)),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
                Err(HeaderError::Line),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
                Err(HeaderError::Line),
            ),
            (
                "PROXY TCP4 192.0.2.7  10.0.0.1 1 2\r\n",
                Err(HeaderError::Line),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n",
                Err(HeaderError::Line),
            ),
            (
                "PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n",
                Err(HeaderError::Line),
            ),
            (
                "PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
                Err(HeaderError::Line),
            ),
            ("PROXY \r\n\r\n\r\n", Err(HeaderError::Line)),
        ] {
            assert_eq!(read_header(line.as_bytes()), expected, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107));
        assert_eq!(read_header(long.as_bytes()), Err(HeaderError::TooLong));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(read_header(longest.as_bytes()), whole(107, ""));
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 1, 187];
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 1;
        v6[33] = 9;
        let tlv = [&v4[..], &[4, 0, 2, 7, 7]].concat();
        for (command, family, rest, expected) in [
            (0x21, 0x11, &v4[..], whole(28, "192.0.2.7:56324")),
            (0x21, 0x11, &tlv, whole(33, "192.0.2.7:56324")),
            (0x21, 0x21, &v6, whole(52, "[2001::1]:9")),
            (0x20, 0x00, &[], whole(16, "")),
            (0x20, 0x11, &v4, whole(28, "")),
            (0x21, 0x00, &[], whole(16, "")),
            (0x21, 0x31, &[0; 216], whole(232, "")),
            (0x21, 0x11, &v4[..11], Err(HeaderError::Binary)),
            (0x21, 0x21, &v6[..35], Err(HeaderError::Binary)),
            (0x21, 0x12, &v4, Err(HeaderError::Binary)),
            (0x11, 0x11, &v4, Err(HeaderError::Binary)),
            (0x22, 0x11, &v4, Err(HeaderError::Binary)),
            (
                0x21,
                0x11,
                &[0; HEADER_BYTES_MAX],
                Err(HeaderError::TooLong),
            ),
        ] {
            let header = binary(command, family, rest);
            assert_eq!(read_header(&header), expected, "{command:x} {family:x}");
            let more = [&header[..], b"GET"].concat();
            assert_eq!(read_header(&more), expected);
        }
    }

    proptest! {
        /// However it is cut, each beginning of a header is part of one, and what follows it changes nothing.
        #[test]
        fn every_beginning_is_partial(cut in 0usize..60, ip: [u8; 16], port: u16, line: bool) {
            let client = std::net::SocketAddr::new(std::net::Ipv6Addr::from(ip).into(), port);
            let header = if line {
                format!("PROXY TCP6 {} ::1 {port} 1\r\n", client.ip()).into_bytes()
            } else {
                let rest = [&ip[..], &[0; 16], &port.to_be_bytes(), &[0, 1]].concat();
                binary(0x21, 0x21, &rest)
            };
            let cut = cut.min(header.len() - 1);
            let Ok(Header::Partial { more }) = read_header(&header[..cut]) else {
                return Err(TestCaseError::fail("not partial"));
            };
            prop_assert!(more > 0 && cut + more <= header.len(), "{more} of {}", header.len());
            let source = Source::Client(client);
            prop_assert_eq!(read_header(&header), Ok(Header::Whole { len: header.len(), source }));
        }

        #[test]
        fn anything_is_read_without_harm(bytes: Vec<u8>, begin in 0usize..5) {
            let begins: [&[u8]; 5] = [
                b"",
                b"PROXY ",
                b"PROXY UNKNOWN ",
                V2_SIGNATURE,
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
            ];
            let bytes = [begins[begin], &bytes].concat();
            let whole = read_header(&bytes);
            if let Ok(Header::Whole { len, .. }) = whole {
                prop_assert!(len <= bytes.len());
                prop_assert_eq!(read_header(&bytes[..len]), whole);
            }
            // As the server reads: only what is surely the header's.
            let mut len = 0;
            while let Ok(Header::Partial { more }) = read_header(&bytes[..len]) {
                prop_assert!(more > 0 && len + more <= HEADER_BYTES_MAX);
                len += more;
                if len > bytes.len() {
                    let is_whole = matches!(whole, Ok(Header::Whole { .. }));
                    prop_assert!(!is_whole);
                    return Ok(());
                }
            }
            match (read_header(&bytes[..len]), whole) {
                (Ok(stepped), Ok(whole)) => prop_assert_eq!(stepped, whole),
                (stepped, whole) => prop_assert!(stepped.is_err() && whole.is_err()),
            }
        }
    }
}
