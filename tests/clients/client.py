"""A WebSocket client on the `websockets` library, with waits that end with their event or fail by showing what came instead."""

import asyncio
import contextlib
import json

import websockets
from websockets.asyncio.client import connect

import evidence
from server import DEADLINE

ANY = object()


def matches(wanted, got) -> bool:
    """A subset by key; lists by prefix; ANY is anything that is there."""
    if wanted is ANY:
        return True
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and matches(value, got[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) >= len(wanted) and all(map(matches, wanted, got))
    return type(wanted) is type(got) and wanted == got


class Client:
    """Frames of a JSON endpoint. Those that no `expect` asked for are skipped, and kept in `seen`."""

    def __init__(self, socket):
        self.socket = socket
        self.seen: list = []
        self._pings = 0

    async def send(self, type: str, data=None, **fields):
        await self.send_text(json.dumps({"type": type, **({} if data is None else {"data": data}), **fields}))

    async def send_text(self, text: str):
        await self.socket.send(text)

    async def next(self):
        frame = await asyncio.wait_for(self.socket.recv(), DEADLINE)
        assert isinstance(frame, str), f"a binary frame on a JSON endpoint: {frame[:100]!r}"
        self.seen.append(json.loads(frame))
        return self.seen[-1]

    async def expect(self, type: str, **fields) -> dict:
        wanted, skipped = {"type": type, **fields}, []
        try:
            while not matches(wanted, frame := await self.next()):
                skipped.append(frame)
            return frame
        except TimeoutError:
            raise AssertionError(f"expected {wanted}, nothing more came within {DEADLINE:.0f} s; {show(skipped)}") from None
        except websockets.ConnectionClosed as closed:
            raise AssertionError(f"expected {wanted}, the connection closed: {closed}; {show(skipped)}") from None

    async def settle(self) -> list:
        """A round trip: all that the server had sent this connection before it. Ends the wait for what must not come."""
        self._pings += 1
        skipped = []
        await self.send("ping", id=f"settle-{self._pings}")
        while (frame := await self.next())["type"] != "pong":
            skipped.append(frame)
        return skipped

    async def expect_close(self) -> int:
        return await close_code(self.socket)


class TextClient:
    """Frames of a text endpoint, in order and without a gap."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, text: str):
        await self.socket.send(text)

    async def expect(self, *lines: str):
        for wanted in lines:
            try:
                got = await asyncio.wait_for(self.socket.recv(), DEADLINE)
            except TimeoutError:
                raise AssertionError(f"expected {wanted!r}, nothing came within {DEADLINE:.0f} s") from None
            except websockets.ConnectionClosed as closed:
                raise AssertionError(f"expected {wanted!r}, the connection closed: {closed}") from None
            assert got == wanted


def show(frames: list) -> str:
    return "skipped: " + ("; ".join(json.dumps(frame) for frame in frames[-10:]) or "nothing")


@contextlib.asynccontextmanager
async def connected(server, path: str, **options):
    """A connected client on a JSON endpoint that has read its `welcome`."""
    async with opened(server, path, **options) as socket:
        client = Client(socket)
        client.welcome = await client.expect("welcome", protocol=1)
        yield client


@contextlib.asynccontextmanager
async def text_connected(server, path: str, **options):
    async with opened(server, path, **options) as socket:
        yield TextClient(socket)


@contextlib.asynccontextmanager
async def opened(server, path: str, **options):
    options = {"compression": None, "ping_interval": None, "open_timeout": DEADLINE, "close_timeout": DEADLINE, "proxy": None, **options}
    try:
        evidence.used_by(path, options.get("additional_headers"))
        socket = await connect(server.url(path), **options)
    except (websockets.InvalidStatus, OSError, TimeoutError) as error:
        body = getattr(getattr(error, "response", None), "body", b"") or b""
        raise AssertionError(f"could not connect to {path}: {error} {body[:300]!r}") from error
    async with socket:
        yield socket


async def refusal(server, path: str, **options) -> int:
    """The HTTP status with which the handshake was refused, or the close code that followed it."""
    options = {"compression": None, "ping_interval": None, "open_timeout": DEADLINE, "proxy": None, **options}
    try:
        evidence.used_by(path, options.get("additional_headers"))
        async with connect(server.url(path), **options) as socket:
            return await close_code(socket)
    except websockets.InvalidStatus as error:
        return error.response.status_code


async def close_code(socket) -> int:
    """Reads to the end; the code with which the server closed."""
    frames = []
    try:
        while True:
            frames.append(await asyncio.wait_for(socket.recv(), DEADLINE))
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd is not None, f"the connection ended without a close frame after {frames[-5:]}"
        return closed.rcvd.code
    except TimeoutError:
        raise AssertionError(f"expected the connection to be closed; it is open after {DEADLINE:.0f} s; frames: {frames[-5:]}") from None
