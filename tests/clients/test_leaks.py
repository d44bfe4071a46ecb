"""The scanner of logs finds what is planted."""

import json
import urllib.parse

import pytest

from credentials import token
from leaks import leaks, main, scan

TOKEN = token("leaked")
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")
COOKIE = "session-of-somebody-and-more"


@pytest.mark.parametrize("line", [
    f"a line with {TOKEN}",
    f"the payload alone {PAYLOAD}",
    f"a piece of the signature {SIGNATURE[5:25]}",
    f"Cookie: a={COOKIE}; b=c",
    f"cut short: {COOKIE[:16]}",
    f"encoded: {urllib.parse.quote('of/' + COOKIE, safe='')}",
    f"in hexadecimal: {COOKIE.encode().hex()}",
    json.dumps({"message": TOKEN}),
    "quoted: with\\\"quotes",
    "encoded: with%22quotes",
])
def test_what_is_planted_is_found(line):
    assert [number for number, _ in leaks(["an honest line", line], [TOKEN, COOKIE, 'with"quotes'])] == [2]


@pytest.mark.parametrize("line", [
    "listening on http://127.0.0.1:8000",
    f"a header is in every token: {HEADER}",
    f"less than a piece: {COOKIE[:15]}",
    "a short word: secret",
])
def test_honest_lines_are_not(line):
    assert list(leaks([line], [TOKEN, COOKIE, "secret", ""])) == []


def test_a_folder_is_scanned_as_a_whole(tmp_path, monkeypatch, capsys):
    (tmp_path / "credentials.jsonl").write_text(json.dumps(TOKEN) + "\n" + json.dumps(COOKIE) + "\n")
    (tmp_path / "one.log").write_text("honest\nlines\n")
    assert scan(tmp_path) == (2, [])
    (tmp_path / "two.log").write_text(f"honest\nand {COOKIE}\n")
    count, found = scan(tmp_path)
    assert count == 4 and len(found) == 1 and found[0].startswith(f"{tmp_path}/two.log:2: ") and COOKIE not in found[0]
    monkeypatch.setattr("sys.argv", ["leaks.py", str(tmp_path)])
    assert main() == 1
    (tmp_path / "two.log").unlink()
    assert main() == 0
    (tmp_path / "one.log").unlink()
    assert main() == 1, "no logs prove nothing"
    (tmp_path / "credentials.jsonl").unlink()
    assert main() == 1, "nor do no credentials"
    capsys.readouterr()
