//! An application for tests, over bare sockets, so that it can do what no HTTP library would.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What it does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Answers, and waits for the next request on the same connection.
    Answer(Vec<u8>),
    /// The same when the semaphore lets it.
    AnswerWhen(Arc<Semaphore>, Vec<u8>),
    /// Writes this and closes.
    Close(Vec<u8>),
    /// Writes this and then nothing.
    Hang(Vec<u8>),
    /// Writes this, then the other again and again, each after a while.
    Drip(Vec<u8>, &'static [u8]),
    /// The same without a pause.
    Flood(Vec<u8>, &'static [u8]),
}

/// It, for as long as the runtime lives.
pub(crate) struct Application {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

/// A whole answer with this status and body.
pub(crate) fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

impl Application {
    /// Does to each request, head and body as they came, what `deed` says.
    pub(crate) async fn start(deed: impl Fn(&str) -> Deed + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let own = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, deed.clone(), own.clone()));
            }
        });
        Self {
            url: format!("http://{address}"),
            seen,
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().clone()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, deed: impl Fn(&str) -> Deed, seen: Arc<Seen>) {
    while let Some(request) = read(&mut stream).await {
        let deed = deed(&request);
        seen.requests.lock().push(request);
        if act(&mut stream, deed).await.is_none() {
            return;
        }
    }
}

async fn act(stream: &mut TcpStream, deed: Deed) -> Option<()> {
    match deed {
        Deed::Answer(bytes) => stream.write_all(&bytes).await.ok(),
        Deed::AnswerWhen(gate, bytes) => {
            let _passed = gate.acquire().await.ok()?;
            stream.write_all(&bytes).await.ok()
        }
        Deed::Close(bytes) => {
            let _ = stream.write_all(&bytes).await;
            None
        }
        Deed::Hang(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            std::future::pending().await
        }
        Deed::Drip(first, next) => {
            stream.write_all(&first).await.ok()?;
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                stream.write_all(next).await.ok()?;
            }
        }
        Deed::Flood(first, next) => {
            stream.write_all(&first).await.ok()?;
            loop {
                stream.write_all(next).await.ok()?;
            }
        }
    }
}

/// The next request's head and body.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        let mut buffer = [0; 4096];
        let read = stream
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}
