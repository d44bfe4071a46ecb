//! `trunkline bench` against this server, and against one that loses and repeats on purpose. Counts are asserted, never times.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use trunkline::protocol::websocket::{
    ClientKey, Decoder, Event, Input, Limits, Masking, Role, encode_text,
};

use crate::serve::harness::Server;

const ROOMS: &str = r#"
server: {listen: "127.0.0.1:0"}
auth: {guest: {anonymous: {}}}
messages:
  message: {schema: {type: object, properties: {text: {type: string}}, required: [text]}, to: room}
rooms: {"room:{id}": {may_join: "true", messages: [message]}}
endpoints:
  /ws/{id}: {auth: guest, auto_join: ["room:{path.id}"]}
  /join: {auth: guest, rooms: ["room:{id}"]}
  /raw/{id}: {auth: guest, protocol: raw, raw: {to: room}, auto_join: ["room:{path.id}"]}
"#;

/// What the command did.
struct Ran {
    figures: Value,
    err: String,
    exit: Option<i32>,
}

/// Runs `trunkline bench SHAPE ws://ADDRESS/PATH OPTIONS…`, `options` split at spaces.
async fn bench(shape: &str, address: SocketAddr, path: &str, options: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .args([
            "bench",
            shape,
            &format!("ws://{address}{path}"),
            "--json",
            "--seed",
            "7",
        ])
        .args(options.split_whitespace())
        .env_clear()
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let output = output.await.expect("it ends");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    Ran {
        figures: serde_json::from_str(&out).unwrap_or_default(),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        exit: output.status.code(),
    }
}

impl Ran {
    /// Checks some of the figures, and how it ended.
    fn check(&self, expected: Value, exit: i32) {
        let Self { figures, err, .. } = self;
        for (name, value) in expected.as_object().expect("figures") {
            assert_eq!(figures[name], *value, "{name} of {figures}\n{err}");
        }
        assert_eq!(self.exit, Some(exit), "{figures}\n{err}");
    }

    fn number(&self, name: &str) -> u64 {
        let figure = self.figures[name].as_u64();
        figure.unwrap_or_else(|| panic!("{name} is not in {}\n{}", self.figures, self.err))
    }
}

const NOTHING_WRONG: [&str; 6] = [
    "lost",
    "duplicates",
    "out_of_order",
    "strays",
    "refused",
    "closed",
];

fn sound(messages: u64, deliveries: u64) -> Value {
    let mut figures = json!({"messages": messages, "deliveries": deliveries});
    for name in NOTHING_WRONG {
        figures[name] = 0.into();
    }
    figures
}

#[tokio::test]
async fn every_delivery_is_counted_in_every_shape() {
    let server = Server::start(ROOMS);
    let to = server.address();
    let short = "--messages 60 --warmup 50ms";
    // A publisher hears itself here: with 9 readers there are 10.
    let with_pid = format!(
        "--readers 9 {short} --pid {} --children",
        std::process::id()
    );
    let ran = bench("fanout", to, "/ws/{room}", &with_pid).await;
    ran.check(sound(60, 600), 0);
    for name in [
        "cpu_us_per_delivery",
        "bytes_per_connection",
        "latency_p99_us",
        "deliveries_per_second",
    ] {
        assert!(ran.figures[name].is_number(), "{name} of {}", ran.figures);
    }
    let ran = bench(
        "fanout",
        to,
        "/raw/{room}",
        &format!("--readers 9 --raw {short} --rate 5000"),
    )
    .await;
    ran.check(sound(60, 600), 0);
    let apart =
        format!("--readers 4 {short} --publish-url ws://{to}/ws/{{room}} --type message --size 29");
    bench("fanout", to, "/ws/{room}", &apart)
        .await
        .check(sound(60, 300), 0);
    let ran = bench(
        "rooms",
        to,
        "/ws/{room}",
        &format!("--rooms 6 --members 4 {short}"),
    )
    .await;
    ran.check(sound(60, 240), 0);
    let ran = bench("echo", to, "/ws/{n}", &format!("--connections 6 {short}")).await;
    ran.check(sound(60, 60), 0);
    let ran = bench("idle", to, "/ws/{n}", "--connections 30 --hold 50ms").await;
    ran.check(json!({"connections": 30, "closed": 0}), 0);
    let ran = bench(
        "churn",
        to,
        "/ws/{n}",
        "--concurrency 5 --messages 40 --warmup 0s",
    )
    .await;
    ran.check(json!({"failures": 0}), 0);
    assert!(ran.number("handshakes") >= 40);
    let crowd = "--clients 30 --busy 5 --rate 200 --duration 200ms --warmup 0s";
    let ran = bench("storm", to, "/ws/{n}", crowd).await;
    ran.check(
        json!({"clients": 30, "back": 30, "missing": 0, "lost": 0, "closed": 0}),
        0,
    );
    assert_eq!(ran.number("deliveries"), ran.number("messages"));
}

#[tokio::test]
async fn other_protocols_are_options() {
    let server = Server::start(ROOMS);
    // trunkline's own JSON, as if it were a stranger's: a frame joins the room, another says that it is done.
    let options = r#"--raw --hello {"type":"join","room":"room:{room}"} --ready "joined"
        --message {"type":"message","data":{"text":"{}"}} --header X-A:b --token t
        --rooms 3 --members 4 --messages 30 --warmup 50ms"#;
    let ran = bench("rooms", server.address(), "/join", options).await;
    ran.check(sound(30, 120), 0);
}

#[tokio::test]
async fn readers_that_stall_are_counted_apart() {
    let server = Server::start(ROOMS);
    // More than the kernel and the queue hold for one of them.
    let options = "--readers 8 --stalled 25 --messages 150 --size 60000 --window 4 --warmup 0s";
    let ran = bench("fanout", server.address(), "/ws/{room}", options).await;
    ran.check(sound(150, 150 * 7), 0);
    ran.check(json!({"stalled": 2, "stalled_closed": 2}), 0);
}

#[tokio::test]
async fn what_cannot_be_measured_says_why() {
    let server = Server::start(ROOMS);
    let to = server.address();
    for (path, options, expected) in [
        (
            "/nope",
            "",
            "the handshake was refused with `404 Not Found`: ",
        ),
        (
            "/ws/{n}",
            "--type nope",
            "the server refused them: {\"type\":\"error\"",
        ),
        (
            "/raw/{n}",
            "",
            "wait for a frame with `\"type\":\"welcome\"`",
        ),
        ("/ws/{n}", "--connections 9999999", "`ulimit -n "),
        (
            "/ws/{n}",
            "--pid 4294967295",
            "cannot read /proc/4294967295",
        ),
        ("/ws/{n}", "--message none", "has to have one `{}`"),
    ] {
        let options = format!("--deadline 500ms {options}");
        let ran = bench("echo", to, path, &options).await;
        assert_eq!(ran.exit, Some(2), "{path} {options}: {}", ran.err);
        assert!(ran.err.contains(expected), "{path} {options}: {}", ran.err);
    }
    let ran = bench("rooms", to, "/ws/all", "").await;
    assert!(
        ran.err.contains("all rooms would be the same"),
        "{}",
        ran.err
    );
    let ran = bench(
        "echo",
        to,
        "/ws/all",
        "--connections 2 --messages 8 --warmup 0s",
    )
    .await;
    ran.check(json!({"lost": 0}), 1);
    // The last of them may still be on their way when the run is over.
    assert!(ran.number("strays") > 0);
}

#[tokio::test]
async fn a_server_that_loses_and_repeats_is_found_out() {
    let to = careless_server();
    let options = "--raw --readers 2 --messages 12 --warmup 0s --deadline 5s";
    let ran = bench("fanout", to, "/", options).await;
    // Three connections hear each message, the publisher's included.
    let expected = json!({
        "messages": 12, "deliveries": 3 * 11, "lost": 3, "duplicates": 3, "out_of_order": 3, "strays": 0, "closed": 0,
    });
    ran.check(expected, 1);
}

/// Sends what it gets to everyone: but the third message never, the fifth twice, the eighth before the seventh.
fn careless_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let everyone: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let everyone = everyone.clone();
            std::thread::spawn(move || serve_carelessly(stream, &everyone));
        }
    });
    address
}

fn serve_carelessly(mut stream: TcpStream, everyone: &Mutex<Vec<TcpStream>>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let key = ClientKey::parse(key.expect("a key").as_bytes()).expect("a key");
    let accept = key.accept();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let mut write_half = stream.try_clone().expect("a socket");
    // Known before it is answered, so that it misses nothing.
    let mut streams = everyone.lock().expect("nobody panics");
    write_half.write_all(answer.as_bytes()).expect("it listens");
    streams.push(write_half);
    drop(streams);

    let mut decoder = Decoder::new(Role::Server, Limits::default());
    let (mut count, mut held) = (0, Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let mut input = Input::new(&mut buffer[..read]);
        while let Ok(Some(event)) = decoder.next(&mut input) {
            let Event::Text(text) = event else { return };
            let frame = encode_text(text, Masking::Plain).to_vec();
            count += 1;
            let frames = match count {
                3 => Vec::new(),
                5 => [&frame[..], &frame].concat(),
                7 => std::mem::replace(&mut held, frame),
                8 => [&frame[..], &held].concat(),
                _ => frame,
            };
            for reader in &mut *everyone.lock().expect("nobody panics") {
                let _ = reader.write_all(&frames);
            }
        }
    }
}
