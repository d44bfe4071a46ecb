"""What stands between a client and the server: TLS as OpenSSL and Python's ssl speak it, Unix sockets, reloads."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest
from websockets.asyncio.client import connect, unix_connect

from server import DEADLINE, ROOT, free_port

CONFIG = ROOT / "tests/clients/configs/edge.yaml"


def make_certificate(folder, name="own"):
    """A key and its certificate for localhost, by the openssl of this machine."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )
    (folder / f"{name}.key").chmod(0o600)


class Edge:
    def __init__(self, server, files, port):
        self.server, self.files, self.port = server, files, port
        self.path = str(files / "edge.sock")

    def context(self, version=None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.files / "own.pem")
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def wss(self, path, context=None, **options):
        url = f"wss://localhost:{self.port}{path}"
        return connect(url, host="127.0.0.1", ssl=context or self.context(), max_size=None, compression=None, **options)

    def s_client(self, *arguments, text=b"") -> subprocess.CompletedProcess:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "localhost", *arguments]
        return subprocess.run(command, input=text, capture_output=True, timeout=60)

    def curl(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(["curl", "-sS", "--max-time", "15", *arguments], capture_output=True, text=True)

    def shown(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                return secured.getpeercert(binary_form=True)


@pytest.fixture
def edge(serve, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    make_certificate(files)
    port = free_port()
    server = serve(CONFIG, env={"TLS_PORT": str(port), "FILES": str(files)})
    return Edge(server, files, port)


async def line(client) -> dict:
    """The next message that somebody sent."""
    while True:
        frame = json.loads(await asyncio.wait_for(client.recv(), DEADLINE))
        if frame["type"] in ("line", "echo"):
            return frame


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_messages_come_back_over_both_versions(edge, version):
    async with edge.wss("/echo?u=ann", edge.context(version)) as client:
        for size in (0, 1, 5000, 60_000):
            await client.send(json.dumps({"type": "echo", "data": "x" * size}))
            assert (await line(client))["data"] == "x" * size


async def test_large_messages_reach_slow_readers_whole_and_in_order(edge):
    small = {"max_queue": 1}
    readers = [await edge.wss(f"/room/1?u=r{number}", **small) for number in range(6)]
    async with edge.wss("/room/1?u=ann") as ann:
        for number in range(12):
            data = {"number": number, "text": chr(97 + number) * 300_000}
            await ann.send(json.dumps({"type": "line", "data": data}))
            assert (await line(ann))["data"]["number"] == number
        for reader in readers:
            for number in range(12):
                data = (await line(reader))["data"]
                assert (data["number"], data["text"]) == (number, chr(97 + number) * 300_000)
            await reader.close()


async def test_silent_handshakes_keep_nobody_out(edge):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32)
    silent = []
    for number in range(200):
        one = socket.create_connection(("127.0.0.1", edge.port), timeout=DEADLINE)
        one.sendall(hello[: number % len(hello)])
        silent.append(one)
    async with edge.wss("/echo?u=ann") as client:
        await client.send(json.dumps({"type": "echo", "data": 1}))
        assert (await line(client))["data"] == 1
    # `limits.handshake` ends them all.
    for one in silent:
        while one.recv(4096):
            pass
        one.close()


def test_openssl_may_not_negotiate_anew(edge):
    asked = edge.s_client("-tls1_2", text=b"R\n")
    said = asked.stdout + asked.stderr
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said, said.decode(errors="replace")
    assert edge.server.get("/healthz").status == 200


def test_old_versions_are_refused(edge):
    for version in ("-tls1_1", "-tls1"):
        # The level, so that this openssl itself offers them.
        refused = edge.s_client(version, "-cipher", "ALL:@SECLEVEL=0")
        assert refused.returncode != 0, refused.stdout.decode(errors="replace")


def test_curl_is_answered(edge):
    ca = str(edge.files / "own.pem")
    resolve = ["--cacert", ca, "--resolve", f"localhost:{edge.port}:127.0.0.1"]
    for version in ("--http1.1", "--http2"):
        answer = edge.curl(*resolve, version, "-w", " %{http_version} %{ssl_verify_result}", f"https://localhost:{edge.port}/healthz")
        assert answer.stdout == "ok\n 1.1 0", answer
    plain = edge.curl(f"http://127.0.0.1:{edge.port}/healthz")
    assert "plain HTTP request was sent to a TLS port" in plain.stdout, plain


async def test_a_unix_socket_is_a_way_in(edge):
    assert os.stat(edge.path).st_mode & 0o777 == 0o660
    for path, expected in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        answer = edge.curl("--unix-socket", edge.path, f"http://localhost{path}")
        assert answer.stdout == expected, answer
    async with unix_connect(edge.path, "ws://localhost/echo?u=ann") as client:
        await client.send(json.dumps({"type": "echo", "data": "x" * 50_000}))
        assert len((await line(client))["data"]) == 50_000
    assert edge.server.stop() == 0
    assert not os.path.exists(edge.path)


async def test_new_certificates_are_shown_while_messages_flow(edge):
    before = edge.shown()
    async with edge.wss("/echo?u=ann") as client:

        async def echo():
            await client.send(json.dumps({"type": "echo", "data": 1}))
            assert (await line(client))["data"] == 1

        (edge.files / "own.pem").write_text("nonsense")
        edge.server.process.send_signal(signal.SIGHUP)
        edge.server.wait_for_log("those before are still shown")
        assert edge.server.metric("trunkline_tls_reload_failures_total") >= 1
        await echo()
        assert edge.shown() == before

        make_certificate(edge.files)
        edge.server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + DEADLINE
        while (shown := edge.shown()) == before:
            assert time.monotonic() < end, edge.server.tail()
            await echo()
        expected = ssl.PEM_cert_to_DER_cert((edge.files / "own.pem").read_text())
        assert shown == expected
        await echo()
