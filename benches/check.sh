#!/usr/bin/env bash
# How long `trunkline check` takes for a file of some 2,000 lines: 100 rooms, message types, endpoints, limits and rules.
#
#   benches/check.sh [RUNS]                        20
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

RUNS=${1:-20}
FOLDER=$OUT/check
mkdir -p "$FOLDER"
python3 - >"$FOLDER/channels.yaml" <<'PYTHON'
def section(name, block):
    print(f"{name}:")
    for number in range(100):
        print(block.replace("@", str(number)))


print('version: 1\nserver: {listen: "127.0.0.1:0"}\nauth:\n  guest: {anonymous: {}}')
section("rate_limits", "  limit@:\n    rate: @0/s\n    burst: 20\n    per: user".replace("@0/s", "1@/s"))
section("messages", """  message@:
    schema:
      type: object
      properties:
        text: {type: string, maxLength: 200, pattern: "^[a-z @]*$"}
      required: [text]
      additionalProperties: false
    to: room
    rate_limit: [limit@]
    allow: "user.id != 'anon:@' && data.text.size() < 20@\"""")
section("rooms", """  "room@:{id}":
    may_join: "params.id != 'closed@'"
    messages: [message@]""")
section("endpoints", """  /ws@/{id}:
    auth: guest
    auto_join: ["room@:{path.id}"]""")
PYTHON
wc -l "$FOLDER/channels.yaml"
python3 - "$TRUNKLINE" "$FOLDER/channels.yaml" "$RUNS" <<'PYTHON'
import resource
import statistics
import subprocess
import sys

binary, file, runs = sys.argv[1:]
times = []
for _ in range(int(runs)):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([binary, "check", "--deny", "warnings", file], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.append(1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
print(f"check: median {statistics.median(times):.1f} ms of CPU ({min(times):.1f}–{max(times):.1f}) in {runs} runs")
PYTHON
