"""Looks for credentials in logs: `python leaks.py` scans what the suites left (evidence.py), and fails where it finds one.

A log may cut a credential short or escape it, so every piece of it counts: any sixteen characters in a row. The header of a JSON Web
Token is no secret, and the same in many.
"""

import base64
import json
import pathlib
import sys
import urllib.parse

import evidence

PIECE = 16
# Shorter words stand in honest lines.
SHORTEST = 8


def parts(credential: str) -> list[str]:
    """What of a credential must not be seen."""
    header, dot, rest = credential.partition(".")
    return rest.split(".") if dot and header.startswith("ey") else [credential]


def written(part: str) -> set[str]:
    """A part as it may stand in a log."""
    raw = part.encode()
    return {
        part, urllib.parse.quote(part, safe=""), urllib.parse.quote_plus(part), json.dumps(part)[1:-1],
        base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="), raw.hex(),
    }


def pieces(credentials) -> dict[str, str]:
    """Every piece, with the credential that it is of."""
    found = {}
    for credential in credentials:
        for part in parts(credential):
            for text in written(part) if len(part) >= SHORTEST else ():
                for start in range(max(1, len(text) - PIECE + 1)):
                    found[text[start:start + PIECE]] = credential
    return found


def leaks(lines, credentials):
    """The numbers of the lines that hold a piece, each with the beginning of the credential."""
    known = pieces(credentials)
    lengths = sorted({len(piece) for piece in known})
    for number, line in enumerate(lines, 1):
        windows = (line[start:start + length] for length in lengths for start in range(len(line) - length + 1))
        piece = next((window for window in windows if window in known), None)
        if piece is not None:
            yield number, known[piece][:4] + "…"


def scan(folder: pathlib.Path) -> tuple[int, list[str]]:
    """How many lines there are in the logs of `folder`, and where they hold credentials."""
    file = folder / evidence.CREDENTIALS.name
    credentials = {json.loads(line) for line in file.read_text().splitlines()}
    count, found = 0, []
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        count += len(lines)
        found += [f"{log}:{number}: a credential that begins with {begin}" for number, begin in leaks(lines, credentials)]
    assert credentials, f"{file} names no credential"
    return count, found


def main() -> int:
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else evidence.EVIDENCE
    if not (folder / evidence.CREDENTIALS.name).exists():
        print(f"{folder} has no logs: run the stages python, hostile, node or browser first")
        return 1
    count, found = scan(folder)
    print("\n".join(found) or f"{count} lines, none with a credential")
    return 1 if found or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
