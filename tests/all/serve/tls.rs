//! TLS: both versions, names, reloads, slow and hostile clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::serve::client::{Client, DEADLINE, read_head, read_response, upgrade, write_head};
use crate::serve::harness::Server;

const ROOM: &str = r#"
auth: {guest: {anonymous: {user_id: "{query.u}"}}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line]}}
endpoints:
  /ws: {auth: guest, auto_join: ["room:1"], limits: {message_size: 1MiB, queue_bytes: 2MiB}}
"#;

/// A folder with certificates, and who trusts them.
struct Shop {
    folder: TempDir,
    roots: RootCertStore,
}

impl Shop {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            roots: RootCertStore::empty(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes `NAME.pem` and `NAME.key`, for these hosts.
    fn certificate(&mut self, name: &str, hosts: &[&str]) -> CertificateDer<'static> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signs");
        let write = |end: &str, text: String| {
            std::fs::write(self.path().join(format!("{name}.{end}")), text).expect("writes");
        };
        write("key", key.serialize_pem());
        write("pem", certificate.pem());
        let certificate = certificate.der().clone();
        self.roots.add(certificate.clone()).expect("it is one");
        certificate
    }

    fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth()
    }

    async fn connect(&self, address: SocketAddr, host: &str) -> TlsStream<TcpStream> {
        let config = self.config(rustls::ALL_VERSIONS);
        connect(Arc::new(config), address, host)
            .await
            .expect("a handshake")
    }

    async fn join(&self, address: SocketAddr, user: &str) -> Client<TlsStream<TcpStream>> {
        let stream = self.connect(address, "localhost").await;
        let joined = upgrade(stream, &format!("/ws?u={user}"), &[]).await;
        let mut client = joined.unwrap_or_else(|refused| panic!("{refused:?}"));
        client.expect(json!({"type": "welcome"})).await;
        client
    }
}

async fn connect(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let host = ServerName::try_from(host.to_owned()).expect("a host");
    let handshake = TlsConnector::from(config).connect(host, stream);
    tokio::time::timeout(DEADLINE, handshake)
        .await
        .expect("an answer")
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let certificates = stream.get_ref().1.peer_certificates();
    certificates.expect("a chain")[0].clone().into_owned()
}

fn start(shop: &Shop) -> Server {
    let listen = "server: {listen: '127.0.0.1:0', tls: {certificate: a.pem, key: a.key}}";
    Server::start_in_folder(shop.path(), &format!("{listen}\n{ROOM}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_spoken() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    for version in rustls::ALL_VERSIONS {
        let mut config = shop.config(&[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        // The second time with a ticket of the first.
        for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let connected = connect(config.clone(), server.address(), "localhost").await;
            let stream = connected.expect("a handshake");
            let connection = stream.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(version.version));
            assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(connection.handshake_kind(), Some(kind));
            let joined = upgrade(stream, "/ws?u=ann", &[]).await;
            let mut ann = joined.unwrap_or_else(|refused| panic!("{refused:?}"));
            ann.expect(json!({"type": "welcome"})).await;
            // From less than a record to many.
            for len in [1, 1000, 16_384, 17_000, 300_000] {
                let data = "x".repeat(len);
                let expected = json!({"type": "line", "data": data.clone()});
                ann.ask(json!({"type": "line", "data": data}), expected)
                    .await;
            }
            ann.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_is_served_too_and_may_stay() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut stream = shop.connect(server.address(), "localhost").await;
    for _ in 0..3 {
        write_head(&mut stream, "GET", "/metrics", &[]).await;
        let answer = read_response(&mut stream).await;
        assert_eq!(answer.status, 200);
        let expiry = "trunkline_tls_certificate_expiry_timestamp_seconds{certificate=";
        let line = answer.body.lines().find(|line| line.starts_with(expiry));
        assert!(
            line.is_some_and(|line| line.ends_with(" 4102444800")),
            "{line:?}"
        );
    }
    write_head(&mut stream, "GET", "/healthz", &[("Connection", "close")]).await;
    let mut rest = Vec::new();
    stream
        .read_to_end(&mut rest)
        .await
        .expect("an end with close_notify");
    assert!(
        rest.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_nothing_follows_is_answered_in_kind() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut stream = shop.connect(server.address(), "localhost").await;
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    write_head(&mut stream, "GET", "/ws?u=ann", &headers).await;
    assert_eq!(read_head(&mut stream).await.0, 101);
    stream.shutdown().await.expect("it is taken");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it stays");
    server
        .until("it is gone", |engine| engine.connections() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_host_gets_its_certificate() {
    let mut shop = Shop::new();
    let first = shop.certificate("a", &["localhost"]);
    let second = shop.certificate("b", &["b.example.com", "*.rooms.example.com"]);
    let files = "[{certificate: a.pem, key: a.key}, {certificate: b.pem, key: b.key}]";
    let listen = format!("server: {{listen: '127.0.0.1:0', tls: {{certificates: {files}}}}}");
    let server = Server::start_in_folder(shop.path(), &format!("{listen}\n{ROOM}"));
    for (host, expected) in [
        ("localhost", &first),
        ("b.example.com", &second),
        ("one.rooms.example.com", &second),
    ] {
        let stream = shop.connect(server.address(), host).await;
        assert_eq!(shown(&stream), *expected, "{host}");
    }
    // For another's name the first is shown, which its client refuses.
    let config = Arc::new(shop.config(rustls::ALL_VERSIONS));
    let refused = connect(config, server.address(), "two.one.rooms.example.com").await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_shown_and_nobody_is_cut_off() {
    let mut shop = Shop::new();
    let before = shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut ann = shop.join(server.address(), "ann").await;
    assert_eq!(
        shown(&shop.connect(server.address(), "localhost").await),
        before
    );

    // A broken one changes nothing, and is counted.
    std::fs::write(shop.path().join("a.pem"), "nonsense").expect("writes");
    let failures = async {
        loop {
            server.reload();
            let mut stream = shop.connect(server.address(), "localhost").await;
            assert_eq!(shown(&stream), before);
            write_head(&mut stream, "GET", "/metrics", &[]).await;
            let text = read_response(&mut stream).await.body;
            let name = "trunkline_tls_reload_failures_total ";
            let count = text.lines().find_map(|line| line.strip_prefix(name));
            if count.is_some_and(|count| count != "0") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, failures)
        .await
        .expect("it is counted");

    // A good one is shown, without being told.
    let after = shop.certificate("a", &["localhost"]);
    let change = async {
        while shown(&shop.connect(server.address(), "localhost").await) != after {
            let line = json!({"type": "line", "data": 1});
            ann.ask(line.clone(), line).await;
        }
    };
    tokio::time::timeout(DEADLINE, change)
        .await
        .expect("it is shown");
    let line = json!({"type": "line", "data": 2});
    ann.ask(line.clone(), line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_hears_that_it_is_plain() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    write_head(&mut stream, "GET", "/healthz", &[]).await;
    let answer = read_response(&mut stream).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .body
            .contains("plain HTTP request was sent to a TLS port")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_speak_tls_is_gone() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let yaml = format!(
        "server: {{listen: '127.0.0.1:0', tls: {{certificate: a.pem, key: a.key}}, limits: {{handshake: 1s}}}}\n{ROOM}"
    );
    let server = Server::start_in_folder(shop.path(), &yaml);
    let hello = {
        let config = Arc::new(shop.config(rustls::ALL_VERSIONS));
        let host = ServerName::try_from("localhost").expect("a host");
        let mut client = rustls::ClientConnection::new(config, host).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("a vector takes it");
        hello
    };
    let huge = [&[22, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    for (what, bytes) in [
        ("nothing", &[][..]),
        ("garbage", &[0xff; 300]),
        ("an alert", &[21, 3, 3, 0, 2, 2, 0]),
        ("a record that is too long", &huge),
        ("half a hello", &hello[..hello.len() / 2]),
        ("a hello and nothing more", &hello),
        ("a hello, then garbage", &[&hello[..], &[22; 2000]].concat()),
        ("a hello twice", &[&hello[..], &hello].concat()),
    ] {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        let _ = stream.write_all(bytes).await;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{what}: it stays");
    }
    // Five of them are no TLS; the others are in time or not, which ends them without a word.
    assert_eq!(server.engine().metrics().tls_failures.get(), 5);
    let mut ann = shop.join(server.address(), "ann").await;
    let line = json!({"type": "line", "data": 1});
    ann.ask(line.clone(), line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_hears_all_within_its_bounds() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut slow = shop.join(server.address(), "slow").await;
    let mut ann = shop.join(server.address(), "ann").await;
    // More than the kernel takes for the one who does not read, and less than its queue holds beside.
    let data = "y".repeat(200_000);
    for number in 0..9 {
        let line = json!({"type": "line", "data": {"number": number, "data": data}});
        ann.ask(line, json!({"data": {"number": number}})).await;
    }
    for number in 0..9 {
        slow.expect(json!({"type": "line", "data": {"number": number, "data": data}}))
            .await;
    }
    let line = json!({"type": "line", "data": "after"});
    slow.ask(line.clone(), line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_loses_its_connection_alone() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let server = start(&shop);
    let mut slow = shop.join(server.address(), "slow").await;
    let mut ann = shop.join(server.address(), "ann").await;
    let data = "z".repeat(500_000);
    let closed = &server.engine().metrics().closes;
    let flood = async {
        while closed.code(4008).get() == 0 {
            let line = json!({"type": "line", "data": data});
            ann.ask(line, json!({"type": "line"})).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood)
        .await
        .expect("it is closed");
    // What was begun is ended, so that the reason can be read.
    assert_eq!(slow.end().await.0, 4008);
    let line = json!({"type": "line", "data": "after"});
    ann.ask(line.clone(), line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_may_pass_tls_on() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let listen = "server: {listen: {address: '127.0.0.1:0', proxy_protocol: true}, trusted_proxies: [127.0.0.1], tls: {certificate: a.pem, key: a.key}}";
    let yaml = format!("{listen}\n{ROOM}").replace(
        "auth: guest",
        "allow: \"connection.ip == '203.0.113.7'\", auth: guest",
    );
    let server = Server::start_in_folder(shop.path(), &yaml);
    let config = Arc::new(shop.config(rustls::ALL_VERSIONS));
    for (address, expected) in [("203.0.113.7", None), ("203.0.113.8", Some(403))] {
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        let header = format!("PROXY TCP4 {address} 10.0.0.1 5 443\r\n");
        stream
            .write_all(header.as_bytes())
            .await
            .expect("it is taken");
        let host = ServerName::try_from("localhost").expect("a host");
        let stream = TlsConnector::from(config.clone())
            .connect(host, stream)
            .await;
        let joined = upgrade(stream.expect("a handshake"), "/ws?u=ann", &[]).await;
        assert_eq!(joined.err().map(|refused| refused.status), expected);
    }
}

#[tokio::test]
async fn a_name_is_proven_to_who_asks_for_the_proof_alone() {
    use std::num::NonZeroUsize;
    use trunkline::certificate::Certificate;
    use trunkline::plan::Address;
    use trunkline::transport::acceptor::{Entrance, RequestLimits, SocketAcceptor};
    use trunkline::transport::lobby::Lobby;
    use trunkline::transport::tls::{Certificates, Tls};

    let mut shop = Shop::new();
    let own = shop.certificate("a", &["a.example.com"]);
    let proof = shop.certificate("b", &["b.example.com"]);
    let read = |name: &str| {
        let file =
            |end: &str| std::fs::read(shop.path().join(format!("{name}.{end}"))).expect("reads");
        Certificate::read(&file("pem"), &file("key")).expect("it is good")
    };
    let certificates = Certificates::none();
    certificates.show([&read("a")]);
    assert!(certificates.prove("B.example.com", read("b").certified().clone()));
    let metrics = trunkline::telemetry::Metrics::new(&trunkline::telemetry::MetricNames::default());
    let entrance = Entrance {
        limits: RequestLimits::default(),
        lobby: Lobby::new(10, &[], Arc::new(metrics)),
        tls: Some(Tls::new(certificates.clone()).expect("it is set up")),
        proxied: None,
    };
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let bound = SocketAcceptor::bind(&address, NonZeroUsize::MIN, entrance);
    let acceptor = bound.expect("it listens").remove(0);
    let address = acceptor.tcp_address().expect("TCP");
    let serving = tokio::spawn(acceptor.into_server().serve(salvo::Router::new()));

    let asks = async |host: &'static str, protocols: &[&[u8]]| {
        let mut config = shop.config(rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        connect(Arc::new(config), address, host).await
    };
    let mut proven = asks("b.example.com", &[b"acme-tls/1"])
        .await
        .expect("a proof");
    assert_eq!(shown(&proven), proof);
    assert_eq!(proven.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    // Nothing is said over it.
    let _ = proven.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(DEADLINE, proven.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && rest.is_empty(), "{rest:?}");

    assert!(asks("a.example.com", &[b"acme-tls/1"]).await.is_err());
    let usual = asks("a.example.com", &[b"http/1.1"])
        .await
        .expect("a handshake");
    assert_eq!(shown(&usual), own);
    assert!(asks("b.example.com", &[b"http/1.1"]).await.is_err());
    assert!(asks("a.example.com", &[b"h2"]).await.is_err());
    certificates.withdraw("b.example.com");
    assert!(asks("b.example.com", &[b"acme-tls/1"]).await.is_err());
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_said() {
    let mut shop = Shop::new();
    shop.certificate("a", &["localhost"]);
    let mut server = start(&shop);
    let mut ann = shop.join(server.address(), "ann").await;
    let ending = server.shut_down();
    let (code, _) = ann.end().await;
    assert_eq!(code, 1012);
    drop(ann);
    tokio::time::timeout(DEADLINE, ending)
        .await
        .expect("it ends")
        .expect("no panic");
}
