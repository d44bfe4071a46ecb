"""Bad handshakes at a steady rate, each on a connection of its own: handshakes.py PORT KIND RATE SECONDS.

KIND is token (a signature that is wrong), origin (a page that may not) or limit (more than may connect). Prints how many were answered
a second and with what, and ends with 1 when fewer than 90 in a hundred were, or one was let in.
"""

import base64
import errno
import json
import selectors
import socket
import struct
import sys
import time

IN_FLIGHT_MAX = 1000
PART = {"token": "401", "origin": "403", "limit": "429"}


def forged_token():
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"sub": "mallory", "exp": 4102444800}
    signature = base64.urlsafe_b64encode(b"x" * 32).rstrip(b"=").decode()
    return ".".join([part({"alg": "HS256", "typ": "JWT"}), part(claims), signature])


def request(kind, port):
    path = {"token": f"/token?token={forged_token()}", "origin": "/origin", "limit": "/limit"}[kind]
    origin = "Origin: https://evil.example\r\n" if kind == "origin" else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{origin}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def begin(selector, port):
    connection = socket.socket()
    connection.setblocking(False)
    # Ended by a reset, so that no port waits for its last segments.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if connection.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS):
        connection.close()
        return False
    selector.register(connection, selectors.EVENT_WRITE)
    return True


def go_on(selector, key, text, answers):
    """One step of a connection; says whether it is over."""
    connection = key.fileobj
    try:
        if key.events == selectors.EVENT_WRITE:
            connection.send(text)
            selector.modify(connection, selectors.EVENT_READ)
            return False
        answer = connection.recv(4096)[9:12].decode("ascii", "replace") or "nothing"
    except OSError as error:
        answer = errno.errorcode.get(error.errno, "error")
    answers[answer] = answers.get(answer, 0) + 1
    selector.unregister(connection)
    connection.close()
    return True


def main():
    port, kind, rate, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    text, selector, answers = request(kind, port), selectors.DefaultSelector(), {}
    if kind == "limit":
        # The one that may.
        first = socket.create_connection(("127.0.0.1", port))
        first.sendall(text)
        first.recv(4096)
    begun = time.monotonic()
    sent = in_flight = 0
    while (now := time.monotonic() - begun) < seconds or (in_flight and now < seconds + 5):
        due = int(min(now, seconds) * rate) - sent
        for _ in range(min(due, IN_FLIGHT_MAX - in_flight)):
            in_flight += begin(selector, port)
            sent += 1
        for key, _ in selector.select(0.002):
            in_flight -= go_on(selector, key, text, answers)
    answered = answers.get(PART[kind], 0)
    print(json.dumps({"kind": kind, "a_second": round(answered / seconds), "answers": answers}))
    return 0 if answered >= 0.9 * rate * seconds and "101" not in answers else 1


sys.exit(main())
