"""The server under test as a process: started, watched and stopped by its pid, and asked about itself over HTTP and /proc."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import evidence

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TRUNKLINE", ROOT / "target/release/trunkline"))
PARITY = ROOT / "examples/fastapi-parity/channels.yaml"

JWT_SECRET = "a-test-secret-of-at-least-32-bytes!!"
API_KEY = "backend-key-for-the-tests-of-32-bytes"

# How long an event may take before the test gives up on it. Never a pause: every wait ends with its event.
DEADLINE = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def variant(config: pathlib.Path, folder: pathlib.Path, changes: dict[str, str]) -> pathlib.Path:
    """A copy of the config's folder with pieces of its text replaced. A piece that is not there fails the test: the
    example has changed and the test must follow."""
    target = folder / config.parent.name
    shutil.copytree(config.parent, target, dirs_exist_ok=True)
    text = config.read_text()
    for old, new in changes.items():
        assert old in text, f"{config} no longer contains {old!r}, which this test replaces"
        text = text.replace(old, new)
    (target / config.name).write_text(text)
    return target / config.name


class Server:
    def __init__(self, config: pathlib.Path, env: dict[str, str] | None = None):
        self.config = pathlib.Path(config)
        self.port = free_port()
        self.env = {"PORT": str(self.port), "JWT_SECRET": JWT_SECRET, "API_KEY": API_KEY, "LOG_LEVEL": "trace", **(env or {})}
        self.log: list[str] = []
        self._changed = threading.Condition()
        self._streams_open = 0
        self.process: subprocess.Popen | None = None

    # The process

    def start(self) -> "Server":
        if not BINARY.exists():
            raise AssertionError(f"{BINARY} does not exist: run `cargo build --release`, or set TRUNKLINE")
        self.process = subprocess.Popen(
            [BINARY, "serve", self.config], env={**os.environ, **self.env}, cwd=self.config.parent,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            preexec_fn=raise_descriptor_limit,
        )
        evidence.used(*(self.env[name] for name in ("JWT_SECRET", "API_KEY")))
        self._kept = evidence.log_of(self.process.pid)
        self._streams_open = 2
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._collect, args=(stream,), daemon=True).start()
        try:
            self.wait_for_log("listening")
            assert self.get("/readyz").status == 200, f"/readyz does not answer 200 after the log said listening\n{self.tail()}"
        except BaseException:
            self.process.kill()
            raise
        return self

    def stop(self) -> int:
        """SIGTERM by pid; the exit code. A server that does not go is killed and fails the test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop within 30 s of SIGTERM\n{self.tail()}") from None

    @contextlib.contextmanager
    def stopping(self):
        """Stops it at the end of the block; it must go with 0."""
        try:
            yield self
        finally:
            code = self.stop()
        assert code == 0, f"the server ended with {code}\n{self.tail()}"

    @property
    def pid(self) -> int:
        return self.process.pid

    # Its log

    def _collect(self, stream):
        for line in stream:
            with self._changed:
                self.log.append(line.rstrip("\n"))
                self._kept.write(line)
                self._changed.notify_all()
        with self._changed:
            self._streams_open -= 1
            if self._streams_open == 0:
                self._kept.close()
            self._changed.notify_all()

    def wait_for_log(self, text: str):
        with self._changed:
            self._changed.wait_for(lambda: self._streams_open == 0 or any(text in line for line in self.log), DEADLINE)
            if not any(text in line for line in self.log):
                end = "ended" if self._streams_open == 0 else f"did not within {DEADLINE:.0f} s"
                raise AssertionError(f"expected a log line with {text!r}, the server {end}; its output:\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(f"  | {line}" for line in self.log[-lines:]) or "  | (no output)"

    # HTTP

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **options) -> "Response":
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, body=None, key: str | None = None, headers: dict | None = None) -> "Response":
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        evidence.used_by(path, headers)
        if key is not None:
            evidence.used(key)
            request.add_header("Authorization", f"Bearer {key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return Response(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refused:
            return Response(refused.code, refused.headers, refused.read())

    def publish(self, room: str, type: str, data, key: str | None = API_KEY) -> "Response":
        return self.request("POST", f"/api/rooms/{room}/messages", {"type": type, "data": data}, key=key)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.get("/metrics").body.decode()
        values = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert values, f"/metrics has no {name}"
        return sum(float(value) for value in values)

    def wait_until_empty(self):
        """Nobody connected and no room alive, by the server's own account."""
        self.wait_for_metric("trunkline_connections", 0)
        self.wait_for_metric("trunkline_rooms", 0)

    def wait_for_metric(self, name: str, wanted: float):
        end = time.monotonic() + DEADLINE
        while (value := self.metric(name)) != wanted:
            assert time.monotonic() < end, f"{name} is {value:g}, not {wanted:g}\n{self.tail()}"

    # Memory, in KiB

    def rss_anon(self) -> int:
        return self._status("RssAnon")

    def rss_peak(self) -> int:
        return self._status("VmHWM")

    def reset_rss_peak(self):
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, field: str) -> int:
        return int(re.search(rf"^{field}:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)[1])


class Response:
    def __init__(self, status, headers, body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, hard), hard))
