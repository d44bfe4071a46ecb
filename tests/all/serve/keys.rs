//! Keys that an issuer publishes: fetched at the start, rotated under load, kept while it is down or lies.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::serve::client::DEADLINE;
use crate::serve::harness::Server;

/// An issuer's key. Its tokens name it.
struct Key {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id, pair }
    }

    fn jwk(&self) -> Value {
        let point = &self.pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(32);
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": text(x), "y": text(y)})
    }

    /// A token of the user that is called as the key.
    fn token(&self, issuer: &str) -> String {
        let header = json!({"alg": "ES256", "kid": self.id}).to_string();
        // 2026-11-23T12:00:00Z, a day after the tests' clocks begin.
        let claims = json!({"sub": self.id, "iss": issuer, "exp": 1_795_435_200}).to_string();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", text(header.as_bytes()), text(claims.as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", text(signature.expect("signs").as_ref()))
    }
}

/// What an issuer does when it is asked.
#[derive(Clone)]
enum Deed {
    /// Answers with this status, headers and body.
    Answer(u16, &'static str, String),
    /// Closes without a word.
    Close,
    /// Does that when it is let.
    When(Arc<Semaphore>, Box<Deed>),
}

fn set(keys: &[&Key]) -> Deed {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    Deed::Answer(200, "", json!({"keys": keys}).to_string())
}

struct Issuer {
    url: String,
    deed: Arc<Mutex<Deed>>,
    asked: watch::Receiver<usize>,
}

impl Issuer {
    /// Answers `/keys` with what `deed` says, and everything else with the OpenID configuration that says so.
    async fn start(deed: Deed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let deed = Arc::new(Mutex::new(deed));
        let (count, asked) = watch::channel(0);
        let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
        let own = deed.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read_head(&mut stream).await;
                let deed = if head.starts_with("GET /keys ") {
                    count.send_modify(|count| *count += 1);
                    own.lock().clone()
                } else {
                    Deed::Answer(200, "", configuration.clone())
                };
                tokio::spawn(answer(stream, deed));
            }
        });
        Self { url, deed, asked }
    }

    fn becomes(&self, deed: Deed) {
        *self.deed.lock() = deed;
    }

    /// How often its keys were asked for.
    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    async fn until_asked(&self, times: usize) {
        let mut asked = self.asked.clone();
        let asked = asked.wait_for(|asked| *asked >= times);
        let found = tokio::time::timeout(DEADLINE, asked).await;
        let found = found.unwrap_or_else(|_| panic!("not asked {times} times"));
        assert_eq!(*found.expect("it answers"), times);
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn answer(mut stream: TcpStream, deed: Deed) {
    match deed {
        Deed::Answer(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} X\r\n{headers}connection: close\r\n\r\n");
            // Whoever asked may have heard enough.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body.as_bytes()).await;
        }
        Deed::Close => {}
        Deed::When(let_go, deed) => {
            let _ = let_go.acquire().await;
            Box::pin(answer(stream, *deed)).await;
        }
    }
}

fn start(jwt: &str) -> Server {
    Server::start(&format!(
        r#"
auth:
  member: {{jwt: {{algorithms: [ES256], {jwt}}}}}
  guest: {{anonymous: {{}}}}
messages: {{who: {{schema: true, to: sender, reply: user.id}}}}
endpoints:
  /member: {{auth: member, messages: [who], limits: {{connections_per_user: 1000}}, heartbeat: {{idle: 24h}}}}
  /guest: {{auth: guest, messages: [who]}}
"#
    ))
}

fn by_set(issuer: &Issuer) -> Server {
    start(&format!("jwks_url: \"{}/keys\"", issuer.url))
}

/// What comes of a handshake with this token: 101, or the status that refuses it.
async fn status(server: &Server, token: &str) -> u16 {
    match server.knock(&format!("/member?token={token}"), &[]).await {
        Ok(_) => 101,
        Err(refused) => refused.status,
    }
}

/// What comes of twenty handshakes at once: all the same.
async fn burst(server: &Server, token: &str) -> u16 {
    let all = join_all((0..20).map(|_| status(server, token))).await;
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    all[0]
}

const FAILED: &str = r#"trunkline_key_fetches_total{auth="member",outcome="failed"}"#;
const FETCHED: &str = r#"trunkline_key_fetches_total{auth="member",outcome="fetched"}"#;
/// Longer than any wait until the next fetch, where the issuer says nothing of the lifetime.
const LONG: Duration = Duration::from_secs(5 * 60);

#[tokio::test]
async fn keys_rotate_while_people_come() {
    let (old, new, stranger) = (Key::new("old"), Key::new("new"), Key::new("stranger"));
    let issuer = Issuer::start(set(&[&old])).await;
    let server = by_set(&issuer);
    let [old_token, new_token, strange] = [&old, &new, &stranger].map(|key| key.token("any"));
    // The first ones wait for the first fetch.
    assert_eq!(burst(&server, &old_token).await, 101);
    assert_eq!(issuer.asked(), 1);
    let mut living = server.join(&format!("/member?token={old_token}")).await;

    // A new key is met: one asks for all who need it, and nobody else waits.
    let let_go = Arc::new(Semaphore::new(0));
    issuer.becomes(Deed::When(let_go.clone(), set(&[&old, &new]).into()));
    let newcomers = burst(&server, &new_token);
    let others = async {
        issuer.until_asked(2).await;
        assert_eq!(burst(&server, &old_token).await, 101);
        let_go.add_permits(1);
    };
    let (newcomers, ()) = tokio::join!(newcomers, others);
    assert_eq!((newcomers, issuer.asked()), (101, 2));

    // Keys that nobody has heard of do not have the issuer asked again and again.
    // Whether it has published them since nobody knows: who comes again is told.
    issuer.becomes(set(&[&old, &new]));
    assert_eq!(burst(&server, &strange).await, 503);
    assert_eq!(issuer.asked(), 2);
    server.advance(Duration::from_secs(31));
    assert_eq!(status(&server, &strange).await, 401);
    assert_eq!(issuer.asked(), 3);
    let later = Key::new("later");
    issuer.becomes(set(&[&old, &new, &later]));
    let path = format!("/member?token={}", later.token("any"));
    let refused = server.refusal(&path, &[]).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    server.advance(Duration::from_secs(31));
    assert_eq!(burst(&server, &later.token("any")).await, 101);
    assert_eq!(issuer.asked(), 4);

    // A key that is taken away is refused from the next fetch on; who is in stays until the token's end.
    issuer.becomes(set(&[&new]));
    assert_eq!(burst(&server, &old_token).await, 101);
    server.advance(LONG);
    issuer.until_asked(5).await;
    server.until_metric(FETCHED, 5.0).await;
    assert_eq!(status(&server, &old_token).await, 401);
    assert_eq!(burst(&server, &new_token).await, 101);
    assert_eq!(server.metric(r#"trunkline_keys{auth="member"}"#).await, 1.0);
    assert_eq!(server.metric(FAILED).await, 0.0);
    living
        .ask(json!({"type": "ping"}), json!({"type": "pong"}))
        .await;
}

#[tokio::test]
async fn an_issuer_that_is_down_or_lies_changes_nothing() {
    let (own, stranger) = (Key::new("own"), Key::new("stranger"));
    let issuer = Issuer::start(set(&[&own])).await;
    let server = by_set(&issuer);
    let (token, strange) = (own.token("any"), stranger.token("any"));
    assert_eq!(status(&server, &token).await, 101);
    let fetched_at = r#"trunkline_keys_fetched_timestamp_seconds{auth="member"}"#;
    let noon = server.metric(fetched_at).await;
    assert!(noon > 1.7e9, "{noon}");
    let evil = json!({"keys": [stranger.jwk()]}).to_string();
    let lies = [
        Deed::Close,
        Deed::Answer(500, "", evil.clone()),
        Deed::Answer(404, "", String::new()),
        Deed::Answer(
            200,
            "content-type: text/html\r\n",
            "<html>we will be back</html>".into(),
        ),
        Deed::Answer(200, "", format!("{{\"keys\": [{}]", stranger.jwk())),
        Deed::Answer(200, "", format!("{evil}{}", " ".repeat(10 << 20))),
        Deed::Answer(200, "content-length: 10485760\r\n", evil.clone()),
        Deed::Answer(302, "location: /other\r\n", String::new()),
        Deed::Answer(307, "location: http://127.0.0.1:1/keys\r\n", evil.clone()),
        Deed::Answer(204, "", String::new()),
        Deed::Answer(200, "", "null".into()),
        Deed::Answer(200, "content-encoding: gzip\r\n", "\u{1f}\u{8b}".into()),
    ];
    let mut failed = 0.0;
    for lie in lies {
        issuer.becomes(lie);
        let asked = issuer.asked();
        server.advance(LONG);
        issuer.until_asked(asked + 1).await;
        failed += 1.0;
        server.until_metric(FAILED, failed).await;
        assert_eq!(status(&server, &token).await, 101, "{failed}");
        assert_eq!(server.metric(fetched_at).await, noon);
    }
    // It takes the question and says nothing: nobody waits for that.
    let let_go = Arc::new(Semaphore::new(0));
    issuer.becomes(Deed::When(let_go.clone(), Deed::Close.into()));
    let asked = issuer.asked();
    server.advance(LONG);
    issuer.until_asked(asked + 1).await;
    assert_eq!(burst(&server, &token).await, 101);
    let_go.add_permits(1);
    server.until_metric(FAILED, failed + 1.0).await;
    // Nor does an unknown key help anybody then.
    issuer.becomes(Deed::Close);
    assert_eq!(burst(&server, &strange).await, 503);
    assert_eq!(issuer.asked(), asked + 2);
    // It comes back.
    issuer.becomes(set(&[&own, &stranger]));
    server.advance(LONG);
    issuer.until_asked(asked + 3).await;
    server.until_metric(FETCHED, 2.0).await;
    assert_eq!(status(&server, &strange).await, 101);
    assert_eq!(status(&server, &token).await, 101);
    assert!(server.metric(fetched_at).await > noon);
}

#[tokio::test]
async fn the_first_keys_are_waited_for() {
    let own = Key::new("own");
    let let_go = Arc::new(Semaphore::new(0));
    let issuer = Issuer::start(Deed::When(let_go.clone(), Deed::Close.into())).await;
    let server = by_set(&issuer);
    let token = own.token("any");
    issuer.until_asked(1).await;
    let ready = server.http("GET", "/readyz", &[], "").await;
    assert_eq!((ready.status, ready.body.trim()), (503, "starting"));
    // Whoever needs no keys comes in.
    server.join("/guest").await;
    assert_eq!(status(&server, "nonsense").await, 401);
    // The first fetch fails: who waited hears so, and who comes then does not wait.
    let (waited, ()) = tokio::join!(burst(&server, &token), async {
        let_go.add_permits(1);
    });
    assert_eq!(waited, 503);
    assert_eq!(burst(&server, &token).await, 503);
    let ready = server.http("GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, 503);
    issuer.becomes(set(&[&own]));
    server.advance(Duration::from_secs(1));
    server.until_metric(FETCHED, 1.0).await;
    assert_eq!(burst(&server, &token).await, 101);
    server.until_status("/readyz", 200).await;
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn an_issuer_is_discovered_and_its_tokens_are_its_own() {
    let own = Key::new("own");
    let issuer = Issuer::start(set(&[&own])).await;
    let server = start(&format!("issuer_discovery: \"{}\"", issuer.url));
    assert_eq!(status(&server, &own.token(&issuer.url)).await, 101);
    assert_eq!(
        status(&server, &own.token("https://evil.example")).await,
        401
    );
    // Its configuration says who it is, and that is somebody else: with a slash at the end.
    let other = start(&format!("issuer_discovery: \"{}/\"", issuer.url));
    let named = own.token(&format!("{}/", issuer.url));
    assert_eq!(status(&other, &named).await, 503);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_first_message_waits_for_its_key() {
    let (own, stranger) = (Key::new("own"), Key::new("stranger"));
    let let_go = Arc::new(Semaphore::new(0));
    let issuer = Issuer::start(Deed::When(let_go.clone(), set(&[&own]).into())).await;
    let server = start(&format!(
        "jwks_url: \"{}/keys\", credential: {{first_message: 10s}}",
        issuer.url
    ));
    let frame = |key: &Key| json!({"type": "token", "token": key.token("any")});
    let mut client = server.connect("/member").await;
    client.send(frame(&own)).await;
    issuer.until_asked(1).await;
    let_go.add_permits(1);
    let welcome = json!({"type": "welcome", "user": {"user_id": "own"}});
    client.expect(welcome).await;
    issuer.becomes(set(&[&own]));
    let mut other = server.connect("/member").await;
    other.send(frame(&stranger)).await;
    other.expect_close(1008).await;
    assert_eq!(issuer.asked(), 2);
}
