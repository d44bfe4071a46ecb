//! Credentials, in their place and in every wrong one, and the log at its most talkative: it holds none of them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::serve::client::{DEADLINE, upgrade};

const CONFIG: &str = r#"version: 1
server:
  listen: "127.0.0.1:0"
  log: {level: trace, format: FORMAT}
  trusted_proxies: [127.0.0.1]
  api: {keys: {backend: {secret: "api-MARKED-secret-of-32-bytes-and-more", scopes: [publish, disconnect]}}}
auth:
  member: {jwt: {algorithms: [HS256], secret: "${JWT_SECRET}", credential: {query: ticket, header: authorization, cookie: pass, subprotocol: bearer}, user_id: sub}}
  browser: {session: {cookie: sid_of_us, lookup: {file: sessions.yaml}}}
messages: {line: {schema: {type: object}, to: sender}}
rooms: {"room:{id}": {may_join: "true", messages: []}}
endpoints:
  /ws/{name}: {auth: [member, browser], messages: [line], rooms: ["room:{id}"]}
  /closing: {auth: member, messages: [line], reject: close}
"#;

/// In every credential of this file, so that a part of one is found too.
const MARK: &str = "MARKED";

struct Process {
    child: Child,
    address: SocketAddr,
    /// What it says, read as it comes: a full pipe would stop it.
    said: Option<JoinHandle<String>>,
    _folder: tempfile::TempDir,
}

impl Process {
    fn start(format: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("writes");
        };
        write("channels.yaml", &CONFIG.replace("FORMAT", format));
        write("sessions.yaml", "session-MARKED-of-ann: {user_id: ann}\n");
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["serve", "channels.yaml"])
            .current_dir(folder.path())
            .env("JWT_SECRET", "jwt-MARKED-secret-of-32-bytes-and-more")
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("a line");
            assert!(read > 0, "it ended:\n{said}");
            said += &line;
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"');
                break rest[..end.unwrap_or(rest.len())]
                    .parse()
                    .expect("an address");
            }
        };
        Self {
            child,
            address,
            said: Some(std::thread::spawn(move || {
                lines.read_to_string(&mut said).expect("UTF-8");
                said
            })),
            _folder: folder,
        }
    }

    /// Ends it, and gives all that it said.
    fn log(mut self) -> String {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let status = Command::new("kill").arg(pid.to_string()).status();
        assert!(status.is_ok_and(|status| status.success()));
        let said = self.said.take().expect("it is read");
        let said = said.join().expect("UTF-8");
        assert!(self.child.wait().is_ok_and(|status| status.success()));
        said
    }

    /// Sends `head`, and whatever body it has; waits for an answer, whatever it is.
    async fn raw(&self, head: &str) {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream
            .write_all(head.as_bytes())
            .await
            .expect("it is taken");
        let mut buffer = [0; 1024];
        let answer = stream.read(&mut buffer);
        let read = tokio::time::timeout(DEADLINE, answer)
            .await
            .expect("an answer");
        // Closing is an answer too.
        let _ = read;
    }

    async fn knock(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let answer = tokio::time::timeout(DEADLINE / 2, upgrade(stream, path, headers)).await;
        let Ok(answer) = answer else {
            panic!("no answer to {path} {headers:?}");
        };
        match answer {
            Ok(client) => {
                client.close().await;
                101
            }
            Err(refusal) => refusal.status,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token whose every part is recognisable: by its mark in base64url too.
fn token(secret: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let claims = serde_json::json!({"sub": "ann", "exp": 4_000_000_000_u64, "jti": "MARKED"});
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), &claims, &key).expect("a token")
}

/// Everywhere that a client can put text, the right places first.
async fn send_everywhere(process: &Process, credential: &str) {
    let long = format!("{credential}{}", "MARKED".repeat(1600));
    for path in [
        format!("/ws/a?ticket={credential}"),
        format!("/closing?ticket={credential}"),
        format!("/ws/a?ticket={long}"),
        format!("/ws/a?ticket={credential}&ticket={credential}"),
        format!("/ws/a?t%69cket={credential}"),
        format!("/ws/a?token={credential}"),
        format!("/ws/a?mistaken={credential}"),
        format!("/ws/a?since={credential}"),
        format!("/ws/a?since=room:1@{credential}"),
        format!("/ws/{credential}"),
        format!("/ws/{credential}/{credential}"),
        format!("/nowhere/{credential}"),
        format!("/nowhere?token={credential}"),
        format!("/api/{credential}?key={credential}"),
    ] {
        process.knock(&path, &[]).await;
    }
    let bearer = format!("Bearer {credential}");
    let (basic, subprotocol) = (
        format!("Basic {credential}"),
        format!("bearer.{credential}"),
    );
    let (pass, sid) = (
        format!("pass={credential}"),
        format!("sid_of_us={credential}"),
    );
    let (wrong, forwarded) = (format!("wrong={credential}"), format!("for={credential}"));
    let url = format!("https://{credential}/path?token={credential}");
    for (name, value) in [
        ("Authorization", &*bearer),
        ("Authorization", &*basic),
        ("Authorization", credential),
        ("Sec-WebSocket-Protocol", &*subprotocol),
        ("Sec-WebSocket-Protocol", credential),
        ("Sec-WebSocket-Extensions", credential),
        ("Sec-WebSocket-Version", credential),
        ("Cookie", &*pass),
        ("Cookie", &*sid),
        ("Cookie", &*wrong),
        ("Cookie", credential),
        ("X-Forwarded-For", credential),
        ("X-Forwarded-Host", credential),
        ("X-Forwarded-Proto", credential),
        ("Forwarded", &*forwarded),
        ("Host", credential),
        ("Origin", &*url),
        ("Origin", credential),
        ("Referer", &*url),
        ("X-Api-Key", credential),
        ("User-Agent", credential),
        ("Idempotency-Key", credential),
    ] {
        process.knock("/ws/a", &[(name, value)]).await;
    }
    for target in [
        "rooms/room:1/messages".to_owned(),
        format!("rooms/{credential}/messages"),
        format!("users/{credential}/messages?token={credential}"),
    ] {
        for key in [&*bearer, "Bearer api-MARKED-secret-of-32-bytes-and-more"] {
            for body in [
                format!("{{\"type\":\"{credential}\",\"data\":\"{credential}\"}}"),
                format!("{{\"type\":5,\"token\":\"{credential}\"}}"),
                credential.to_owned(),
            ] {
                process
                    .raw(&format!(
                        "POST /api/{target} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nIdempotency-Key: {credential}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    ))
                    .await;
            }
        }
    }
    for head in [
        format!("GET /{credential} HTTP/9.9\r\n\r\n"),
        format!("{credential} / HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{credential}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{credential}\x01: x\r\n\r\n"),
        format!("GET http://{credential}@h/ws/a?ticket={credential} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("TRACE /ws/a?ticket={credential} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST /ws/a?ticket={credential} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
    ] {
        process.raw(&head).await;
    }
}

/// Frames of somebody who is in, with the credential where it does not belong.
async fn send_frames(process: &Process, credential: &str) {
    let path = format!(
        "/ws/a?ticket={}",
        token("jwt-MARKED-secret-of-32-bytes-and-more")
    );
    for frame in [
        credential.to_owned(),
        format!("{{\"type\":\"{credential}\"}}"),
        format!("{{\"type\":\"line\",\"data\":\"{credential}\"}}"),
        format!("{{\"type\":\"line\",\"data\":{credential}}}"),
        format!("{{\"type\":\"line\",\"room\":\"{credential}\",\"data\":{{}}}}"),
        format!("{{\"type\":\"join\",\"room\":\"{credential}\"}}"),
        format!("{{\"type\":\"join\",\"room\":\"room:{credential}\",\"since\":\"{credential}\"}}"),
        format!("{{\"type\":\"token\",\"token\":\"{credential}\"}}"),
        format!("{{\"type\":\"received\",\"room\":\"{credential}\",\"seq\":\"{credential}\"}}"),
        format!("{{\"{credential}\":1,\"{credential}\":2}}"),
        format!("{{\"type\":\"line\",\"id\":5,\"key\":\"{credential}\"}}"),
        // As deep as a frame is long: the server has to live through it.
        format!(
            r#"{{"type":"history","room":"r","limit":"a\"{}{credential}\"b"}}"#,
            "x=".repeat(20_000)
        ),
    ] {
        let stream = TcpStream::connect(process.address)
            .await
            .expect("it listens");
        let Ok(mut client) = upgrade(stream, &path, &[]).await else {
            panic!("the good token is refused");
        };
        client.send_text(&frame).await;
        client.close().await;
    }
}

#[tokio::test]
async fn the_log_holds_no_credential() {
    for format in ["pretty", "json"] {
        let process = Process::start(format);
        let good = token("jwt-MARKED-secret-of-32-bytes-and-more");
        let forged = token("another-MARKED-secret-of-32-bytes-and-more");
        let torn = format!("{}MARKED", &good[..good.len() - 20]);
        assert_eq!(
            process.knock(&format!("/ws/a?ticket={good}"), &[]).await,
            101
        );
        let ann = [("Cookie", "sid_of_us=session-MARKED-of-ann")];
        assert_eq!(process.knock("/ws/a", &ann).await, 101);
        let opaque = "opaque-MARKED-credential";
        let credentials = [
            &*good,
            &forged,
            &torn,
            "api-MARKED-secret-of-32-bytes-and-more",
        ];
        for credential in credentials {
            send_everywhere(&process, credential).await;
            send_frames(&process, credential).await;
        }
        send_everywhere(&process, opaque).await;
        send_frames(&process, opaque).await;
        let head = "DELETE /api/users/nobody/connections HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer api-MARKED-secret-of-32-bytes-and-more\r\nConnection: close\r\n\r\n";
        process.raw(head).await;
        let log = process.log();
        let by = match format {
            "json" => "\"by\":\"backend\"",
            _ => "by=backend",
        };
        let audit = |line: &&str| line.contains("a user was disconnected");
        let audit = log.lines().find(audit).expect("the call is in the log");
        assert!(audit.contains(by), "{audit}");
        let parts = credentials
            .iter()
            .flat_map(|credential| credential.split('.'));
        // The header of a token is no secret, and the same in all.
        for part in parts.filter(|part| !good.starts_with(*part)).chain([MARK]) {
            let leak = log.lines().find(|line| line.contains(part));
            assert_eq!(leak, None, "{format}");
        }
        // It is not for want of lines.
        for said in [
            "not authenticated",
            "rejected",
            "origin not allowed",
            "API call refused",
        ] {
            assert!(log.contains(said), "{format}: {said}\n{log}");
        }
        if format == "json" {
            let mut lines = log.lines();
            let not_json =
                lines.find(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
            assert_eq!(not_json, None);
        }
    }
}
