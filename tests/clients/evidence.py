"""What the suites leave for the stage `secrets`: the log of every server that they start, and every credential that they use."""

import http.cookies
import json
import os
import pathlib
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVIDENCE = ROOT / ".cache/tests/evidence"
CREDENTIALS = EVIDENCE / "credentials.jsonl"


def log_of(pid: int):
    """The file that the log of the server `pid` is written to, line by line."""
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    return (EVIDENCE / f"python-{os.getpid()}-{pid}.log").open("a")


def used(*credentials: str):
    """Notes credentials. Each is one write at the end of the file, so that suites may do it side by side."""
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    with CREDENTIALS.open("a") as file:
        for credential in filter(None, credentials):
            file.write(json.dumps(credential) + "\n")


def used_by(path: str, headers: dict | None = None):
    """Notes the credentials of a request."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    used(*query.get("token", []))
    for name, value in (headers or {}).items():
        if name.lower() == "authorization":
            used(value.partition(" ")[2])
        elif name.lower() == "cookie":
            used(*(cookie.value for name, cookie in http.cookies.SimpleCookie(value).items() if name != "theme"))
