"""A Redis of Debian's for one test: started, stopped, started again; and just enough of its protocol to store what a framework would."""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from server import DEADLINE, free_port

BINARY = shutil.which("redis-server")
PASSWORD = "a-password-that-no-log-may-show"


class Redis:
    """With an `authority` it speaks TLS at `tls_url`, beside the plain port that the test itself uses."""

    def __init__(self, folder: pathlib.Path, authority=None):
        self.folder, self.authority = folder, authority
        self.tls_port = free_port()
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/3"

    @property
    def tls_url(self) -> str:
        return f"rediss://:{PASSWORD}@127.0.0.1:{self.tls_port}/3"

    def start(self) -> "Redis":
        assert BINARY, "there is no redis-server: tests/run.sh sessions installs it"
        arguments = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "requirepass": PASSWORD, "save": "", "appendonly": "no"}
        if self.authority:
            files = {"cert": self.authority.certificate, "key": self.authority.key, "ca-cert": self.authority.ca}
            arguments |= {"tls-port": self.tls_port, "tls-auth-clients": "no", **{f"tls-{name}-file": file for name, file in files.items()}}
        command = [BINARY, *(part for name, value in arguments.items() for part in (f"--{name}", str(value)))]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(OSError):
                assert self.command("PING") == "+PONG"
                return self
            assert self.process.poll() is None, f"redis-server ended with {self.process.returncode}"
            assert time.monotonic() < end, "redis-server does not answer"

    def stop(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        """It is there and says nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *parts: str) -> str:
        """The first line of the answer to a command, after logging in to database 3."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as stream, stream.makefile("rb") as answers:
            for command in (("AUTH", PASSWORD), ("SELECT", "3"), parts):
                encoded = b"".join(b"$%d\r\n%s\r\n" % (len(part.encode()), part.encode()) for part in command)
                stream.sendall(b"*%d\r\n" % len(command) + encoded)
                answer = answers.readline().decode().strip()
                if not answer:
                    raise OSError("it closed the connection")
            return answer
