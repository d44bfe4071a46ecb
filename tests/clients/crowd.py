"""Ten thousand connections in one thread: epoll and just enough of RFC 6455 to join, talk, listen and leave."""

import contextlib
import json
import select
import socket
import struct
import time

from hostile import CLOSE, TEXT, frame, request

# How many handshakes are under way at once: below the listen queue, so that none is refused.
HANDSHAKES = 200
STEP_DEADLINE = 90.0


class Member:
    __slots__ = ("socket", "room", "buffer", "upgraded", "welcome", "heard", "ended")

    def __init__(self, room: str):
        self.room = room
        self.buffer = b""
        self.upgraded = self.welcome = self.ended = False
        self.heard: list[str] = []

    def read(self) -> bool:
        """Takes in what has come; whether the stream goes on."""
        try:
            got = self.socket.recv(65536)
        except BlockingIOError:
            return True
        if not got:
            return False
        self.buffer += got
        if not self.upgraded:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return True
            assert head.startswith(b"HTTP/1.1 101"), f"the handshake was refused: {head!r}"
            self.upgraded, self.buffer = True, rest
        return self._take_frames()

    def _take_frames(self) -> bool:
        buffer, start = self.buffer, 0
        while len(buffer) - start >= 2:
            length, payload = buffer[start + 1] & 0x7F, start + 2
            if length == 126:
                payload = start + 4
                length = int.from_bytes(buffer[start + 2:payload])
            assert length != 127, "a frame of more than 64 KiB"
            if len(buffer) < payload + length:
                break
            opcode, content = buffer[start] & 0x0F, buffer[payload:payload + length]
            start = payload + length
            if opcode == CLOSE:
                assert self.ended, f"the server closed: {content!r}"
            elif opcode == TEXT:
                self._take(json.loads(content))
        self.buffer = buffer[start:]
        return True

    def _take(self, got: dict):
        if got["type"] == "welcome":
            self.welcome = True
        elif got["type"] == "message":
            assert got["room"] == f"room:{self.room}", f"a member of {self.room} heard {got}"
            self.heard.append(got["data"]["text"])
        else:
            assert got["type"] != "error", got


class Crowd:
    def __init__(self, server, members: int, rooms: int, source: str):
        self.server, self.source = server, source
        self.members = [Member(str(number % rooms)) for number in range(members)]
        self.epoll = select.epoll()
        self.by_descriptor: dict[int, Member] = {}

    def join(self):
        waiting, joining = iter(self.members), set()
        for member in waiting:
            self._dial(member)
            joining.add(member)
            while len(joining) >= HANDSHAKES:
                self._turn("handshakes")
                joining = {member for member in joining if not member.welcome}
        self._until(lambda member: member.welcome, "be welcomed")

    def talk(self):
        """Everyone says one thing and hears what everyone in the room has said, once each."""
        for number, member in enumerate(self.members):
            member.heard.clear()
            content = json.dumps({"type": "message", "data": {"text": str(number)}}).encode()
            member.socket.send(frame(TEXT, content))
        wanted: dict[str, list[str]] = {}
        for number, member in enumerate(self.members):
            wanted.setdefault(member.room, []).append(str(number))
        self._until(lambda member: len(member.heard) >= len(wanted[member.room]), "hear its room")
        for member in self.members:
            assert sorted(member.heard) == sorted(wanted[member.room]), f"a member of {member.room} heard {member.heard}"

    def leave(self):
        for member in self.members:
            member.ended = True
            member.socket.send(frame(CLOSE, struct.pack("!H", 1000)))
        end = time.monotonic() + STEP_DEADLINE
        while self.by_descriptor:
            assert time.monotonic() < end, f"{len(self.by_descriptor)} connections were not closed within {STEP_DEADLINE:.0f} s"
            self._turn("the server to close")
        self.epoll.close()

    def _dial(self, member: Member):
        member.socket = socket.socket()
        # A source address for each crowd: the ports of one address do not last for five.
        member.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        member.socket.bind((self.source, 0))
        member.socket.connect(("127.0.0.1", self.server.port))
        member.socket.setblocking(False)
        member.socket.send(request(f"/ws/{member.room}", self.server.port))
        self.by_descriptor[member.socket.fileno()] = member
        self.epoll.register(member.socket, select.EPOLLIN)

    def _turn(self, what: str):
        events = self.epoll.poll(STEP_DEADLINE)
        assert events, f"waited {STEP_DEADLINE:.0f} s for {what}\n{self.server.tail()}"
        for descriptor, _ in events:
            member = self.by_descriptor[descriptor]
            with contextlib.suppress(ConnectionResetError):
                if member.read():
                    continue
            assert member.ended, f"the server ended a connection to room {member.room}\n{self.server.tail()}"
            self.epoll.unregister(descriptor)
            member.socket.close()
            del self.by_descriptor[descriptor]

    def _until(self, done, what: str):
        end = time.monotonic() + STEP_DEADLINE
        behind = [member for member in self.members if not done(member)]
        while behind:
            assert time.monotonic() < end, f"{len(behind)} of {len(self.members)} did not {what} within {STEP_DEADLINE:.0f} s"
            self._turn(what)
            if done(behind[-1]):
                behind = [member for member in behind if not done(member)]
