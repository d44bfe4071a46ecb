"""Starts the echo endpoint, runs Autobahn's fuzzing client against it, judges its report and writes docs/conformance.md."""

import collections
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
}


def main() -> int:
    try:
        server = Server(HERE / "channels.yaml").start()
    except AssertionError as error:
        sys.exit(str(error))
    with server.stopping():
        cases = run_suite(server.port)
    bad = {case: result for case, result in cases.items() if not GOOD >= {result["behavior"], result["behaviorClose"]}}
    for case, result in bad.items():
        print(f"case {case}: {result['behavior']}, close {result['behaviorClose']}: {REPORTS / result['reportfile']}")
    counts = collections.Counter(result["behavior"] for result in cases.values())
    print(f"{len(cases) - len(bad)} passed, {len(bad)} failed ({', '.join(f'{n} {b}' for b, n in sorted(counts.items()))})")
    if not cases:
        print("the suite ran no case")
    if cases:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(cases))
    return 1 if bad or not cases else 0


def run_suite(port: int) -> dict:
    REPORTS.mkdir(parents=True, exist_ok=True)
    index = REPORTS / "index.json"
    index.unlink(missing_ok=True)
    spec = REPORTS / "fuzzingclient.json"
    spec.write_text((HERE / "fuzzingclient.json").read_text().replace("OUTDIR", str(REPORTS)).replace("PORT", str(port)))
    with open(REPORTS / "wstest.log", "w") as log:
        suite = subprocess.run([WSTEST, "-m", "fuzzingclient", "-s", spec], stdout=log, stderr=log, timeout=20 * 60)
    if suite.returncode or not index.exists():
        sys.exit(f"wstest ended with {suite.returncode} and no report; see {log.name}")
    return json.loads(index.read_text())["trunkline"]


def page(cases: dict) -> str:
    rows = collections.defaultdict(collections.Counter)
    for case, result in cases.items():
        worst = result["behavior"] if result["behavior"] not in GOOD or result["behaviorClose"] in GOOD else result["behaviorClose"]
        rows[case.split(".")[0]][worst] += 1
    lines = [
        "# Conformance", "",
        "Every case of the [Autobahn suite](https://github.com/crossbario/autobahn-testsuite) 0.8.2 that applies to what is",
        "implemented, run against a `protocol: raw` endpoint (`tests/autobahn/channels.yaml`). Sections 12 and 13 are about",
        "compression and left out. This page is written by the run itself:", "",
        "    tests/autobahn/run.sh", "",
        "| section | cases | OK | non-strict | informational | failed |", "|---|---:|---:|---:|---:|---:|",
    ]
    total = collections.Counter()
    for section in sorted(rows, key=int):
        total += rows[section]
        lines.append(row(f"{section} {SECTIONS.get(section, '')}".strip(), rows[section]))
    lines.append(row("**all**", total))
    return "\n".join(lines) + "\n"


def row(name: str, counts: collections.Counter) -> str:
    failed = sum(n for behaviour, n in counts.items() if behaviour not in GOOD)
    return f"| {name} | {counts.total()} | {counts['OK']} | {counts['NON-STRICT']} | {counts['INFORMATIONAL']} | {failed} |"


if __name__ == "__main__":
    sys.exit(main())
