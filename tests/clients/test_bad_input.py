"""Hostile clients and hostile files. Each gets a clear answer, a bystander in the same room hears everything meanwhile, and the
server's memory ends near where it was."""

import asyncio
import contextlib
import http.server
import json
import os
import pathlib
import resource
import select
import socket
import struct
import subprocess
import threading

import pytest

from client import connected
from conftest import running_or_nothing
from hostile import BINARY, CLOSE, CONTINUATION, END, PING, RESET, TEXT, Raw, dial, frame, request
from server import BINARY as TRUNKLINE
from server import DEADLINE

CONFIG = pathlib.Path(__file__).with_name("configs") / "hostile.yaml"
MIB = 1024


@pytest.fixture(scope="module")
def server():
    with running_or_nothing(CONFIG) as server:
        yield server


@contextlib.asynccontextmanager
async def bystanders(server, room: str):
    """Two who talk all the time, one message in flight: a lost one ends the test."""
    async with connected(server, f"/json/{room}") as writer, connected(server, f"/json/{room}") as reader:
        heard = 0
        stop = asyncio.Event()

        async def talk():
            nonlocal heard
            while not stop.is_set() or heard == 0:
                await writer.send("message", {"text": f"bystander {heard}"})
                for client in (reader, writer):
                    await client.expect("message", data={"text": f"bystander {heard}"})
                    client.seen.clear()
                heard += 1

        talking = asyncio.create_task(talk())
        try:
            yield
        finally:
            stop.set()
            await talking


async def survive(server, attack, room: str = "1"):
    """Runs the attack (blocking) beside the bystanders; its result."""
    async with bystanders(server, room):
        before = server.rss_anon()
        server.reset_rss_peak()
        floor = server.rss_peak()
        result = await asyncio.to_thread(attack)
        peak, after = server.rss_peak() - floor, server.rss_anon()
    assert peak < 24 * MIB, f"the server took {peak} KiB more at its peak"
    assert after < before + 8 * MIB, f"the server kept {after - before} KiB"
    return result


def outcome_of(server, path: str, content: bytes):
    def attack():
        with Raw(server, path) as raw:
            return raw.outcome(content)

    return attack


# Frames

@pytest.mark.parametrize("path", ["/json/1", "/text/1"])
async def test_binary_where_text_is_spoken(server, path):
    assert await survive(server, outcome_of(server, path, frame(BINARY, b"\x00\x01"))) == 1003


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xe2\x82"], ids=repr)
@pytest.mark.parametrize("path", ["/json/1", "/text/1"])
async def test_invalid_utf8(server, path, payload):
    assert await survive(server, outcome_of(server, path, frame(TEXT, payload))) == 1007


UNLAWFUL = {
    "unmasked": frame(TEXT, b"{}", masked=False),
    "reserved bit": bytes([0x81 | 0x40]) + frame(TEXT, b"{}")[1:],
    "reserved opcode": frame(0x3, b"x"),
    "reserved control opcode": frame(0xB, b"x"),
    "fragmented ping": frame(PING, b"x", fin=False),
    "long ping": frame(PING, b"x" * 126),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "text within a fragmented text": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "close with half a code": frame(CLOSE, b"\x03"),
    "close with a reserved code": frame(CLOSE, struct.pack("!H", 1005)),
    "length with the sign bit": frame(TEXT, b"", length=1 << 63),
}


@pytest.mark.parametrize("what", UNLAWFUL)
async def test_unlawful_frames(server, what):
    code = await survive(server, outcome_of(server, "/json/1", UNLAWFUL[what]))
    assert code in ((1002, 1009) if what == "length with the sign bit" else (1002,))


async def test_a_header_that_announces_100_mb(server):
    header = frame(TEXT, b"", length=100_000_000)
    assert await survive(server, outcome_of(server, "/json/1", header)) == 1009


async def test_a_message_of_100_mb_in_one_frame(server):
    assert await survive(server, outcome_of(server, "/json/1", frame(TEXT, b"x" * 100_000_000))) == 1009


async def test_a_message_of_100_mb_in_fragments(server):
    piece = frame(CONTINUATION, b"x" * 60_000, fin=False)
    assert await survive(server, outcome_of(server, "/json/1", frame(TEXT, b"x", fin=False) + piece * 1_667)) == 1009


async def test_a_million_tiny_fragments(server):
    content = frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", fin=False) * 1_000_000
    assert await survive(server, outcome_of(server, "/json/1", content)) in (1008, 1009)


async def test_a_million_empty_fragments(server):
    content = frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 1_000_000
    assert await survive(server, outcome_of(server, "/json/1", content)) in (1008, 1009)


async def test_json_nested_ten_thousand_deep(server):
    def attack():
        with Raw(server, "/json/1") as raw:
            for nested in (b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000, b'{"type":"message","data":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001):
                raw.send(frame(TEXT, nested))
                error = json.loads(raw.expect_text(b'"error"'))
                assert error["code"] in ("bad_json", "bad_frame", "schema", "too_large"), error
            raw.send(frame(TEXT, b'{"type":"message","data":{"text":"still here"}}'))
            raw.expect_text(b"still here")

    await survive(server, attack)


async def test_a_thousand_pings_are_answered(server):
    def attack():
        with Raw(server, "/json/1") as raw:
            return raw.outcome(frame(PING, b"x" * 125) * 1_000 + frame(CLOSE, struct.pack("!H", 1000)))

    assert await survive(server, attack) == 1000


# Connections

async def test_slow_handshakes(server):
    """A hundred that send half a request and wait, and one that sends a byte now and then, which must not buy it time."""

    def attack():
        half = request("/json/1", server.port)[:60]
        waiting = [dial(server) for _ in range(100)]
        for connection in waiting:
            connection.sendall(half)
        assert drip(dial(server), request("/json/1", server.port)) < 200, "a byte now and then kept the handshake alive"
        for connection in waiting:
            read_to_end(connection)

    await survive(server, attack)


def drip(connection: socket.socket, content: bytes) -> int:
    """Sends a byte each time that the server has said nothing for a tenth of a second; how many, until the server ended it."""
    for sent in range(len(content)):
        readable, _, _ = select.select([connection], [], [], 0.1)
        try:
            if readable and (not connection.recv(65536) or read_to_end(connection)):
                return sent
            connection.send(content[sent:sent + 1])
        except (ConnectionResetError, BrokenPipeError):
            return sent
    return len(content)


def read_to_end(connection: socket.socket) -> bool:
    with connection:
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise AssertionError(f"the server keeps a connection open for more than {DEADLINE:.0f} s") from None
    return True


async def test_bytes_that_are_no_http(server):
    def attack():
        for content in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\x00" * 4096, b"GET " + b"a" * 1_000_000, b"\r\n" * 1000):
            connection = dial(server)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(content)
            read_to_end(connection)

    await survive(server, attack)


async def test_half_closed_connections(server):
    """The client has sent its last byte; the server must end the connection, not keep it."""

    def attack():
        halves = [Raw(server, "/json/1") for _ in range(50)]
        for half in halves:
            half.socket.shutdown(socket.SHUT_WR)
        for half in halves:
            half.outcome()
            half.socket.close()
        server.wait_for_metric("trunkline_connections", 2)

    await survive(server, attack)


async def test_connections_that_vanish(server):
    """Reset without a word, some in the middle of a frame."""

    def attack():
        for number in range(100):
            raw = Raw(server, "/json/1")
            if number % 2:
                raw.send(frame(TEXT, b'{"type":"mess', length=100))
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.socket.close()
        server.wait_for_metric("trunkline_connections", 2)

    await survive(server, attack)


async def test_a_client_that_answers_no_heartbeat(server):
    def attack():
        with Raw(server, "/impatient/1") as raw:
            return raw.outcome()

    assert await survive(server, attack) == 4002


async def test_a_client_that_does_not_read(server):
    """Its queue fills and it alone is ended; the bystanders hear on."""

    def attack():
        with Raw(server, "/json/1", receive_buffer=4096) as deaf, Raw(server, "/json/1") as talker:
            for number in range(400):
                text = f"{number}:" + "x" * 40_000
                talker.send(frame(TEXT, json.dumps({"type": "message", "data": {"text": text}}).encode()))
                talker.expect_text(b'"%d:' % number)
            server.wait_for_metric("trunkline_connections", 3)
            return deaf.outcome()

    assert await survive(server, attack) in (4008, END, RESET)


async def test_requests_that_are_no_handshake(server):
    assert server.get("/json/1").status in (400, 404, 405, 426)
    assert server.get("/nowhere").status == 404
    assert server.get("/json/..%2f..%2fetc%2fpasswd").status in (400, 404, 426)
    assert server.request("POST", "/api/rooms/room:1/messages", {"type": "message", "data": {"text": "x"}}).status == 404, "no api, no door"


# Files

def trunkline(command: str, config, folder) -> tuple[int, str]:
    """Exit code and output of a command that reads the file; killed past its deadline. It may take 256 MiB, not more."""
    process = subprocess.Popen(
        [TRUNKLINE, command, config], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PORT": "0"}, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    timer = threading.Timer(DEADLINE, process.kill)
    timer.start()
    output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode >= 0, f"`trunkline {command}` ended by signal {-process.returncode}: too slow, or a crash\n{output}"
    assert "panicked" not in output, output
    assert usage.ru_maxrss < 256 * MIB, f"`trunkline {command}` took {usage.ru_maxrss} KiB"
    return process.returncode, output


def refused(config, folder, code: int, *words: str):
    """`check` ends with the code and says each of the words; `serve` does not start either."""
    got, output = trunkline("check", config, folder)
    assert got == code, f"`check` ended with {got}, not {code}\n{output}"
    for word in words:
        assert word in output, f"`check` does not say {word!r}:\n{output}"
    got, output = trunkline("serve", config, folder)
    assert got in (1, 2), f"`serve` ended with {got}\n{output}"
    assert output.strip(), "`serve` said nothing"


def bomb() -> str:
    lines = ["version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines)


HOSTILE_FILES = {
    "aliases that multiply": bomb().encode(),
    "an alias of itself": b"version: 1\nauth: &a {b: *a}\n",
    "nested ten thousand deep": b"version: 1\nauth: " + b"[" * 10_000 + b"]" * 10_000,
    "nested mappings": b"version: 1\nauth: " + b"{a: " * 10_000 + b"}" * 10_000,
    "empty": b"",
    "blank": b"\n\n  \n",
    "a comment": b"# nothing here\n",
    "a list": b"- version: 1\n",
    "a scalar": b"hello\n",
    "not UTF-8": b"version: 1\n# \xff\xfe\n",
    "binary": bytes(range(256)) * 40,
    "NUL bytes": b"version: 1\x00\n",
    "two documents": b"version: 1\n---\nversion: 1\n",
    "unclosed": b'version: 1\nauth: {guest: {anonymous: {}\n',
    "tabs": b"version: 1\nauth:\n\tguest: {}\n",
    "duplicate keys": b"version: 1\nauth: {}\nauth: {}\n",
    "unknown tag": b"version: 1\nauth: !!python/object:os.system {}\n",
}


@pytest.mark.parametrize("what", HOSTILE_FILES)
def test_hostile_files(tmp_path, what):
    (tmp_path / "channels.yaml").write_bytes(HOSTILE_FILES[what])
    refused("channels.yaml", tmp_path, 1, "channels.yaml")


def test_a_config_that_is_a_directory(tmp_path):
    (tmp_path / "channels.yaml").mkdir()
    refused("channels.yaml", tmp_path, 2, "channels.yaml")


def test_a_config_that_is_not_there(tmp_path):
    refused("channels.yaml", tmp_path, 2, "channels.yaml")


def test_a_config_that_includes_itself(tmp_path):
    (tmp_path / "channels.yaml").write_text('version: 1\ninclude: ["channels.yaml"]\n')
    refused("channels.yaml", tmp_path, 1, "channels.yaml")


def with_schema(folder: pathlib.Path, schema: str) -> pathlib.Path:
    inside = folder / "inside"
    (inside / "schemas").mkdir(parents=True)
    (inside / "schemas/message.json").write_text(schema)
    (folder / "outside.json").write_text('{"type": "string"}')
    text = CONFIG.read_text()
    old = "{type: object, properties: {text: {type: string}}, required: [text], additionalProperties: false}"
    assert old in text
    (inside / "channels.yaml").write_text(text.replace(old, "schemas/message.json"))
    return inside


@pytest.mark.parametrize("reference", ["../../outside.json", "/etc/passwd", "file:///etc/passwd", "missing.json", "link.json", "#/nowhere"])
def test_references_out_of_the_folder(tmp_path, reference):
    folder = with_schema(tmp_path, json.dumps({"$ref": reference}))
    (folder / "schemas/link.json").symlink_to(tmp_path / "outside.json")
    refused("channels.yaml", folder, 1, reference)


def test_references_over_http_are_never_fetched(tmp_path):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        reference = f"http://127.0.0.1:{listener.server_address[1]}/schema.json"
        folder = with_schema(tmp_path, json.dumps({"$ref": reference}))
        refused("channels.yaml", folder, 1, reference)
        listener.shutdown()
    assert asked == [], "the schema was fetched from the network"


NO_SCHEMAS = {
    "empty": "",
    "broken JSON": "{",
    "a list": "[]",
    "a number": "5",
    "an unknown type": '{"type": "nonsense"}',
    "nothing but itself": '{"$ref": "message.json"}',
    "a broken pattern": '{"pattern": "(a+"}',
    "nested ten thousand deep": "[" * 10_000,
}


@pytest.mark.parametrize("what", NO_SCHEMAS)
def test_schemas_that_are_none(tmp_path, what):
    refused("channels.yaml", with_schema(tmp_path, NO_SCHEMAS[what]), 1, "message.json")
