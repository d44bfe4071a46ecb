#!/usr/bin/env python3
"""What TLS costs: memory of an idle connection, and the server's processor time for a delivery, beside plain TCP.

    benches/tls.py [--connections 3000] [--readers 100] [--messages 300]

Only the standard library, and openssl for a certificate. The client is slow, so what is measured is the server's own time and memory,
from /proc; how fast it could go is not. TRUNKLINE names the binary, default target/release/trunkline."""

import argparse
import base64
import os
import pathlib
import re
import resource
import selectors
import socket
import ssl
import struct
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARY = pathlib.Path(os.environ.get("TRUNKLINE", ROOT / "target/release/trunkline"))
CONFIG = """
version: 1
server:
  listen:
    - "127.0.0.1:{plain}"
    - {{address: "127.0.0.1:{secure}", tls: {{certificate: own.pem, key: own.key}}}}
  limits: {{connections_per_ip: 20000}}
auth: {{guest: {{anonymous: {{}}}}}}
messages: {{line: {{schema: true, to: room}}}}
rooms: {{"room:{{id}}": {{may_join: "true", messages: [line]}}}}
endpoints:
  /idle: {{auth: guest, heartbeat: {{idle: 1h}}}}
  /room: {{auth: guest, auto_join: ["room:1"], heartbeat: {{idle: 1h}}}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def trusting(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    return context


def joined(port, path, context):
    """A connection whose handshakes are done, and its `welcome` read."""
    one = socket.create_connection(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        one = context.wrap_socket(one, server_hostname="localhost")
    key = base64.b64encode(os.urandom(16)).decode()
    one.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    came = b""
    while b'"welcome"' not in came:
        part = one.recv(4096)
        assert part, came
        came += part
    return one


def rss_anon(pid):
    """Bytes, once they no longer change: what a crowd's handshakes needed is given back a little later."""
    seen = []
    while len(seen) < 4 or max(seen[-4:]) != min(seen[-4:]):
        time.sleep(1)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        seen.append(int(re.search(r"^RssAnon:\s+(\d+)", status, re.MULTILINE)[1]) * 1024)
        if len(seen) == 30:
            break
    return seen[-1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(pid, port, context, count):
    before = rss_anon(pid)
    crowd = [joined(port, "/idle", context) for _ in range(count)]
    each = (rss_anon(pid) - before) / count
    for one in crowd:
        one.close()
    return each


def deliver(pid, port, context, readers, messages, size):
    """The server's microseconds for one delivery."""
    crowd = [joined(port, "/room", context) for _ in range(readers)]
    sender = joined(port, "/room", context)
    text = b'{"type":"line","data":"' + b"x" * size + b'"}'
    head = struct.pack("!BBH", 0x81, 0x80 | 126, len(text)) if len(text) >= 126 else struct.pack("!BB", 0x81, 0x80 | len(text))
    frame = head + b"\0\0\0\0" + text
    selector = selectors.DefaultSelector()
    for one in [*crowd, sender]:
        one.setblocking(False)
        selector.register(one, selectors.EVENT_READ)

    def drain(wanted):
        left = {one: wanted for one in [*crowd, sender]}
        while any(value > 0 for value in left.values()):
            for key, _ in selector.select(timeout=10):
                try:
                    while part := key.fileobj.recv(1 << 16):
                        left[key.fileobj] -= part.count(b'"type":"line"')
                except (BlockingIOError, ssl.SSLWantReadError):
                    pass

    before = cpu_seconds(pid)
    for _ in range(messages):
        sender.setblocking(True)
        sender.sendall(frame)
        sender.setblocking(False)
        drain(1)
    spent = cpu_seconds(pid) - before
    for one in [*crowd, sender]:
        one.close()
    return spent / (messages * (readers + 1)) * 1e6


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connections", type=int, default=3000)
    options.add_argument("--readers", type=int, default=100)
    options.add_argument("--messages", type=int, default=300)
    options = options.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-keyout", folder / "own.key", "-out", folder / "own.pem", "-subj", "/CN=localhost"],
            check=True, capture_output=True,
        )
        plain, secure = free_port(), free_port()
        (folder / "channels.yaml").write_text(CONFIG.format(plain=plain, secure=secure))
        kinds = [("plain", plain, None), ("TLS 1.3", secure, trusting(ssl.TLSVersion.TLSv1_3)), ("TLS 1.2", secure, trusting(ssl.TLSVersion.TLSv1_2))]
        for name, port, context in kinds:
            # A process for each, so that none finds what another left.
            server = subprocess.Popen([BINARY, "serve", folder / "channels.yaml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                while True:
                    try:
                        joined(port, "/room", context).close()
                        break
                    except ConnectionRefusedError:
                        assert server.poll() is None, "the server did not start"
                each = idle(server.pid, port, context, options.connections)
                times = [f"{size} B: {deliver(server.pid, port, context, options.readers, options.messages, size):.2f} us" for size in (100, 4000, 60000)]
                print(f"{name}: idle {each:.0f} B; a delivery of {', '.join(times)}", flush=True)
            finally:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
