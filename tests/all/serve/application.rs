//! An application that is asked over HTTP.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};

/// It, for as long as the runtime lives.
pub(super) struct Application {
    /// Where it is asked.
    pub(super) url: String,
    questions: Arc<Mutex<Vec<Value>>>,
    /// It answers one question for each permit.
    pub(super) permits: Arc<Semaphore>,
}

impl Application {
    /// Answers each question, a body of JSON, with what `answer` makes of it.
    pub(super) async fn start(answer: fn(&Value) -> (u16, String), permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let questions = Arc::new(Mutex::new(Vec::new()));
        let permits = Arc::new(Semaphore::new(permits));
        let (seen, gate) = (questions.clone(), permits.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, seen.clone(), gate.clone()));
            }
        });
        Self {
            url: format!("http://{address}/may-join"),
            questions,
            permits,
        }
    }

    /// What it was asked so far.
    pub(super) async fn questions(&self) -> Vec<Value> {
        self.questions.lock().await.clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: fn(&Value) -> (u16, String),
    seen: Arc<Mutex<Vec<Value>>>,
    gate: Arc<Semaphore>,
) {
    while let Some(body) = read(&mut stream).await {
        let question: Value = serde_json::from_str(&body).expect("JSON");
        let (status, body) = answer(&question);
        seen.lock().await.push(question);
        gate.acquire().await.expect("it is open").forget();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The body of the next request.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}
