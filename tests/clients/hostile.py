"""A WebSocket client that writes what it likes: raw sockets, blocking, with deadlines."""

import base64
import os
import select
import socket
import struct
import time

from server import DEADLINE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

# An RST: the server closed without reading on, and threw away what it had not sent.
RESET = "connection reset"
# The end of the stream without a close frame.
END = "end of stream"


def frame(opcode: int, payload: bytes = b"", fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """One frame. The mask is zero, so that the payload stands as it is; `length` announces another length than its own."""
    announced = len(payload) if length is None else length
    first = (0x80 if fin else 0) | opcode
    mask_bit = 0x80 if masked else 0
    if announced < 126:
        head = struct.pack("!BB", first, mask_bit | announced)
    elif announced < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, announced)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, announced)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def request(path: str, port: int) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def dial(server, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(DEADLINE)
    connection.connect(("127.0.0.1", server.port))
    return connection


class Raw:
    """A connection after its handshake."""

    def __init__(self, server, path: str, receive_buffer: int | None = None):
        self.socket = dial(server, receive_buffer)
        self.socket.sendall(request(path, server.port))
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            got = self.socket.recv(65536)
            assert got, f"the handshake for {path} was cut short: {self._buffer!r}"
            self._buffer += got
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), f"the handshake for {path} was refused: {head!r}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, content: bytes):
        self.socket.sendall(content)

    def outcome(self, content: bytes = b""):
        """Sends it all, reading meanwhile as a decent client does, until the server closes: the close code, END or RESET."""
        waiting = memoryview(content)
        end = time.monotonic() + DEADLINE
        while True:
            readable, writable, _ = select.select([self.socket], [self.socket] if waiting else [], [], DEADLINE)
            # Others talk in the room: that something can be read is no sign of an end.
            assert time.monotonic() < end, f"expected the server to close; it is open {DEADLINE:.0f} s later, {len(waiting)} bytes unsent"
            try:
                if readable:
                    got = self.socket.recv(65536)
                    if not got:
                        return END
                    self._buffer += got
                    for opcode, payload in self._frames():
                        if opcode == CLOSE:
                            return struct.unpack("!H", payload[:2])[0] if payload else "close without a code"
                elif writable:
                    waiting = waiting[self.socket.send(waiting[:65536]):]
            except (ConnectionResetError, BrokenPipeError):
                return RESET

    def expect_text(self, part: bytes) -> bytes:
        """The next text frame that contains the part."""
        end = time.monotonic() + DEADLINE
        while True:
            assert time.monotonic() < end, f"expected a text frame with {part!r}; none came within {DEADLINE:.0f} s"
            for opcode, payload in self._frames():
                assert opcode != CLOSE, f"expected a text frame with {part!r}, the server closed: {payload!r}"
                if opcode == TEXT and part in payload:
                    return payload
            got = self.socket.recv(65536)
            assert got, f"expected a text frame with {part!r}, the stream ended"
            self._buffer += got

    def _frames(self):
        while len(self._buffer) >= 2:
            length, start = self._buffer[1] & 0x7F, 2
            if length >= 126:
                start = 4 if length == 126 else 10
                if len(self._buffer) < start:
                    return
                length = int.from_bytes(self._buffer[2:start])
            if len(self._buffer) < start + length:
                return
            opcode, payload = self._buffer[0] & 0x0F, self._buffer[start:start + length]
            self._buffer = self._buffer[start + length:]
            yield opcode, payload
