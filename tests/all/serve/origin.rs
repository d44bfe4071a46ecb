//! What pages of strangers may not: open endpoints, call the API, frame, guess, read what is for this machine.

use crate::serve::client::{Response, read_response, write_head};
use crate::serve::harness::Server;

const ORIGIN: &str = r#"
server:
  listen: "127.0.0.1:0"
  api:
    keys: {all: {secret: all-secret-of-32-bytes-and-more!!, scopes: [publish]}}
    cors: {origins: [https://admin.example.com, "https://*.example.org"]}
pages:
  /: ./public
  /own: {folder: ./public, headers: {Content-Security-Policy: "default-src 'self'", X-Frame-Options: "", Cache-Control: max-age=60, Strict-Transport-Security: max-age=60}}
auth: {guest: {anonymous: {}}}
messages: {line: {schema: true, to: room}}
rooms: {"room:{id}": {may_join: "true", messages: [line]}}
endpoints:
  /same: {auth: guest, rooms: ["room:{id}"]}
  /listed: {auth: guest, rooms: ["room:{id}"], origins: [https://app.example.com, "https://*.example.com:8443"]}
  /closing: {auth: guest, rooms: ["room:{id}"], reject: close}
"#;

async fn status(server: &Server, path: &str, headers: &[(&str, &str)]) -> u16 {
    match server.knock(path, headers).await {
        Ok(client) => {
            client.close().await;
            101
        }
        Err(refusal) => refusal.status,
    }
}

#[tokio::test]
async fn pages_connect_where_they_may() {
    let server = Server::start(ORIGIN);
    for (path, origin, expected) in [
        ("/same", "http://localhost:8000", 101),
        ("/same", "http://localhost:9000", 403),
        ("/same", "https://evil.example", 403),
        ("/same", "null", 403),
        ("/same", "http://localhost:8000/", 403),
        ("/listed", "https://app.example.com", 101),
        ("/listed", "https://APP.example.com:443", 101),
        ("/listed", "https://a.b.example.com:8443", 101),
        ("/listed", "https://example.com:8443", 403),
        ("/listed", "https://a.example.com", 403),
        ("/listed", "http://localhost:8000", 403),
        ("/listed", "null", 403),
    ] {
        let found = status(&server, path, &[("Origin", origin)]).await;
        assert_eq!(found, expected, "{path} {origin}");
    }
    let twice = [("Origin", "https://app.example.com"); 2];
    assert_eq!(status(&server, "/listed", &twice).await, 403);
    let mut closed = match server.knock("/closing", &[("Origin", "null")]).await {
        Ok(client) => client,
        Err(refusal) => panic!("{refusal:?}"),
    };
    let reason = closed.expect_close(1008).await;
    assert!(reason.contains("origin"), "{reason}");
    server
        .until_metric("trunkline_handshakes_total{outcome=\"origin\"}", 10.0)
        .await;
}

#[tokio::test]
async fn a_strangers_name_for_this_machine_opens_nothing() {
    let server = Server::start(ORIGIN);
    let rebound = [
        ("Host", "evil.example:8000"),
        ("Origin", "http://evil.example:8000"),
    ];
    let refused = server.refusal("/same", &rebound).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("server.hosts"), "{}", refused.body);
    let metrics = server.http("GET", "/metrics", &rebound[..1], "").await;
    assert_eq!(metrics.status, 403);
    // What a proxy on this machine passes on.
    let proxied = [&rebound[..], &[("X-Forwarded-For", "203.0.113.7")]].concat();
    assert_eq!(status(&server, "/same", &proxied).await, 101);

    let listed = ORIGIN.replace("  api:", "  hosts: [rt.example.com]\n  api:");
    let server = Server::start(&listed);
    for (host, expected) in [
        ("rt.example.com", 200),
        ("RT.example.com:8000", 200),
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("evil.example", 421),
        ("a b", 421),
    ] {
        for path in ["/healthz", "/"] {
            let found = server.http("GET", path, &[("Host", host)], "").await;
            assert_eq!(found.status, expected, "{host} {path}");
        }
    }
    let ours = [
        ("Host", "rt.example.com"),
        ("Origin", "https://rt.example.com"),
    ];
    assert_eq!(status(&server, "/same", &ours).await, 101);
    let twice = [("Host", "rt.example.com"); 2];
    assert_eq!(status(&server, "/same", &twice).await, 400);
}

#[tokio::test]
async fn scripts_of_listed_pages_may_call_the_api() {
    let server = Server::start(ORIGIN);
    let path = "/api/rooms/room:1/messages";
    let preflight = |origin| {
        [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            (
                "Access-Control-Request-Headers",
                "authorization,content-type",
            ),
        ]
    };
    for (origin, expected) in [
        ("https://admin.example.com", 204),
        ("https://a.example.org", 204),
        ("https://example.org", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let answer = server.http("OPTIONS", path, &preflight(origin), "").await;
        assert_eq!(answer.status, expected, "{origin}");
        let allowed = answer.headers.get("access-control-allow-origin");
        let told = (expected == 204).then(|| origin.to_owned());
        assert_eq!(allowed, told.as_ref(), "{origin}");
        assert_eq!(answer.headers["vary"], "Origin");
        assert!(
            !answer
                .headers
                .contains_key("access-control-allow-credentials")
        );
        if expected == 204 {
            assert_eq!(
                answer.headers["access-control-allow-methods"],
                "GET, POST, DELETE"
            );
            assert_eq!(
                answer.headers["access-control-allow-headers"],
                "Authorization, Content-Type, Idempotency-Key"
            );
        }
    }
    let key = ("Authorization", "Bearer all-secret-of-32-bytes-and-more!!");
    let body = r#"{"type":"line","data":1}"#;
    for (origin, told) in [
        (
            "https://admin.example.com",
            Some("https://admin.example.com"),
        ),
        ("https://evil.example", None),
    ] {
        let answer = server
            .http("POST", path, &[key, ("Origin", origin)], body)
            .await;
        let allowed = answer.headers.get("access-control-allow-origin");
        assert_eq!((answer.status, allowed.map(String::as_str)), (200, told));
        // A refusal can be read too.
        let answer = server.http("POST", path, &[("Origin", origin)], body).await;
        let allowed = answer.headers.get("access-control-allow-origin");
        assert_eq!((answer.status, allowed.map(String::as_str)), (401, told));
    }
    let off = Server::start(&ORIGIN.replace("    cors:", "    description: none\n    #"));
    let answer = off
        .http("OPTIONS", path, &preflight("https://admin.example.com"), "")
        .await;
    assert_eq!(answer.headers["allow"], "POST, OPTIONS");
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert!(!answer.headers.contains_key("vary"));
}

#[tokio::test]
async fn any_page_may_where_the_file_says_so() {
    let listed = "[https://admin.example.com, \"https://*.example.org\"]";
    let server = Server::start(&ORIGIN.replace(listed, "[\"*\"]"));
    let headers = [("Origin", "https://somebody.example")];
    let answer = server
        .http("POST", "/api/rooms/room:1/messages", &headers, "{}")
        .await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
}

#[tokio::test]
async fn texts_are_nothing_but_texts() {
    let server = Server::start(ORIGIN);
    let refused = server.refusal("/same", &[("Origin", "null")]).await;
    let check = |what: &str, answer: &Response| {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'",
            ),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(
                answer.headers.get(name).map(String::as_str),
                Some(value),
                "{what} {name}"
            );
        }
    };
    check("a refused handshake", &refused);
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/same"),
        ("POST", "/api/rooms/room:1/messages"),
        ("GET", "/api/nothing"),
        ("DELETE", "/api/rooms/room:1/messages"),
    ] {
        check(path, &server.http(method, path, &[], "").await);
    }
    // Nothing of it costs a connection a byte.
    let opened = server.join("/same").await;
    assert!(!opened.headers.contains_key("x-content-type-options"));
    assert!(!opened.headers.contains_key("cache-control"));
}

#[tokio::test]
async fn pages_have_the_headers_of_the_file() {
    let server = Server::start(ORIGIN);
    let header = |answer: &Response, name: &str| answer.headers.get(name).cloned();
    for path in ["/", "/chat.js", "/missing.js"] {
        let answer = server.http("GET", path, &[], "").await;
        for (name, part) in [
            ("content-security-policy", "frame-ancestors 'self'"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            let value = header(&answer, name).unwrap_or_default();
            assert!(value.contains(part), "{path} {name}: {value}");
        }
    }
    let own = server.http("GET", "/own/chat.js", &[], "").await;
    assert_eq!(own.status, 200);
    let policy = header(&own, "content-security-policy");
    assert_eq!(policy.as_deref(), Some("default-src 'self'"));
    assert_eq!(header(&own, "x-frame-options"), None);
    assert_eq!(header(&own, "cache-control").as_deref(), Some("max-age=60"));
    assert_eq!(
        header(&own, "x-content-type-options").as_deref(),
        Some("nosniff")
    );
    // This was plain HTTP.
    assert_eq!(header(&own, "strict-transport-security"), None);
}

#[tokio::test]
async fn paths_say_which_methods_they_take() {
    let server = Server::start(ORIGIN);
    for (method, path, status, allow) in [
        ("POST", "/healthz", 405, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS", "/healthz", 204, Some("GET, HEAD, OPTIONS")),
        ("BREW", "/metrics", 405, Some("GET, HEAD, OPTIONS")),
        (
            "GET",
            "/api/rooms/room:1/messages",
            405,
            Some("POST, OPTIONS"),
        ),
        (
            "OPTIONS",
            "/api/rooms/room:1/messages",
            204,
            Some("POST, OPTIONS"),
        ),
        ("POST", "/chat.js", 405, Some("GET, HEAD, OPTIONS")),
        ("POST", "/same", 405, Some("GET")),
        ("DELETE", "/api/nothing", 404, None),
    ] {
        let answer = server.http(method, path, &[], "").await;
        let found = (
            answer.status,
            answer.headers.get("allow").map(String::as_str),
        );
        assert_eq!(found, (status, allow), "{method} {path}");
    }
    let path = "/api/rooms/room:1/messages";
    let refused = server.http("DELETE", path, &[], "").await;
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!(refused.json()["detail"], "this path takes POST, OPTIONS");
    for path in ["/healthz", "/readyz", "/metrics", "/chat.js", "/"] {
        let mut stream = tokio::net::TcpStream::connect(server.address())
            .await
            .expect("it listens");
        write_head(&mut stream, "HEAD", path, &[]).await;
        let (status, headers) = crate::serve::client::read_head(&mut stream).await;
        assert_eq!(status, 200, "{path}");
        let length = headers.get("content-length").map(String::as_str);
        assert_ne!(length, Some("0"), "{path}");
        // There is no body: what comes next is the next answer.
        write_head(&mut stream, "GET", "/healthz", &[]).await;
        assert_eq!(read_response(&mut stream).await.body, "ok\n", "{path}");
    }
}
