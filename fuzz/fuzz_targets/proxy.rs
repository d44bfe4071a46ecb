//! PROXY headers out of arbitrary bytes: reading never panics, asks only for bytes that are the header's, ends within its bound, and
//! does not depend on how the bytes come.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../src/protocol/proxy.rs"]
mod proxy;

use proxy::{HEADER_BYTES_MAX, Header, HeaderError, read_header};

fuzz_target!(|case: (u8, &[u8])| {
    let (begin, bytes) = case;
    let begins: [&[u8]; 4] = [
        b"",
        b"PROXY ",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 ",
        b"\r\n\r\n\0\r\nQUIT\n\x21",
    ];
    let bytes = [begins[usize::from(begin) % begins.len()], bytes].concat();
    let whole = read_header(&bytes);
    // As the server reads: only what is surely the header's.
    let mut len = 0;
    let stepped = loop {
        match read_header(&bytes[..len]) {
            Ok(Header::Partial { more }) => {
                assert!(more > 0 && len + more <= HEADER_BYTES_MAX);
                if len + more > bytes.len() {
                    break None;
                }
                len += more;
            }
            Ok(Header::Whole { len: told, source }) => {
                assert_eq!(told, len, "bytes behind the header were taken");
                break Some(Ok(source));
            }
            Err(error) => break Some(Err::<proxy::Source, HeaderError>(error)),
        }
    };
    match (whole, stepped) {
        (Ok(Header::Whole { source, .. }), Some(Ok(stepped))) => assert_eq!(source, stepped),
        // Fewer bytes than any header has may show already that they begin none.
        (Err(_), Some(Err(_)) | None) | (Ok(Header::Partial { .. }), None) => {}
        (whole, stepped) => panic!("{whole:?} at once, {stepped:?} in steps"),
    }
});
