//! permessage-deflate: who gets it, what comes compressed and what leaves so (RFC 7692).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trunkline::protocol::websocket::{Fragment, Header, Masking, Opcode, Reserved, unmask};

use crate::serve::client::{DEADLINE, fits, read_head, write_head};
use crate::serve::harness::Server;

const YAML: &str = r#"
auth: {guest: {anonymous: {}}}
messages:
  line: {schema: {type: string}, to: room}
rooms:
  all: {may_join: "true", messages: [line]}
endpoints:
  /ws: {auth: guest, auto_join: [all], compression: {min_size: 200B}, limits: {message_size: 8KiB}}
  /plain: {auth: guest, auto_join: [all]}
  /text:
    auth: guest
    protocol: text
    auto_join: [all]
    text_message: line
    render: {line: "{data}{data}"}
    compression: {}
  /raw: {auth: guest, protocol: raw, raw: {to: sender}, compression: {min_size: 10B}, limits: {message_size: 8KiB}}
"#;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A client that shows how frames came, with a decompressor of its own.
struct Raw {
    stream: TcpStream,
    agreed: Option<String>,
}

/// How a message came, and what it holds.
#[derive(Debug, PartialEq)]
enum Came {
    Plain(Vec<u8>),
    Compressed(Vec<u8>),
    Closed(u16),
}

impl Raw {
    async fn connect(server: &Server, path: &str, offer: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("a server");
        let mut headers = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend(offer.map(|offer| ("Sec-WebSocket-Extensions", offer)));
        write_head(&mut stream, "GET", path, &headers).await;
        let (status, mut headers) = read_head(&mut stream).await;
        assert_eq!(status, 101);
        let agreed = headers.remove("sec-websocket-extensions");
        Self { stream, agreed }
    }

    async fn send(&mut self, frame: Header, payload: &[u8]) {
        let header = Header {
            masking: Masking::Key(KEY),
            payload_bytes: payload.len() as u64,
            ..frame
        };
        let mut bytes = header.encode().to_vec();
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], KEY, 0);
        self.stream.write_all(&bytes).await.expect("it is taken");
    }

    /// The next message, past pings and the first frame of a JSON endpoint.
    async fn next(&mut self) -> Came {
        let read = async {
            loop {
                let mut bytes = vec![0; 2];
                self.stream.read_exact(&mut bytes).await.expect("a frame");
                let (header, _) = loop {
                    if let Some(parsed) = Header::parse(&bytes).expect("a header") {
                        break parsed;
                    }
                    bytes.push(self.stream.read_u8().await.expect("a header"));
                };
                let mut payload = vec![0; header.payload_bytes as usize];
                self.stream
                    .read_exact(&mut payload)
                    .await
                    .expect("a payload");
                match (header.opcode, header.reserved) {
                    (Opcode::Close, _) => {
                        return Came::Closed(u16::from_be_bytes([payload[0], payload[1]]));
                    }
                    (Opcode::Ping | Opcode::Pong, _) => {}
                    (_, Reserved::NONE) => return Came::Plain(payload),
                    (_, reserved) => {
                        assert_eq!(reserved, Reserved::RSV1);
                        return Came::Compressed(decompress(&payload));
                    }
                }
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .expect("something comes")
    }

    /// The frame that comes next; whether it came compressed.
    async fn expect(&mut self, expected: Value) -> bool {
        let (payload, compressed) = match self.next().await {
            Came::Plain(payload) => (payload, false),
            Came::Compressed(payload) => (payload, true),
            closed => panic!("{closed:?}"),
        };
        let frame: Value = serde_json::from_slice(&payload).expect("JSON");
        assert!(fits(&frame, &expected), "not {expected}\nbut {frame}");
        compressed
    }
}

fn compress(payload: &[u8]) -> Vec<u8> {
    let mut state = Compress::new(Compression::default(), false);
    let mut bytes = vec![0; payload.len() + 100];
    state
        .compress(payload, &mut bytes, FlushCompress::Sync)
        .expect("there is room");
    bytes.truncate(state.total_out() as usize - 4);
    bytes
}

fn decompress(payload: &[u8]) -> Vec<u8> {
    let mut state = Decompress::new(false);
    let mut bytes = vec![0; 1 << 20];
    let whole = [payload, &[0, 0, 0xFF, 0xFF]].concat();
    state
        .decompress(&whole, &mut bytes, FlushDecompress::Sync)
        .expect("a compressed message");
    bytes.truncate(state.total_out() as usize);
    bytes
}

const fn whole(opcode: Opcode, reserved: Reserved) -> Header {
    Header {
        reserved,
        ..Header::whole(opcode, 0, Masking::Plain)
    }
}

const COMPRESSED: Header = whole(Opcode::Text, Reserved::RSV1);
const PLAIN: Header = whole(Opcode::Text, Reserved::NONE);

fn line(data: &str) -> Vec<u8> {
    json!({"type": "line", "data": data})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn it_is_agreed_where_the_endpoint_has_it_and_the_client_offers_it() {
    let server = Server::start(YAML);
    let table = [
        ("/ws", Some(OFFER), Some(AGREED.to_owned())),
        ("/raw", Some("permessage-deflate"), Some(AGREED.to_owned())),
        (
            "/text",
            Some("permessage-deflate; server_max_window_bits=9"),
            Some(format!("{AGREED}; server_max_window_bits=9")),
        ),
        ("/ws", None, None),
        ("/ws", Some("permessage-deflate; what"), None),
        ("/ws", Some("permessage-deflate;;"), None),
        ("/plain", Some(OFFER), None),
    ];
    for (path, offer, agreed) in table {
        let client = Raw::connect(&server, path, offer).await;
        assert_eq!(client.agreed, agreed, "{path} {offer:?}");
    }
}

#[tokio::test]
async fn what_comes_compressed_is_read() {
    let server = Server::start(YAML);
    let mut ann = Raw::connect(&server, "/ws", Some(OFFER)).await;
    ann.expect(json!({"type": "welcome"})).await;
    ann.send(COMPRESSED, &compress(&line("whole"))).await;
    ann.expect(json!({"type": "line", "data": "whole"})).await;
    let payload = compress(&line("in fragments"));
    let first = Header {
        fragment: Fragment::More,
        ..COMPRESSED
    };
    ann.send(first, &payload[..5]).await;
    ann.send(whole(Opcode::Ping, Reserved::NONE), b"between")
        .await;
    ann.send(whole(Opcode::Continuation, Reserved::NONE), &payload[5..])
        .await;
    ann.expect(json!({"type": "line", "data": "in fragments"}))
        .await;
    ann.send(PLAIN, &line("as it is")).await;
    ann.expect(json!({"type": "line", "data": "as it is"}))
        .await;
}

#[tokio::test]
async fn what_is_wrong_with_it_closes_the_connection() {
    let server = Server::start(YAML);
    let zeros = compress(&[0; 8 * 1024 + 1]);
    let bomb = compress(&vec![0; 4 << 20]);
    let table: [(&str, Header, &[u8], u16); 8] = [
        ("/plain", COMPRESSED, b"\xf2\x48\xcd\xc9\xc9\x07\x00", 1002),
        ("/ws", whole(Opcode::Ping, Reserved::RSV1), b"", 1002),
        ("/ws", COMPRESSED, b"\xff\xff", 1007),
        ("/ws", COMPRESSED, &compress(b"\xff"), 1007),
        ("/raw", COMPRESSED, &zeros, 1009),
        ("/raw", COMPRESSED, &bomb, 1009),
        ("/raw", COMPRESSED, &[0; 9000], 1009),
        ("/ws", COMPRESSED, b"\xf2\x00\x11\x00\x00", 1007),
    ];
    for (path, header, payload, code) in table {
        let mut client = Raw::connect(&server, path, Some(OFFER)).await;
        if path != "/raw" {
            client.expect(json!({"type": "welcome"})).await;
        }
        client.send(header, payload).await;
        let shown = payload[..payload.len().min(9)].escape_ascii();
        assert_eq!(client.next().await, Came::Closed(code), "{path} {shown}");
    }
}

#[tokio::test]
async fn what_gains_by_it_leaves_compressed() {
    let server = Server::start(YAML);
    let mut ann = Raw::connect(&server, "/raw", Some(OFFER)).await;
    let mut ben = Raw::connect(
        &server,
        "/raw",
        Some("permessage-deflate; server_max_window_bits=8"),
    )
    .await;
    // Each byte once: nothing to shorten.
    let noise: Vec<u8> = (0..=255).collect();
    let (short, small, large) = (vec![b'a'; 9], vec![b'a'; 256], vec![b'a'; 257]);
    let echo = whole(Opcode::Binary, Reserved::NONE);
    let table = [
        (
            &short,
            Came::Plain(short.clone()),
            Came::Plain(short.clone()),
        ),
        (
            &noise,
            Came::Plain(noise.clone()),
            Came::Plain(noise.clone()),
        ),
        (
            &small,
            Came::Compressed(small.clone()),
            Came::Compressed(small.clone()),
        ),
        // Longer than the window that was asked for.
        (
            &large,
            Came::Compressed(large.clone()),
            Came::Plain(large.clone()),
        ),
    ];
    for (payload, to_ann, to_ben) in table {
        ann.send(echo, payload).await;
        assert_eq!(ann.next().await, to_ann);
        ben.send(echo, payload).await;
        assert_eq!(ben.next().await, to_ben);
    }
}

#[tokio::test]
async fn a_message_is_compressed_once_for_all_its_readers() {
    let server = Server::start(YAML);
    let mut readers = Vec::new();
    for (path, offer, compressed) in [
        ("/ws", Some(OFFER), true),
        ("/ws", Some(OFFER), true),
        ("/ws", None, false),
        ("/plain", Some(OFFER), false),
        ("/text", Some(OFFER), true),
        ("/text", Some(OFFER), true),
    ] {
        let mut client = Raw::connect(&server, path, offer).await;
        if path != "/text" {
            client.expect(json!({"type": "welcome"})).await;
        }
        readers.push((path, client, compressed));
    }
    let before = server.metric("trunkline_compressed_frames_total").await;
    let data = "over and ".repeat(40);
    readers[0].1.send(PLAIN, &line(&data)).await;
    for (path, client, compressed) in &mut readers {
        if *path == "/text" {
            let text = data.repeat(2).into_bytes();
            assert_eq!(client.next().await, Came::Compressed(text));
        } else {
            let came = client.expect(json!({"type": "line", "data": data})).await;
            assert_eq!(came, *compressed, "{path}");
        }
    }
    // Once as JSON, once as text.
    let after = server.metric("trunkline_compressed_frames_total").await;
    assert_eq!(after - before, 2.0);
    let bytes = |which| server.metric(which);
    let (before, after) = (
        bytes("trunkline_compressed_bytes_before_total").await,
        bytes("trunkline_compressed_bytes_after_total").await,
    );
    assert!(after > 0.0 && after < before / 2.0, "{after} of {before}");
}
