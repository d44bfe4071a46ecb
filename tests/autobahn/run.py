"""Starts the echo endpoint, runs Autobahn's fuzzing client against it, judges its report and writes docs/conformance.md.

Without an argument it writes the page's first table, with `compression` the second; the other stays as it is."""

import collections
import datetime
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

from server import ROOT, Server  # noqa: E402

WSTEST = ROOT / ".cache/autobahn/bin/wstest"
REPORTS = ROOT / ".cache/autobahn-reports"
PAGE = ROOT / "docs/conformance.md"
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}
SECTIONS = {
    "1": "Framing", "2": "Pings and pongs", "3": "Reserved bits", "4": "Opcodes", "5": "Fragmentation",
    "6": "UTF-8 handling", "7": "Close handling", "9": "Limits and performance", "10": "Fragmentation on sending",
    "12": "Compression, by content", "13": "Compression, by offer",
}
# What the families of sections 12 and 13 have in common: a kind of message, an offer. 18 cases each, by size and fragmentation.
FAMILIES = {
    "12.1": "JSON", "12.2": "a bitmap", "12.3": "prose", "12.4": "HTML", "12.5": "a PDF",
    "13.1": "nothing asked for", "13.2": "`server_no_context_takeover`", "13.3": "`server_max_window_bits=9`",
    "13.4": "`server_max_window_bits=15`", "13.5": "9, `server_no_context_takeover`",
    "13.6": "15, `server_no_context_takeover`", "13.7": "three offers",
}
# Each family takes a minute: the whole of both sections is run when something about compression has changed.
EVERY_TIME = ["12.1", "13.1"]
COMPRESSION = "## Compression"


def main() -> int:
    compression, numbers = sys.argv[1:2] == ["compression"], sys.argv[2:]
    if compression:
        wanted, excluded = [f"{family}.{number}" for family in FAMILIES for number in numbers or "*"], []
    else:
        wanted, excluded = ["*"], [f"{family}.*" for family in FAMILIES if family not in EVERY_TIME]
    try:
        server = Server(HERE / "channels.yaml").start()
    except AssertionError as error:
        sys.exit(str(error))
    with server.stopping():
        cases = run_suites(server.port, wanted, excluded)
    bad = {case: result for case, result in cases.items() if not GOOD >= {result["behavior"], result["behaviorClose"]}}
    for case, result in bad.items():
        print(f"case {case}: {result['behavior']}, close {result['behaviorClose']}: {REPORTS / result['reportfile']}")
    counts = collections.Counter(result["behavior"] for result in cases.values())
    print(f"{len(cases) - len(bad)} passed, {len(bad)} failed ({', '.join(f'{n} {b}' for b, n in sorted(counts.items()))})")
    if not cases:
        print("the suite ran no case")
    if cases:
        PAGE.parent.mkdir(exist_ok=True)
        first, heading, second = PAGE.read_text().partition(COMPRESSION)
        tables = [first, families(cases, numbers)] if compression else [page(cases), heading + second]
        PAGE.write_text("\n\n".join(table.strip() for table in tables if table) + "\n")
    return 1 if bad or not cases else 0


def run_suites(port: int, wanted: list[str], excluded: list[str]) -> dict:
    """Two clients side by side, since each is one slow thread: one for compression, one for the rest."""
    compression = [f"{section}.*" for section in ("12", "13")]
    if wanted == ["*"]:
        parts = [("plain", ["*"], [*excluded, *compression]), ("compressed", compression, excluded)]
    else:
        parts = [(section, [case for case in wanted if case.startswith(f"{section}.")], excluded) for section in ("12", "13")]
    suites = [Suite(port, *part) for part in parts]
    return {case: result for suite in suites for case, result in suite.results().items()}


class Suite:
    """A fuzzing client, with a folder of its own for its reports."""

    def __init__(self, port: int, name: str, wanted: list[str], excluded: list[str]):
        self.folder = REPORTS / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.index = self.folder / "index.json"
        self.index.unlink(missing_ok=True)
        spec = self.folder / "fuzzingclient.json"
        values = {"OUTDIR": str(self.folder), "PORT": str(port), "CASES": json.dumps(wanted), "EXCLUDED": json.dumps(excluded)}
        text = (HERE / "fuzzingclient.json").read_text()
        for key, value in values.items():
            text = text.replace(key, value)
        spec.write_text(text)
        self.log = self.folder / "wstest.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([WSTEST, "-m", "fuzzingclient", "-s", spec], stdout=log, stderr=log)

    def results(self) -> dict:
        try:
            code = self.process.wait(timeout=60 * 60)
        finally:
            self.process.kill()
        if code or not self.index.exists():
            sys.exit(f"wstest ended with {code} and no report; see {self.log}")
        results = json.loads(self.index.read_text())["trunkline"]
        return {case: {**result, "reportfile": f"{self.folder.name}/{result['reportfile']}"} for case, result in results.items()}


def counted(cases: dict, depth: int) -> dict:
    """Verdicts by section, or by family."""
    rows = collections.defaultdict(collections.Counter)
    for case, result in cases.items():
        worst = result["behavior"] if result["behavior"] not in GOOD or result["behaviorClose"] in GOOD else result["behaviorClose"]
        rows[".".join(case.split(".")[:depth])][worst] += 1
    return rows


def page(cases: dict) -> str:
    rows = counted(cases, 1)
    lines = [
        "# Conformance", "",
        "Every case of the [Autobahn suite](https://github.com/crossbario/autobahn-testsuite) 0.8.2 that applies to what is",
        "implemented, run against a `protocol: raw` endpoint (`tests/autobahn/channels.yaml`). Sections 12 and 13 are about",
        "compression: of each the first family. This page is written by the run itself:", "",
        "    tests/autobahn/run.sh", "",
        "| section | cases | OK | non-strict | informational | failed |", "|---|---:|---:|---:|---:|---:|",
    ]
    total = collections.Counter()
    for section in sorted(rows, key=int):
        total += rows[section]
        lines.append(row(f"{section} {SECTIONS.get(section, '')}".strip(), rows[section]))
    lines.append(row("**all**", total))
    return "\n".join(lines) + "\n"


def families(cases: dict, numbers: list[str]) -> str:
    rows = counted(cases, 2)
    some = f"The cases {', '.join(numbers)} of all families" if numbers else "All families"
    lines = [
        COMPRESSION, "",
        f"{some} of sections 12 and 13, last run on {datetime.date.today().isoformat()}:", "",
        " ".join(["    tests/autobahn/run.sh compression", *numbers]), "",
        "| family | cases | OK | non-strict | informational | failed |", "|---|---:|---:|---:|---:|---:|",
    ]
    for family in sorted(rows, key=lambda family: tuple(map(int, family.split(".")))):
        lines.append(row(f"{family} {FAMILIES[family]}", rows[family]))
    return "\n".join(lines) + "\n"


def row(name: str, counts: collections.Counter) -> str:
    failed = sum(n for behaviour, n in counts.items() if behaviour not in GOOD)
    return f"| {name} | {counts.total()} | {counts['OK']} | {counts['NON-STRICT']} | {counts['INFORMATIONAL']} | {failed} |"


if __name__ == "__main__":
    sys.exit(main())
