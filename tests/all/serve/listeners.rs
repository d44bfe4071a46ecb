//! Several listeners, Unix sockets, and proxies that say whom a connection is of.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::serve::client::{DEADLINE, Response, Wire, read_response, upgrade, write_head};
use crate::serve::harness::Server;

const ROOM: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line]}}
endpoints:
  /ws: {auth: guest, auto_join: ["room:1"]}
  /near: {auth: guest, allow: "connection.ip == '203.0.113.7'"}
"#;

async fn get(mut stream: impl Wire, path: &str, headers: &[(&str, &str)]) -> Response {
    let headers = [headers, &[("Connection", "close")]].concat();
    write_head(&mut stream, "GET", path, &headers).await;
    read_response(&mut stream).await
}

#[tokio::test]
async fn a_listener_serves_what_it_names() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("public")).expect("makes it");
    std::fs::write(folder.path().join("public/index.html"), "hello").expect("writes");
    let server = r#"
server:
  listen:
    - {address: "127.0.0.1:0", serve: [endpoints]}
    - {address: "127.0.0.1:0", serve: [pages]}
    - {address: "127.0.0.1:0", serve: [api, metrics]}
    - "127.0.0.1:0"
  api: {keys: {all: {secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}}}
pages: {/: ./public}
"#;
    let server = Server::start_in_folder(folder.path(), &format!("{server}{ROOM}"));
    let paths = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/ws",
        "/",
        "/api/rooms/room:1/messages",
    ];
    // 426: an endpoint; 401: the API.
    for (address, expected) in server.addresses().iter().zip([
        [200, 200, 200, 426, 404, 404],
        [200, 200, 200, 404, 200, 404],
        [200, 200, 200, 404, 404, 401],
        [200, 200, 200, 426, 200, 401],
    ]) {
        for (path, expected) in paths.iter().zip(expected) {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let method = if path.starts_with("/api") {
                "POST"
            } else {
                "GET"
            };
            let headers = [("Connection", "close"), ("Content-Length", "0")];
            write_head(&mut stream, method, path, &headers).await;
            let answer = read_response(&mut stream).await;
            assert_eq!(answer.status, expected, "{address} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn metrics_are_for_others_where_a_listener_says_so() {
    let yaml = format!(
        "server: {{trusted_proxies: [127.0.0.1], listen: [{{address: '127.0.0.1:0', proxy_protocol: true}}, {{address: '127.0.0.1:0', proxy_protocol: true, serve: [endpoints, metrics]}}]}}\n{ROOM}"
    );
    let server = Server::start(&yaml);
    for (address, expected) in server.addresses().iter().zip([403, 200]) {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream
            .write_all(b"PROXY UNKNOWN\r\n")
            .await
            .expect("it is taken");
        assert_eq!(get(stream, "/metrics", &[]).await.status, expected);
    }
}

#[tokio::test]
async fn a_unix_socket_is_a_way_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!(
        "server: {{listen: ['unix:t.sock', {{address: 'unix:open.sock', mode: 0666}}], trusted_proxies: [unix, 10.0.0.0/8], limits: {{connections_per_ip: 1}}}}\n{ROOM}"
    );
    let mut server = Server::start_in_folder(folder.path(), &yaml);
    let path = folder.path().join("t.sock");
    let connect = async || UnixStream::connect(&path).await.expect("it listens");
    assert_eq!(get(connect().await, "/metrics", &[]).await.status, 200);
    let forwarded = [("X-Forwarded-For", "198.51.100.1")];
    assert_eq!(
        get(connect().await, "/metrics", &forwarded).await.status,
        403
    );

    // Those of whom nothing is known are not limited as if they were one.
    let mut ann = upgrade(connect().await, "/ws?u=ann", &[])
        .await
        .unwrap_or_else(|r| panic!("{r:?}"));
    let mut ben = upgrade(connect().await, "/ws?u=ben", &[])
        .await
        .unwrap_or_else(|r| panic!("{r:?}"));
    ann.expect(json!({"type": "welcome"})).await;
    ben.expect(json!({"type": "welcome"})).await;
    ann.send(json!({"type": "line", "data": 1})).await;
    ben.expect(json!({"type": "line", "data": 1})).await;

    // Whom the proxy names, is; and is one.
    let spoofed = [("X-Forwarded-For", "203.0.113.7, 192.0.2.1, 10.1.2.3")];
    assert!(
        upgrade(connect().await, "/near?u=a", &spoofed)
            .await
            .is_err()
    );
    let named = [("X-Forwarded-For", "192.0.2.1, 203.0.113.7, 10.1.2.3")];
    let first = upgrade(connect().await, "/near?u=a", &named).await;
    let _first = first.unwrap_or_else(|refused| panic!("{refused:?}"));
    let second = upgrade(connect().await, "/near?u=b", &named).await.err();
    assert_eq!(second.map(|refused| refused.status), Some(429));

    drop((ann, ben, _first));
    server.shut_down().await.expect("no panic");
    assert!(!path.exists() && !folder.path().join("open.sock").exists());
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len, rest].concat()
}

const PROXIED: &str = "server: {trusted_proxies: [127.0.0.1, 10.0.0.0/8], listen: [{address: '127.0.0.1:0', proxy_protocol: true}], limits: {handshake: 1s}}";

#[tokio::test]
async fn a_proxy_says_whom_a_connection_is_of() {
    let server = Server::start(&format!("{PROXIED}\n{ROOM}"));
    let near = [203, 0, 113, 7, 10, 0, 0, 1, 200, 1, 1, 187];
    let inner = [10, 9, 9, 9, 10, 0, 0, 1, 200, 1, 1, 187];
    let tlv = [&near[..], &[0x20, 0, 3, 1, 2, 3]].concat();
    let via = |text: &'static str| Some(("X-Forwarded-For", text));
    for (header, forwarded, is_near) in [
        (
            b"PROXY TCP4 203.0.113.7 10.0.0.1 51201 443\r\n".to_vec(),
            None,
            true,
        ),
        (
            b"PROXY TCP6 ::ffff:203.0.113.7 ::1 51201 443\r\n".to_vec(),
            None,
            true,
        ),
        (
            b"PROXY TCP4 203.0.113.8 10.0.0.1 51201 443\r\n".to_vec(),
            None,
            false,
        ),
        (binary(0x21, 0x11, &near), None, true),
        (binary(0x21, 0x11, &tlv), None, true),
        // Whoever the proxy saw is no proxy: its headers are its own invention.
        (binary(0x21, 0x11, &near), via("192.0.2.1"), true),
        (
            b"PROXY TCP4 203.0.113.8 10.0.0.1 51201 443\r\n".to_vec(),
            via("203.0.113.7"),
            false,
        ),
        // Another proxy of ours, which is believed in its turn.
        (
            binary(0x21, 0x11, &inner),
            via("192.0.2.1, 203.0.113.7"),
            true,
        ),
        // Its own connection: its address stays, and it is trusted.
        (b"PROXY UNKNOWN\r\n".to_vec(), None, false),
        // What stands in its headers may be anybody's.
        (binary(0x20, 0, &[]), via("203.0.113.7"), false),
        (b"PROXY UNKNOWN\r\n".to_vec(), via("203.0.113.7"), false),
    ] {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        stream.write_all(&header).await.expect("it is taken");
        let headers: Vec<(&str, &str)> = forwarded.into_iter().collect();
        let joined = upgrade(stream, "/near?u=a", &headers).await;
        assert_eq!(
            joined.is_ok(),
            is_near,
            "{} {forwarded:?}",
            String::from_utf8_lossy(&header)
        );
    }
}

#[tokio::test]
async fn what_is_no_header_of_a_proxy_is_refused() {
    let server = Server::start(&format!("{PROXIED}\n{ROOM}"));
    for (what, header) in [
        ("nothing", vec![]),
        (
            "no header",
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        ("a beginning", b"PROXY TCP4 203.0.113".to_vec()),
        (
            "too long a line",
            [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        ),
        ("no address", b"PROXY TCP4 a b c d\r\n".to_vec()),
        (
            "nobody's address",
            b"PROXY TCP4 0.0.0.0 10.0.0.1 1 2\r\n".to_vec(),
        ),
        ("version 3", binary(0x31, 0x11, &[0; 12])),
        ("too long", binary(0x21, 0x11, &[0; 5000])),
        (
            "less than it says",
            binary(0x21, 0x11, &[0; 200])[..100].to_vec(),
        ),
    ] {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        let _ = stream.write_all(&header).await;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{what}: it stays");
        assert!(rest.is_empty(), "{what}: {rest:?}");
    }
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    stream
        .write_all(b"PROXY UNKNOWN\r\n")
        .await
        .expect("it is taken");
    assert_eq!(get(stream, "/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn who_is_no_trusted_proxy_may_not_say() {
    let yaml = PROXIED.replace("127.0.0.1, 10", "192.0.2.1, 10");
    let server = Server::start(&format!("{yaml}\n{ROOM}"));
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    let _ = stream
        .write_all(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest))
        .await
        .expect("it is closed");
    assert!(rest.is_empty());
}
