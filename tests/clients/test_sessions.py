"""Sessions that another program made: in a real Redis, which also goes down and comes back, and in cookies that the code of
docs/configuration.md signs."""

import datetime
import http.server
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import threading
import time

import pytest
import websockets

from authority import Authority
from client import connected, matches
from redis_server import PASSWORD, Redis
from server import DEADLINE, JWT_SECRET, ROOT

CONFIG = pathlib.Path(__file__).with_name("configs") / "sessions.yaml"
LATER = "2099-01-01T00:00:00Z"
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture
def redis(tmp_path):
    redis = Redis(tmp_path).start()
    yield redis
    redis.stop()


@pytest.fixture
def server(serve, redis):
    server = serve(CONFIG, env={"REDIS_URL": redis.url})
    yield server
    assert PASSWORD not in server.tail(10_000)


def store(redis, value: str, session):
    text = session if isinstance(session, str) else json.dumps(session)
    assert redis.command("SET", f"sess:{value}", text) == "+OK"


async def outcome(server, path: str, cookie: str | None):
    """The user's id, or the status that refuses."""
    headers = {} if cookie is None else {"Cookie": f"sid={cookie}"}
    try:
        async with connected(server, path, additional_headers=headers) as client:
            return client.welcome["user"]["user_id"]
    except AssertionError as failed:
        if isinstance(refused := failed.__cause__, websockets.InvalidStatus):
            return refused.response.status_code
        raise


async def eventually(server, path: str, cookie: str, wanted):
    """Tries until it comes to `wanted`: somebody has to notice first that Redis is back."""
    end = time.monotonic() + 2 * DEADLINE
    while (found := await outcome(server, path, cookie)) != wanted:
        assert time.monotonic() < end, f"{path} comes to {found}, not {wanted}\n{server.tail()}"


async def test_redis_knows_the_session(server, redis):
    store(redis, "good", {"user_id": "ann", "username": "Ann", "claims": {"role": "mod"}, "expires_at": LATER, "rooms": ["room:1"]})
    async with connected(server, "/stored", additional_headers={"Cookie": "sid=good"}) as ann:
        assert matches({"user_id": "ann", "username": "Ann"}, ann.welcome["user"])
        assert [room["room"] for room in ann.welcome["rooms"]] == ["room:1"]
        await ann.send("who", id="w")
        await ann.expect("who", id="w", data={"role": "mod"})
    for value, session, wanted in [
        ("number", {"user_id": 7}, "7"),
        ("old", {"user_id": "ann", "expires_at": LONG_AGO}, 401),
        ("empty", "", 401),
        ("html", "<!doctype html>", 503),
        ("anonymous", {"user_id": "anon:1"}, 503),
        ("large", {"user_id": "ann", "more": "x" * 70_000}, 503),
        ("fits", {"user_id": "ann", "more": "x" * 60_000}, "ann"),
    ]:
        store(redis, value, session)
        assert await outcome(server, "/stored", value) == wanted, value
    assert redis.command("LPUSH", "sess:list", "x") == ":1"
    assert await outcome(server, "/stored", "list") == 503
    assert redis.command("SET", "other", json.dumps({"user_id": "eve"})) == "+OK"
    for value in ["unknown", "", "../other", "*", "other"]:
        assert await outcome(server, "/stored", value) == 401, value
    assert await outcome(server, "/stored", None) == 401
    redis.command("DEL", "sess:good")
    assert await outcome(server, "/stored", "good") == 401


async def test_redis_goes_down_and_comes_back(server, redis):
    store(redis, "good", {"user_id": "ann"})
    assert await outcome(server, "/stored", "good") == "ann"
    assert await outcome(server, "/remembered", "good") == "ann"
    redis.stop()
    for _ in range(7):
        assert await outcome(server, "/stored", "good") == 503
    assert server.metric('trunkline_question_breaker') == 2
    await eventually(server, "/remembered", "good", "ann")
    assert await outcome(server, "/remembered", "other") == 503
    redis.start()
    store(redis, "good", {"user_id": "ann"})
    store(redis, "new", {"user_id": "ben"})
    await eventually(server, "/stored", "new", "ben")
    await eventually(server, "/remembered", "new", "ben")
    assert await outcome(server, "/stored", "good") == "ann"
    assert server.metric("trunkline_question_breaker") == 0


async def test_redis_hangs(server, redis):
    store(redis, "good", {"user_id": "ann"})
    assert await outcome(server, "/stored", "good") == "ann"
    redis.pause()
    try:
        assert await outcome(server, "/stored", "good") == 503
    finally:
        redis.resume()
    await eventually(server, "/stored", "good", "ann")


async def test_a_server_starts_without_redis(serve, redis):
    redis.stop()
    server = serve(CONFIG, env={"REDIS_URL": redis.url})
    assert await outcome(server, "/stored", "good") == 503
    redis.start()
    store(redis, "good", {"user_id": "ann"})
    await eventually(server, "/stored", "good", "ann")


@pytest.fixture
def website(tmp_path):
    """An application that knows the session `good`, over TLS."""
    authority = Authority(tmp_path)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = question == {"cookies": {"sid": "good"}}
            body = json.dumps({"user_id": "ann"} if known else {}).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.authority = authority
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


async def test_an_application_behind_tls_is_asked_if_the_system_trusts_its_certificate(serve, website):
    url = f"https://127.0.0.1:{website.server_port}/session"
    for trusts, good, bad in [(True, "ann", 401), (False, 503, 503)]:
        trusted = {"SSL_CERT_FILE": str(website.authority.ca)} if trusts else {}
        server = serve(CONFIG, env={"SESSION_URL": url, **trusted})
        assert await outcome(server, "/asked", "good") == good
        assert await outcome(server, "/asked", "bad") == bad
    server.wait_for_log("UnknownIssuer")


async def test_a_redis_behind_tls_is_asked_if_the_system_trusts_its_certificate(serve, tmp_path):
    authority = Authority(tmp_path)
    redis = Redis(tmp_path, authority).start()
    try:
        store(redis, "good", {"user_id": "ann"})
        for trusted, wanted in [({"SSL_CERT_FILE": str(authority.ca)}, "ann"), ({}, 503)]:
            server = serve(CONFIG, env={"REDIS_URL": redis.tls_url, **trusted})
            assert await outcome(server, "/stored", "good") == wanted
    finally:
        redis.stop()


def snippet(language: str) -> str:
    """How docs/configuration.md makes a signed cookie."""
    text = (ROOT / "docs/configuration.md").read_text()
    blocks = [block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if "ession" in block]
    assert len(blocks) == 1, f"{len(blocks)} blocks of {language} make a cookie"
    return blocks[0]


def by_python(session: dict, secret: str) -> str:
    names: dict = {}
    exec(snippet("python"), names)
    return names["session_cookie"](session, secret)


def by_node(session: dict, secret: str) -> str:
    assert shutil.which("node"), "there is no Node.js: tests/run.sh sessions installs it"
    call = f"\nconsole.log(sessionCookie({json.dumps(session)}, {json.dumps(secret)}));"
    command = ["node", "--input-type=module", "-e", snippet("js") + call]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("sign", [by_python, by_node], ids=["python", "node"])
async def test_a_cookie_carries_the_session(serve, sign):
    server = serve(CONFIG)
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    session = {"user_id": "ann", "claims": {"role": "mod"}, "expires_at": soon}
    good = sign(session, JWT_SECRET)
    async with connected(server, "/carried", additional_headers={"Cookie": f"sid={good}"}) as ann:
        assert ann.welcome["user"]["user_id"] == "ann"
        await ann.send("who", id="w")
        await ann.expect("who", id="w", data={"role": "mod"})
    payload, signature = good.split(".")
    other = sign({**session, "user_id": "eve"}, JWT_SECRET).split(".")[0]
    for bad in [
        sign(session, "another-secret-of-at-least-32-bytes!!"),
        sign({**session, "expires_at": LONG_AGO}, JWT_SECRET),
        sign({"user_id": "ann"}, JWT_SECRET),
        f"{other}.{signature}",
        payload,
        f"{payload}.",
        "",
    ]:
        assert await outcome(server, "/carried", bad) == 401, bad
