use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::plan::{HttpCall, HttpUrl, Patience};
use crate::telemetry::{MetricNames, Metrics};
use crate::vocab::{Clock as _, Secret, Timestamp, VirtualClock};
use crate::webhook::application::{Application, Deed, answer};
use crate::webhook::{Answers, Asking, CallError, Client, Fault, Reply, Unanswered, Word};

/// What no error may show.
const HIDDEN: &str = "hunter2";
const LONG: Duration = Duration::from_secs(60);

fn url(text: &str) -> HttpUrl {
    HttpUrl::parse(text).expect("a URL")
}

fn call(text: &str) -> HttpCall {
    HttpCall {
        url: url(text),
        secret: None,
        timeout: LONG,
        patience: Patience::default(),
    }
}

/// What becomes of a question to an application that does `deed`; the URL's query and credentials have to stay out of it.
async fn asked(deed: Deed) -> String {
    let application = Application::start(move |_| deed.clone()).await;
    let host = application.url.trim_start_matches("http://");
    let call = call(&format!("http://ann:{HIDDEN}@{host}/a?key={HIDDEN}"));
    let told = Client::new().ask(&call, Bytes::from_static(b"{}")).await;
    let text = match &told {
        Ok(Reply::Told(body)) => format!("told {}", String::from_utf8_lossy(body)),
        Ok(Reply::Refused) => "refused".to_owned(),
        Err(fault) => {
            let whose = if fault.is_outage() {
                "outage"
            } else {
                "no outage"
            };
            format!("{fault} ({whose})")
        }
    };
    assert!(
        !format!("{text} {told:?}").contains(HIDDEN),
        "{text} {told:?}"
    );
    text.replace(host, "HOST")
}

#[tokio::test]
async fn answers_are_told_apart() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let raw = |text: &str| Deed::Close(text.as_bytes().to_vec());
    for (deed, expected) in [
        (Deed::Answer(answer(200, "{}")), "told {}"),
        (Deed::Answer(answer(201, "x")), "told x"),
        (Deed::Answer(b"HTTP/1.1 204 X\r\n\r\n".to_vec()), "told "),
        (Deed::Answer(answer(401, "no")), "refused"),
        (Deed::Answer(answer(403, "no")), "refused"),
        (
            Deed::Answer(answer(400, "no")),
            "the answer has the status 400 (no outage)",
        ),
        (
            Deed::Answer(answer(404, "no")),
            "the answer has the status 404 (no outage)",
        ),
        (
            Deed::Answer(answer(500, "no")),
            "the answer has the status 500 (no outage)",
        ),
        (
            Deed::Answer(answer(501, "no")),
            "the answer has the status 501 (no outage)",
        ),
        (
            Deed::Answer(answer(502, "no")),
            "the answer has the status 502 (outage)",
        ),
        (
            Deed::Answer(answer(503, "no")),
            "the answer has the status 503 (outage)",
        ),
        (
            Deed::Answer(answer(504, "no")),
            "the answer has the status 504 (outage)",
        ),
        (
            Deed::Answer(answer(505, "no")),
            "the answer has the status 505 (no outage)",
        ),
        (
            raw("HTTP/1.1 302 X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"),
            "the answer has the status 302 (no outage)",
        ),
        (raw(&format!("{chunked}2\r\n{{}}\r\n0\r\n\r\n")), "told {}"),
        (
            raw(&format!("{chunked}ff\r\n{{")),
            "the answer of http://HOST/a broke off or is not HTTP: status 200 OK, end of file before message length reached (outage)",
        ),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}"),
            "the answer of http://HOST/a broke off or is not HTTP: status 200 OK, end of file before message length reached (outage)",
        ),
        (
            raw("<!doctype html>"),
            "the answer of http://HOST/a broke off or is not HTTP: invalid HTTP version parsed (outage)",
        ),
        (
            raw(""),
            "the answer of http://HOST/a broke off or is not HTTP: connection closed before message completed (outage)",
        ),
        (
            raw("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n"),
            "the answer of http://HOST/a is longer than 65536 bytes (outage)",
        ),
        (
            Deed::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), &[b'x'; 4096]),
            "the answer of http://HOST/a is longer than 65536 bytes (outage)",
        ),
        (
            Deed::Flood(chunked.into(), b"1\r\nx\r\n"),
            "the answer of http://HOST/a is longer than 65536 bytes (outage)",
        ),
    ] {
        let name = format!("{deed:?}");
        assert_eq!(asked(deed).await, expected, "{name}");
    }
}

/// Time moves on by itself while everybody waits.
#[tokio::test(start_paused = true)]
async fn who_hangs_runs_out_of_time() {
    let expected = "http://HOST/a did not answer within 1m (outage)";
    for deed in [
        Deed::Hang(Vec::new()),
        Deed::Hang(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Deed::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{".to_vec()),
        Deed::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), b"y"),
        Deed::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b" "),
    ] {
        let name = format!("{deed:?}");
        assert_eq!(asked(deed).await, expected, "{name}");
    }
}

#[tokio::test]
async fn nobody_there_is_an_outage() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let call = call(&format!("http://{address}/a?key={HIDDEN}"));
    let fault = Client::new().ask(&call, Bytes::new()).await;
    let fault = fault.expect_err("nobody listens");
    assert!(fault.is_outage());
    let told = fault.to_string();
    let begin = format!("http://{address}/a cannot be reached: ");
    assert!(told.starts_with(&begin) && !told.contains(HIDDEN), "{told}");
}

#[tokio::test]
async fn a_call_says_what_it_has_to_and_its_connection_is_used_again() {
    let application = Application::start(|_| Deed::Answer(answer(200, "{}"))).await;
    let host = application.url.trim_start_matches("http://").to_owned();
    let client = Client::new();
    let mut asked = call(&format!("http://ann:pass@{host}/a/b?c=d"));
    let told = client.ask(&asked, Bytes::from_static(b"{\"a\":1}")).await;
    assert_eq!(told, Ok(Reply::Told(Bytes::from_static(b"{}"))));
    asked.secret = Some(Secret::new("s3cret"));
    client.ask(&asked, Bytes::new()).await.expect("told");
    let headers = [("x-more", "1")];
    let got = client.get(&asked.url, &headers, LONG, 2).await;
    let got = got.expect("told");
    assert_eq!(
        (got.status, got.header("Content-Type")),
        (200, Some("application/json"))
    );
    assert_eq!(application.connections(), 1);
    let requests = application.requests();
    let agent = format!(
        "user-agent: trunkline/{}\r\naccept: application/json\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        requests[0],
        format!(
            "POST /a/b?c=d HTTP/1.1\r\n{agent}authorization: Basic YW5uOnBhc3M=\r\ncontent-type: application/json\r\n\
             host: {host}\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}"
        )
    );
    assert!(
        requests[1].contains("authorization: Bearer s3cret\r\n"),
        "{}",
        requests[1]
    );
    assert!(!requests[1].contains("Basic"), "{}", requests[1]);
    assert!(
        requests[2].starts_with("GET /a/b?c=d HTTP/1.1\r\n"),
        "{}",
        requests[2]
    );
    assert!(requests[2].contains("x-more: 1\r\n"), "{}", requests[2]);
}

#[tokio::test]
async fn what_is_no_header_is_not_sent() {
    let application = Application::start(|_| Deed::Answer(answer(200, "{}"))).await;
    let mut asked = call(&application.url);
    asked.secret = Some(Secret::new("a\r\nx: y"));
    let told = Client::new().ask(&asked, Bytes::new()).await;
    assert_eq!(told, Err(Fault::Call(CallError::Unsendable)));
    assert_eq!(application.connections(), 0);
}

#[tokio::test]
async fn calls_under_way_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let application =
        Application::start(move |_| Deed::AnswerWhen(waits.clone(), answer(200, "{}"))).await;
    let client = Client::with_places(2);
    let asked = call(&application.url);
    let ask = || client.ask(&asked, Bytes::new());
    let (one, two, three) = (ask(), ask(), ask());
    let (mut one, mut two) = (std::pin::pin!(one), std::pin::pin!(two));
    let told = tokio::select! {
        biased;
        _ = &mut one => panic!("not yet"),
        _ = &mut two => panic!("not yet"),
        told = three => told,
    };
    assert_eq!(told, Err(Fault::Call(CallError::Busy)));
    assert!(!Fault::Call(CallError::Busy).is_outage());
    assert!(!Fault::Nonsense("<html>".to_owned()).is_outage());
    gate.add_permits(1);
    let (one, two) = tokio::join!(one, two);
    assert!(one.is_ok() && two.is_ok());
    assert!(ask().await.is_ok());
}

/// Answers under a clock that stands still, asked by hand.
struct Bench {
    answers: Arc<Answers<u32, &'static str>>,
    clock: Arc<VirtualClock>,
    metrics: Metrics,
    asked: Arc<AtomicUsize>,
}

type Told = Result<Word<&'static str>, Fault>;

fn yes(value: &'static str) -> Told {
    Ok(Word::Allowed {
        value,
        ends: None,
        bytes: value.len(),
    })
}

fn down() -> Told {
    Err(Fault::Status(503))
}

impl Bench {
    fn new(cache: u64, stale: u64) -> Self {
        let clock = Arc::new(VirtualClock::new(Timestamp::from_millis(1_000_000)));
        let metrics = Metrics::new(&MetricNames::default());
        let patience = Patience {
            cache: Duration::from_secs(cache),
            stale: Duration::from_secs(stale),
        };
        let asking = Asking {
            patience,
            asker: "auth.test".into(),
            metrics: metrics.questions_of("auth.test"),
            clock: clock.clone(),
            random: || 250,
        };
        Self {
            answers: Answers::with_room(asking, 3),
            clock,
            metrics,
            asked: Arc::default(),
        }
    }

    async fn get(&self, key: u32, told: Told) -> Result<&'static str, Unanswered> {
        let asked = self.asked.clone();
        let ask = move || {
            asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(told)
        };
        self.answers.get(key, ask).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    fn shows(&self, line: &str) {
        let text = self.metrics.encode();
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn an_answer_is_good_for_its_time() {
    let bench = Bench::new(30, 0);
    assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
    bench.advance(29_999);
    assert_eq!(bench.get(1, yes("b")).await, Ok("a"));
    assert_eq!(bench.answers.known(&1), Some("a"));
    bench.advance(1);
    assert_eq!(bench.answers.known(&1), None);
    assert_eq!(bench.get(1, yes("b")).await, Ok("b"));
    assert_eq!(bench.get(2, yes("c")).await, Ok("c"));
    assert_eq!(bench.asked(), 3);
    bench.answers.forget(&1);
    assert_eq!(bench.get(1, yes("d")).await, Ok("d"));
    bench.shows(r#"trunkline_questions_total{asker="auth.test",outcome="allowed"} 4"#);
    bench.shows(r#"trunkline_question_cache_hits_total{asker="auth.test",kind="fresh"} 2"#);
    bench.shows(r#"trunkline_question_cache_entries{asker="auth.test"} 2"#);
    bench.shows(r#"trunkline_questions_in_flight{asker="auth.test"} 0"#);
}

#[tokio::test]
async fn an_answer_does_not_outlive_its_own_end() {
    let bench = Bench::new(30, 300);
    let ends = Some(bench.clock.now().after(Duration::from_secs(10)));
    let told = Ok(Word::Allowed {
        value: "a",
        ends,
        bytes: 1,
    });
    assert_eq!(bench.get(1, told).await, Ok("a"));
    bench.advance(9_999);
    assert_eq!(bench.get(1, down()).await, Ok("a"));
    bench.advance(1);
    assert_eq!(bench.get(1, down()).await, Err(Unanswered::Failed));
}

#[tokio::test]
async fn a_refusal_is_soon_forgotten() {
    for (cache, kept) in [(30, 5000), (2, 2000)] {
        let bench = Bench::new(cache, 300);
        let no = || Ok(Word::Refused("no"));
        assert_eq!(bench.get(1, no()).await, Ok("no"));
        bench.advance(kept - 1);
        assert_eq!(bench.get(1, yes("a")).await, Ok("no"));
        bench.advance(1);
        assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
        bench.shows(r#"trunkline_questions_total{asker="auth.test",outcome="refused"} 1"#);
    }
}

#[tokio::test]
async fn nothing_is_remembered_unless_it_is_asked_for() {
    let bench = Bench::new(0, 0);
    assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
    assert_eq!(bench.get(1, yes("b")).await, Ok("b"));
    bench.shows(r#"trunkline_question_cache_entries{asker="auth.test"} 0"#);
}

#[tokio::test]
async fn the_breaker_opens_and_closes() {
    let bench = Bench::new(0, 0);
    for _ in 0..5 {
        assert_eq!(bench.get(1, down()).await, Err(Unanswered::Failed));
    }
    bench.shows(r#"trunkline_question_breaker{asker="auth.test"} 2"#);
    let retry_after = Duration::from_secs(1);
    assert_eq!(
        bench.get(2, yes("a")).await,
        Err(Unanswered::Open { retry_after })
    );
    assert_eq!(bench.asked(), 5);
    bench.advance(1000);
    assert_eq!(
        bench.get(2, down()).await,
        Err(Unanswered::Failed),
        "the probe"
    );
    bench.advance(1999);
    assert!(matches!(
        bench.get(2, yes("a")).await,
        Err(Unanswered::Open { .. })
    ));
    bench.advance(1);
    assert_eq!(bench.get(2, yes("a")).await, Ok("a"));
    assert_eq!(bench.get(3, yes("b")).await, Ok("b"));
    bench.shows(r#"trunkline_question_breaker{asker="auth.test"} 0"#);
    bench.shows(r#"trunkline_questions_total{asker="auth.test",outcome="failed"} 6"#);
    bench.shows(r#"trunkline_questions_total{asker="auth.test",outcome="broken"} 2"#);
}

/// Whoever sends what makes no sense must not keep the others out.
#[tokio::test]
async fn only_outages_open_the_breaker() {
    let bench = Bench::new(0, 0);
    for fault in [
        Fault::Status(400),
        Fault::Status(500),
        Fault::Nonsense("it is HTML".to_owned()),
        Fault::Unusable(String::new()),
        Fault::Call(CallError::Busy),
    ] {
        for _ in 0..10 {
            let told = bench.get(1, Err(fault.clone())).await;
            assert_eq!(told, Err(Unanswered::Failed), "{fault:?}");
        }
    }
    assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
}

#[tokio::test]
async fn a_stale_answer_is_told_only_where_that_was_asked_for_and_nobody_answers() {
    let bench = Bench::new(30, 60);
    assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
    bench.advance(30_000);
    for _ in 0..6 {
        assert_eq!(bench.get(1, down()).await, Ok("a"));
    }
    assert_eq!(bench.asked(), 6, "the breaker is open");
    bench.shows(r#"trunkline_question_cache_hits_total{asker="auth.test",kind="stale"} 6"#);
    bench.advance(59_999);
    assert_eq!(bench.get(1, down()).await, Ok("a"));
    bench.advance(30_000);
    assert_eq!(bench.get(1, down()).await, Err(Unanswered::Failed));

    let refused = Bench::new(30, 60);
    assert_eq!(refused.get(1, yes("a")).await, Ok("a"));
    refused.advance(30_000);
    assert_eq!(refused.get(1, Ok(Word::Refused("no"))).await, Ok("no"));

    let plain = Bench::new(30, 0);
    assert_eq!(plain.get(1, yes("a")).await, Ok("a"));
    plain.advance(30_000);
    assert_eq!(plain.get(1, down()).await, Err(Unanswered::Failed));
}

#[tokio::test]
async fn the_least_recently_used_go_first() {
    let bench = Bench::new(30, 0);
    for key in [1, 2, 3, 1, 4] {
        assert_eq!(bench.get(key, yes("a")).await, Ok("a"));
    }
    let known = [1, 2, 3, 4].map(|key| bench.answers.known(&key).is_some());
    assert_eq!(known, [true, false, true, true]);
    let huge = Word::Allowed {
        value: "x",
        ends: None,
        bytes: 60 << 20,
    };
    assert_eq!(bench.get(5, Ok(huge.clone())).await, Ok("x"));
    assert_eq!(bench.get(6, Ok(huge)).await, Ok("x"));
    let known = [1, 3, 4, 5, 6].map(|key| bench.answers.known(&key).is_some());
    assert_eq!(known, [false, false, false, false, true], "64 MiB in all");
    bench.advance(30_000);
    assert_eq!(bench.get(7, yes("a")).await, Ok("a"));
    bench.shows(r#"trunkline_question_cache_entries{asker="auth.test"} 1"#);
}

#[tokio::test]
async fn refusals_push_out_no_answer() {
    let bench = Bench::new(30, 0);
    assert_eq!(bench.get(1, yes("a")).await, Ok("a"));
    for key in 100..200 {
        assert_eq!(bench.get(key, Ok(Word::Refused("no"))).await, Ok("no"));
    }
    assert_eq!(bench.answers.known(&1), Some("a"));
    assert_eq!(bench.answers.known(&199), Some("no"));
    bench.shows(r#"trunkline_question_cache_entries{asker="auth.test"} 2"#);
    bench.advance(5000);
    // Who was refused logs in, and later out again.
    assert_eq!(bench.get(199, yes("b")).await, Ok("b"));
    bench.shows(r#"trunkline_question_cache_entries{asker="auth.test"} 2"#);
    bench.advance(30_000);
    assert_eq!(bench.get(199, Ok(Word::Refused("no"))).await, Ok("no"));
    assert_eq!(bench.answers.known(&199), Some("no"));
}

#[tokio::test]
async fn who_wants_the_same_shares_one_call_which_nobody_can_cancel() {
    let bench = Bench::new(0, 0);
    let gate = Arc::new(Semaphore::new(0));
    let ask = || {
        let (gate, asked) = (gate.clone(), bench.asked.clone());
        move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            let _passed = gate.acquire().await;
            yes("a")
        }
    };
    let first = bench.answers.get(1, ask());
    {
        let mut first = std::pin::pin!(first);
        // It is begun, and its asker goes.
        tokio::select! {
            biased;
            _ = &mut first => panic!("not yet"),
            () = std::future::ready(()) => {}
        }
    }
    let mut others: Vec<_> = (0..1000)
        .map(|_| Box::pin(bench.answers.get(1, ask())))
        .collect();
    let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
    for other in &mut others {
        assert!(other.as_mut().poll(&mut waiting).is_pending());
    }
    bench.shows(r#"trunkline_questions_in_flight{asker="auth.test"} 1"#);
    gate.add_permits(1);
    for other in others {
        assert_eq!(other.await, Ok("a"));
    }
    assert_eq!(bench.asked(), 1);
    bench.shows(r#"trunkline_question_cache_hits_total{asker="auth.test",kind="shared"} 1000"#);
}

#[tokio::test]
async fn questions_under_way_are_bounded_and_a_panic_frees_its_place() {
    let bench = Bench::new(0, 0);
    let gate = Arc::new(Semaphore::new(0));
    let ask = |key: u32| {
        let gate = gate.clone();
        Box::pin(bench.answers.get(key, move || async move {
            let _passed = gate.acquire().await;
            assert!(key != 0, "a fault of ours");
            yes("a")
        }))
    };
    let mut waiting = std::task::Context::from_waker(std::task::Waker::noop());
    let mut asked: Vec<_> = (0..1000).map(ask).collect();
    for question in &mut asked {
        assert!(question.as_mut().poll(&mut waiting).is_pending());
    }
    assert_eq!(ask(1000).await, Err(Unanswered::Busy));
    bench.shows(r#"trunkline_questions_total{asker="auth.test",outcome="busy"} 1"#);
    gate.add_permits(1);
    for (key, question) in asked.into_iter().enumerate() {
        let expected = if key == 0 {
            Err(Unanswered::Failed)
        } else {
            Ok("a")
        };
        assert_eq!(question.await, expected);
    }
    assert_eq!(ask(1000).await, Ok("a"));
    bench.shows(r#"trunkline_questions_in_flight{asker="auth.test"} 0"#);
}
